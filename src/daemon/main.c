/* SPDX-License-Identifier: MIT */

/* agentd-daemon: started by the keeper, never by hand (`agentd start` does that). Its command line
 * is the options of contract/config-keys, with the environment of `agentd start` as --environment
 * NAME=VALUE (our own is the keeper's, which may be older), plus the two that say which inherited
 * descriptors are what: --keeper-fd N and --listen-fds COUNT (at N+1 and following). With --tool=
 * as its first argument it is no daemon but a tool of the command line (tool.h). */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "daemon/reload.h"
#include "daemon/tool.h"

#define LISTEN_FDS_MAX 16

typedef struct Arguments {
        const char **options; /* by config_table */
        char **environment;   /* the variables of config_table where `agentd start` was typed */
        const char *snapshot; /* see daemon/reload.h */
        char **own;           /* argv without the descriptors: what starts us again */
        int keeper_fd;
        size_t n_listen_fds;
} Arguments;

static void arguments_done(Arguments *a) {
        free(a->options);
        strv_free(a->environment);
        strv_free(a->own);
}

static int parse_number(const char *name, const char *value, uint64_t max, uint64_t *ret) {
        uint64_t n;
        if (!value || str_to_u64(value, &n) < 0 || n > max)
                return log_error(-EINVAL, "%s needs a number up to %llu", name,
                                 (unsigned long long) max);
        *ret = n;
        return 0;
}

/* What `agentd start` hands on beside options: see cli/launch.c. */
static int parse_handed(Arguments *a, const char *name, const char *value) {
        if (!value)
                return log_error(-EINVAL, "%s needs a value", name);
        if (streq(name, "--snapshot"))
                a->snapshot = value;
        else if (*value != '\0') {
                int r = strv_extend(&a->environment, value);
                if (r < 0)
                        return r;
        }
        int r = strv_extend(&a->own, name);
        return r < 0 ? r : strv_extend(&a->own, value);
}

static int parse_option(Arguments *a, const char *name, const char *value) {
        if (streq(name, "--environment") || streq(name, "--snapshot"))
                return parse_handed(a, name, value);
        for (size_t i = 0; i < config_table_size; i++) {
                if (!config_table[i].option || !streq(config_table[i].option, name))
                        continue;
                if (!value)
                        return log_error(-EINVAL, "%s needs a value", name);
                a->options[i] = value;
                int r = strv_extend(&a->own, name);
                return r < 0 ? r : strv_extend(&a->own, value);
        }
        return log_error(-EINVAL, "Unknown option %s", name);
}

static int parse_arguments(Arguments *a, int argc, char **argv) {
        uint64_t keeper = 0, listeners = 0;

        a->options = calloc(config_table_size, sizeof(*a->options));
        a->environment = calloc(1, sizeof(char *)); /* none of ours: it is handed on */
        if (!a->options || !a->environment || strv_extend(&a->own, argv[0]) < 0)
                return -ENOMEM;
        for (int i = 1; i < argc; i += 2) {
                const char *value = i + 1 < argc ? argv[i + 1] : NULL;
                int r = streq(argv[i], "--keeper-fd") ? parse_number(argv[i], value, 1024, &keeper)
                        : streq(argv[i], "--listen-fds")
                                ? parse_number(argv[i], value, LISTEN_FDS_MAX, &listeners)
                                : parse_option(a, argv[i], value);
                if (r < 0)
                        return r;
        }
        if (keeper < 3)
                return log_error(-EINVAL,
                                 "This program is started by the keeper; use `agentd start`");
        a->keeper_fd = (int) keeper;
        a->n_listen_fds = (size_t) listeners;
        return 0;
}

static int run(const Arguments *arguments) {
        _cleanup_(config_done) DaemonConfig config = {};
        _cleanup_free_ char *message = NULL;
        _cleanup_(daemon_freep) Daemon *d = NULL;
        int fds[LISTEN_FDS_MAX];

        ConfigSource source = {
                .options = arguments->options,
                .environment = arguments->environment,
                .snapshot = arguments->snapshot,
        };
        int r = config_open(&source, &config, &message);
        if (r < 0)
                return log_error(r, "%s", message ? message : "Bad configuration");
        log_set_level(log_level_of(&config));

        (void) fcntl(arguments->keeper_fd, F_SETFD, FD_CLOEXEC);
        for (size_t i = 0; i < arguments->n_listen_fds; i++) {
                fds[i] = arguments->keeper_fd + 1 + (int) i;
                (void) fcntl(fds[i], F_SETFD, FD_CLOEXEC);
        }
        DaemonArgs args = {
                .config = &config,
                .source = &source,
                .keeper_fd = arguments->keeper_fd,
                .listen_fds = fds,
                .n_listen_fds = arguments->n_listen_fds,
                .argv = arguments->own,
        };
        r = daemon_new(&d, &args);
        return r < 0 ? r : daemon_run(d);
}

/* What starting again cannot mend: wrong configuration, a database that is corrupt, not ours, from
 * a newer version, or in use. The keeper gives up on this exit status instead of trying for ever.
 */
static bool is_hopeless(int error) {
        static const int errors[] = { -EINVAL,    -EUCLEAN, -EMEDIUMTYPE,
                                      -EOVERFLOW, -EBUSY,   -EPROTONOSUPPORT };
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i] == error)
                        return true;
        return false;
}

int main(int argc, char **argv) {
        _cleanup_(arguments_done) Arguments arguments = {};
        sigset_t mask;

        if (argc == 2 && streq(argv[1], "--version"))
                return puts("agentd-daemon " AGENTD_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        log_open("agentd", LOG_LEVEL_INFO);
        (void) umask(077);
        (void) prctl(PR_SET_DUMPABLE, 0); /* secrets in memory */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of the write, not our end */
        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        if (argc > 1 && str_startswith(argv[1], "--tool="))
                return tool_main(argc, argv); /* which a person may interrupt */
        (void) sigprocmask(SIG_SETMASK, &mask, NULL);
        int r = parse_arguments(&arguments, argc, argv);
        if (r >= 0)
                r = run(&arguments);
        if (r == -EUCLEAN)
                (void) log_error(
                        0, "What is damaged `agentd fsck` says; `agentd restore-backup --force FILE` "
                           "puts a backup in its place and keeps what is there");
        return r >= 0 ? EXIT_SUCCESS : is_hopeless(r) ? EX_CONFIG : EXIT_FAILURE;
}
