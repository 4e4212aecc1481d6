/* SPDX-License-Identifier: MIT */

/* Writing a backup.
 *
 * One moment: both databases are read in a snapshot each, and a third connection makes sure that
 * state.db was not written between the two beginnings; else they begin again. So what was
 * acknowledged before the command is in it, and nothing is in it whose cause is not.
 *
 * Databases are copied by SQLite's own backup calls inside the snapshot, to files beside the
 * backup: their sizes and hashes must be known before they go into the archive. Everything else
 * never changes once it has a name (bodies, git objects) or only grows (logs, of which the present
 * length is taken). What is removed meanwhile by the daemon's sweep or by tidying means that the
 * snapshot is too old: all is done again with a new one, which the removed file is not part of.
 *
 * A snapshot keeps the daemon's log (WAL) from being shortened, so it is held only while the
 * databases are copied. */

#include "backup/backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "backup/archive.h"
#include "backup/backup-internal.h"
#include "base/fs.h"
#include "base/str.h"
#include "store/offline.h"

#define TRIES        5
#define MOMENT_TRIES 10000
#define DEPTH_MAX    16

typedef struct Writing {
        const BackupPlaces *places;
        const BackupOptions *options;
        ArchiveWriter *archive;
        char *part, *state, *memory; /* beside the backup */
        BackupResult result;
} Writing;

static const StoreStatement snapshot_statements[] = {
        [SNAPSHOT_DATA_VERSION] = { "SNAPSHOT_DATA_VERSION", "PRAGMA data_version", 0, 0 },
        [SNAPSHOT_BODY_FILES] = { "SNAPSHOT_BODY_FILES",
                                  "SELECT DISTINCT key FROM bodies WHERE encoding >= 2", 0, 0 },
        [SNAPSHOT_VERSION] = { "SNAPSHOT_VERSION", "PRAGMA user_version", 0, 0 },
};
const StoreSchema snapshot_schema = {
        .name = "snapshot",
        .statements = snapshot_statements,
        .n_statements = ELEMENTSOF(snapshot_statements),
};

int backup_say(char **ret_message, int r, char *message) {
        free(*ret_message);
        *ret_message = message;
        return r;
}

static int on_bytes(size_t n, void *userdata) {
        Writing *w = userdata;

        w->result.bytes += n;
        return w->options->progress ? w->options->progress(w->result.bytes, w->options->userdata) : 0;
}

/* ---- files ---- */

static int add_file(Writing *w, const char *path, const char *name) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);

        if (fd < 0)
                return errno_neg();
        int r = archive_add_file(w->archive, name, fd, on_bytes, w);
        if (r >= 0)
                w->result.files++;
        return r;
}

static bool is_left_out(const char *name) {
        return streq(name, ".") || streq(name, "..") || streq(name, "cache") ||
               str_startswith(name, "tmp_");
}

/* As deep as DEPTH_MAX. NOLINTBEGIN(misc-no-recursion) */
static int add_folder(Writing *w, const char *path, const char *name, unsigned depth);

static int add_entry(
        Writing *w, const char *folder, const char *name, const char *entry, unsigned depth) {
        _cleanup_free_ char *path = path_join(folder, entry), *inner = path_join(name, entry);
        struct stat st;

        if (!path || !inner)
                return -ENOMEM;
        if (lstat(path, &st) < 0)
                return errno_neg();
        if (S_ISDIR(st.st_mode))
                return depth < DEPTH_MAX ? add_folder(w, path, inner, depth + 1) : -ELOOP;
        return S_ISREG(st.st_mode) ? add_file(w, path, inner) : 0;
}

/* A missing one has nothing in it. */
static int add_folder(Writing *w, const char *path, const char *name, unsigned depth) {
        _cleanup_(dir_closep) DIR *d = opendir(path);
        struct dirent *e;

        if (!d)
                return errno == ENOENT && depth == 0 ? 0 : errno_neg();
        while (errno = 0, (e = readdir(d))) {
                int r = is_left_out(e->d_name) ? 0 : add_entry(w, path, name, e->d_name, depth);
                if (r < 0)
                        return r;
        }
        return -errno;
}
/* NOLINTEND(misc-no-recursion) */

