/* SPDX-License-Identifier: MIT */

/* Looking after the data from outside, see tool.h. A process of its own, so that it works while no daemon
 * runs, and costs a running one nothing but disk: SQLite lets any process read. The arguments come from
 * `agentd`, which knows the configuration and what people meant; here they are only read. */

#include "daemon/tool.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "backup/backup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "fsck/fsck.h"

#define NICE          10
#define PROGRESS_USEC (USEC_PER_SEC / 5)

static bool has_flag(char **args, const char *flag) {
        return strv_contains(args, flag);
}

static int fail(int r, char *message) {
        (void) fprintf(stderr, "agentd: %s\n", message ? message : strerror(-r));
        return EXIT_FAILURE;
}

static const char *size_text(uint64_t n, char *buf, size_t size) {
        static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
        double v = (double) n;
        size_t u = 0;

        for (; v >= 1024 && u + 1 < ELEMENTSOF(units); u++)
                v /= 1024;
        (void) snprintf(buf, size, u ? "%.1f %s" : "%.0f %s", v, units[u]);
        return buf;
}

/* One line that is written over, for people only. */
static int show_progress(uint64_t bytes, void *userdata) {
        usec_t *shown = userdata, now = clock_monotonic();
        char text[32];

        if (now - *shown < PROGRESS_USEC)
                return 0;
        *shown = now;
        (void) fprintf(stderr, "\r%s\x1b[K", size_text(bytes, text, sizeof(text)));
        return 0;
}

static void say_done(const char *what, const BackupResult *result, bool verified) {
        char packed[32], raw[32];

        (void) printf("%s: %llu files, %s (%s packed)%s\n", what,
                      (unsigned long long) result->files, size_text(result->bytes, raw, sizeof(raw)),
                      size_text(result->size, packed, sizeof(packed)), verified ? ", verified" : "");
}

static int tool_backup(char **args) {
        _cleanup_free_ char *message = NULL;
        BackupPlaces places = { .state = args[0], .memory = args[1], .data_dir = args[2] };
        BackupResult result = {};
        usec_t shown = 0;
        BackupOptions options = {
                .logs = has_flag(args + 4, "--logs"),
                .verify = has_flag(args + 4, "--verify"),
                .progress = isatty(STDERR_FILENO) ? show_progress : NULL,
                .userdata = &shown,
        };
        int r = backup_write(&places, args[3], &options, &result, &message);

        if (shown > 0)
                (void) fputs("\r\x1b[K", stderr);
        if (r < 0)
                return fail(r, message);
        say_done(args[3], &result, options.verify);
        return EXIT_SUCCESS;
}

/* Of the daemon, for a client: nobody waits for us with a lock, so everybody else goes first. */
static int tool_send(char **args) {
        _cleanup_free_ char *message = NULL;
        BackupPlaces places = { .state = args[0], .memory = args[1], .data_dir = args[2] };
        BackupOptions options = {
                .logs = has_flag(args + 3, "--logs"),
                .verify = has_flag(args + 3, "--verify"),
        };
        BackupResult result = {};

        (void) setpriority(PRIO_PROCESS, 0, NICE);
        int r = backup_send(&places, STDOUT_FILENO, &options, &result, &message);
        return r < 0 ? fail(r, message) : EXIT_SUCCESS;
}

static int tool_verify(char **args) {
        _cleanup_free_ char *message = NULL;
        BackupResult result = {};
        int r = backup_verify(args[0], &result, &message);

        if (r < 0)
                return fail(r, message);
        say_done(args[0], &result, true);
        return EXIT_SUCCESS;
}

static int tool_restore(char **args) {
        _cleanup_free_ char *message = NULL, *old = NULL;
        BackupResult result = {};
        unsigned flags = (has_flag(args + 2, "--force") ? RESTORE_FORCE : 0U) |
                         (has_flag(args + 2, "--stopped") ? RESTORE_STOPPED : 0U);
        int r = backup_restore(args[1], args[0], flags, &result, &old, &message);

        if (r < 0)
                return fail(r, message);
        say_done(args[0], &result, true);
        if (old)
                (void) printf("What was there is in %s\n", old);
        return EXIT_SUCCESS;
}

