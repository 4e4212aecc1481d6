/* SPDX-License-Identifier: MIT */

/* Output that no file takes now, because the disk is full, say.
 *
 * While a run lives the keeper holds its output back and we only pass on that it does. A run that
 * ends meanwhile leaves up to a pipe's worth in each FIFO, which dies with the last descriptor. Its
 * end is not to wait for a disk: a stop must be a stop, and the next run may begin. So a run that
 * its owner has released lingers: ended, with its FIFOs open and its slot in the keeper, until the
 * bytes are in its files. The keeper moves them; if that one dies, we do, once a second.
 *
 * After our own death the keeper's slot names the run to the next daemon, which expects no such run
 * and ends it as every other stray: by the same way, so it lingers again.
 *
 * A slot is worth more than old output: when the table is full and a run waits for its start, the
 * run that has lingered longest is given up. Rejected: copying the bytes elsewhere (where? the
 * runtime folder may be memory, and they would be in a process meanwhile), and a table of its own
 * for lingering runs (the bound would be one more number to choose). */

#include "base/log.h"
#include "sup/sup-internal.h"

#define RETRY_USEC USEC_PER_SEC
/* For what is left without being held back: somebody of the tree outlived it and writes. */
#define UNHELD_TRIES_MAX 10U

static bool may_pass(int error) {
        return error == ENOSPC || error == EDQUOT || error == EIO || error == EROFS ||
               error == ENOMEM || error == EMFILE || error == ENFILE;
}

static void set_held(SupRun *r, int error, usec_t since) {
        SupManager *m = r->manager;

        m->n_held += (error != 0) - (r->held_error != 0);
        if (error != 0 && r->held_error == 0)
                r->held_since = since;
        r->held_error = error;
}

void run_held_done(SupRun *r) {
        set_held(r, 0, 0);
        if (r->lingers)
                r->manager->n_lingering--;
        r->lingers = false;
}

int sup_run_held(const SupRun *r, usec_t *ret_since) {
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        if (r->held_error != 0)
                *ret_since = r->held_since;
        return r->held_error;
}

unsigned sup_manager_n_held(const SupManager *m) {
        return m->n_held;
}

void run_on_output(SupRun *r, int error, usec_t since) {
        SupManager *m = r->manager;
        bool was_held = r->held_error != 0;

        set_held(r, error, since);
        if (was_held != (error != 0) && !r->stray && !r->lingers && m->ops.output)
                m->ops.output(r, error, r->held_since, m->userdata);
        if (r->lingers)
                run_linger_check(r);
        else if (r->leader_gone)
                run_check(r);
}

/* ---- behind the end ---- */

bool run_output_waits(SupRun *r) {
        if (r->has_slot)
                return r->held_error != 0 || output_left(&r->output) > 0;
        if (output_left(&r->output) == 0 && r->held_error == 0)
                return false;
        int e = output_drain(&r->output);
        set_held(r, e < 0 && may_pass(-e) ? -e : 0, clock_realtime());
        if (e < 0 && r->held_error == 0)
                log_warning(e, "Run %016llx: %zu bytes of output are lost",
                            (unsigned long long) r->id, output_left(&r->output));
        return r->held_error != 0;
}

void run_linger(SupRun *r) {
        if (!r->lingers)
                r->manager->n_lingering++;
        r->lingers = true;
        r->tries = 0;
        run_set_timer(r, RETRY_USEC);
}

void run_linger_check(SupRun *r) {
        if (!run_output_waits(r) || (r->held_error == 0 && ++r->tries > UNHELD_TRIES_MAX))
                run_forget(r);
        else
                run_set_timer(r, RETRY_USEC);
}

bool manager_forget_lingering(SupManager *m) {
        SupRun *oldest = NULL;
        size_t cursor = 0;
        void *value;

        while (m->n_lingering > 0 && map_next(m->runs, &cursor, NULL, &value)) {
                SupRun *r = OBJ_CAST(SupRun, value, SUP_RUN_MAGIC);
                if (r->lingers && (!oldest || r->id < oldest->id)) /* ids ascend with time */
                        oldest = r;
        }
        if (!oldest)
                return false;
        log_warning(oldest->held_error,
                    "Run %016llx has ended and its place is needed: %zu bytes of its output are lost",
                    (unsigned long long) oldest->id, output_left(&oldest->output));
        run_forget(oldest);
        return true;
}

/* ---- the keeper's part ---- */

void manager_configure_keeper(SupManager *m) {
        KeeperMsg msg = { .type = KEEPER_CONFIGURE, .configure.drop_output = m->drop_output };

        if (m->link.hello)
                (void) link_send(m, &msg, NULL, 0); /* a keeper that is gone will greet again */
}

void sup_manager_set_drop_output(SupManager *m, bool drop) {
        OBJ_CHECK(m, SUP_MANAGER_MAGIC);
        if (m->drop_output == drop)
                return;
        m->drop_output = drop;
        manager_configure_keeper(m);
}
