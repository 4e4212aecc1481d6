/* SPDX-License-Identifier: MIT */

/* From the leader's exit to the proof that the whole tree is dead.
 *
 * The owner may start the next run of a session as soon as ended() was called, so a tool of the old
 * run that still writes then would be a bug of correctness, not of tidiness. The proof is that the
 * cgroup's folder could be removed: it had no process, and it can never have one again (a helper
 * that was forked but had not joined yet now fails in its first step). Without cgroups the leader
 * is the run's own subreaper, which leaves last.
 *
 * What decides is whether the tree is empty, not whether the leader is gone: process-compose
 * stopped its escalation at the leader's exit and left the rest alive. If nobody asked for a stop,
 * what the leader leaves behind is killed at once; if somebody did, the rest is sent the stop's
 * signal too and has until the stop's timeout.
 *
 * The state is read right after the leader's exit; the kernel's notice of a change comes 12 to 15
 * ms late.
 *
 * The keeper moves the last output on its own time; ended() waits for that (a fraction of a
 * millisecond, two seconds at most), so that whoever reads the log after it sees all of it. It does
 * not wait for a full disk: held.c does, behind the end. */

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/signal-name.h"
#include "base/str.h"
#include "exec/job.h"
#include "sup/exit-set.h"
#include "sup/sup-internal.h"

#define KILL_RETRY_USEC  USEC_PER_SEC
#define CHECK_RETRY_USEC (5 * USEC_PER_MSEC)
#define DRAIN_TRIES_MAX  400U
#define NAMES_MAX        5U
#define PIDS_MAX         256U

const char *sup_result_to_string(SupResult r) {
        static const char *const names[_SUP_RESULT_MAX] = {
                [SUP_RESULT_SUCCESS] = "success", [SUP_RESULT_EXIT_CODE] = "exit-code",
                [SUP_RESULT_SIGNAL] = "signal",   [SUP_RESULT_CORE_DUMP] = "core-dump",
                [SUP_RESULT_EXEC] = "exec",       [SUP_RESULT_TIMEOUT] = "timeout",
                [SUP_RESULT_LOST] = "lost",       [SUP_RESULT_UNKNOWN] = "unknown",
        };
        assert(r >= 0 && r < _SUP_RESULT_MAX);
        return names[r];
}

static void append_reason(SupRun *r, const char *format, ...) _printf_(2, 3);

static void append_reason(SupRun *r, const char *format, ...) {
        size_t used = strlen(r->exit.reason), size = sizeof(r->exit.reason);
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(r->exit.reason + used, size - used, format, ap);
        va_end(ap);
}

/* ---- the tree ---- */

/* What is left of a tree whose leader is gone. */
static unsigned tree_pids(SupRun *r, pid_t *pids, unsigned max) {
        int n = r->cgroup ? cgroup_pids(r->cgroup, r->identity.pid, pids, max)
                          : proc_holders(r->output.folder, pids, max);
        return n < 0 ? 0 : (unsigned) n;
}

static void count_leftovers(SupRun *r) {
        pid_t pids[PIDS_MAX];
        char name[32];

        if (r->exit.leftovers > 0)
                return;
        unsigned n = tree_pids(r, pids, PIDS_MAX);
        if (n == 0)
                return;
        r->exit.leftovers = n;
        append_reason(r, "%sended %u left-over process%s:", r->exit.reason[0] ? "; " : "", n,
                      n == 1 ? "" : "es");
        for (unsigned i = 0; i < MIN(n, NAMES_MAX); i++)
                if (proc_name(pids[i], name, sizeof(name)) == 0)
                        append_reason(r, "%s %s", i ? "," : "", name);
        if (n > NAMES_MAX)
                append_reason(r, ", …");
}

/* Without cgroups: the leader is a subreaper that ends the rest when it is told. It is not killed itself,
 * or the rest would be nobody's. What a killed leader has left is found by what it holds. */
