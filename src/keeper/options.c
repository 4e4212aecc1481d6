/* SPDX-License-Identifier: MIT */

/* The command line. It is written by `agentd start` and by the daemon, not by people, so it is
 * strict: everything that is missing or out of range is refused before anything is touched. */

#include <getopt.h>
#include <limits.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "keeper/keeper-internal.h"

enum {
        OPT_RUNTIME = 256,
        OPT_MAX_RUNS,
        OPT_LISTEN_FDS,
        OPT_DAEMON,
        OPT_EXEC,
        OPT_ADOPT_FD,
        OPT_DAEMON_PIDFD,
        OPT_HELP,
        OPT_VERSION,
};

static const struct option long_options[] = {
        { "runtime", required_argument, NULL, OPT_RUNTIME },
        { "max-runs", required_argument, NULL, OPT_MAX_RUNS },
        { "listen-fds", required_argument, NULL, OPT_LISTEN_FDS },
        { "daemon", required_argument, NULL, OPT_DAEMON },
        { "exec", required_argument, NULL, OPT_EXEC },
        { "adopt-fd", required_argument, NULL, OPT_ADOPT_FD },
        { "daemon-pidfd", required_argument, NULL, OPT_DAEMON_PIDFD },
        { "help", no_argument, NULL, OPT_HELP },
        { "version", no_argument, NULL, OPT_VERSION },
        {},
};

static int help(void) {
        puts("agentd-keeper --runtime DIR --max-runs N --daemon PATH [OPTION…] -- [ARGUMENT…]\n"
             "\n"
             "Parent of agentd and of every agent; started by `agentd start`, not by hand.\n"
             "\n"
             "  --runtime DIR       folder of the lock and the control socket; must exist\n"
             "  --max-runs N        size of the table of runs\n"
             "  --listen-fds N      listening sockets at descriptors 3 and up\n"
             "  --daemon PATH       the daemon, started with the arguments behind --\n"
             "  --exec PATH         agentd-exec; default: beside this program\n"
             "  --adopt-fd FD       connection to a daemon that runs already\n"
             "  --daemon-pidfd FD   that daemon");
        return 1;
}

static int parse_unsigned(const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
        uint64_t value;
        int r;

        r = str_to_u64(text, &value);
        if (r >= 0 && (value < min || value > max))
                r = -ERANGE;
        if (r < 0)
                return log_error(r, "--%s=%s: a number from %lu to %lu is expected", name, text,
                                 (unsigned long) min, (unsigned long) max);
        *ret = value;
        return 0;
}

static int parse_number(KeeperOptions *o, int option, const char *text) {
        uint64_t value = 0;
        int r;

        switch (option) {
        case OPT_MAX_RUNS:
                r = parse_unsigned("max-runs", text, 1, 1U << 20, &value);
                o->max_runs = (unsigned) value;
                return r;
        case OPT_LISTEN_FDS:
                r = parse_unsigned("listen-fds", text, 0, KEEPER_MSG_FDS_MAX, &value);
                o->n_listen = (unsigned) value;
                return r;
        case OPT_ADOPT_FD:
                r = parse_unsigned("adopt-fd", text, 3, INT_MAX, &value);
                o->adopt_fd = (int) value;
                return r;
        case OPT_DAEMON_PIDFD:
                r = parse_unsigned("daemon-pidfd", text, 3, INT_MAX, &value);
                o->daemon_pidfd = (int) value;
                return r;
        default:
                return -EINVAL; /* getopt has said why */
        }
}

static int parse_option(KeeperOptions *o, int option, const char *text) {
        switch (option) {
        case OPT_RUNTIME:
                o->runtime_dir = text;
                return 0;
        case OPT_DAEMON:
                o->daemon_path = text;
                return 0;
        case OPT_EXEC:
                o->exec_path = text;
                return 0;
        case OPT_HELP:
                return help();
        case OPT_VERSION:
                puts("agentd-keeper " AGENTD_VERSION);
                return 1;
        default:
                return parse_number(o, option, text);
        }
}

static int check(KeeperOptions *o) {
        _cleanup_free_ char *dir = NULL;
        int r;

        if (!o->runtime_dir || !o->daemon_path || o->max_runs == 0)
                return log_error(-EINVAL, "--runtime, --max-runs and --daemon are required");
        if ((o->adopt_fd < 0) != (o->daemon_pidfd < 0))
                return log_error(-EINVAL, "--adopt-fd and --daemon-pidfd go together");
        if (o->exec_path) {
                char *copy = strdup(o->exec_path);

                o->exec_path = copy;
                return copy ? 0 : -ENOMEM;
        }
        r = path_of_program_dir(&dir);
        if (r < 0)
                return log_error(r, "the folder of this program is not known");
        o->exec_path = path_join(dir, "agentd-exec");
        return o->exec_path ? 0 : -ENOMEM;
}

int keeper_options_parse(KeeperOptions *ret, int argc, char *argv[]) {
        KeeperOptions o = { .adopt_fd = -EBADF, .daemon_pidfd = -EBADF };
        int option, r;

        while ((option = getopt_long(argc, argv, "+", long_options, NULL)) >= 0) {
                r = parse_option(&o, option, optarg);
                if (r != 0)
                        return r;
        }
        o.daemon_args = argv + optind;
        r = check(&o);
        if (r < 0)
                return r;
        *ret = o;
        return 0;
}
