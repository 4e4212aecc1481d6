/* SPDX-License-Identifier: MIT */

/* `agentd start`: find out who is there, then become the keeper, start one in the background, or
 * hand new sockets to one that kept its agents running.
 *
 * start.lock serialises starts: without it two at the same moment would both see no keeper, and the
 * one that loses would have taken the winner's socket from its place. The lock goes on to the
 * keeper, so it also says "somebody is on the way" until the keeper's own lock is held. */

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/activation.h"
#include "cli/ask.h"
#include "cli/become.h"
#include "cli/folders.h"
#include "cli/keeper-link.h"
#include "cli/launch.h"
#include "cli/probe.h"
#include "cli/verbs.h"

#define LOCK_WAIT_USEC  (10 * USEC_PER_SEC)
#define BUSY_WAIT_USEC  (5 * USEC_PER_SEC)
#define READY_WAIT_USEC (90 * USEC_PER_SEC)
#define LOOK_MSEC       20
#define LOG_LINES       10

/* The lock, or -EBADF in *ret if a keeper lives. */
static int lock_start(Cli *c, int *ret) {
        const char *path = cli_text(c, "%s/start.lock", c->config.runtime_dir);
        usec_t until = clock_monotonic() + LOCK_WAIT_USEC;
        pid_t keeper;

        _cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return cli_error(c, CLI_FAILURE, "cannot open %s: %s", path, strerror(errno));
        for (;;) {
                bool locked = flock(fd, LOCK_EX | LOCK_NB) >= 0;
                if (keeper_find(c->config.runtime_dir, &keeper) > 0) {
                        *ret = -EBADF;
                        return 0;
                }
                if (locked) {
                        *ret = TAKE_FD(fd);
                        return 0;
                }
                if (clock_monotonic() > until)
                        return cli_error(
                                c, CLI_FAILURE,
                                "another `agentd start` in %s is under way and does not finish",
                                c->config.runtime_dir);
                (void) poll(NULL, 0, LOOK_MSEC);
        }
}

static int say_running(Cli *c, const Reply *version, const char *how, const char *log) {
        if (c->json)
                cli_print_json(version->json);
        cli_say(c, "agentd %s %s (pid %lld) at %s", cli_member(c, version->json, "version"), how,
                (long long) cli_number(version->json, "daemon_pid"),
                cli_local_url(c, (uint64_t) cli_number(version->json, "port")));
        cli_say(c, "Socket: %s", c->socket_path);
        if (log)
                cli_say(c, "Log:    %s", log);
        const char *exports = where_exports(c);
        if (*exports)
                cli_say(c, "First:  %s   (or the same options with each command)", exports);
        cli_say(c, "Next:   agentd run -- COMMAND…   agentd list   agentd stop");
        return 0;
}

static JsonSpan find_key(JsonSpan config, const char *variable) {
        JsonIter it = json_iter(json_get(config, "keys"));
        JsonSpan key;

        while (json_next(&it, NULL, &key))
                if (json_string_equals(json_get(key, "variable"), variable))
                        return key;
        return (JsonSpan){};
}

/* "; --port 9000 is not in effect (it runs with 8721)": what was asked for now and is otherwise. */
static const char *not_in_effect(Cli *c) {
        _cleanup_reply_ Reply config = {};
        const char *text = "";

        if (probe(c, "/config", PROBE_USEC, &config) < 0)
                return "";
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];
                JsonSpan key = find_key(config.json, k->env);
                if (!k->option || !cli_option(c, k->option + 2) || !key.p)
                        continue;
                const char *wanted = cli_keep(c, config_value_to_string(&c->config, i));
                const char *is = cli_member(c, key, "value");
                if (!streq(is, wanted))
                        text = cli_text(c, "%s; %s %s is not in effect (it runs with %s)", text,
                                        k->option, wanted, is);
        }
        return text;
}

static int already_running(Cli *c, const Reply *version) {
        return cli_error(
                c, CLI_FAILURE,
                "agentd is already running (pid %lld, port %lld)%s; `agentd status%s` says more, `agentd "
                "stop%s` ends it",
                (long long) cli_number(version->json, "daemon_pid"),
                (long long) cli_number(version->json, "port"), not_in_effect(c), where_options(c),
                where_options(c));
}

/* New sockets for a keeper without a daemon. A daemon that is about to leave makes it busy. */
static int hand_over(Cli *c, pid_t keeper, Listeners *l) {
        usec_t until = clock_monotonic() + BUSY_WAIT_USEC;
        _cleanup_strv_ char **argv = NULL;

        int r = launch_daemon_argv(c, &argv);
        if (r != 0)
                return r;
        launch_forget(c);
        while ((r = keeper_start_daemon(c->config.runtime_dir, l->fds, l->n, argv)) == -EBUSY &&
               clock_monotonic() < until)
                (void) poll(NULL, 0, LOOK_MSEC);
        if (r == -EBUSY)
                return cli_error(
                        c, CLI_FAILURE,
                        "agentd is already running: its keeper (pid %d) has a daemon that does not answer yet",
                        (int) keeper);
        if (r < 0)
                return cli_error(c, CLI_FAILURE, "the keeper (pid %d) does not start the daemon: %s",
                                 (int) keeper, strerror(-r));
        return listeners_publish(c, l);
}