static void kill_without_cgroup(SupRun *r) {
        pid_t pids[PIDS_MAX];

        if (!r->leader_gone) {
                (void) run_send_signal(r, EXEC_SIGNAL_KILL_TREE);
                return;
        }
        int n = proc_holders(r->output.folder, pids, PIDS_MAX);
        for (int i = 0; i < MIN(n, (int) PIDS_MAX); i++) {
                _cleanup_close_ int fd = -EBADF;
                uint64_t pidfd_id, start;
                if (proc_open(pids[i], &fd, &pidfd_id, &start) == 0 &&
                    proc_holds(pids[i], r->output.folder))
                        (void) proc_signal(fd, SIGKILL);
        }
}

/* NOLINTNEXTLINE(misc-no-recursion): run_check() does not come back once the state is KILLING */
void run_kill(SupRun *r) {
        run_answer_freeze(r, -ECANCELED);
        if (r->leader_gone)
                count_leftovers(r);
        if (r->state != SUP_RUN_KILLING)
                sup_run_set_state(r, SUP_RUN_KILLING);
        if (!r->cgroup)
                kill_without_cgroup(r);
        else {
                int e = cgroup_kill(r->cgroup);
                if (e < 0)
                        log_debug("Cannot kill the cgroup %s: %s", r->cgroup, strerror(-e));
                /* The helper may not have joined yet. */
                if (!r->leader_gone && r->has_slot)
                        (void) run_send_signal(r, SIGKILL);
        }
        run_set_timer(r, r->cgroup ? KILL_RETRY_USEC : KILL_RETRY_USEC / 10);
        run_check(r);
}

/* Nobody has told them yet: the stop's signal went to the leader, which may know what to end first.
 * Now that it is gone they are asked as politely as it was, each one that is still of this tree
 * when its pidfd is open. */
static void ask_rest_to_end(SupRun *r) {
        pid_t pids[PIDS_MAX];

        if (r->rest_was_asked || !r->cgroup)
                return; /* a subreaper does it by itself */
        r->rest_was_asked = true;
        unsigned n = tree_pids(r, pids, PIDS_MAX);
        for (unsigned i = 0; i < MIN(n, PIDS_MAX); i++) {
                _cleanup_close_ int fd = -EBADF;
                _cleanup_free_ char *of = NULL;
                uint64_t pidfd_id, start;
                if (proc_open(pids[i], &fd, &pidfd_id, &start) < 0 ||
                    cgroup_find_of_pid(pids[i], &of) < 0 || !str_startswith(of, r->cgroup))
                        continue;
                (void) proc_signal(fd, r->spec->kill_signal);
                (void) proc_signal(fd, SIGCONT);
        }
}

/* 1: something of it lives or may come to life; 0: proven dead; negative: not known, ask again. */
static int tree_lives(SupRun *r) {
        pid_t pid;

        if (!r->cgroup) /* a subreaper that left by itself has left nobody */
                return (r->exit.exit_signal > 0 || r->exit.exit_code < 0) &&
                       proc_holders(r->output.folder, &pid, 1) > 0;
        int e = cgroup_populated(r->cgroup);
        if (e != 0)
                return e;
        /* -EBUSY: somebody was taken in at the last moment, or the kernel is not done with it. */
        return cgroup_remove(r->cgroup);
}

/* ---- the exit ---- */

static bool is_success(const SupRun *r) {
        if (r->exit.stop_was_asked)
                return true;
        if (r->exit.exit_signal == 0 && r->exit.exit_code == 0)
                return true;
        return r->spec && sup_exit_set_matches(&r->spec->success, &r->exit);
}

static void classify(SupRun *r, SupResult result) {
        if (r->exit.result != _SUP_RESULT_INVALID) /* a start timeout: decided before the kill */
                return;
        switch (result) {
        case SUP_RESULT_EXIT_CODE:
        case SUP_RESULT_SIGNAL:
        case SUP_RESULT_CORE_DUMP:
        case SUP_RESULT_SUCCESS:
                r->exit.result = is_success(r) ? SUP_RESULT_SUCCESS : result;
                break;
        case SUP_RESULT_LOST:
        case SUP_RESULT_UNKNOWN:
        case SUP_RESULT_EXEC:
                r->exit.result = r->exit.stop_was_asked ? SUP_RESULT_SUCCESS : result;
                break;
        case SUP_RESULT_TIMEOUT:
        case _SUP_RESULT_MAX:
        case _SUP_RESULT_INVALID:
                r->exit.result = result;
                break;
        }
}

