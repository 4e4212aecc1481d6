/* SPDX-License-Identifier: MIT */

/* What the last snapshot of a folder saw: times, size, inode and blob of each file and link, so
 * that the next one reads only what looks different. git's index would do; this is a tenth of its
 * code, and the agent's own index stays the agent's.
 *
 * One file of fixed records and names in the list's order, for this machine only (host byte order,
 * no version juggling: another magic number is no cache). It is replaced by rename without an
 * fsync, and a checksum over everything tells what a power cut left: losing a cache costs time,
 * believing a damaged one would cost data. */

#include <fcntl.h>
#include <sodium.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/workspace-internal.h"

#define CACHE_MAGIC    UINT64_C(0x31304353574e4741)
#define CACHE_SIZE_MAX ((size_t) 1 << 30)
#define CHECKSUM_SIZE  32

typedef struct Header {
        uint64_t magic, n_records;
        uint8_t checksum[CHECKSUM_SIZE]; /* of what follows */
} Header;

typedef struct Record {
        uint64_t size_bytes, inode;
        int64_t mtime_ns, ctime_ns;
        uint8_t oid[WORKSPACE_OID_SIZE];
        uint32_t path_length; /* the path follows, NUL-terminated */
        uint16_t mode;
        uint8_t kind, racy;
        uint32_t reserved;
} Record;

static_assert(sizeof(Record) == 64, "no padding");

static void checksum(const char *data, size_t n, uint8_t ret[static CHECKSUM_SIZE]) {
        int r = crypto_generichash(ret, CHECKSUM_SIZE, (const uint8_t *) data, n, NULL, 0);

        assert(r == 0);
}

/* ---- reading ---- */

static int take_record(WorkspaceList *l, const char **p, const char *end) {
        WorkspaceEntry *e;
        Record record;

        if ((size_t) (end - *p) < sizeof(record))
                return -EBADMSG;
        memcpy(&record, *p, sizeof(record));
        const char *path = *p + sizeof(record);
        if ((size_t) (end - path) <= record.path_length ||
            strnlen(path, record.path_length + 1) != record.path_length)
                return -EBADMSG;
        int r = workspace_list_add(l, path, (WorkspaceKind) record.kind, &e);
        if (r < 0)
                return r;
        e->racy = record.racy != 0;
        e->mode = record.mode;
        e->size_bytes = record.size_bytes;
        e->inode = record.inode;
        e->mtime_ns = record.mtime_ns;
        e->ctime_ns = record.ctime_ns;
        memcpy(e->oid, record.oid, WORKSPACE_OID_SIZE);
        *p = path + record.path_length + 1;
        return 0;
}

static int take_all(WorkspaceList *l, const char *data, size_t n) {
        uint8_t sum[CHECKSUM_SIZE];
        Header header;

        if (n < sizeof(header))
                return -EBADMSG;
        memcpy(&header, data, sizeof(header));
        const char *p = data + sizeof(header), *end = data + n;
        checksum(p, (size_t) (end - p), sum);
        if (header.magic != CACHE_MAGIC || memcmp(sum, header.checksum, CHECKSUM_SIZE) != 0)
                return -EBADMSG;
        while (p < end) {
                int r = take_record(l, &p, end);
                if (r < 0)
                        return r;
        }
        return l->n == header.n_records ? 0 : -EBADMSG;
}

void workspace_cache_load(const char *path, WorkspaceList *ret) {
        _cleanup_(workspace_list_done) WorkspaceList list = {};
        _cleanup_free_ char *data = NULL;
        size_t n;

        *ret = (WorkspaceList){};
        if (fs_read_file(AT_FDCWD, path, CACHE_SIZE_MAX, &data, &n) < 0 ||
            take_all(&list, data, n) < 0)
                return;
        *ret = list;
        list = (WorkspaceList){};
}

/* ---- writing ---- */

static void put_record(Buf *b, const WorkspaceEntry *e) {
        Record record = {
                .size_bytes = e->size_bytes,
                .inode = e->inode,
                .mtime_ns = e->mtime_ns,
                .ctime_ns = e->ctime_ns,
                .path_length = (uint32_t) strlen(e->path),
                .mode = e->mode,
                .kind = e->kind,
                .racy = e->racy,
        };

        memcpy(record.oid, e->oid, WORKSPACE_OID_SIZE);
        (void) buf_append(b, &record, sizeof(record));
        (void) buf_append(b, e->path, record.path_length + 1);
}

static int write_unsynced(const char *path, const Buf *b) {
        _cleanup_free_ char *temporary = str_printf("%s.new", path);
        if (!temporary)
                return -ENOMEM;
        _cleanup_close_ int fd =
                open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return errno_neg();
        int r = fd_write_all(fd, b->data, b->len);
        if (r == 0 && rename(temporary, path) < 0)
                r = errno_neg();
        if (r < 0)
                (void) unlink(temporary);
        return r;
}

int workspace_cache_save(const char *path, const WorkspaceList *l) {
        _cleanup_buf_ Buf b = BUF_INIT(CACHE_SIZE_MAX);
        Header header = { .magic = CACHE_MAGIC };

        (void) buf_append(&b, &header, sizeof(header));
        for (size_t i = 0; i < l->n; i++) {
                if (!workspace_entry_is_stored(&l->entries[i]))
                        continue;
                put_record(&b, &l->entries[i]);
                header.n_records++;
        }
        if (buf_error(&b) < 0)
                return buf_error(&b);
        checksum(b.data + sizeof(header), b.len - sizeof(header), header.checksum);
        memcpy(b.data, &header, sizeof(header));
        return write_unsynced(path, &b);
}
