/* SPDX-License-Identifier: MIT */

/* state.db: sessions and everything that happened to them.
 *
 * All tables but `bodies` have an ascending integer key, so rows are appended at the right edge of
 * their B-tree, and events, checkpoints and runs of a session are read in order from an index of
 * two integers. A conversation is `nodes`, each with its parent; a branch, a checkpoint or a fork
 * is one row that names a node. Nothing that is shared between sessions (nodes, vars, configs,
 * bodies) is ever updated. There are no foreign keys: rows are deleted by owners that know the
 * order, and the check would cost a look-up per reference in every insert; `agentd fsck` verifies
 * them instead.
 *
 * Migrations are files of their own, state-NNN.sql. A released one is never edited. */

#include "store/schema-state.h"

#include "store/request-key-sql.h"

static const StoreMigration migrations[] = {
        { .version = 1, .sql =
#include "store/state-001.sql.inc"
        },
        { .version = 2, .sql =
#include "store/state-002.sql.inc"
        },
        { .version = 3, .sql =
#include "store/state-003.sql.inc"
        },
        { .version = 4, .sql =
#include "store/state-004.sql.inc"
        },
};

static const StoreStatement statements[_STATE_STATEMENT_MAX] = {
#define STATEMENT(id, n, f, text) \
        [id] = { .name = #id, .sql = (text), .n_params = (n), .flags = (f) },
#include "store/state-statements.def"
#undef STATEMENT
};

const StoreSchema state_schema = {
        .name = "state",
        .migrations = migrations,
        .n_migrations = ELEMENTSOF(migrations),
        .statements = statements,
        .n_statements = ELEMENTSOF(statements),
};

const RequestKeyStatements state_request_keys = {
        .insert = STATE_REQUEST_KEY_INSERT,
        .answer = STATE_REQUEST_KEY_ANSWER,
        .one = STATE_REQUEST_KEY_ONE,
        .expire = STATE_REQUEST_KEY_EXPIRE,
};