static void describe(SupRun *r, const char *reason) {
        char name[SIGNAL_NAME_SIZE];

        if (r->exit.reason[0])
                return;
        if (reason)
                append_reason(r, "%s", reason);
        else if (r->exit.exit_signal > 0)
                append_reason(r, "killed by %s", signal_to_string(r->exit.exit_signal, name));
        else if (r->exit.exit_code > 0)
                append_reason(r, "exit status %d", r->exit.exit_code);
}

void run_leader_gone(SupRun *r, SupResult result, int code, int signo, bool core, const char *reason) {
        assert(!r->leader_gone);
        r->leader_gone = true;
        r->tries = 0;
        r->exit.exit_code = code;
        r->exit.exit_signal = signo;
        classify(r, core ? SUP_RESULT_CORE_DUMP : result);
        describe(r, reason);
        run_answer_freeze(r, -ECANCELED);
        run_check(r);
}

void run_leader_gone_status(
        SupRun *r, bool known, int wait_status, SupResult otherwise, const char *reason) {
        if (!known)
                run_leader_gone(r, otherwise, -1, 0, false, reason);
        else if (WIFSIGNALED(wait_status))
                run_leader_gone(r, SUP_RESULT_SIGNAL, -1, WTERMSIG(wait_status),
                                WCOREDUMP(wait_status), NULL);
        else
                run_leader_gone(r, SUP_RESULT_EXIT_CODE, WEXITSTATUS(wait_status), 0, false, NULL);
}

void run_fail(SupRun *r, SupResult result, const char *format, ...) {
        va_list ap;

        if (r->exit.reason[0] == '\0') {
                va_start(ap, format);
                (void) vsnprintf(r->exit.reason, sizeof(r->exit.reason), format, ap);
                va_end(ap);
        }
        run_leader_gone(r, result, -1, 0, false, NULL);
}

/* ---- the end ---- */

static void finish(SupRun *r) {
        if (r->exit.time == 0) /* the keeper did not see it */
                r->exit.time = clock_realtime();
        sup_run_set_state(r, SUP_RUN_ENDED);
        r->cgroup_source = sd_event_source_disable_unref(r->cgroup_source);
        r->pidfd = fd_close(r->pidfd);
        r->ended_due = true;
        manager_notice(r);
}

/* With a keeper its splice moves the last bytes; without one for this run we do it. */
static bool output_settled(SupRun *r) {
        if (r->held_error != 0 || output_left(&r->output) == 0)
                return true;
        if (!r->has_slot) {
                (void) run_output_waits(r);
                return true;
        }
        return r->tries >= DRAIN_TRIES_MAX || (!r->manager->link.ready && r->manager->quitting);
}

/* NOLINTNEXTLINE(misc-no-recursion): as run_kill() */
void run_check(SupRun *r) {
        if (!r->leader_gone || r->state == SUP_RUN_ENDED)
                return;
        int lives = r->state == SUP_RUN_QUEUED ? 0 : tree_lives(r);
        if (lives > 0 && r->state == SUP_RUN_STOPPING) {
                ask_rest_to_end(r); /* has until the timeout */
                return;
        }
        if (lives > 0 && r->state != SUP_RUN_KILLING) {
                run_kill(r);
                return;
        }
        if (lives > 0)
                return; /* killed: the notice or the timer comes */
        if (lives < 0 && r->state != SUP_RUN_KILLING && r->state != SUP_RUN_QUEUED) {
                run_kill(r);
                return;
        }
        if (lives < 0 || !output_settled(r)) {
                r->tries++;
                run_set_timer(r, CHECK_RETRY_USEC);
                return;
        }
        finish(r);
}
