/* SPDX-License-Identifier: MIT */

/* The end of the write-ahead log after a commit that failed.
 *
 * SQLite writes a commit's frames, then syncs. When that sync fails the transaction is rolled back
 * and its frames stay in the file, complete and with valid checksums, behind the last good one. The
 * next commit writes over them; but a process that dies before leaves them to its successor, who
 * takes them for committed: a write that was answered "refused" would come back. So the log is cut
 * behind the last good frame before anybody hears of the failure. What is answered as refused then
 * stays away through every death of the process, and through a power cut as soon as one sync works.
 *
 * A sync that failed is not to be trusted when it works the second time: the kernel may have
 * dropped the pages it could not write and call them clean. Cutting is right for that, too: the
 * frames in question are gone from the page cache, the next commit writes them anew, and the page
 * that holds the end of the last good frame is written again because the cut changed it. Frames of
 * earlier commits were synced by a sync that worked. The checkpoint, which the writer makes after a
 * failure, never counts pages as moved before a sync of the database worked.
 *
 * Where the last good frame ends is read from the shared index's header (its format is documented
 * by SQLite), with the write lock held: the writer's own count would not know of a sqlite3 shell
 * that wrote in between. Rejected: TRUNCATE checkpoints (they wait for readers, and sync first,
 * which is what just failed), opening the file once more (closing it would be harmless for the log,
 * but the index's file has POSIX locks that go with any descriptor), and a commit that undoes the
 * refused one (it needs the very sync). */

#include "store/store-internal.h"

#define LOG_HEADER_BYTES   32
#define FRAME_HEADER_BYTES 24
#define INDEX_REGION_BYTES 32768

/* SQLite's WalIndexHdr: https://sqlite.org/walformat.html */
typedef struct IndexHeader {
        uint32_t version, unused, change;
        uint8_t is_init, is_big_endian;
        uint16_t page_bytes; /* 1: 65536 */
        uint32_t max_frame;
        uint32_t n_pages, frame_checksum[2], salt[2], checksum[2];
} IndexHeader;
_Static_assert(sizeof(IndexHeader) == 48, "as SQLite has it");

static sqlite3_file *file_of(StoreConnection *c, int which) {
        sqlite3_file *file = NULL;

        (void) sqlite3_file_control(c->db, NULL, which, (void *) &file);
        return file && file->pMethods ? file : NULL;
}

static int index_header(StoreConnection *c, IndexHeader *ret) {
        sqlite3_file *database = file_of(c, SQLITE_FCNTL_FILE_POINTER);
        IndexHeader copies[2];
        void volatile *region = NULL;

        if (!database || database->pMethods->iVersion < 2)
                return -EOPNOTSUPP;
        int code = database->pMethods->xShmMap(database, 0, INDEX_REGION_BYTES, 0, &region);
        if (code != SQLITE_OK)
                return store_sqlite_error(c->db, code);
        if (!region)
                return -ENODATA;
        memcpy(copies, (const void *) (uintptr_t) region, sizeof(copies));
        if (!copies[0].is_init || memcmp(&copies[0], &copies[1], sizeof(copies[0])) != 0)
                return -EUCLEAN;
        *ret = copies[0];
        return 0;
}

static sqlite3_int64 end_of_log(const IndexHeader *h) {
        sqlite3_int64 page = h->page_bytes == 1 ? 65536 : h->page_bytes;

        /* Without a frame SQLite writes the header again, too. */
        return h->max_frame == 0 ? 0 : LOG_HEADER_BYTES + h->max_frame * (FRAME_HEADER_BYTES + page);
}

int wal_sync(StoreConnection *c) {
        sqlite3_file *file = file_of(c, SQLITE_FCNTL_JOURNAL_POINTER);

        if (!file)
                return 0;
        errno = 0;
        int code = file->pMethods->xSync(file, SQLITE_SYNC_FULL);
        return code == SQLITE_OK ? 0 : store_sqlite_error(c->db, code);
}

/* Where a disk refuses to shorten a file, a frame's header without its salt ends the log as well. */
static int cut_at(sqlite3_file *file, sqlite3_int64 end) {
        static const char nothing[FRAME_HEADER_BYTES] = {};
        int code = file->pMethods->xTruncate(file, end);

        return code == SQLITE_OK ? code : file->pMethods->xWrite(file, nothing, sizeof(nothing), end);
}

int wal_cut(StoreConnection *c) {
        sqlite3_file *file = file_of(c, SQLITE_FCNTL_JOURNAL_POINTER);
        sqlite3_int64 size = 0, end;
        IndexHeader header = {};

        assert(!sqlite3_get_autocommit(c->db));
        if (!file)
                return 0;
        int r = index_header(c, &header);
        if (r != 0)
                return r;
        end = end_of_log(&header);
        errno = 0;
        int code = file->pMethods->xFileSize(file, &size);
        if (code == SQLITE_OK && size <= end)
                return 0;
        if (code == SQLITE_OK)
                code = cut_at(file, end);
        if (code != SQLITE_OK)
                return store_sqlite_error(c->db, code);
        return wal_sync(c);
}
