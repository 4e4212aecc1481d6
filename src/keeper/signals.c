/* SPDX-License-Identifier: MIT */

/* Signals, by signalfd: no handlers, so nothing can interrupt the loop at a bad moment.
 *
 * SIGCHLD: zombies are looked at first (WNOWAIT) and then reaped by the one they belong to: a run's
 * leader through its slot, the daemon, or, since orphans of every agent end up here, a stranger,
 * whose status nobody wants. To reap with waitid(P_ALL) directly was rejected: it would take a
 * leader's status from its slot. Signals coalesce, so each SIGCHLD asks until no zombie is left.
 *
 * SIGTERM and SIGINT: the daemon is asked to stop everything; only it can do that well. A second
 * one after five seconds, or ninety without an end, and the keeper kills the daemon and leaves;
 * agents live on.
 *
 * SIGHUP: the daemon is asked to read its configuration again. A terminal that goes away sends it
 * too, which does no harm. */

#include <signal.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "base/log.h"
#include "keeper/keeper-internal.h"

#define INSIST_USEC (5 * USEC_PER_SEC)

int keeper_signals_open(Keeper *k) {
        static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGTTOU, SIGTTIN, SIGTSTP };
        sigset_t set;

        /* A pipe or terminal that goes away, or a file that reaches its limit, is no reason to die. */
        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                (void) signal(ignored[i], SIG_IGN);
        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
                return errno_neg();
        k->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (k->signals < 0)
                return errno_neg();
        return keeper_watch(k->epoll, k->signals, EPOLLIN,
                            (KeeperKey){ .source = KEEPER_SOURCE_SIGNALS });
}

static void reap_daemon(Keeper *k) {
        int status = 0;

        if (waitpid(k->daemon.pid, &status, WNOHANG) == k->daemon.pid)
                keeper_daemon_gone(k, status);
}

void keeper_reap(Keeper *k) {
        for (;;) {
                siginfo_t si = {};
                KeeperRun *r;

                if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid == 0)
                        return;
                r = keeper_run_find_pid(k, si.si_pid);
                if (r)
                        keeper_run_reap(k, r);
                else if (k->daemon.child && si.si_pid == k->daemon.pid)
                        reap_daemon(k);
                else
                        (void) waitid(P_PID, (id_t) si.si_pid, &si, WEXITED | WNOHANG);
        }
}

static void stop_asked(Keeper *k) {
        usec_t now = clock_monotonic();

        if (k->term_at != USEC_INFINITY) {
                if (now - k->term_at >= INSIST_USEC) {
                        k->daemon.kill_at = now;
                        k->leave = k->daemon.pid == 0;
                }
                return;
        }
        k->term_at = now;
        keeper_watchdog_rest(k);
        keeper_notify("STOPPING=1");
        if (k->daemon.pid == 0) {
                k->daemon.start_at = USEC_INFINITY;
                k->quitting = k->keep_runs = true;
                keeper_listen_close(k);
                return;
        }
        k->link.pend_terminate = true;
        k->daemon.kill_at = MIN(k->daemon.kill_at, now + KEEPER_STOP_USEC);
}

void keeper_signals_event(Keeper *k) {
        struct signalfd_siginfo si;
        bool children = false;

        while (read(k->signals, &si, sizeof(si)) == (ssize_t) sizeof(si)) {
                if (si.ssi_signo == SIGCHLD)
                        children = true;
                else if (si.ssi_signo == SIGHUP)
                        k->link.pend_reload = true;
                else
                        stop_asked(k);
        }
        if (children)
                keeper_reap(k);
}