/* ---- fsck; its exit statuses are those of fsck(8) ---- */

enum {
        FSCK_CLEAN = 0,
        FSCK_REPAIRED = 1,
        FSCK_LEFT = 4,
        FSCK_FAILED = 8,
};

static void print_problem(const FsckProblem *p, void *userdata) {
        const bool *repair = userdata;

        (void) printf("%s %s: %s%s%s\n", p->what, p->id, p->text,
                      !p->repair ? ""
                      : *repair  ? "; repaired: "
                                 : "; --repair would: ",
                      p->repair ? p->repair : "");
}

static void write_problem(const FsckProblem *p, const char *before, const char *after) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 1 << 20);
        JsonWriter w = JSON_WRITER(&b);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "what", p->what);
        json_w_kv_string(&w, "id", p->id);
        json_w_kv_string(&w, "problem", p->text);
        json_w_kv_string(&w, "repair", p->repair);
        json_w_object_end(&w);
        if (buf_error(&b) == 0)
                (void) printf("%s%s%s", before, b.data, after);
}

static void print_problem_json(const FsckProblem *p, void *userdata) {
        (void) userdata;
        write_problem(p, "", "\n");
}

/* Nothing is written before the first problem: until then a failure can still be told as one. */
static void print_problem_item(const FsckProblem *p, void *userdata) {
        static bool has_items;

        (void) userdata;
        write_problem(p, has_items ? "," : "[", "");
        has_items = true;
}

static void print_end(const char *format, const FsckResult *result) {
        if (streq(format, "array"))
                (void) puts(result->found == 0 ? "[]" : "]");
        else if (streq(format, "text"))
                (void) printf(result->found == 0 ? "clean\n" : "%llu found, %llu left\n",
                              (unsigned long long) result->found, (unsigned long long) result->left);
}

static int tool_fsck(char **args) {
        _cleanup_free_ char *message = NULL;
        FsckPlaces places = { .state = args[0], .memory = args[1], .data_dir = args[2] };
        bool repair = has_flag(args + 3, "--repair");
        const char *format = has_flag(args + 3, "--array")  ? "array"
                             : has_flag(args + 3, "--json") ? "json"
                                                            : "text";
        FsckResult result = {};

        if (streq(format, "array"))
                (void) setpriority(PRIO_PROCESS, 0, NICE);
        int r = fsck_run(&places, repair,
                         streq(format, "array")  ? print_problem_item
                         : streq(format, "json") ? print_problem_json
                                                 : print_problem,
                         &repair, &result, &message);
        if (r < 0) {
                (void) fail(r, message);
                return FSCK_FAILED;
        }
        print_end(format, &result);
        return result.left > 0 ? FSCK_LEFT : result.found > 0 ? FSCK_REPAIRED : FSCK_CLEAN;
}

static const struct {
        const char *name;
        size_t n_args; /* at least */
        int (*run)(char **args);
} tools[] = {
        { "--tool=backup", 4, tool_backup },
        { "--tool=send-backup", 3, tool_send },
        { "--tool=verify-backup", 1, tool_verify },
        { "--tool=restore-backup", 2, tool_restore },
        { "--tool=fsck", 3, tool_fsck },
};

int tool_main(int argc, char **argv) {
        for (size_t i = 0; i < ELEMENTSOF(tools); i++)
                if (streq(argv[1], tools[i].name) && (size_t) argc >= 2 + tools[i].n_args)
                        return tools[i].run(argv + 2);
        (void) fprintf(stderr, "agentd: %s is for `agentd`, not for people\n", argv[1]);
        return EX_USAGE;
}
