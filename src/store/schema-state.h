/* SPDX-License-Identifier: MIT */
#pragma once

/* state.db: sessions, conversations, checkpoints, runs, events, tokens. The tables are described in
 * schema-state.c; this is the list of everything that can be said to them. Parameter and column
 * order is part of the name's contract and stands beside each statement's text. */

#include "store/request-key.h"

typedef enum StateStatement {
#define STATEMENT(id, n_params, flags, sql) id,
#include "store/state-statements.def"
#undef STATEMENT
        _STATE_STATEMENT_MAX,
} StateStatement;

extern const StoreSchema state_schema;
extern const RequestKeyStatements state_request_keys;
