/* SPDX-License-Identifier: MIT */

/* What can be asked by one statement: each rule is a query for the ids that break it, what to say,
 * and a statement that puts all of them right. Rows that refer to something that is gone get the
 * nearest thing that is still there; rows that nothing could use any more are taken out (the copy
 * keeps them). The order matters: what a rule repairs with must have been looked at before. */

#include "fsck/fsck-internal.h"

typedef struct Rule {
        const char *what, *text, *sql, *repair, *edit;
} Rule;

#define LOST_BODY "X'00' || CAST('\"[this message was lost: agentd fsck]\"' AS BLOB)"
#define GONE(table, column, target)                   \
        "SELECT id FROM " table " AS t WHERE " column \
        " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " target " WHERE id = t." column ") ORDER BY id"
#define IS_GONE(table, column, target)                                                   \
        column " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " target " WHERE id = " table \
               "." column ")"

static const Rule state_rules[] = {
        { "message", "its text is neither in its row nor stored",
          "SELECT id FROM nodes AS t WHERE body IS NULL AND NOT EXISTS "
          "(SELECT 1 FROM bodies WHERE key = t.body_key) ORDER BY id",
          "put a note in its place",
          "UPDATE nodes SET body = " LOST_BODY ", body_key = NULL WHERE body IS NULL AND NOT EXISTS "
          "(SELECT 1 FROM bodies WHERE key = nodes.body_key)" },
        { "variables", "the version before it is gone",
          "SELECT id FROM vars AS t WHERE snapshot IS NULL AND parent IS NOT NULL AND NOT EXISTS "
          "(SELECT 1 FROM vars WHERE id = t.parent) ORDER BY id",
          "begin with this one",
          "UPDATE vars SET parent = NULL WHERE snapshot IS NULL AND " IS_GONE(
                  "vars", "parent", "vars") },
        { "branch", "its last message is gone", GONE("branches", "head", "nodes"),
          "let it end at the newest message before",
          "UPDATE branches SET head = (SELECT MAX(id) FROM nodes WHERE session = branches.session AND "
          "id < branches.head) WHERE " IS_GONE("branches", "head", "nodes") },
        { "branch", "its variables are gone", GONE("branches", "vars", "vars"),
          "take the newest version before",
          "UPDATE branches SET vars = (SELECT MAX(id) FROM vars WHERE session = branches.session AND "
          "id < branches.vars) WHERE " IS_GONE("branches", "vars", "vars") },
        { "branch", "its configuration is gone", GONE("branches", "config", "configs"),
          "make an empty one",
          "INSERT INTO configs (id, session) SELECT DISTINCT config, session FROM branches "
          "WHERE " IS_GONE("branches", "config", "configs") " GROUP BY config" },
        { "session", "its branch is gone", GONE("sessions", "branch", "branches"),
          "put it on its newest branch, or on a new one named lost+found",
          "INSERT INTO configs (id, session) SELECT branch, id FROM sessions WHERE " IS_GONE(
                  "sessions",
                  "branch",
                  "branches") " AND NOT EXISTS (SELECT 1 FROM configs WHERE id = "
                              "sessions.branch); "
                              "INSERT INTO branches (id, session, name, head, vars, config, created_at) SELECT branch, id, "
                              "'lost+found', (SELECT MAX(id) FROM nodes WHERE session = sessions.id), (SELECT MAX(id) FROM vars "
                              "WHERE session = sessions.id), IFNULL((SELECT id FROM configs WHERE id = sessions.config), branch), "
                              "updated_at FROM sessions WHERE " IS_GONE(
                                      "sessions", "branch", "branches") },
        { "session", "its state is none",
          "SELECT id FROM sessions WHERE substate NOT BETWEEN 0 AND 19 OR status <> "
          "CASE WHEN substate < 2 THEN 0 WHEN substate < 8 THEN 1 WHEN substate < 12 THEN 2 "
          "WHEN substate < 14 THEN 3 ELSE 4 END ORDER BY id",
          "let it be stopped",
          "UPDATE sessions SET status = 3, substate = 12, reason = 'its state was repaired by fsck', "
          "stopped_at = updated_at WHERE substate NOT BETWEEN 0 AND 19 OR status <> "
          "CASE WHEN substate < 2 THEN 0 WHEN substate < 8 THEN 1 WHEN substate < 12 THEN 2 "
          "WHEN substate < 14 THEN 3 ELSE 4 END" },
        { "session", "its namespace is gone", GONE("sessions", "namespace", "namespaces"),
          "name it lost-N",
          "INSERT INTO namespaces (id, name) SELECT DISTINCT namespace, 'lost-' || namespace FROM sessions "
          "WHERE " IS_GONE("sessions", "namespace", "namespaces") },
        { "checkpoint", "its session is gone", GONE("checkpoints", "session", "sessions"),
          "take it out",
          "DELETE FROM checkpoints WHERE " IS_GONE("checkpoints", "session", "sessions") },
        { "checkpoint", "its message is gone", GONE("checkpoints", "node", "nodes"), "take it out",
          "DELETE FROM checkpoints WHERE " IS_GONE("checkpoints", "node", "nodes") },
        { "checkpoint", "its variables are gone", GONE("checkpoints", "vars", "vars"),
          "take it out", "DELETE FROM checkpoints WHERE " IS_GONE("checkpoints", "vars", "vars") },
        { "checkpoint", "its configuration is gone", GONE("checkpoints", "config", "configs"),
          "take it out",
          "DELETE FROM checkpoints WHERE " IS_GONE("checkpoints", "config", "configs") },
        { "checkpoint", "its branch is gone", GONE("checkpoints", "branch", "branches"),
          "count it to the session's present branch",
          "UPDATE checkpoints SET branch = IFNULL((SELECT branch FROM sessions WHERE id = "
          "checkpoints.session), branch) WHERE " IS_GONE("checkpoints", "branch", "branches") },
        { "branch", "its session is gone", GONE("branches", "session", "sessions"), "take it out",
          "DELETE FROM branches WHERE " IS_GONE("branches", "session", "sessions") },
        { "run", "its session is gone", GONE("runs", "session", "sessions"), "take it out",
          "DELETE FROM runs WHERE " IS_GONE("runs", "session", "sessions") },
        { "run", "it is open, but not its session's current one",
          "SELECT r.id FROM runs AS r JOIN sessions AS s ON s.id = r.session WHERE r.state < 3 AND "
          "s.run IS NOT r.id ORDER BY r.id",
          "let it have ended",
          "UPDATE runs SET state = 3, ended_at = IFNULL(started_at, created_at), token_hash = NULL, "
          "reason = 'ended by fsck' WHERE state < 3 AND id NOT IN (SELECT run FROM sessions WHERE run IS NOT "
          "NULL)" },
        { "session", "its run is gone", GONE("sessions", "run", "runs"),
          "take its newest one that is there",
          "UPDATE sessions SET run = (SELECT MAX(id) FROM runs WHERE session = sessions.id) "
          "WHERE " IS_GONE("sessions", "run", "runs") },
        { "session", "it counts fewer runs than it had",
          "SELECT id FROM sessions AS t WHERE fence < (SELECT MAX(number) FROM runs WHERE session = t.id) "
          "ORDER BY id",
          "count again",
          "UPDATE sessions SET fence = (SELECT MAX(number) FROM runs WHERE session = sessions.id) "
          "WHERE fence < (SELECT MAX(number) FROM runs WHERE session = sessions.id)" },
        { "run", "another one of its session has its number",
          "SELECT b.id FROM runs AS a JOIN runs AS b ON b.session = a.session AND b.number = a.number AND "
          "b.id > a.id ORDER BY b.id",
          NULL, NULL },
};

