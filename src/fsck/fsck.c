/* SPDX-License-Identifier: MIT */

/* A check from its beginning to its end. What repairs is gathered as statements while a snapshot is read,
 * and run afterwards as one transaction for each database: a repair that is killed has not begun, or is
 * complete. Repairing one thing may uncover another (a branch that ends at a message that was cut off), so
 * whoever repairs checks again until nothing more can be done; the caller sees each problem once.
 *
 * Rejected: repairing through the session room, which would have to believe what is being doubted. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "fsck/fsck-internal.h"

#define EDITS_MAX  ((size_t) 512 << 20)
#define ROUNDS_MAX 5

static int say(char **ret_message, int r, char *message) {
        free(*ret_message);
        *ret_message = message;
        return r;
}

void fsck_problem(Fsck *f, const char *what, const char *id, const char *text, const char *repair) {
        FsckProblem p = { what, id, text, repair };
        char *key = str_printf("%s %s %s", what, id, text);

        f->result.left++;
        if (!key || strmap_get(f->told, key)) {
                free(key);
                return;
        }
        if (strmap_put(f->told, key, key) < 0)
                free(key); /* it may be told twice then */
        f->result.found++;
        f->fn(&p, f->userdata);
}

static void told_free(StrMap *told) {
        size_t cursor = 0;
        const char *key;
        void *value;

        while (told && strmap_next(told, &cursor, &key, &value))
                free(value);
        strmap_free(told);
}

void fsck_problem_id(Fsck *f, const char *what, uint64_t id, const char *text, const char *repair) {
        char hex[ID_STRING_SIZE];

        fsck_problem(f, what, id_format(id, hex), text, repair);
}

/* ---- checking ---- */

static int check_state(Fsck *f) {
        int r = store_read_begin(f->state);

        if (r < 0)
                return r;
        r = fsck_bodies(f); /* before the rules: they put notes where it took something out */
        if (r >= 0)
                r = fsck_nodes(f);
        if (r >= 0)
                r = fsck_rules_state(f);
        store_read_end(f->state);
        if (r == 0)
                r = fsck_trees(f);
        return r != 0 ? r : fsck_logs(f);
}

/* A database that cannot be read to its end says so itself; what was found till then stands. */
static int unreadable(Fsck *f, const char *path, int r) {
        if (r != -EUCLEAN)
                return MIN(r, 0);
        fsck_problem(f, "database", path, "it is damaged: restore a backup", NULL);
        return 0;
}

static int check_all(Fsck *f) {
        const FsckPlaces *p = f->places;
        int r = store_foreign_open(&f->state, p->state, &fsck_state_schema, false);

        if (r >= 0)
                r = store_foreign_open(&f->now, p->state, &fsck_state_schema, false);
        if (r >= 0)
                r = check_state(f);
        r = unreadable(f, p->state, r);
        if (r >= 0)
                r = store_foreign_open(&f->memory, p->memory, &fsck_memory_schema, false);
        if (r >= 0)
                r = fsck_rules_memory(f);
        if (r == 0)
                r = fsck_references(f);
        r = unreadable(f, p->memory, r);
        f->now = store_reader_free(f->now);
        f->state = store_reader_free(f->state);
        f->memory = store_reader_free(f->memory);
        return r;
}

/* ---- repairing ---- */

static char *stamped(const char *path) {
        time_t now = (time_t) (clock_realtime() / USEC_PER_SEC);
        struct tm tm;
        char stamp[32];

        (void) gmtime_r(&now, &tm);
        (void) strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
        return str_printf("%s.before-fsck-%s", path, stamp);
}

/* Through SQLite, so that what is still in the log is in it. */
static int copy(const char *path, const StoreSchema *schema, const char *to) {
        _cleanup_(store_reader_freep) StoreReader *r = NULL;
        int k = store_foreign_open(&r, path, schema, false);

        if (k >= 0)
                k = store_read_begin(r);
        if (k < 0)
                return k;
        k = store_copy_snapshot(r, to);
        store_read_end(r);
        return k;
}

