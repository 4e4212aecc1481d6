/* SPDX-License-Identifier: MIT */
#pragma once

/* memory.db: long-term entries. See schema-state.h for how the list works. */

#include "store/store.h"

typedef enum MemoryStatement {
#define STATEMENT(id, n_params, flags, sql) id,
#include "store/memory-statements.def"
#undef STATEMENT
        _MEMORY_STATEMENT_MAX,
} MemoryStatement;

extern const StoreSchema memory_schema;
