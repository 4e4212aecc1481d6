/* SPDX-License-Identifier: MIT */

/* The daemon: started, started again when it dies, given the listening sockets each time.
 *
 * A first death is answered at once, since everything a client notices is the pause, and so is every
 * SIGKILL, which comes from outside and says nothing about the daemon; one that keeps dying young by
 * itself is retried ever more slowly, but for ever: agents that run would otherwise be
 * left without anybody to record their end. The exit status EX_CONFIG says that trying again cannot
 * help (wrong configuration, a database that is corrupt or in use): then the keeper gives up. It is
 * recognised by pid while it is our child and not reaped, or by pidfd when it was there before us.
 *
 * A daemon that lives but closed its link cannot supervise any more, and nothing else would end
 * that: after a grace in which it may finish by itself it is killed. Its state is in the store;
 * dying is what it is built for. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/str.h"
#include "keeper/keeper-internal.h"

#define SHORT_LIFE_USEC    (5 * USEC_PER_SEC)
#define BACKOFF_FIRST_USEC (100 * USEC_PER_MSEC)
#ifndef BACKOFF_MAX_USEC /* shorter in a build with -Dfail_calls=true */
#        define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)
#endif
#define LINK_LOST_USEC (10 * USEC_PER_SEC)
#define LAST_TURNS     16 /* more than a socket holds */
#define LINK_FD        3

usec_t keeper_daemon_backoff(unsigned failures) {
        if (failures == 0)
                return 0;
        if (failures > 6)
                return BACKOFF_MAX_USEC;
        return MIN(BACKOFF_FIRST_USEC << (failures - 1), BACKOFF_MAX_USEC);
}

/* PATH ARGS… --keeper-fd 3 --listen-fds N; room for the rest was taken. */
static void finish_argv(KeeperDaemon *d, size_t n) {
        static char keeper_option[] = "--keeper-fd", keeper_fd[] = "3",
                    listen_option[] = "--listen-fds";

        d->argv[n++] = keeper_option;
        d->argv[n++] = keeper_fd;
        d->argv[n++] = listen_option;
        d->argv[n++] = d->listen_text;
        d->argv[n] = NULL;
}

int keeper_daemon_init(Keeper *k) {
        KeeperDaemon *d = &k->daemon;
        char *const *args = k->options.daemon_args;
        size_t n = strv_length(args), path_size = strlen(k->options.daemon_path) + 1;

        d->argv = calloc(MAX(n, (size_t) KEEPER_DAEMON_WORDS) + 6, sizeof(char *));
        if (!d->argv)
                return -ENOMEM;
        if (path_size > sizeof(d->words))
                return -ENAMETOOLONG;
        memcpy(d->words, k->options.daemon_path, path_size);
        d->argv[0] = d->words;
        memcpy(d->argv + 1, args, n * sizeof(char *));
        finish_argv(d, n + 1);
        return 0;
}

int keeper_daemon_take_arguments(Keeper *k, int fd) {
        KeeperDaemon *d = &k->daemon;
        char words[KEEPER_DAEMON_BYTES];
        size_t n = 0;

        ssize_t size = pread(fd, words, sizeof(words), 0);
        if (size < 0)
                return errno_neg();
        if (size < 2 || words[0] != '/' || words[size - 1] != '\0' || (size_t) size == sizeof(words))
                return -EINVAL;
        for (ssize_t i = 0; i < size; i++)
                n += words[i] == '\0';
        if (n > KEEPER_DAEMON_WORDS)
                return -E2BIG;
        memcpy(d->words, words, (size_t) size);
        char *p = d->words;
        for (size_t i = 0; i < n; i++, p += strlen(p) + 1)
                d->argv[i] = p;
        finish_argv(d, n);
        return 0;
}

/* In the child: only async-signal-safe calls. */
static _Noreturn void child_main(const Keeper *k, int link) {
        static const char text[] = "agentd-keeper: the daemon cannot be executed\n";
        int first_free = LINK_FD + 1 + (int) k->n_listen;
        int fds[1 + KEEPER_MSG_FDS_MAX];

        keeper_child_reset(k);
        /* Away from the numbers they shall get, so that no dup2() closes one that is still needed. */
        fds[0] = fcntl(link, F_DUPFD_CLOEXEC, first_free);
        for (unsigned i = 0; i < k->n_listen; i++)
                fds[1 + i] = fcntl(k->listen[i], F_DUPFD_CLOEXEC, first_free);
        for (unsigned i = 0; i < 1 + k->n_listen; i++)
                if (fds[i] < 0 || dup2(fds[i], LINK_FD + (int) i) < 0)
                        _exit(126);
        (void) execv(k->daemon.argv[0], k->daemon.argv);
        (void) !write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(127);
}

