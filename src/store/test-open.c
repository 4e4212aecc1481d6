/* SPDX-License-Identifier: MIT */

/* What opening promises: what is refused is left as it was, what is migrated was copied first. */

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/schema-memory.h"
#include "store/schema-state.h"
#include "store/test-items.h"

/* Opening must fail with this error, a message with this text, and the file unchanged. */
static void expect_refused(const char *path, const StoreSchema *schema, int error, const char *text) {
        _cleanup_free_ char *before = NULL, *after = NULL, *message = NULL;
        size_t n_before, n_after;
        Store *s = NULL;

        before = read_all(path, &n_before);
        assert_int_equal(store_open(&s, NULL, path, schema, NULL, &message), error);
        assert_null(s);
        assert_non_null(message);
        assert_non_null(strstr(message, path));
        assert_non_null(strstr(message, text));
        after = read_all(path, &n_after);
        assert_int_equal(n_before, n_after);
        assert_memory_equal(before, after, n_before);
}

static void exec(const char *path, const char *sql) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t ask(const char *path, const char *sql) {
        sqlite3_stmt *stmt = NULL;
        sqlite3 *db = NULL;
        int64_t value;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        value = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return value;
}

static void fill(const Folder *f, int n) {
        Store *s = open_items(f, NULL);

        for (int i = 1; i <= n; i++)
                assert_int_equal(insert_bytes(s, i, 1000, NULL, NULL), 0);
        store_free(s);
}

static void test_files_are_for_the_owner_only(void **state) {
        static const char *const suffixes[] = { "", "-wal", "-shm", ".lock" };
        const Folder *f = *state;
        mode_t mask = umask(0);
        Store *s = open_items(f, NULL);

        assert_int_equal(insert(s, 1, 1, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        (void) umask(mask);
        ARRAY_FOREACH(suffix, suffixes) {
                _cleanup_free_ char *name = str_printf("%s%s", f->db, *suffix);
                struct stat st;

                assert_int_equal(stat(name, &st), 0);
                assert_int_equal(st.st_mode & 07777, 0600);
        }
        store_free(s);
}

static void test_closing_leaves_no_wal(void **state) {
        const Folder *f = *state;
        _cleanup_free_ char *wal = str_printf("%s-wal", f->db);

        fill(f, 10);
        assert_int_equal(access(wal, F_OK), -1);
        assert_int_equal(ask(f->db, "SELECT COUNT(*) FROM items"), 10);
}

static void test_a_second_opener_is_refused_with_path_and_pid(void **state) {
        _cleanup_free_ char *message = NULL, *pid = str_printf("process %d", (int) getpid());
        const Folder *f = *state;
        Store *s = open_items(f, NULL), *other = NULL;

        assert_int_equal(store_open(&other, NULL, f->db, &items_schema, NULL, &message), -EBUSY);
        assert_non_null(strstr(message, f->db));
        assert_non_null(strstr(message, pid));
        assert_int_equal(insert(s, 1, 1, NULL, NULL), 0);
        store_free(s);
        s = open_items(f, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 1);
        store_free(s);
}

static void test_memory_works_with_readers(void **state) {
        StoreReader *reader = NULL;
        Store *s = NULL, *other = NULL;

        assert_int_equal(store_open(&s, NULL, "memory:", &items_schema, NULL, NULL), 0);
        assert_int_equal(store_open(&other, NULL, "memory:", &items_schema, NULL, NULL), 0);
        assert_int_equal(insert(s, 1, 1, NULL, NULL), 0);
        assert_int_equal(store_flush(s), 0);
        assert_int_equal(store_reader_open(&reader, s), 0);
        assert_int_equal(query_int(reader, ITEM_COUNT), 1);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 1);
        assert_int_equal(query_int(store_reader(other), ITEM_COUNT), 0);
        store_reader_free(reader);
        store_free(s);
        store_free(other);
}

static void test_a_newer_version_is_refused_and_unchanged(void **state) {
        const Folder *f = *state;

        fill(f, 3);
        exec(f->db, "PRAGMA user_version = 7");
        expect_refused(f->db, &items_schema, -EOVERFLOW, "version 7");
        expect_refused(f->db, &items_schema, -EOVERFLOW, "up to 1");
}

static void test_what_is_no_database_is_refused_and_unchanged(void **state) {
        const Folder *f = *state;
        static const char text[] =
                "[Unit]\nDescription=not a database, but a file named by mistake\n";

        assert_int_equal(fs_write_file_atomic(AT_FDCWD, f->db, text, sizeof(text) - 1, 0600), 0);
        expect_refused(f->db, &items_schema, -EUCLEAN, "not a database");
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, f->db, "x", 1, 0600), 0);
        expect_refused(f->db, &items_schema, -EUCLEAN, "not a database");
}

/* The power went before the first page of a new database was written; its journal was synced. */
static void test_a_database_whose_making_was_cut_is_made_again(void **state) {
        static const char page[4096], journal[512] =
                                              "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" /* magic */
                                              "\0\0\0\0\0\0\0\0\0\0\0\0" /* pages of before: 0 */
                                              "\0\0\x02\0\0\0\x10\0";    /* sector, page */
        const Folder *f = *state;
        _cleanup_free_ char *path = str_printf("%s-journal", f->db);

        assert_int_equal(fs_write_file_atomic(AT_FDCWD, f->db, page, sizeof(page), 0600), 0);
        expect_refused(f->db, &items_schema, -EUCLEAN, "not a database");
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, journal, sizeof(journal), 0600), 0);
        fill(f, 1);
        assert_int_equal(ask(f->db, "SELECT count(*) FROM items"), 1);
}

