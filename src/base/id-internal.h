/* SPDX-License-Identifier: MIT */
#pragma once

/* What id.c asks id-alias.c. Each gives its argument back when there is no alias for it. */

#include "base/id.h"

uint64_t id_alias_name(uint64_t id);
uint64_t id_alias_id(uint64_t name);
bool id_alias_is_name(uint64_t id);
