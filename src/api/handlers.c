/* SPDX-License-Identifier: MIT */

/* Which function answers which route, made from the table of routes: a route without its handler
 * does not link, and one with a wrong type does not compile. */

#include "api/handlers.h"

const ApiHandler api_handlers[_ROUTE_MAX] = {
#define ROUTE(id, handler, ...) [id] = api_##handler,
#include "contract/routes.def"
#undef ROUTE
};
