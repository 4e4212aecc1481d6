/* SPDX-License-Identifier: MIT */

/* See test-items.h. The schema has what the promises of the store need to be seen: a unique column to
 * conflict on, a statement with an expectation, and SQLite's own page limit as a disk that is full. */

#include "store/test-items.h"

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"

static const StoreStatement statements[_ITEM_STATEMENT_MAX] = {
        [ITEM_INSERT] = { "INSERT", "INSERT INTO items (id, k, v) VALUES (?1, ?2, ?3)", 3, 0 },
        [ITEM_UPDATE] = { "UPDATE", "UPDATE items SET v = ?2 WHERE id = ?1", 2, STORE_EXPECT_CHANGE },
        [ITEM_GET] = { "GET", "SELECT v FROM items WHERE id = ?1", 1, 0 },
        [ITEM_LIST] = { "LIST", "SELECT id, v FROM items ORDER BY id", 0, 0 },
        [ITEM_COUNT] = { "COUNT", "SELECT COUNT(*) FROM items", 0, 0 },
        [ITEM_SUM] = { "SUM", "SELECT SUM(k) FROM items", 0, 0 },
        [ITEM_PAGES_LIMIT] = { "LIMIT", "PRAGMA max_page_count = 1", 0, 0 },
        [ITEM_PAGES_NOLIMIT] = { "NOLIMIT", "PRAGMA max_page_count = 1000000", 0, 0 },
};

#define CREATE "CREATE TABLE items (id INTEGER PRIMARY KEY, k INTEGER UNIQUE, v BLOB);"

static const StoreMigration one[] = { { 1, CREATE } };
static const StoreMigration two[] = {
        { 1, CREATE },
        { 2, "ALTER TABLE items ADD COLUMN extra INTEGER; UPDATE items SET extra = k + 1;" },
};
static const StoreMigration bad[] = {
        { 1, CREATE },
        { 2, "DELETE FROM items; INSERT INTO nonsense VALUES (1);" },
};

const StoreSchema items_schema = { "items", one, 1, statements, _ITEM_STATEMENT_MAX };
const StoreSchema items_schema_v2 = { "items", two, 2, statements, _ITEM_STATEMENT_MAX };
const StoreSchema items_schema_bad = { "items", bad, 2, statements, _ITEM_STATEMENT_MAX };

int folder_setup(void **state) {
        Folder *f = calloc(1, sizeof(*f));
        const char *tmp = getenv("TMPDIR");

        if (!f)
                return -1;
        (void) snprintf(f->path, sizeof(f->path), "%s/test-store-XXXXXX", tmp ?: "/tmp");
        if (!mkdtemp(f->path))
                return -1;
        (void) snprintf(f->db, sizeof(f->db), "%s/test.db", f->path);
        *state = f;
        return 0;
}

int folder_teardown(void **state) {
        Folder *f = *state;
        int r = fs_remove_tree(AT_FDCWD, f->path);

        free(f);
        return r;
}

Store *open_items(const Folder *f, const StoreOptions *options) {
        _cleanup_free_ char *message = NULL;
        Store *s = NULL;

        if (store_open(&s, NULL, f->db, &items_schema, options, &message) < 0)
                fail_msg("%s", message);
        return s;
}

int insert(Store *s, int64_t id, int64_t k, StoreDoneFn done, void *userdata) {
        StoreTxn *t = store_txn_new(s);

        STORE_ADD(t, ITEM_INSERT, STORE_INT(id), STORE_INT(k), STORE_TEXT("v"));
        return store_submit(s, t, done, userdata);
}

int insert_bytes(Store *s, int64_t id, size_t n, StoreDoneFn done, void *userdata) {
        _cleanup_free_ char *bytes = calloc(1, n);
        StoreTxn *t = store_txn_new(s);

        assert_non_null(bytes);
        STORE_ADD(t, ITEM_INSERT, STORE_INT(id), STORE_INT(id), STORE_BLOB(bytes, n));
        return store_submit(s, t, done, userdata);
}

int64_t query_int(StoreReader *r, unsigned statement) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        assert_int_equal(store_query(r, &c, statement, NULL, 0), 0);
        assert_int_equal(store_next(c), 1);
        return store_int(c, 0);
}

void on_result(int r, uint64_t commit, void *userdata) {
        Results *results = userdata;

        assert_true(results->n < RESULTS_MAX);
        results->r[results->n] = r;
        results->commit[results->n++] = commit;
}

char *read_all(const char *path, size_t *ret_n) {
        char *data = NULL;

        assert_int_equal(fs_read_file(AT_FDCWD, path, (size_t) 64 << 20, &data, ret_n), 0);
        return data;
}
