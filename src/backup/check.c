/* SPDX-License-Identifier: MIT */

/* Reading a backup and comparing it with its manifest: the same for verifying and for restoring, which
 * only differ in whether the bytes also go to a folder. Names come in the archive's order and the
 * manifest's is the same, so the comparison needs no search: the n-th entry is the n-th file. */

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "backup/archive.h"
#include "backup/backup-internal.h"
#include "base/fs.h"
#include "base/str.h"

#define PIECE        ((size_t) 256 << 10)
#define MANIFEST_MAX ((size_t) 1 << 30)

typedef struct Member {
        char *name;
        uint64_t size;
        uint8_t hash[ARCHIVE_HASH_SIZE];
} Member;

struct BackupCheck {
        Member *members;
        size_t n;
        char *manifest, *piece;
        size_t n_manifest;
};

int backup_check_new(BackupCheck **ret) {
        BackupCheck *c = calloc(1, sizeof(*c));

        if (!c || sodium_init() < 0)
                return -ENOMEM;
        c->piece = malloc(PIECE);
        *ret = c;
        return c->piece ? 0 : -ENOMEM;
}

BackupCheck *backup_check_free(BackupCheck *c) {
        if (!c)
                return NULL;
        for (size_t i = 0; i < c->n; i++)
                free(c->members[i].name);
        free(c->members);
        free(c->manifest);
        free(c->piece);
        free(c);
        return NULL;
}

static int member_push(BackupCheck *c, const char *name, uint64_t size) {
        if ((c->n & (c->n - 1)) == 0) { /* a power of two: full */
                Member *more = reallocarray(c->members, c->n ? c->n * 2 : 1, sizeof(Member));
                if (!more)
                        return -ENOMEM;
                c->members = more;
        }
        c->members[c->n] = (Member){ .name = strdup(name), .size = size };
        return c->members[c->n].name ? (c->n++, 0) : -ENOMEM;
}

/* The folders of a name, below dir_fd. */
static int make_folders(int dir_fd, const char *name) {
        for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
                _cleanup_free_ char *folder = strndup(name, (size_t) (slash - name));
                if (!folder)
                        return -ENOMEM;
                if (mkdirat(dir_fd, folder, 0700) < 0 && errno != EEXIST)
                        return errno_neg();
        }
        return 0;
}

static int open_target(int dir_fd, const char *name, int *ret) {
        if (dir_fd < 0)
                return 0;
        int r = make_folders(dir_fd, name);
        if (r < 0)
                return r;
        *ret = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        return *ret < 0 ? errno_neg() : 0;
}

static int read_member(BackupCheck *c, ArchiveReader *a, int dir_fd) {
        Member *m = &c->members[c->n - 1];
        crypto_generichash_state state;
        _cleanup_close_ int fd = -EBADF;
        ssize_t n;
        int r = open_target(dir_fd, m->name, &fd);

        (void) crypto_generichash_init(&state, NULL, 0, sizeof(m->hash));
        while (r >= 0 && (n = archive_read(a, c->piece, PIECE)) != 0) {
                if (n < 0)
                        return (int) n;
                (void) crypto_generichash_update(&state, (const uint8_t *) c->piece, (size_t) n);
                if (fd >= 0)
                        r = fd_write_all(fd, c->piece, (size_t) n);
        }
        (void) crypto_generichash_final(&state, m->hash, sizeof(m->hash));
        return r;
}

static int read_manifest(BackupCheck *c, ArchiveReader *a, uint64_t size) {
        if (c->manifest || size > MANIFEST_MAX)
                return -EBADMSG;
        c->manifest = malloc((size_t) size + 1);
        if (!c->manifest)
                return -ENOMEM;
        for (ssize_t n; c->n_manifest < size; c->n_manifest += (size_t) n) {
                n = archive_read(a, c->manifest + c->n_manifest, (size_t) size - c->n_manifest);
                if (n <= 0)
                        return n < 0 ? (int) n : -EBADMSG;
        }
        return 0;
}

int backup_check_read(BackupCheck *c, int fd, int dir_fd) {
        _cleanup_(archive_reader_freep) ArchiveReader *a = NULL;
        const char *name;
        uint64_t size;
        int r = archive_reader_new(&a, fd);

        while (r >= 0 && (r = archive_next(a, &name, &size)) > 0) {
                if (streq(name, ARCHIVE_MANIFEST)) {
                        r = read_manifest(c, a, size);
                        continue;
                }
                r = c->manifest ? -EBADMSG : member_push(c, name, size);
                if (r >= 0)
                        r = read_member(c, a, dir_fd);
        }
        return r;
}

static bool entry_agrees(JsonSpan entry, const Member *m) {
        char hex[2 * ARCHIVE_HASH_SIZE + 1];
        JsonSpan path = json_get(entry, "path"), hash = json_get(entry, "blake2b");
        int64_t size;

        hex_encode(m->hash, sizeof(m->hash), hex);
        return path.p && hash.p && json_string_equals(path, m->name) &&
               json_string_equals(hash, hex) && json_int(json_get(entry, "size"), &size) == 0 &&
               (uint64_t) size == m->size;
}

static int files_agree(const BackupCheck *c, JsonSpan files) {
        JsonSpan entry;
        size_t n = 0;

        if (!files.p || !json_is(files, JSON_KIND_ARRAY))
                return -EBADMSG;
        JsonIter it = json_iter(files);
        while (json_next(&it, NULL, &entry))
                if (n >= c->n || !json_is(entry, JSON_KIND_OBJECT) ||
                    !entry_agrees(entry, &c->members[n++]))
                        return -EBADMSG;
        return n == c->n ? 0 : -EBADMSG;
}

static int is_too_new(JsonSpan manifest, const char *name, unsigned known) {
        JsonSpan v = json_get(manifest, name);
        int64_t number;

        if (!v.p || json_int(v, &number) < 0)
                return -EBADMSG;
        return number > (int64_t) known ? -EOVERFLOW : 0;
}

int backup_check_manifest(const BackupCheck *c, unsigned state_schema, unsigned memory_schema) {
        JsonSpan manifest;

        if (!c->manifest ||
            json_check(c->manifest, c->n_manifest, JSON_DEPTH_MAX, &manifest, NULL) < 0 ||
            !json_is(manifest, JSON_KIND_OBJECT))
                return -EBADMSG;
        int r = is_too_new(manifest, "format", BACKUP_FORMAT);
        if (r >= 0)
                r = is_too_new(manifest, "state_schema", state_schema);
        if (r >= 0)
                r = is_too_new(manifest, "memory_schema", memory_schema);
        if (r >= 0)
                r = files_agree(c, json_get(manifest, "files"));
        if (r >= 0 && !(backup_check_has(c, "state.db") && backup_check_has(c, "memory.db")))
                r = -EBADMSG;
        return r;
}

bool backup_check_has(const BackupCheck *c, const char *name) {
        for (size_t i = 0; i < c->n; i++)
                if (streq(c->members[i].name, name))
                        return true;
        return false;
}

void backup_check_totals(const BackupCheck *c, uint64_t *ret_files, uint64_t *ret_bytes) {
        *ret_files = c->n;
        *ret_bytes = 0;
        for (size_t i = 0; i < c->n; i++)
                *ret_bytes += c->members[i].size;
}
