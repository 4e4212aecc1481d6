/* SPDX-License-Identifier: MIT */

/* The daemon's leaving, as far as runs are concerned. Agents outlive the daemon by default: the
 * keeper goes on with them and the next daemon adopts them. Those whose unit says otherwise are
 * ended, and so is every one when nothing can outlive us (PID 1, a service manager), and what is
 * still queued, because nobody would begin it.
 *
 * Their ends are no ends in the policy's sense: the next daemon goes on with them. The shutdown is
 * complete when all these ends are on disk, not when the processes are gone. */

#include "daemon/agents-internal.h"

void agents_shutdown_check(Agents *a) {
        size_t cursor = 0;
        void *value;

        if (!a->shutdown_done)
                return;
        while (map_next(a->units, &cursor, NULL, &value))
                if (((AgentUnit *) value)->must_end)
                        return;
        void (*done)(unsigned, void *) = TAKE_PTR(a->shutdown_done);
        done(sup_manager_n_alive(a->sup), a->shutdown_userdata);
}

/* ended() comes later, from the loop. */
void agents_end_for_shutdown(AgentUnit *u) {
        u->must_end = true;
        (void) sup_run_stop(u->sup);
}

/* Nobody would begin what is still queued. */
static bool unit_may_outlive_us(const AgentUnit *u) {
        bool stops = u->agents->keep_means_stop || (u->spec && u->spec->stop_with_daemon);
        return !stops && sup_run_state(u->sup) != SUP_RUN_QUEUED;
}

void agents_shutdown(Agents *a, void (*done)(unsigned kept, void *userdata), void *userdata) {
        size_t cursor = 0;
        void *value;

        a->shutting_down = true;
        a->shutdown_done = done;
        a->shutdown_userdata = userdata;
        while (map_next(a->units, &cursor, NULL, &value)) {
                AgentUnit *u = value;
                if (u->sup && !unit_may_outlive_us(u))
                        agents_end_for_shutdown(u);
        }
        agents_shutdown_check(a);
}
