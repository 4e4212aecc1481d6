/* SPDX-License-Identifier: MIT */

/* A run's life: one table of transitions, one function that writes the state.
 *
 * The table is a matrix of bits, tested pair by pair; a transition that is not in it is a bug of
 * this room and stops the process rather than leaving a run that is dead and frozen (a class of bug
 * that even systemd has had).
 *
 * Two facts are kept beside the state and not in it, because they cross it: whether a stop was
 * asked for (exit.stop_was_asked) and whether the leader is gone while its tree still lives
 * (leader_gone). Making states of them would double the table for nothing: every question that
 * depends on them is asked in run-end.c.
 *
 * Freezing is asked for by a write and confirmed by cgroup.events, merged with every other change;
 * so the state FROZEN is only entered on the confirmed value, and a run that ends, is stopped or
 * thawed meanwhile answers the waiting caller with -ECANCELED. */

#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "sup/sup-internal.h"

#define FREEZE_TIMEOUT_USEC (10 * USEC_PER_SEC)

#define TO(s) (1U << SUP_RUN_##s)

static const unsigned transitions[_SUP_RUN_STATE_MAX] = {
        [SUP_RUN_QUEUED] = TO(SPAWNING) | TO(KILLING) | TO(ENDED),
        [SUP_RUN_SPAWNING] = TO(ALIVE) | TO(STOPPING) | TO(KILLING) | TO(ENDED),
        [SUP_RUN_ALIVE] = TO(FROZEN) | TO(STOPPING) | TO(KILLING) | TO(ENDED),
        [SUP_RUN_FROZEN] = TO(ALIVE) | TO(STOPPING) | TO(KILLING) | TO(ENDED),
        [SUP_RUN_STOPPING] = TO(KILLING) | TO(ENDED),
        [SUP_RUN_KILLING] = TO(ENDED),
        [SUP_RUN_ENDED] = 0,
};

bool sup_run_may_become(SupRunState from, SupRunState to) {
        assert(from >= 0 && from < _SUP_RUN_STATE_MAX && to >= 0 && to < _SUP_RUN_STATE_MAX);
        return (transitions[from] & (1U << to)) != 0;
}

static bool counts_as_alive(SupRunState s) {
        return s != SUP_RUN_QUEUED && s != SUP_RUN_ENDED;
}

void sup_run_set_state(SupRun *r, SupRunState state) {
        SupManager *m = r->manager;

        assert(sup_run_may_become(r->state, state));
        log_debug("Run %016llx: %s → %s", (unsigned long long) r->id,
                  sup_run_state_to_string(r->state), sup_run_state_to_string(state));
        m->n_spawning += (state == SUP_RUN_SPAWNING) - (r->state == SUP_RUN_SPAWNING);
        m->n_alive += counts_as_alive(state) - counts_as_alive(r->state);
        if (!r->begun && counts_as_alive(state)) {
                r->begun = true;
                m->n_begun++;
        }
        if (r->state == SUP_RUN_SPAWNING)
                manager_wake(m); /* room for the next in the queue */
        r->state = state;
        run_clear_timer(r);
}

const char *sup_run_state_to_string(SupRunState s) {
        static const char *const names[_SUP_RUN_STATE_MAX] = {
                [SUP_RUN_QUEUED] = "queued",     [SUP_RUN_SPAWNING] = "spawning",
                [SUP_RUN_ALIVE] = "alive",       [SUP_RUN_FROZEN] = "frozen",
                [SUP_RUN_STOPPING] = "stopping", [SUP_RUN_KILLING] = "killing",
                [SUP_RUN_ENDED] = "ended",
        };
        assert(s >= 0 && s < _SUP_RUN_STATE_MAX);
        return names[s];
}

/* ---- timers ---- */

void run_set_timer(SupRun *r, usec_t delay) {
        if (delay == USEC_INFINITY) {
                run_clear_timer(r);
                return;
        }
        /* Without memory for the heap a deadline is lost, not the run: everything that ends it is an event. */
        (void) manager_set_timer(r->manager, &r->timer, clock_monotonic() + delay);
}

void run_clear_timer(SupRun *r) {
        manager_clear_timer(r->manager, &r->timer);
}

static void on_start_timeout(SupRun *r) {
        char span[64];
        r->exit.result = SUP_RESULT_TIMEOUT;
        (void) snprintf(r->exit.reason, sizeof(r->exit.reason), "did not start within %s",
                        clock_format_span(r->spec->timeout_start_usec, span, sizeof(span)));
        run_kill(r);
}

