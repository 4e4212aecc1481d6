/* SPDX-License-Identifier: MIT */

/* Databases of the original program whose bytes are not what SQLite wrote. An input that begins
 * with SQLite's magic is the file; any other is a sound database of the original with bytes
 * changed: the first says of which (0 state.db, 1 memory.db), then four each: where (two, as a part
 * of 65536 of the file), what is xored there, and what the byte behind it becomes.
 *
 * Whatever it is, the import says 1 and has kept the original byte for byte beside a database that
 * opens, or changes nothing and, if it failed, says why. */

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "import/import.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

#define SMALL "PRAGMA page_size = 512; "
static const char *const originals[] = {
        SMALL
        "CREATE TABLE sessions (session_id VARCHAR(64) NOT NULL, name VARCHAR(255) NOT NULL, model VARCHAR(255) "
        "NOT NULL, system_prompt TEXT, tools TEXT, status VARCHAR(32), memory_json TEXT, messages_json TEXT, "
        "tool_history_json TEXT, created_at DATETIME, updated_at DATETIME, PRIMARY KEY (session_id));"
        "CREATE TABLE checkpoints (checkpoint_id VARCHAR(64) NOT NULL, session_id VARCHAR(64) NOT NULL, label "
        "VARCHAR(255), state_json TEXT NOT NULL, created_at DATETIME, PRIMARY KEY (checkpoint_id));"
        "CREATE INDEX ix_checkpoints_session_id ON checkpoints (session_id);"
        "INSERT INTO sessions VALUES ('ffee0011223344aa', 'one', 'm', 'be kind', '[\"search\"]', 'stopped', "
        "'{\"n\": 1}', '[{\"role\": \"user\", \"content\": \"hello\", \"tool_calls\": [], \"timestamp\": "
        "\"2025-03-01T12:00:00.123456\"}]', '[]', '2025-03-01 12:00:00.123456', '2025-03-01 12:00:01.123456');"
        "INSERT INTO sessions SELECT '00ee0011223344aa', 'two', model, system_prompt, tools, 'running', "
        "memory_json, messages_json, tool_history_json, created_at, updated_at FROM sessions;"
        "INSERT INTO checkpoints SELECT 'cp' || session_id, session_id, 'label', json_object('session_id', "
        "session_id, 'name', name, 'model', model, 'status', status, 'messages', json(messages_json)), "
        "created_at FROM sessions;",
        SMALL
        "CREATE TABLE long_term_memory (key VARCHAR(512) NOT NULL, value_json TEXT, embedding_blob BLOB, timestamp "
        "DATETIME, access_count INTEGER, PRIMARY KEY (key));"
        "CREATE TABLE short_term_memory (id INTEGER NOT NULL, session_id VARCHAR(64), role VARCHAR(32), content "
        "TEXT, timestamp DATETIME, PRIMARY KEY (id));"
        "CREATE TABLE memory_consolidations (id INTEGER NOT NULL, session_id VARCHAR(64), summary TEXT, from_count "
        "INTEGER, created_at DATETIME, PRIMARY KEY (id));"
        "INSERT INTO long_term_memory VALUES ('key', '{\"a\": 1}', x'00000000', '2025-03-01 12:00:00.123456', 3), "
        "('session/ffee0011223344aa/k', '\"text\"', NULL, '2025-03-01 12:00:00.123456', 0);"
        "INSERT INTO short_term_memory VALUES (1, 'ffee0011223344aa', 'user', 'hello', "
        "'2025-03-01 12:00:00.123456');",
};

static const char *folder(void) {
        static char path[] = "/dev/shm/fuzz-import-XXXXXX";
        static bool is_made;

        if (!is_made)
                require(mkdtemp(path) != NULL, "no folder\n");
        is_made = true;
        return path;
}

/* A database that SQLite made, as bytes. */
static void make_original(unsigned kind, char **ret, size_t *ret_n) {
        sqlite3 *db = NULL;
        sqlite3_int64 n = 0;

        require(sqlite3_open(":memory:", &db) == SQLITE_OK, "no database\n");
        require(sqlite3_exec(db, originals[kind], NULL, NULL, NULL) == SQLITE_OK, "no tables\n");
        unsigned char *bytes = sqlite3_serialize(db, "main", &n, 0);
        require(bytes != NULL, "no bytes\n");
        *ret = memcpy(malloc((size_t) n), bytes, (size_t) n);
        *ret_n = (size_t) n;
        sqlite3_free(bytes);
        (void) sqlite3_close(db);
}

static void mangle(char *bytes, size_t n, const uint8_t *edits, size_t n_edits) {
        for (; n_edits >= 4; edits += 4, n_edits -= 4) {
                size_t at = (size_t) ((unsigned) edits[0] << 8 | edits[1]) * n / 65536;
                bytes[at] = (char) (bytes[at] ^ (char) edits[2]);
                if (at + 1 < n)
                        bytes[at + 1] = (char) edits[3];
        }
}

static bool is_same(const char *path, const char *bytes, size_t n) {
        _cleanup_free_ char *found = NULL;
        size_t n_found = 0;

        return fs_read_file(AT_FDCWD, path, (size_t) 64 << 20, &found, &n_found) == 0 &&
               n_found == n && memcmp(found, bytes, n) == 0;
}

static void check_imported(const char *path, ImportKind kind) {
        _cleanup_free_ char *message = NULL;
        Store *store = NULL;
        int r = store_open(&store, NULL, path,
                           kind == IMPORT_STATE ? &state_schema : &memory_schema, NULL, &message);

        require(r == 0, "what was imported does not open\n");
        store_free(store);
}

static void import(ImportKind kind, const char *bytes, size_t n) {
        _cleanup_free_ char *path = path_join(folder(), "db"), *message = NULL;
        _cleanup_free_ char *original = str_printf("%s.original", path);
        _cleanup_free_ char *part = str_printf("%s.import.part", path);

        require(path && original && part, "out of memory\n");
        require(fs_mkdir_p(folder(), 0700) == 0, "no folder\n");
        require(fs_write_file_atomic(AT_FDCWD, path, bytes, n, 0600) == 0, "no file\n");
        int r = import_original(path, kind, &message);
        if (r == 1) {
                require(is_same(original, bytes, n), "the original has changed\n");
                check_imported(path, kind);
        } else {
                require(r <= 0, "an undocumented result\n");
                require(r == 0 || !str_isempty(message), "failed without a reason\n");
                require(is_same(path, bytes, n), "what was not imported has changed\n");
        }
        require(access(part, F_OK) < 0, "a part was left\n");
        require(fs_remove_tree(AT_FDCWD, folder()) == 0, "the folder stays\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char magic[] = "SQLite format 3";
        _cleanup_free_ char *bytes = NULL;
        size_t n = 0;

        log_open("fuzz-import", LOG_LEVEL_ERROR);
        if (size >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0) {
                import(IMPORT_STATE, (const char *) data, size);
                import(IMPORT_MEMORY, (const char *) data, size);
                return 0;
        }
        if (size == 0)
                return 0;
        make_original(data[0] & 1, &bytes, &n);
        mangle(bytes, n, data + 1, size - 1);
        import(data[0] & 1 ? IMPORT_MEMORY : IMPORT_STATE, bytes, n);
        return 0;
}
