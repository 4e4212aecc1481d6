/* SPDX-License-Identifier: MIT */

/* The daemon's leave-taking: a shutdown-checkpoint of each running session, some hundreds at a time
 * (the store's queue has a bound and memory too), and from the first moment on nothing else is
 * taken in but what becomes of runs. A checkpoint that fails does not keep the daemon from leaving;
 * the first error is reported at the end. */

#include "session/session-internal.h"

#define WAVE 500

typedef struct Shutdown {
        SessionManager *manager;
        uint64_t last; /* id of the last session asked */
        size_t pending;
        int error;
        void (*done)(int r, void *userdata);
        void *userdata;
} Shutdown;

static void wave(Shutdown *sd);

static void on_saved(int r, Session *s, uint64_t id, void *userdata) {
        Shutdown *sd = userdata;

        (void) s;
        (void) id;
        if (r != 0 && sd->error == 0)
                sd->error = r < 0 ? r : -EIO;
        if (--sd->pending == 0)
                wave(sd);
}

static void on_all_saved(int r, Session *s, uint64_t id, void *userdata) {
        Shutdown *sd = userdata;

        (void) s;
        (void) id;
        if (sd->done)
                sd->done(sd->error ? sd->error : r, sd->userdata);
        free(sd);
}

/* pending counts one for the wave itself, so that it cannot end while it is being made. */
static void wave(Shutdown *sd) {
        SessionManager *m = sd->manager;
        Session *s;

        sd->pending = 1;
        while (sd->pending <= WAVE && (s = session_next(m, sd->last))) {
                sd->last = s->info.id;
                if (s->info.status != SESSION_RUNNING)
                        continue;
                sd->pending++;
                int r = session_checkpoint_shutdown(s, on_saved, sd);
                if (r == 0)
                        continue;
                sd->pending--;
                sd->error = sd->error ? sd->error : r < 0 ? r : -EIO;
        }
        if (sd->pending > 1) {
                sd->pending--;
                return;
        }
        int r = session_txn_barrier(m, NULL, 0, on_all_saved, sd);
        if (r < 0)
                on_all_saved(r, NULL, 0, sd);
}

int session_manager_shutdown(SessionManager *m, void (*done)(int r, void *userdata), void *userdata) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        if (m->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;

        Shutdown *sd = calloc(1, sizeof(Shutdown));
        if (!sd)
                return -ENOMEM;
        *sd = (Shutdown){ .manager = m, .done = done, .userdata = userdata };
        m->is_shutting_down = true;
        heap_done(&m->heap);
        (void) manager_rearm(m);
        wave(sd);
        return 0;
}