static int start_with_keeper(Cli *c, pid_t keeper) {
        _cleanup_(listeners_done) Listeners l = {};
        _cleanup_reply_ Reply version = {};

        int r = probe(c, "/version", PROBE_USEC, &version);
        if (r >= 0)
                return already_running(c, &version);
        if (r != -ECONNREFUSED && r != -ENOENT)
                return cli_error(
                        c, CLI_FAILURE,
                        "agentd is already running (keeper pid %d), but its daemon does not answer; see its log",
                        (int) keeper);
        r = listeners_open(c, &l);
        if (r == 0)
                r = hand_over(c, keeper, &l);
        if (r != 0)
                return r;
        listeners_done(&l);
        r = probe_ready(c, -EBADF, READY_WAIT_USEC);
        if (r >= 0)
                r = probe(c, "/version", READY_WAIT_USEC, &version);
        if (r < 0)
                return cli_error(
                        c, CLI_FAILURE,
                        "the keeper (pid %d) started the daemon, which did not become ready (%s); the "
                        "keeper's log says why",
                        (int) keeper, strerror(-r));
        return say_running(c, &version, "took up its agents again", NULL);
}

/* What the daemon said, if that was one error: it is all there is to know. NULL: none, or several. */
static char *only_error(Cli *c, const char *gained) {
        static const char mark[] = " error agentd: ";
        const char *error = strstr(gained, mark);

        if (!error || strstr(error + 1, mark))
                return NULL;
        error += strlen(mark);
        return cli_text(c, "%.*s", (int) strcspn(error, "\n"), error);
}

/* What the log has gained: the daemon's error, or NULL and the last lines are on stderr. */
static char *show_log(Cli *c, const char *path, off_t from) {
        _cleanup_free_ char *text = NULL;
        size_t n = 0;

        if (fs_read_file(AT_FDCWD, path, 64 << 20, &text, &n) < 0 || (size_t) from >= n)
                return NULL;
        const char *begin = text + from, *p = text + n;
        unsigned lines = 0;
        char *error = only_error(c, begin);
        if (error)
                return error;
        if (p > begin && p[-1] == '\n')
                p--;
        while (p > begin && (p[-1] != '\n' || ++lines < LOG_LINES))
                p--;
        (void) fwrite(p, 1, (size_t) (text + n - p), stderr);
        return NULL;
}

static int start_in_background(Cli *c, Launch *launch, Listeners *l) {
        _cleanup_reply_ Reply version = {};
        struct stat st = {};
        pid_t pid;

        (void) stat(launch->log, &st);
        int r = launch_spawn(c, launch, l, &pid);
        if (r != 0)
                return r;
        _cleanup_close_ int pidfd = process_open(pid, NULL);
        r = probe_ready(c, pidfd, READY_WAIT_USEC);
        if (r >= 0)
                r = probe(c, "/version", READY_WAIT_USEC, &version);
        if (r < 0) {
                const char *error = show_log(c, launch->log, st.st_size);
                return cli_error(c, CLI_FAILURE, "agentd could not be started%s%s%s; its log is %s",
                                 error ? ": " : " (",
                                 error          ? error
                                 : r == -ECHILD ? "it ended"
                                                : strerror(-r),
                                 error ? "" : ")", launch->log);
        }
        return say_running(c, &version, "is running", launch->log);
}

/* A daemon whose keeper died has no keeper until it has started the next one: it is there all the same. */
static int check_nobody_listens(Cli *c) {
        _cleanup_reply_ Reply version = {};

        if (activation_has_socket(c))
                return 0; /* our own would not answer */
        int r = probe(c, "/version", PROBE_USEC, &version);
        if (r == -ECONNREFUSED || r == -ENOENT)
                return 0;
        if (r >= 0)
                return already_running(c, &version);
        return cli_error(c, CLI_FAILURE,
                         "agentd is already running at %s, but does not answer (%s); see its log",
                         c->socket_path, strerror(-r));
}

/* Nothing outlives PID 1, and a service manager ends what its service leaves behind. */
static bool agents_end_with_us(void) {
        return getpid() == 1 || getenv("NOTIFY_SOCKET");
}

int start_daemon(Cli *c) {
        _cleanup_(listeners_done) Listeners l = {};
        _cleanup_(launch_done) Launch launch = { .lock_fd = -EBADF };
        _cleanup_close_ int lock = -EBADF;
        pid_t keeper = 0;

        int r = become_user(c);
        if (r == 0)
                r = folders_make(c);
        if (r == 0)
                r = lock_start(c, &lock);
        if (r != 0)
                return r;
        if (lock < 0) {
                (void) keeper_find(c->config.runtime_dir, &keeper);
                return start_with_keeper(c, keeper);
        }
        r = check_nobody_listens(c);
        if (r == 0)
                r = listeners_open(c, &l);
        if (r == 0)
                r = launch_prepare(c, &l, &launch);
        if (r == 0)
                r = listeners_publish(c, &l);
        if (r != 0)
                return r;
        launch_forget(c);
        launch.lock_fd = TAKE_FD(lock);
        if (cli_option(c, "detach"))
                return start_in_background(c, &launch, &l);
        cli_say(c, "agentd %s listens at %s and %s; %s", AGENTD_VERSION, cli_local_url(c, l.port),
                c->socket_path,
                agents_end_with_us() ? "SIGTERM stops it and its agents"
                                     : "Ctrl-C stops it and keeps agents running");
        return launch_exec(c, &launch, &l);
}

int verb_start(Cli *c) {
        if (c->n_args == 0)
                return start_daemon(c);
        if (cli_option(c, "detach"))
                return cli_usage(
                        c, "--detach is for the daemon; a session always runs in the background");
        return ask_session_start(c, "start", NULL);
}