static int add_bodies(Writing *w, StoreReader *state) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(state, &c, SNAPSHOT_BODY_FILES, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0) {
                char hex[2 * ARCHIVE_HASH_SIZE + 1], name[ARCHIVE_NAME_MAX + 1];
                size_t n = 0;
                const void *key = store_blob(c, 0, &n);

                if (n != ARCHIVE_HASH_SIZE)
                        return -EUCLEAN;
                hex_encode(key, n, hex);
                (void) snprintf(name, sizeof(name), "bodies/%.2s/%s", hex, hex + 2);
                _cleanup_free_ char *path = path_join(w->places->data_dir, name);
                r = path ? add_file(w, path, name) : -ENOMEM;
        }
        return r;
}

/* ---- the moment ---- */

static int query_number(StoreReader *r, unsigned statement, int64_t *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int k = store_query(r, &c, statement, NULL, 0);

        if (k >= 0)
                k = store_next(c);
        if (k > 0)
                *ret = store_int(c, 0);
        return MIN(k, 0);
}

static int begin_both(StoreReader *state, StoreReader *memory, StoreReader *witness) {
        for (unsigned i = 0; i < MOMENT_TRIES; i++) {
                int64_t before = 0, after = 0;
                int r = query_number(witness, SNAPSHOT_DATA_VERSION, &before);
                if (r >= 0)
                        r = store_read_begin(state);
                if (r < 0)
                        return r;
                r = store_read_begin(memory);
                if (r >= 0)
                        r = query_number(witness, SNAPSHOT_DATA_VERSION, &after);
                if (r >= 0 && before == after)
                        return 0;
                store_read_end(state);
                if (r < 0)
                        return r;
                store_read_end(memory);
        }
        return -EAGAIN;
}

static int copy_both(Writing *w, StoreReader *state, StoreReader *memory) {
        int r = store_copy_snapshot(state, w->state);

        return r < 0 ? r : store_copy_snapshot(memory, w->memory);
}

static int write_databases(Writing *w) {
        _cleanup_(store_reader_freep) StoreReader *state = NULL, *memory = NULL, *witness = NULL;
        int r = store_foreign_open(&state, w->places->state, &snapshot_schema, false);

        if (r >= 0)
                r = store_foreign_open(&memory, w->places->memory, &snapshot_schema, false);
        if (r >= 0)
                r = store_foreign_open(&witness, w->places->state, &snapshot_schema, false);
        if (r >= 0)
                r = begin_both(state, memory, witness);
        if (r < 0)
                return r;
        r = copy_both(w, state, memory);
        store_read_end(memory);
        store_read_end(state);
        return r;
}

static int write_head(StoreReader *state, StoreReader *memory, Buf *out) {
        JsonWriter w = JSON_WRITER(out);
        int64_t state_version = 0, memory_version = 0;
        int r = query_number(state, SNAPSHOT_VERSION, &state_version);

        if (r >= 0)
                r = query_number(memory, SNAPSHOT_VERSION, &memory_version);
        if (r < 0)
                return r;
        json_w_kv_int(&w, "format", BACKUP_FORMAT);
        json_w_kv_string(&w, "agentd", AGENTD_VERSION);
        json_w_kv_time(&w, "created_at", clock_realtime());
        json_w_kv_int(&w, "state_schema", state_version);
        json_w_kv_int(&w, "memory_schema", memory_version);
        return buf_error(out);
}