static const Rule memory_rules[] = {
        { "memory entry", "its value is no JSON",
          "SELECT id FROM entries WHERE NOT json_valid(value) ORDER BY id", "keep its bytes as text",
          "UPDATE entries SET value = json_quote(CAST(value AS TEXT)), version = version + 1 WHERE NOT "
          "json_valid(value)" },
};

#define FIXED                                                                                         \
        [FSCK_INTEGRITY] = { "FSCK_INTEGRITY", "PRAGMA integrity_check(100)", 0, 0 },                 \
        [FSCK_NODES] = { "FSCK_NODES",                                                                \
                         "SELECT id, parent, jump, depth, tool_calls FROM nodes ORDER BY id", 0,      \
                         0 },                                                                         \
        [FSCK_LARGE] = { "FSCK_LARGE",                                                                \
                         "SELECT MIN(id), body_key FROM nodes WHERE body IS NULL "                    \
                         "GROUP BY body_key",                                                         \
                         0, 0 },                                                                      \
        [FSCK_BODIES] = { "FSCK_BODIES",                                                              \
                          "SELECT namespace, key, encoding, size, data FROM bodies", 0, 0 },          \
        [FSCK_BODY_KEY] = { "FSCK_BODY_KEY",                                                          \
                            "SELECT value FROM properties WHERE name = 'body-key'", 0, 0 },           \
        [FSCK_BODY_FILE] = { "FSCK_BODY_FILE",                                                        \
                             "SELECT 1 FROM bodies WHERE key = ?1 AND encoding >= 2 "                 \
                             "UNION ALL SELECT 1 FROM dead_bodies WHERE key = ?1",                    \
                             1, 0 },                                                                  \
        [FSCK_TREES] = { "FSCK_TREES",                                                                \
                         "SELECT c.id, c.tree, s.namespace FROM checkpoints AS c JOIN sessions AS s " \
                         "ON s.id = c.session WHERE c.tree IS NOT NULL ORDER BY s.namespace, c.id",   \
                         0, 0 },                                                                      \
        [FSCK_CHECKPOINT_TREE] = { "FSCK_CHECKPOINT_TREE",                                            \
                                   "SELECT 1 FROM checkpoints WHERE id = ?1 AND tree = ?2", 2, 0 },   \
        [FSCK_RUN] = { "FSCK_RUN", "SELECT state FROM runs WHERE id = ?1 AND session = ?2", 2, 0 },   \
        [FSCK_MEMORY_NAMESPACES] = { "FSCK_MEMORY_NAMESPACES",                                        \
                                     "SELECT DISTINCT namespace FROM entries", 0, 0 },                \
        [FSCK_NAMESPACE] = { "FSCK_NAMESPACE", "SELECT 1 FROM namespaces WHERE id = ?1", 1, 0 }

