/* SPDX-License-Identifier: MIT */

/* What runs wrote: DATA/logs/SESSION/RUN.out, .err and .idx. The index (keeper/protocol.h) says up
 * to where each file was filled at which time. Output itself cannot be wrong; an index can promise
 * more than there is after a power cut. Readers cope with that (sup/log-run.c), and repairing is
 * what they do: half a record goes, and an end beyond the file's is set to it.
 *
 * Files of no run go to lost+found, but not while a daemon runs: it removes those of a session that
 * was deleted a moment ago itself. Runs that have not ended are left alone. */

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/id.h"
#include "fsck/fsck-internal.h"
#include "keeper/protocol.h"

#define ENDED     3 /* runs.state */
#define INDEX_MAX ((size_t) 1 << 30)
#define BACKWARDS "its index goes backwards"
#define FLAGS     (KEEPER_INDEX_STREAM_ERR | KEEPER_INDEX_GAP)

/* 1 and its state; 0: there is no such run of that session. */
static int find_run(Fsck *f, uint64_t run, uint64_t session, int64_t *ret_state) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(f->now, &c, FSCK_RUN, STORE_ID(run), STORE_ID(session));

        if (r >= 0)
                r = store_next(c);
        if (r > 0)
                *ret_state = store_int(c, 0);
        return r;
}

static uint64_t size_of(const char *folder, const char *stem, const char *suffix) {
        _cleanup_free_ char *path = str_printf("%s/%s%s", folder, stem, suffix);
        struct stat st;

        return path && stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
}

static uint64_t offset_of(const KeeperIndexRecord *r) {
        return r->end & ~FLAGS;
}

/* True: it promises more than there is. */
static bool record_exceeds(const KeeperIndexRecord *r, const uint64_t sizes[static 2]) {
        return !(r->end & KEEPER_INDEX_GAP) &&
               offset_of(r) > sizes[(r->end & KEEPER_INDEX_STREAM_ERR) != 0];
}

static const char *index_fault(const char *data, size_t n, const uint64_t sizes[static 2]) {
        uint64_t before[2] = {};
        KeeperIndexRecord r;

        for (size_t i = 0; i + sizeof(r) <= n; i += sizeof(r)) {
                memcpy(&r, data + i, sizeof(r));
                unsigned stream = (r.end & KEEPER_INDEX_STREAM_ERR) != 0;
                if (record_exceeds(&r, sizes))
                        return "its index promises more than was written";
                if (r.end & KEEPER_INDEX_GAP)
                        continue;
                if (offset_of(&r) < before[stream])
                        return BACKWARDS;
                before[stream] = offset_of(&r);
        }
        return n % sizeof(r) != 0 ? "its index ends in half a record" : NULL;
}

static int index_check(Fsck *f, const char *folder, const char *stem, const char *name) {
        uint64_t sizes[2] = { size_of(folder, stem, ".out"), size_of(folder, stem, ".err") };
        _cleanup_free_ char *path = str_printf("%s/%s.idx", folder, stem), *data = NULL;
        size_t n = 0;

        if (!path)
                return -ENOMEM;
        int r = fs_read_file(AT_FDCWD, path, INDEX_MAX, &data, &n);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        const char *fault = index_fault(data, n, sizes);
        if (!fault)
                return 0;
        bool is_hopeless = streq(fault, BACKWARDS);
        fsck_problem(f, "log", name, fault,
                     is_hopeless ? "move it to lost+found and begin an empty one; the output stays"
                                 : "let it say what is there");
        if (is_hopeless)
                r = strv_extend(&f->lost, name);
        return r < 0 ? r : strv_extend(&f->indexes, name);
}

/* Without it nobody is shown the output. */
static int index_missing(Fsck *f, const char *folder, const char *stem) {
        _cleanup_free_ char *path = str_printf("%s/%s.idx", folder, stem);
        _cleanup_free_ char *name = str_printf("logs/%s/%s.idx", strrchr(folder, '/') + 1, stem);

        if (!path || !name)
                return -ENOMEM;
        if (access(path, F_OK) == 0)
                return 0;
        fsck_problem(f, "log", name, "the index is gone, so nobody is shown the output",
                     "begin an empty one");
        return strv_extend(&f->indexes, name);
}