static void test_a_truncated_database_is_refused_and_unchanged(void **state) {
        const Folder *f = *state;

        fill(f, 100);
        assert_int_equal(truncate(f->db, 3 * 4096), 0);
        expect_refused(f->db, &items_schema, -EUCLEAN, "corrupt");
}

static void test_damage_after_a_crash_is_found_and_left_unchanged(void **state) {
        const Folder *f = *state;
        _cleanup_free_ char *wal = str_printf("%s-wal", f->db), *zeros = calloc(1, 4096);
        int64_t root;
        int fd;

        fill(f, 100);
        root = ask(f->db, "SELECT rootpage FROM sqlite_schema WHERE name = 'items'");
        fd = open(f->db, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, zeros, 4096, (root - 1) * 4096), 4096);
        (void) fd_close(fd);
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, wal, zeros, 4096, 0600), 0);
        expect_refused(f->db, &items_schema, -EUCLEAN, "corrupt");
}

static void test_another_programs_database_is_refused_and_unchanged(void **state) {
        const Folder *f = *state;

        exec(f->db, "CREATE TABLE sessions (id TEXT PRIMARY KEY, data TEXT)");
        expect_refused(f->db, &items_schema, -EMEDIUMTYPE, "another program");
}

static void test_state_and_memory_are_not_mixed_up(void **state) {
        const Folder *f = *state;
        Store *s = NULL;

        assert_int_equal(store_open(&s, NULL, f->db, &state_schema, NULL, NULL), 0);
        store_free(s);
        expect_refused(f->db, &memory_schema, -EMEDIUMTYPE, "memory");
}

static void test_a_migration_copies_the_database_first(void **state) {
        const Folder *f = *state;
        _cleanup_free_ char *copy = str_printf("%s.before-v2", f->db);
        struct stat st;
        Store *s = NULL;

        fill(f, 20);
        assert_int_equal(store_open(&s, NULL, f->db, &items_schema_v2, NULL, NULL), 0);
        store_free(s);
        assert_int_equal(ask(f->db, "PRAGMA user_version"), 2);
        assert_int_equal(ask(f->db, "SELECT SUM(extra - k) FROM items"), 20);
        assert_int_equal(stat(copy, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0600);
        assert_int_equal(ask(copy, "PRAGMA user_version"), 1);
        assert_int_equal(ask(copy, "SELECT COUNT(*) FROM items"), 20);
        /* The copy is a whole database: the old program can go on with it. */
        assert_int_equal(rename(copy, f->db), 0);
        s = open_items(f, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 20);
        store_free(s);
}

static void test_a_migration_that_fails_changes_nothing(void **state) {
        _cleanup_free_ char *message = NULL;
        const Folder *f = *state;
        Store *s = NULL;

        fill(f, 20);
        assert_true(store_open(&s, NULL, f->db, &items_schema_bad, NULL, &message) < 0);
        assert_non_null(strstr(message, "nonsense"));
        assert_int_equal(ask(f->db, "PRAGMA user_version"), 1);
        s = open_items(f, NULL);
        assert_int_equal(query_int(store_reader(s), ITEM_COUNT), 20);
        store_free(s);
}

static void test_urls_that_are_not_understood_say_why(void **state) {
        static const char *const urls[] = { "postgres://db/agentd", "mysql://x", "" };
        Store *s = NULL;

        ARRAY_FOREACH(url, urls) {
                _cleanup_free_ char *message = NULL;

                assert_int_equal(store_open(&s, NULL, *url, &items_schema, NULL, &message),
                                 -EPROTONOSUPPORT);
                assert_non_null(message);
        }
}

static void test_a_missing_folder_is_named(void **state) {
        const Folder *f = *state;
        _cleanup_free_ char *path = path_join(f->path, "nowhere/test.db"), *message = NULL;
        Store *s = NULL;

        assert_int_equal(store_open(&s, NULL, path, &items_schema, NULL, &message), -ENOENT);
        assert_non_null(strstr(message, path));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, folder_setup, folder_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_files_are_for_the_owner_only),
                TEST(test_closing_leaves_no_wal),
                TEST(test_a_second_opener_is_refused_with_path_and_pid),
                TEST(test_memory_works_with_readers),
                TEST(test_a_newer_version_is_refused_and_unchanged),
                TEST(test_what_is_no_database_is_refused_and_unchanged),
                TEST(test_a_database_whose_making_was_cut_is_made_again),
                TEST(test_a_truncated_database_is_refused_and_unchanged),
                TEST(test_damage_after_a_crash_is_found_and_left_unchanged),
                TEST(test_another_programs_database_is_refused_and_unchanged),
                TEST(test_state_and_memory_are_not_mixed_up),
                TEST(test_a_migration_copies_the_database_first),
                TEST(test_a_migration_that_fails_changes_nothing),
                TEST(test_urls_that_are_not_understood_say_why),
                TEST(test_a_missing_folder_is_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
