/* SPDX-License-Identifier: MIT */
#pragma once

/* One handler per route: the input is parsed and valid, the caller may do it, the session of the path exists. A
 * handler calls one function of a domain room and answers, now or in its completion. */

#include "api/api-internal.h"

#define ROUTE(id, handler, ...) void api_##handler(ApiCall *c);
#include "contract/routes.def"
#undef ROUTE
