/* SPDX-License-Identifier: MIT */

/* The table of runs, and the only functions that change a run's state.
 *
 * A run's slot is also its queue: what the daemon has not been told yet is a flag beside the state,
 * and the message is made from the slot when the socket has room. So no report can be lost, none
 * needs memory, and one that was overtaken by a newer state is never sent stale.
 *
 * Slots are found by a scan up to the highest one in use. A thousand runs are 300 KB in a row, a
 * few microseconds; an index would be one more thing that can be wrong. */

#include "base/log.h"
#include "keeper/keeper-internal.h"

KeeperRun *keeper_run_find(Keeper *k, uint64_t run) {
        for (unsigned i = 0; i < k->high; i++)
                if (k->runs[i].used && k->runs[i].slot.run == run)
                        return &k->runs[i];
        return NULL;
}

KeeperRun *keeper_run_find_pid(Keeper *k, pid_t pid) {
        for (unsigned i = 0; i < k->high; i++) {
                KeeperRun *r = &k->runs[i];

                if (r->used && r->child && r->slot.pid == pid && !keeper_run_has_ended(r))
                        return r;
        }
        return NULL;
}

KeeperRun *keeper_run_of(Keeper *k, KeeperKey key) {
        if (key.index >= k->max_runs)
                return NULL;
        KeeperRun *r = &k->runs[key.index];
        return r->used && (r->generation & KEEPER_GENERATION_MASK) == key.generation ? r : NULL;
}

KeeperKey keeper_run_key(const Keeper *k, const KeeperRun *r, KeeperSource source) {
        return (KeeperKey){
                .source = source,
                .index = (unsigned) (r - k->runs),
                .generation = r->generation,
        };
}

KeeperRun *keeper_run_take(Keeper *k, uint64_t run) {
        for (unsigned i = 0; i < k->max_runs; i++) {
                KeeperRun *r = &k->runs[i];

                if (r->used)
                        continue;
                *r = (KeeperRun){
                        .slot = { .run = run, .state = KEEPER_RUN_SPAWNING, .exit_code = -1 },
                        .used = true,
                        .generation = r->generation,
                        .pidfd = -EBADF,
                        .status_fd = -EBADF,
                        .index_fd = -EBADF,
                        .out = { { .fifo = -EBADF, .log = -EBADF },
                                 { .fifo = -EBADF, .log = -EBADF } },
                };
                r->slot.time_usec = clock_realtime();
                k->n_used++;
                k->high = MAX(k->high, i + 1);
                return r;
        }
        return NULL;
}

void keeper_run_free(Keeper *k, KeeperRun *r) {
        keeper_output_close(k, r);
        if (r->leader_watched)
                keeper_unwatch(k->epoll, r->pidfd);
        r->pidfd = fd_close(r->pidfd);
        r->status_fd = fd_close(r->status_fd);
        keeper_run_pend(k, r, &r->pend_slot, false);
        keeper_run_pend(k, r, &r->pend_started, false);
        keeper_run_pend(k, r, &r->pend_output, false);
        keeper_run_pend(k, r, &r->pend_end, false);
        r->used = false;
        r->generation++;
        k->n_used--;
        while (k->high > 0 && !k->runs[k->high - 1].used)
                k->high--;
}

bool keeper_run_has_ended(const KeeperRun *r) {
        return r->slot.state == KEEPER_RUN_EXITED || r->slot.state == KEEPER_RUN_FAILED;
}

bool keeper_any_run_lives(const Keeper *k) {
        for (unsigned i = 0; i < k->high; i++)
                if (k->runs[i].used && !keeper_run_has_ended(&k->runs[i]))
                        return true;
        return false;
}

static bool is_pending(const KeeperRun *r) {
        return r->pend_slot || r->pend_started || r->pend_output || r->pend_end;
}

void keeper_run_pend(Keeper *k, KeeperRun *r, bool *flag, bool value) {
        bool before = is_pending(r);

        *flag = value;
        if (before != is_pending(r))
                k->n_pending += before ? -1U : 1U;
}

static void set_state(KeeperRun *r, KeeperRunState state) {
        static const bool allowed[4][4] = {
                [KEEPER_RUN_SPAWNING] = { [KEEPER_RUN_ALIVE] = true,
                                          [KEEPER_RUN_EXITED] = true,
                                          [KEEPER_RUN_FAILED] = true },
                [KEEPER_RUN_ALIVE] = { [KEEPER_RUN_EXITED] = true },
        };

        assert(r->slot.state < 4 && allowed[r->slot.state][state]);
        r->slot.state = state;
}

void keeper_run_started(Keeper *k, KeeperRun *r) {
        set_state(r, KEEPER_RUN_ALIVE);
        keeper_run_pend(k, r, &r->pend_started, true);
}

void keeper_run_failed(Keeper *k, KeeperRun *r, uint32_t step, int error) {
        set_state(r, KEEPER_RUN_FAILED);
        r->fail_step = step;
        r->fail_error = error;
        r->ended_usec = clock_realtime();
        keeper_run_pend(k, r, &r->pend_end, true);
}

void keeper_run_exited(Keeper *k, KeeperRun *r, int code, int signo, bool core, KeeperExitSource source) {
        /* What the leader wrote shall be in its files when the daemon hears that it is gone. */
        keeper_output_drain(k, r);
        if (r->leader_watched)
                keeper_unwatch(k->epoll, r->pidfd);
        r->leader_watched = false;
        set_state(r, KEEPER_RUN_EXITED);
        r->slot.exit_code = code;
        r->slot.exit_signal = signo;
        r->slot.core_dumped = core;
        r->slot.exit_source = source;
        r->ended_usec = clock_realtime();
        keeper_run_pend(k, r, &r->pend_end, true);
        log_debug("run %016lx: process %d is gone, status %d, signal %d",
                  (unsigned long) r->slot.run, (int) r->slot.pid, code, signo);
}
