/* SPDX-License-Identifier: MIT */

/* A run's own subreaper, for machines without cgroup v2.
 *
 * agentd-exec stays as the leader of the run: it is the parent of the agent, inherits every orphan
 * of the tree, passes signals on to the agent, and when the agent has gone ends what is left over:
 * SIGTERM at once, SIGKILL two seconds later, again and again until waitpid() knows no child any
 * more. Then it leaves as the agent did (the same status or signal), so that its parent sees the
 * run's end exactly when the whole tree is dead.
 *
 * Everything happens in one loop around sigtimedwait() with all signals blocked: no handlers,
 * nothing that could be interrupted at a bad moment. The agent gets a session of its own (a signal
 * to its process group must not reach us) and dies with us (PDEATHSIG), should somebody SIGKILL its
 * leader. */

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "base/clock.h"
#include "exec/exec-internal.h"

#define TERM_USEC       (2 * USEC_PER_SEC)
#define KILL_AGAIN_USEC (20 * USEC_PER_MSEC)

typedef struct Reaper {
        pid_t agent;
        bool agent_gone;
        int status;     /* of the agent, once gone */
        usec_t kill_at; /* monotonic; USEC_INFINITY: not ending the tree */
} Reaper;

/* False when there is no child left. */
static bool reap(Reaper *r) {
        for (;;) {
                int status = 0;
                pid_t pid = waitpid(-1, &status, WNOHANG);

                if (pid < 0)
                        return false;
                if (pid == 0)
                        return true;
                if (pid != r->agent)
                        continue;
                r->agent_gone = true;
                r->status = status;
        }
}

static void handle_signal(Reaper *r, const siginfo_t *si) {
        if (si->si_signo == SIGCHLD)
                return;
        if (si->si_signo == EXEC_SIGNAL_KILL_TREE)
                r->kill_at = 0;
        else if (!r->agent_gone) /* not reaped yet, so the number is still its own */
                (void) kill(r->agent, si->si_signo);
}

static usec_t end_leftovers(Reaper *r) {
        usec_t now = clock_monotonic();

        if (r->agent_gone && r->kill_at == USEC_INFINITY) {
                (void) exec_signal_descendants(SIGTERM);
                r->kill_at = now + TERM_USEC;
        }
        if (r->kill_at == USEC_INFINITY)
                return USEC_INFINITY;
        if (now < r->kill_at)
                return r->kill_at - now;
        (void) exec_signal_descendants(SIGKILL);
        return KILL_AGAIN_USEC;
}

static _Noreturn void leave_as(int status) {
        struct rlimit no_core = {};
        sigset_t set;

        if (!WIFSIGNALED(status))
                _exit(WEXITSTATUS(status));
        int signo = WTERMSIG(status);
        (void) setrlimit(RLIMIT_CORE, &no_core); /* the agent's own core is the interesting one */
        (void) signal(signo, SIG_DFL);
        sigemptyset(&set);
        sigaddset(&set, signo);
        (void) raise(signo);
        (void) sigprocmask(SIG_UNBLOCK, &set, NULL);
        _exit(128 + signo);
}

static _Noreturn void watch(pid_t agent, const sigset_t *all) {
        Reaper r = { .agent = agent, .kill_at = USEC_INFINITY };

        while (reap(&r)) {
                usec_t wait = end_leftovers(&r);
                struct timespec timeout = {
                        .tv_sec = (time_t) (wait / USEC_PER_SEC),
                        .tv_nsec = (long) (wait % USEC_PER_SEC * NSEC_PER_USEC),
                };
                siginfo_t si;

                if (sigtimedwait(all, &si, wait == USEC_INFINITY ? NULL : &timeout) > 0)
                        handle_signal(&r, &si);
        }
        leave_as(r.status);
}

static int begin_agent(pid_t parent) {
        sigset_t none;

        sigemptyset(&none);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return errno_neg();
        if (getppid() != parent) /* died before it could take us along */
                _exit(127);
        if (setsid() < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return errno_neg();
        return 0;
}

int exec_subreaper(const ExecJob *job) {
        pid_t self = getpid(), pid;
        sigset_t all;

        if (!job->subreaper)
                return 0;
        if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
                return errno_neg();
        sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return errno_neg();

        pid = fork();
        if (pid < 0)
                return errno_neg();
        if (pid == 0)
                return begin_agent(self);
        /* The pipe has to close when the agent's exec succeeds, so only the agent may hold it. */
        (void) close(EXEC_STATUS_FD);
        (void) close(EXEC_JOB_FD);
        watch(pid, &all);
}