/* What log-run.c makes of it when it reads. An empty one is an index, too: then the output has the
 * time of its file. */
int fsck_index_repair(Fsck *f, const char *name) {
        _cleanup_free_ char *path = path_join(f->places->data_dir, name), *data = NULL;
        size_t n = 0;

        if (!path)
                return -ENOMEM;
        int r = fs_read_file(AT_FDCWD, path, INDEX_MAX, &data, &n);
        if (r < 0 && r != -ENOENT)
                return r;
        _cleanup_free_ char *folder = strndup(path, (size_t) (strrchr(path, '/') - path));
        _cleanup_free_ char *stem = strndup(strrchr(path, '/') + 1, ID_STRING_SIZE - 1);
        if (!folder || !stem)
                return -ENOMEM;
        uint64_t sizes[2] = { size_of(folder, stem, ".out"), size_of(folder, stem, ".err") };
        n -= n % sizeof(KeeperIndexRecord);
        for (size_t i = 0; i < n; i += sizeof(KeeperIndexRecord)) {
                KeeperIndexRecord record;
                memcpy(&record, data + i, sizeof(record));
                if (record_exceeds(&record, sizes))
                        record.end = (record.end & FLAGS) |
                                     sizes[(record.end & KEEPER_INDEX_STREAM_ERR) != 0];
                memcpy(data + i, &record, sizeof(record));
        }
        return fs_write_file_atomic(AT_FDCWD, path, data ? data : "", n, 0600);
}

/* ---- folders ---- */

static int stray(Fsck *f, const char *name, const char *text) {
        if (f->is_live)
                return 0;
        fsck_problem(f, "file", name, text, "move it to lost+found");
        return strv_extend(&f->lost, name);
}

static bool is_index(const char *name) {
        const char *dot = strchr(name, '.');

        return dot && streq(dot, ".idx");
}

static int file_check(Fsck *f, const char *folder, uint64_t session, const char *entry) {
        _cleanup_free_ char *stem = strndup(entry, strcspn(entry, "."));
        _cleanup_free_ char *name = str_printf("logs/%s/%s", strrchr(folder, '/') + 1, entry);
        int64_t state = 0;
        uint64_t run = 0;

        if (!stem || !name)
                return -ENOMEM;
        int r = id_parse(stem, &run) < 0 ? 0 : find_run(f, run, session, &state);
        if (r < 0)
                return r;
        if (r == 0)
                return stray(f, name, "it is the output of no run");
        if (state != ENDED)
                return 0;
        return is_index(entry) ? index_check(f, folder, stem, name) : index_missing(f, folder, stem);
}

static int folder_check(Fsck *f, const char *logs, const char *entry) {
        _cleanup_free_ char *path = path_join(logs, entry), *name = path_join("logs", entry);
        _cleanup_(dir_closep) DIR *d = NULL;
        uint64_t session;
        struct dirent *e;
        int r = 0;

        if (!path || !name)
                return -ENOMEM;
        d = opendir(path);
        if (!d || id_parse(entry, &session) < 0)
                return stray(f, name, "it is no session's folder");
        while (r >= 0 && (e = readdir(d)))
                if (e->d_name[0] != '.')
                        r = file_check(f, path, session, e->d_name);
        return r;
}

int fsck_logs(Fsck *f) {
        _cleanup_free_ char *logs = path_join(f->places->data_dir, "logs");
        _cleanup_(dir_closep) DIR *d = logs ? opendir(logs) : NULL;
        struct dirent *e;
        int r = logs ? 0 : -ENOMEM;

        while (d && r >= 0 && (e = readdir(d)))
                if (e->d_name[0] != '.')
                        r = folder_check(f, logs, e->d_name);
        return r;
}