static int write_rest(Writing *w) {
        static const char *const folders[] = { "workspaces", "logs" };
        _cleanup_(store_reader_freep) StoreReader *state = NULL, *memory = NULL;
        _cleanup_buf_ Buf head = BUF_INIT(4096);
        int r = store_foreign_open(&state, w->state, &snapshot_schema, true);

        if (r >= 0)
                r = store_foreign_open(&memory, w->memory, &snapshot_schema, true);
        if (r >= 0)
                r = write_head(state, memory, &head);
        if (r >= 0)
                r = add_file(w, w->state, "state.db");
        if (r >= 0)
                r = add_file(w, w->memory, "memory.db");
        if (r >= 0)
                r = add_bodies(w, state);
        for (size_t i = 0; r >= 0 && i < (w->options->logs ? 2U : 1U); i++) {
                _cleanup_free_ char *path = path_join(w->places->data_dir, folders[i]);
                r = path ? add_folder(w, path, folders[i], 0) : -ENOMEM;
        }
        return r < 0 ? r : archive_finish(w->archive, (JsonSpan){ head.data, head.len });
}

/* ---- the file ---- */

static int write_once(Writing *w, int fd) {
        if (ftruncate(fd, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                return errno_neg();
        w->result = (BackupResult){};
        w->archive = archive_writer_free(w->archive);
        int r = archive_writer_new(&w->archive, fd);
        if (r >= 0)
                r = write_databases(w);
        if (r >= 0)
                r = write_rest(w);
        return r;
}

static int write_all(Writing *w, const char *path, char **ret_message) {
        _cleanup_close_ int fd = open(w->part, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat st;
        int r = -ENOENT;

        if (fd < 0)
                return errno_neg();
        for (unsigned i = 0; r == -ENOENT && i < TRIES; i++)
                r = write_once(w, fd);
        if (r >= 0 && (fsync(fd) < 0 || fstat(fd, &st) < 0))
                r = errno_neg();
        if (r >= 0 && w->options->verify)
                r = backup_verify(w->part, &w->result, ret_message);
        if (r >= 0)
                w->result.size = (uint64_t) st.st_size;
        if (r >= 0 && link(w->part, path) < 0)
                r = errno_neg();
        return r < 0 ? r : backup_sync_folder_of(path);
}

static void remove_parts(const Writing *w) {
        static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
        const char *const files[] = { w->state, w->memory };

        (void) unlink(w->part);
        for (size_t i = 0; i < ELEMENTSOF(files) * ELEMENTSOF(suffixes); i++) {
                _cleanup_free_ char *path = str_printf("%s%s", files[i / ELEMENTSOF(suffixes)],
                                                       suffixes[i % ELEMENTSOF(suffixes)]);
                if (path)
                        (void) unlink(path);
        }
}

static int check_places(const BackupPlaces *p, const char *path, char **ret_message) {
        const char *const files[] = { p->state, p->memory };

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                if (access(files[i], R_OK) < 0)
                        return backup_say(ret_message, errno_neg(),
                                          str_printf("cannot read %s: %s", files[i], strerror(errno)));
        if (access(path, F_OK) == 0)
                return backup_say(ret_message, -EEXIST,
                                  str_printf("%s is there already: choose another name", path));
        return 0;
}

static void writing_done(Writing *w) {
        archive_writer_free(w->archive);
        free(w->part);
        free(w->state);
        free(w->memory);
}

int backup_write(const BackupPlaces *p,
                 const char *path,
                 const BackupOptions *o,
                 BackupResult *ret,
                 char **ret_message) {
        _cleanup_(writing_done) Writing w = {
                .places = p,
                .options = o,
                .part = str_printf("%s.part", path),
                .state = str_printf("%s.part-state", path),
                .memory = str_printf("%s.part-memory", path),
        };

        if (!w.part || !w.state || !w.memory)
                return -ENOMEM;
        int r = check_places(p, path, ret_message);
        if (r < 0)
                return r;
        r = write_all(&w, path, ret_message);
        remove_parts(&w);
        if (r == -EUCLEAN && !*ret_message)
                return backup_say(ret_message, r,
                                  str_printf("a database in %s is damaged, `agentd fsck` says which; %s "
                                             "was not written",
                                             p->data_dir, path));
        if (r < 0 && !*ret_message)
                return backup_say(ret_message, r,
                                  str_printf("cannot write %s: %s", path, strerror(-r)));
        *ret = w.result;
        return r;
}