static void on_stop_timeout(SupRun *r) {
        char span[64];
        r->exit.killed_after_timeout = true;
        if (!r->leader_gone)
                (void) snprintf(r->exit.reason, sizeof(r->exit.reason),
                                "did not stop within %s and was killed",
                                clock_format_span(r->spec->timeout_stop_usec, span, sizeof(span)));
        run_kill(r);
}

static void on_freeze_timeout(SupRun *r) {
        (void) cgroup_freeze(r->cgroup, false);
        run_answer_freeze(r, -ETIMEDOUT);
}

void run_on_timer(SupRun *r) {
        if (r->lingers) {
                run_linger_check(r);
                return;
        }
        if (r->leader_gone && r->tries > 0 && r->state != SUP_RUN_KILLING) {
                run_check(r);
                return;
        }
        switch (r->state) {
        case SUP_RUN_SPAWNING:
                on_start_timeout(r);
                break;
        case SUP_RUN_ALIVE:
                if (r->freeze_pending)
                        on_freeze_timeout(r);
                break;
        case SUP_RUN_STOPPING:
                on_stop_timeout(r);
                break;
        case SUP_RUN_KILLING:
                run_kill(r);
                break;
        case SUP_RUN_FROZEN:
        case SUP_RUN_QUEUED:
        case SUP_RUN_ENDED:
        case _SUP_RUN_STATE_MAX:
        case _SUP_RUN_STATE_INVALID:
                break;
        }
}

/* ---- cgroup ---- */

static void on_frozen(SupRun *r) {
        if (!r->freeze_pending || r->state != SUP_RUN_ALIVE || cgroup_frozen(r->cgroup) <= 0)
                return;
        sup_run_set_state(r, SUP_RUN_FROZEN);
        run_answer_freeze(r, 0);
}

static int on_cgroup_event(sd_event_source *source, const struct inotify_event *e, void *userdata) {
        SupRun *r = OBJ_CAST(SupRun, userdata, SUP_RUN_MAGIC);
        on_frozen(r);
        run_check(r);
        return 0;
}

int run_attach_cgroup(SupRun *r) {
        SupManager *m = r->manager;

        int e = cgroup_id(r->cgroup, &r->identity.cgroup_id);
        if (e >= 0)
                e = manager_add_cgroup(m, r->identity.cgroup_id, r);
        if (e >= 0)
                e = cgroup_watch(r->cgroup, m->event, &r->cgroup_source, on_cgroup_event, r);
        return e < 0 ? e : 0;
}

/* ---- identity and signals ---- */

void run_open_pidfd(SupRun *r) {
        if (r->pidfd < 0 && !r->leader_gone)
                (void) proc_open_identity(&r->identity, r->manager->boot_id, &r->pidfd);
}

int run_send_signal(SupRun *r, int signo) {
        if (r->pidfd >= 0)
                return proc_signal(r->pidfd, signo);
        return link_send_signal(r->manager, r->id, signo);
}

int sup_run_signal(SupRun *r, int signo) {
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        if (r->leader_gone || r->identity.pid <= 0 || !counts_as_alive(r->state))
                return -ESRCH;
        return run_send_signal(r, signo);
}

/* ---- what the keeper reports ---- */

static void confirm(SupRun *r) {
        if (r->confirmed || r->stray)
                return;
        r->confirmed = true;
        r->manager->ops.started(r, &r->identity, r->manager->userdata);
}

void run_enter_alive(SupRun *r) {
        if (r->state == SUP_RUN_SPAWNING)
                sup_run_set_state(r, SUP_RUN_ALIVE);
}

void run_take_identity(SupRun *r, const KeeperSlot *slot) {
        r->identity.pid = slot->pid;
        r->identity.pidfd_id = slot->pidfd_id;
        r->identity.start_time = slot->start_time;
        memcpy(r->identity.boot_id, r->manager->boot_id, sizeof(r->identity.boot_id));
}

void run_on_started(SupRun *r, const KeeperSlot *slot) {
        if (r->state == SUP_RUN_QUEUED || r->state == SUP_RUN_ENDED || r->leader_gone)
                return;
        run_take_identity(r, slot);
        run_open_pidfd(r);
        run_enter_alive(r);
        /* A kill that came before the helper had joined its cgroup has missed it. */
        if (r->state == SUP_RUN_KILLING)
                run_kill(r);
        confirm(r);
}

