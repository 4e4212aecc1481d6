/* SPDX-License-Identifier: MIT */

/* memory.db: long-term entries, in a file of their own because they outlive sessions, are backed up and
 * purged by other rules, and their writes should not wait for the commits of conversations.
 *
 * The unique index over (namespace, scope, key) is the wall between owners and the order of listings;
 * an entry keeps its integer id over all its versions, which is what indexes and vectors refer to.
 *
 * Migrations are files of their own, memory-NNN.sql. A released one is never edited. */

#include "store/schema-memory.h"

#include "store/request-key-sql.h"

static const StoreMigration migrations[] = {
        { .version = 1, .sql =
#include "store/memory-001.sql.inc"
        },
        { .version = 2, .sql =
#include "store/memory-002.sql.inc"
        },
        { .version = 3, .sql =
#include "store/memory-003.sql.inc"
        },
};

static const StoreStatement statements[_MEMORY_STATEMENT_MAX] = {
#define STATEMENT(id, n, f, text) \
        [id] = { .name = #id, .sql = (text), .n_params = (n), .flags = (f) },
#include "store/memory-statements.def"
#undef STATEMENT
};

const StoreSchema memory_schema = {
        .name = "memory",
        .migrations = migrations,
        .n_migrations = ELEMENTSOF(migrations),
        .statements = statements,
        .n_statements = ELEMENTSOF(statements),
};

const RequestKeyStatements memory_request_keys = {
        .insert = MEMORY_REQUEST_KEY_INSERT,
        .answer = MEMORY_REQUEST_KEY_ANSWER,
        .one = MEMORY_REQUEST_KEY_ONE,
        .expire = MEMORY_REQUEST_KEY_EXPIRE,
};