static int start(Keeper *k) {
        KeeperDaemon *d = &k->daemon;
        _cleanup_close_ int ours = -EBADF, theirs = -EBADF;
        int pair[2], r;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return errno_neg();
        ours = pair[0];
        theirs = pair[1];
        (void) snprintf(d->listen_text, sizeof(d->listen_text), "%u", k->n_listen);

        pid_t pid = fork();
        if (pid < 0)
                return errno_neg();
        if (pid == 0)
                child_main(k, theirs);
        d->pid = pid;
        d->child = true;
        d->pidfd = pidfd_open(pid, 0);
        r = keeper_link_open(k, ours);
        if (r < 0) /* its end closes, and it will be started again */
                return r;
        ours = -EBADF;
        log_info("daemon %d started", (int) pid);
        return 0;
}

void keeper_daemon_start(Keeper *k) {
        KeeperDaemon *d = &k->daemon;
        int r;

        assert(d->pid == 0);
        d->started = clock_monotonic();
        d->start_at = d->kill_at = USEC_INFINITY;
        keeper_watchdog_rest(k);
        r = start(k);
        if (r >= 0)
                return;
        (void) log_error(r, "the daemon could not be started");
        if (d->pid == 0)
                d->start_at = d->started + keeper_daemon_backoff(++d->failures);
        else
                keeper_daemon_link_lost(k);
}

int keeper_daemon_adopt(Keeper *k, int pidfd) {
        KeeperDaemon *d = &k->daemon;
        int r;

        d->pid = -1; /* there is one; its number is not needed */
        d->pidfd = pidfd;
        d->started = clock_monotonic();
        r = keeper_link_open(k, k->options.adopt_fd);
        if (r < 0)
                return r;
        return keeper_watch(k->epoll, pidfd, EPOLLIN, (KeeperKey){ .source = KEEPER_SOURCE_DAEMON });
}

static void log_end(const KeeperDaemon *d, int status) {
        if (status >= 0 && WIFSIGNALED(status))
                (void) log_warning(0, "daemon %d was ended by signal %d", (int) d->pid,
                                   WTERMSIG(status));
        else if (status > 0)
                (void) log_warning(0, "daemon %d ended with status %d", (int) d->pid,
                                   WEXITSTATUS(status));
        else
                log_info("the daemon ended");
}

void keeper_daemon_gone(Keeper *k, int status) {
        KeeperDaemon *d = &k->daemon;
        usec_t now = clock_monotonic();

        /* Its last messages (a QUIT above all) count. */
        for (unsigned i = 0; i < LAST_TURNS && k->link.fd >= 0; i++)
                keeper_link_event(k, EPOLLIN);
        log_end(d, status);
        if (!d->child)
                keeper_unwatch(k->epoll, d->pidfd);
        d->pidfd = fd_close(d->pidfd);
        d->pid = 0;
        d->child = false;
        d->kill_at = USEC_INFINITY;
        keeper_watchdog_rest(k);
        keeper_link_close(k);
        if (k->quitting)
                return;
        if (k->term_at != USEC_INFINITY) { /* it was told to stop, and did without a QUIT */
                k->quitting = k->keep_runs = true;
                keeper_listen_close(k);
                return;
        }
        if (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG) {
                (void) log_error(0, "agentd cannot be started like this; what it said is above");
                k->quitting = k->keep_runs = k->gave_up = true;
                keeper_listen_close(k);
                return;
        }
        if (now - d->started >= SHORT_LIFE_USEC)
                d->failures = 0;
        else if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                d->failures++;
        d->start_at = now + keeper_daemon_backoff(d->failures > 0 ? d->failures - 1 : 0);
}

void keeper_daemon_link_lost(Keeper *k) {
        usec_t grace = k->quitting ? KEEPER_STOP_USEC : LINK_LOST_USEC;

        if (k->daemon.pid != 0 && k->daemon.kill_at == USEC_INFINITY)
                k->daemon.kill_at = clock_monotonic() + grace;
}

usec_t keeper_daemon_deadline(const Keeper *k) {
        return MIN(k->daemon.start_at, k->daemon.kill_at);
}

void keeper_daemon_tick(Keeper *k, usec_t now) {
        KeeperDaemon *d = &k->daemon;

        if (d->start_at <= now) {
                d->start_at = USEC_INFINITY;
                if (!k->quitting && d->pid == 0)
                        keeper_daemon_start(k);
        }
        if (d->kill_at > now)
                return;
        d->kill_at = USEC_INFINITY;
        if (d->pid == 0)
                return;
        (void) log_warning(0, "the daemon does not stop and is killed");
        if (d->pidfd >= 0)
                (void) pidfd_send_signal(d->pidfd, SIGKILL, NULL, 0);
        else if (d->child)
                (void) kill(d->pid, SIGKILL);
        if (k->term_at != USEC_INFINITY)
                k->leave = true;
}

void keeper_listen_close(Keeper *k) {
        keeper_fds_close(k->listen, k->n_listen);
        k->n_listen = 0;
}