static int edit(const char *path, const StoreSchema *schema, Buf *edits, char **ret_copy) {
        int r = buf_error(edits);

        if (r < 0 || edits->len == 0)
                return r;
        if (!*ret_copy) {
                _cleanup_free_ char *to = stamped(path);
                r = to ? copy(path, schema, to) : -ENOMEM;
                if (r < 0)
                        return r;
                *ret_copy = TAKE_PTR(to);
        }
        edits->data[edits->len - 1] = '\0'; /* the last semicolon */
        return store_edit(path, edits->data);
}

static int keep_lost(Fsck *f, const char *name) {
        _cleanup_free_ char *from = path_join(f->places->data_dir, name), *flat = strdup(name);
        _cleanup_free_ char *dir = path_join(f->places->data_dir, "lost+found");

        if (!from || !flat || !dir)
                return -ENOMEM;
        for (char *p = flat; *p; p++)
                *p = *p == '/' ? '-' : *p;
        _cleanup_free_ char *to = path_join(dir, flat);
        int r = to ? fs_mkdir_p(dir, 0700) : -ENOMEM;
        if (r >= 0 && rename(from, to) < 0 && errno != ENOENT)
                r = errno_neg();
        return r;
}

static int repair(Fsck *f) {
        int r = edit(f->places->state, &fsck_state_schema, &f->state_edits, &f->state_copy);

        if (r >= 0)
                r = edit(f->places->memory, &fsck_memory_schema, &f->memory_edits, &f->memory_copy);
        for (char **name = f->lost; r >= 0 && name && *name; name++)
                r = keep_lost(f, *name);
        for (char **name = f->indexes; r >= 0 && name && *name; name++)
                r = fsck_index_repair(f, *name);
        return r;
}

static bool has_repairs(const Fsck *f) {
        return f->state_edits.len > 0 || f->memory_edits.len > 0 || f->lost || f->indexes;
}

static void forget_repairs(Fsck *f) {
        buf_clear(&f->state_edits);
        buf_clear(&f->memory_edits);
        f->lost = strv_free(f->lost);
        f->indexes = strv_free(f->indexes);
}

static int check_and_repair(Fsck *f) {
        int r = 0;

        for (unsigned round = 0; r >= 0 && round < ROUNDS_MAX; round++) {
                forget_repairs(f);
                f->result.left = 0;
                r = check_all(f);
                if (r < 0 || !f->repair || !has_repairs(f))
                        break;
                r = repair(f);
        }
        return r;
}

static int lock_both(const FsckPlaces *p, int *ret_state, int *ret_memory, char **ret_message) {
        int r = store_lock_file(p->state, ret_state, ret_message);

        if (r >= 0)
                r = store_lock_file(p->memory, ret_memory, ret_message);
        return r == -EBUSY
                       ? say(ret_message, r,
                             strdup("a daemon runs on this data: stop it before a repair (agentd stop)"))
                       : r;
}

int fsck_run(const FsckPlaces *p,
             bool repair_it,
             void (*fn)(const FsckProblem *problem, void *userdata),
             void *userdata,
             FsckResult *ret,
             char **ret_message) {
        _cleanup_close_ int state_lock = -EBADF, memory_lock = -EBADF;
        Fsck f = {
                .places = p,
                .repair = repair_it,
                .fn = fn,
                .userdata = userdata,
                .state_edits = BUF_INIT(EDITS_MAX),
                .memory_edits = BUF_INIT(EDITS_MAX),
        };
        const char *const files[] = { p->state, p->memory };

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                if (access(files[i], R_OK) < 0)
                        return say(ret_message, errno_neg(),
                                   str_printf("cannot read %s: %s", files[i], strerror(errno)));
        fsck_rules_init();
        f.told = strmap_new();
        if (!f.told)
                return -ENOMEM;
        f.is_live = !repair_it && store_is_in_use(p->state);
        int r = repair_it ? lock_both(p, &state_lock, &memory_lock, ret_message) : 0;
        if (r >= 0)
                r = check_and_repair(&f);
        forget_repairs(&f);
        buf_done(&f.state_edits);
        buf_done(&f.memory_edits);
        told_free(f.told);
        free(f.state_copy);
        free(f.memory_copy);
        *ret = f.result;
        if (r < 0 && f.message)
                return say(ret_message, r, f.message);
        free(f.message);
        if (r < 0 && !*ret_message)
                return say(ret_message, r, str_printf("cannot go on: %s", strerror(-r)));
        return r;
}
