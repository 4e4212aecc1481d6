/* SPDX-License-Identifier: MIT */

/* Making, finding and forgetting runs.
 *
 * A stray is a run that nobody expects: a keeper's slot or a cgroup left by a daemon that died
 * before it could tell the store, or after the store was put back. It goes through the same killing
 * as every other run, and is then forgotten without a call of the owner. Having it as a SupRun
 * means one way to be sure that a tree is dead, not two. */

#include "base/str.h"
#include "sup/sup-internal.h"

static int init(SupRun *r) {
        SupManager *m = r->manager;

        int e = output_init(&r->output, m, r->session, r->id);
        if (e < 0)
                return e;
        if (m->cgroups && !(r->cgroup = cgroup_run_path(m->cgroups, r->id)))
                return -ENOMEM;
        return map_put(m->runs, r->id, r);
}

static int new_run(SupManager *m, uint64_t id, uint64_t session, SupRun **ret) {
        if (map_get(m->runs, id))
                return -EEXIST;
        SupRun *r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->magic = SUP_RUN_MAGIC;
        r->manager = m;
        r->id = id;
        r->session = session;
        r->pidfd = -EBADF;
        r->output = RUN_OUTPUT_INIT;
        r->exit.exit_code = -1;
        r->exit.result = _SUP_RESULT_INVALID;
        *ret = r;
        return 0;
}

int run_new(SupManager *m, const SupRunParams *params, SupRun **ret) {
        _cleanup_(run_freep) SupRun *r = NULL;

        assert(params->run != 0);
        int e = new_run(m, params->run, params->session, &r);
        if (e < 0)
                return e;
        r->spec = params->spec;
        r->resume = params->resume;
        r->created_at = params->created_at;
        r->userdata = params->userdata;
        if (params->folder && !(r->folder = strdup(params->folder)))
                return -ENOMEM;
        if (params->env && !(r->env = strv_copy(params->env)))
                return -ENOMEM;
        e = init(r);
        if (e < 0)
                return e;
        *ret = TAKE_PTR(r);
        return 0;
}

int run_new_stray(SupManager *m, uint64_t id, SupRun **ret) {
        _cleanup_(run_freep) SupRun *r = NULL;

        int e = new_run(m, id, 0, &r);
        if (e < 0)
                return e;
        r->stray = true;
        e = init(r);
        if (e < 0)
                return e;
        if (r->cgroup)
                (void) run_attach_cgroup(r);
        *ret = TAKE_PTR(r);
        return 0;
}

SupRun *run_free(SupRun *r) {
        if (!r)
                return NULL;
        SupManager *m = r->manager;
        if (map_get(m->runs, r->id) == r)
                (void) map_remove(m->runs, r->id);
        if (r->identity.cgroup_id && map_get(m->by_cgroup, r->identity.cgroup_id) == r)
                (void) map_remove(m->by_cgroup, r->identity.cgroup_id);
        if (r->state == SUP_RUN_SPAWNING)
                m->n_spawning--;
        if (r->state != SUP_RUN_QUEUED && r->state != SUP_RUN_ENDED)
                m->n_alive--;
        if (r->begun)
                m->n_begun--;
        list_remove(&r->queue);
        list_remove(&r->notice);
        run_clear_timer(r);
        run_held_done(r);
        sd_event_source_disable_unref(r->cgroup_source);
        output_done(&r->output);
        fd_close(r->pidfd);
        strv_free(r->env);
        free(r->cgroup);
        free(r->folder);
        r->magic = 0;
        free(r);
        return NULL;
}

void run_release(SupRun *r) {
        assert(r->state == SUP_RUN_ENDED);
        if (run_output_waits(r))
                run_linger(r);
        else
                run_forget(r);
}

void run_forget(SupRun *r) {
        SupManager *m = r->manager;

        if (r->has_slot)
                (void) link_send_run(m, KEEPER_FREE, r->id);
        output_remove(&r->output);
        run_free(r);
        manager_wake(m);
}

void sup_run_release(SupRun *r) {
        if (!r)
                return;
        OBJ_CHECK(r, SUP_RUN_MAGIC);
        /* What the owner lent us goes with it. */
        r->spec = NULL;
        r->userdata = NULL;
        run_release(r);
}

int sup_run_start(SupManager *m, const SupRunParams *params, SupRun **ret) {
        int e = run_new(m, params, ret);
        if (e < 0)
                return e;
        list_append(&m->queue, &(*ret)->queue);
        manager_wake(m);
        return 0;
}

SupRun *sup_run_find(SupManager *m, uint64_t run_id) {
        SupRun *r = run_id ? map_get(m->runs, run_id) : NULL;
        return r && !r->stray ? r : NULL;
}

uint64_t sup_run_id(const SupRun *r) {
        return r->id;
}

SupRunState sup_run_state(const SupRun *r) {
        return r->state;
}

pid_t sup_run_pid(const SupRun *r) {
        return r->leader_gone ? 0 : r->identity.pid;
}

void *sup_run_userdata(const SupRun *r) {
        return r->userdata;
}
