/* SPDX-License-Identifier: MIT */

/* Reading a database of another program, with the statements of a schema that says what is expected
 * in it. The same reader as for our own, so that whoever imports writes no SQL beside its statement
 * table.
 *
 * A file with a rollback journal or a log beside it cannot be read without being written (SQLite
 * has to undo or replay first), so it must be a copy of the caller's; "settling" does that once and
 * leaves one plain file. */

#include "store/store-internal.h"

static int settle(const char *path, const StoreSchema *schema) {
        StoreConnection c = {};
        int r = connection_open(&c, path, schema, STORE_CONNECTION_RAM_WRITER, 0);

        if (r < 0)
                return r;
        r = connection_exec(&c, "PRAGMA journal_mode = DELETE");
        connection_close(&c, true);
        return r > 0 ? -EUCLEAN : r;
}

int store_foreign_open(StoreReader **ret, const char *path, const StoreSchema *schema, bool is_copy) {
        int r = is_copy ? settle(path, schema) : 0;

        return r < 0 ? r : reader_open(ret, path, schema, 0);
}

bool store_file_is_foreign(const unsigned char head[static STORE_HEAD_SIZE]) {
        static const char magic[] = "SQLite format 3"; /* and the NUL byte */
        uint32_t application;

        memcpy(&application, head + 68,
               sizeof(application)); /* https://www.sqlite.org/fileformat2.html */
        return memcmp(head, magic, sizeof(magic)) == 0 &&
               __builtin_bswap32(application) != STORE_APPLICATION_ID;
}
