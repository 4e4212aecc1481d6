/* SPDX-License-Identifier: MIT */
#pragma once

/* memory.db: long-term entries. See schema-state.h for how the list works. */

#include "store/request-key.h"

typedef enum MemoryStatement {
#define STATEMENT(id, n_params, flags, sql) id,
#include "store/memory-statements.def"
#undef STATEMENT
        _MEMORY_STATEMENT_MAX,
} MemoryStatement;

extern const StoreSchema memory_schema;
extern const RequestKeyStatements memory_request_keys;
