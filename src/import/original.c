/* SPDX-License-Identifier: MIT */

/* What the original's databases look like: their tables, and all that is asked of them. Rows are
 * read one by one by their row number: a damaged page then costs its rows and not the table, and
 * sorting by age sorts numbers and not conversations.
 *
 * A database is taken for the original's if its tables and columns are exactly these. One with more
 * was made by a program that somebody changed, and what that means nobody here knows. */

#include "import/import-internal.h"

#define COLUMNS_SQL                                                                      \
        "SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c " \
        "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1, 2"

static const StoreStatement statements[_ORIGINAL_MAX] = {
        [ORIGINAL_COLUMNS] = { "ORIGINAL_COLUMNS", COLUMNS_SQL, 0, 0 },
        [ORIGINAL_SESSION_IDS] = { "ORIGINAL_SESSION_IDS",
                                   "SELECT rowid, session_id FROM sessions ORDER BY created_at, rowid",
                                   0, 0 },
        [ORIGINAL_SESSION] = { "ORIGINAL_SESSION",
                               "SELECT name, model, system_prompt, tools, status, memory_json, "
                               "messages_json, tool_history_json, created_at, updated_at FROM sessions "
                               "WHERE rowid = ?1",
                               1, 0 },
        [ORIGINAL_CHECKPOINT_IDS] = { "ORIGINAL_CHECKPOINT_IDS",
                                      "SELECT rowid, checkpoint_id, session_id FROM checkpoints "
                                      "ORDER BY created_at, rowid",
                                      0, 0 },
        [ORIGINAL_CHECKPOINT] = { "ORIGINAL_CHECKPOINT",
                                  "SELECT label, state_json, created_at FROM checkpoints "
                                  "WHERE rowid = ?1",
                                  1, 0 },
        [ORIGINAL_LONG_TERM_IDS] = { "ORIGINAL_LONG_TERM_IDS",
                                     "SELECT rowid FROM long_term_memory ORDER BY timestamp, rowid",
                                     0, 0 },
        [ORIGINAL_LONG_TERM] = { "ORIGINAL_LONG_TERM",
                                 "SELECT key, value_json, timestamp, access_count, "
                                 "embedding_blob IS NOT NULL FROM long_term_memory WHERE rowid = ?1",
                                 1, 0 },
        [ORIGINAL_SHORT_TERM] = { "ORIGINAL_SHORT_TERM",
                                  "SELECT session_id, role, content, timestamp "
                                  "FROM short_term_memory ORDER BY session_id, id",
                                  0, 0 },
        [ORIGINAL_CONSOLIDATIONS] = { "ORIGINAL_CONSOLIDATIONS",
                                      "SELECT session_id, summary, from_count, created_at "
                                      "FROM memory_consolidations ORDER BY session_id, id",
                                      0, 0 },
};

const StoreSchema original_schema[2] = {
        [IMPORT_STATE] = { .name = "original state",
                           .statements = statements,
                           .n_statements = _ORIGINAL_MAX },
        [IMPORT_MEMORY] = { .name = "original memory",
                            .statements = statements,
                            .n_statements = _ORIGINAL_MAX },
};

static const char *const columns[2] = {
        [IMPORT_STATE] = "checkpoints.checkpoint_id checkpoints.created_at checkpoints.label "
                         "checkpoints.session_id checkpoints.state_json sessions.created_at "
                         "sessions.memory_json sessions.messages_json sessions.model sessions.name "
                         "sessions.session_id sessions.status sessions.system_prompt "
                         "sessions.tool_history_json sessions.tools sessions.updated_at ",
        [IMPORT_MEMORY] = "long_term_memory.access_count long_term_memory.embedding_blob "
                          "long_term_memory.key long_term_memory.timestamp "
                          "long_term_memory.value_json memory_consolidations.created_at "
                          "memory_consolidations.from_count memory_consolidations.id "
                          "memory_consolidations.session_id memory_consolidations.summary "
                          "short_term_memory.content short_term_memory.id short_term_memory.role "
                          "short_term_memory.session_id short_term_memory.timestamp ",
};

int original_check(StoreReader *r, ImportKind kind) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        _cleanup_buf_ Buf found = BUF_INIT((size_t) 64 << 10);
        int k = store_query(r, &c, ORIGINAL_COLUMNS, NULL, 0);

        while (k >= 0 && (k = store_next(c)) > 0)
                (void) buf_printf(&found, "%s.%s ", store_text(c, 0, NULL), store_text(c, 1, NULL));
        if (k < 0)
                return k;
        return buf_error(&found) == 0 && found.len > 0 && streq(found.data, columns[kind]);
}