void run_on_exited(SupRun *r, const KeeperSlot *slot) {
        bool known = slot->exit_source != KEEPER_EXIT_UNKNOWN;
        int status;

        if (r->state == SUP_RUN_QUEUED || r->state == SUP_RUN_ENDED || r->leader_gone)
                return;
        if (r->identity.pid <= 0)
                run_take_identity(r, slot);
        confirm(r);
        r->exit.time = slot->time_usec;
        if (known) {
                SupResult result = slot->core_dumped       ? SUP_RESULT_CORE_DUMP
                                   : slot->exit_signal > 0 ? SUP_RESULT_SIGNAL
                                                           : SUP_RESULT_EXIT_CODE;
                run_leader_gone(r, result, slot->exit_signal > 0 ? -1 : slot->exit_code,
                                slot->exit_signal, slot->core_dumped != 0, NULL);
                return;
        }
        known = r->pidfd >= 0 && proc_exit_status(r->pidfd, r->identity.pid, &status) == 0;
        run_leader_gone_status(r, known, known ? status : 0, SUP_RESULT_UNKNOWN,
                               "gone, and nobody saw how");
}

/* ---- verbs ---- */

void run_answer_freeze(SupRun *r, int error) {
        if (!r->freeze_pending)
                return;
        r->freeze_pending = false;
        r->freeze_answered = true;
        r->freeze_error = error;
        if (r->state == SUP_RUN_ALIVE)
                run_clear_timer(r);
        manager_notice(r);
}

void run_begin_stopping(SupRun *r) {
        bool thaw = r->state == SUP_RUN_FROZEN || r->freeze_pending;

        run_answer_freeze(r, -ECANCELED);
        sup_run_set_state(r, SUP_RUN_STOPPING);
        run_set_timer(r, r->spec->timeout_stop_usec);
        if (thaw && r->cgroup)
                (void) cgroup_freeze(r->cgroup, false);
        if (!r->leader_gone) {
                (void) run_send_signal(r, r->spec->kill_signal);
                (void) run_send_signal(r, SIGCONT);
        }
}

static void end_queued(SupRun *r) {
        list_remove(&r->queue);
        r->exit.stop_was_asked = true;
        run_fail(r, SUP_RESULT_SUCCESS, "stopped before it was started");
}

int sup_run_stop(SupRun *r) {
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        switch (r->state) {
        case SUP_RUN_QUEUED:
                end_queued(r);
                break;
        case SUP_RUN_SPAWNING:
        case SUP_RUN_ALIVE:
        case SUP_RUN_FROZEN:
                r->exit.stop_was_asked = true;
                if (!r->unlinked ||
                    r->pidfd >= 0) /* else recovery does it, when it is known what lives */
                        run_begin_stopping(r);
                break;
        case SUP_RUN_STOPPING:
        case SUP_RUN_KILLING:
                r->exit.stop_was_asked = true;
                break;
        case SUP_RUN_ENDED:
        case _SUP_RUN_STATE_MAX:
        case _SUP_RUN_STATE_INVALID:
                break;
        }
        return 0;
}

int sup_run_kill_tree(SupRun *r) {
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        if (r->state == SUP_RUN_QUEUED)
                end_queued(r);
        else if (r->state != SUP_RUN_ENDED)
                run_kill(r);
        return 0;
}

int sup_run_freeze(SupRun *r, void (*done)(SupRun *r, int error, void *userdata), void *userdata) {
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        if (!r->cgroup || !r->manager->cgroups->can_freeze)
                return -EOPNOTSUPP;
        if (r->freeze_pending || r->freeze_answered)
                return -EALREADY;
        if ((r->state != SUP_RUN_ALIVE && r->state != SUP_RUN_FROZEN) || r->leader_gone)
                return -ESRCH;
        r->freeze_done = done;
        r->freeze_userdata = userdata;
        r->freeze_pending = true;
        if (r->state == SUP_RUN_FROZEN) {
                run_answer_freeze(r, 0);
                return 0;
        }
        int e = cgroup_freeze(r->cgroup, true);
        if (e < 0) {
                r->freeze_pending = false;
                return e;
        }
        run_set_timer(r, FREEZE_TIMEOUT_USEC);
        on_frozen(r);
        return 0;
}

int sup_run_thaw(SupRun *r) {
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        if (r->state != SUP_RUN_FROZEN && !r->freeze_pending)
                return r->state == SUP_RUN_ALIVE ? 0 : -ESRCH;
        int e = cgroup_freeze(r->cgroup, false);
        if (e < 0)
                return e;
        run_answer_freeze(r, -ECANCELED);
        if (r->state == SUP_RUN_FROZEN)
                sup_run_set_state(r, SUP_RUN_ALIVE);
        return 0;
}