static StoreStatement state_statements[_FSCK_FIXED + ELEMENTSOF(state_rules)] = { FIXED };
static StoreStatement memory_statements[_FSCK_FIXED + ELEMENTSOF(memory_rules)] = { FIXED };

const StoreSchema fsck_state_schema = { .name = "state",
                                        .statements = state_statements,
                                        .n_statements = ELEMENTSOF(state_statements) };
const StoreSchema fsck_memory_schema = { .name = "memory",
                                         .statements = memory_statements,
                                         .n_statements = ELEMENTSOF(memory_statements) };

/* Damage of the file itself: an index can be made again from its table, a table cannot. */
static int integrity(Fsck *f, StoreReader *r, const char *file, Buf *edits) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        bool indexes = false;
        int k = store_query(r, &c, FSCK_INTEGRITY, NULL, 0);

        while (k >= 0 && (k = store_next(c)) > 0) {
                const char *text = store_text(c, 0, NULL);
                if (!text || streq(text, "ok"))
                        continue;
                bool is_index = strstr(text, "index") != NULL;
                indexes = indexes || is_index;
                fsck_problem(f, "database", file, text, is_index ? "make the indexes again" : NULL);
        }
        if (k == -EUCLEAN) {
                fsck_problem(f, "database", file, "it cannot be read to its end: restore a backup",
                             NULL);
                return 1;
        }
        if (indexes)
                (void) buf_puts(edits, "REINDEX;");
        return MIN(k, 0);
}

static int rule(Fsck *f, StoreReader *r, unsigned statement, const Rule *rule, Buf *edits) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        uint64_t n = f->result.left;
        int k = store_query(r, &c, statement, NULL, 0);

        while (k >= 0 && (k = store_next(c)) > 0)
                fsck_problem_id(f, rule->what, store_id(c, 0), rule->text, rule->repair);
        if (k >= 0 && f->result.left > n && rule->edit)
                (void) buf_printf(edits, "%s;", rule->edit);
        return k;
}

static int rules(Fsck *f, StoreReader *r, const char *file, const Rule *list, size_t n, Buf *edits) {
        int k = integrity(f, r, file, edits);

        for (size_t i = 0; k == 0 && i < n; i++)
                k = rule(f, r, (unsigned) (_FSCK_FIXED + i), &list[i], edits);
        return k;
}

static void fill(StoreStatement *statements, const Rule *list, size_t n) {
        for (size_t i = 0; i < n; i++)
                statements[_FSCK_FIXED + i] = (StoreStatement){ list[i].text, list[i].sql, 0, 0 };
}

void fsck_rules_init(void) {
        fill(state_statements, state_rules, ELEMENTSOF(state_rules));
        fill(memory_statements, memory_rules, ELEMENTSOF(memory_rules));
}

int fsck_rules_state(Fsck *f) {
        return rules(f, f->state, f->places->state, state_rules, ELEMENTSOF(state_rules),
                     &f->state_edits);
}

int fsck_rules_memory(Fsck *f) {
        return rules(f, f->memory, f->places->memory, memory_rules, ELEMENTSOF(memory_rules),
                     &f->memory_edits);
}
