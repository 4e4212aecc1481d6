/* SPDX-License-Identifier: MIT */

/* The manager: all runs, one timer for all their deadlines, and one place from which the owner is called.
 *
 * The owner's verbs only change state and ask for work; its callbacks come from a deferred event source
 * (or from the reader of the keeper's link). So sup_run_stop() never calls ended() before it has
 * returned, and an owner that stops ten runs in a loop does not find its own list changed under it.
 *
 * Deadlines lie in one heap behind one timer source: ten thousand runs that wait for nothing cost nothing.
 *
 * max_runs: a run costs the keeper about seven descriptors and us three; with RLIMIT_NOFILE as the
 * only figure that is known here an eighth of it is what both can hold. The keeper says in HELLO what it can. */

#include <stdio.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "sup/sup-internal.h"

#define START_PARALLEL_DEFAULT 16U
#define FDS_RESERVED           256U
#define FDS_PER_RUN            8U

/* ---- timers ---- */

static int rearm(SupManager *m) {
        HeapItem *first = heap_peek(&m->timers);
        if (!first)
                return sd_event_source_set_enabled(m->timer_source, SD_EVENT_OFF);
        int r = sd_event_source_set_time(m->timer_source, first->deadline);
        return r < 0 ? r : sd_event_source_set_enabled(m->timer_source, SD_EVENT_ONESHOT);
}

int manager_set_timer(SupManager *m, HeapItem *item, usec_t deadline) {
        int r = heap_set(&m->timers, item, deadline);
        return r < 0 ? r : rearm(m);
}

void manager_clear_timer(SupManager *m, HeapItem *item) {
        if (item->index == 0)
                return;
        heap_remove(&m->timers, item);
        (void) rearm(m);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        SupManager *m = OBJ_CAST(SupManager, userdata, SUP_MANAGER_MAGIC);
        usec_t now = clock_monotonic();

        for (HeapItem *item; (item = heap_peek(&m->timers)) && item->deadline <= now;) {
                heap_remove(&m->timers, item);
                run_on_timer(container_of(item, SupRun, timer));
        }
        return rearm(m);
}

/* ---- work: callbacks and starts ---- */

void manager_wake(SupManager *m) {
        (void) sd_event_source_set_enabled(m->work_source, SD_EVENT_ONESHOT);
}

void manager_notice(SupRun *r) {
        if (!list_is_linked(&r->notice))
                list_append(&r->manager->notices, &r->notice);
        manager_wake(r->manager);
}

static void tell_owner(SupManager *m, SupRun *r) {
        if (r->stray) {
                if (r->ended_due)
                        run_release(r);
                return;
        }
        if (r->freeze_answered) {
                r->freeze_answered = false;
                bool also_ended = r->ended_due;
                r->freeze_done(r, r->freeze_error, r->freeze_userdata);
                if (!also_ended)
                        return; /* r may be in any state now; what came up is a notice of its own */
        }
        if (r->ended_due) {
                r->ended_due = false;
                m->ops.ended(r, &r->exit, m->userdata);
        }
}

static unsigned runs_limit(const SupManager *m) {
        unsigned limit = m->max_runs;
        return m->link.max_runs > 0 ? MIN(limit, m->link.max_runs) : limit;
}

static void launch_some(SupManager *m) {
        while (m->link.ready && !list_is_empty(&m->queue) && m->n_spawning < m->start_parallel &&
               (m->n_begun < runs_limit(m) || manager_forget_lingering(m)))
                run_launch(LIST_ENTRY(m->queue.next, SupRun, queue));
}

static int on_work(sd_event_source *source, void *userdata) {
        SupManager *m = OBJ_CAST(SupManager, userdata, SUP_MANAGER_MAGIC);

        /* What comes up meanwhile is done in the next turn, so that the loop gets to everybody. */
        ListLink now = LIST_INIT(now);
        while (!list_is_empty(&m->notices)) {
                ListLink *l = m->notices.next;
                list_remove(l);
                list_append(&now, l);
        }
        while (!list_is_empty(&now)) {
                ListLink *l = now.next;
                list_remove(l);
                tell_owner(m, LIST_ENTRY(l, SupRun, notice));
        }
        launch_some(m);
        return 0;
}

/* ---- object ---- */

static unsigned default_max_runs(void) {
        struct rlimit limit;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
                return 4096;
        rlim_t spare = limit.rlim_cur > FDS_RESERVED ? limit.rlim_cur - FDS_RESERVED : 0;
        return (unsigned) MAX((rlim_t) 1, MIN(spare / FDS_PER_RUN, (rlim_t) 65536));
}

static unsigned start_parallel_or_default(unsigned n) {
        return n > 0 ? n : START_PARALLEL_DEFAULT;
}

void sup_manager_set_start_parallel(SupManager *m, unsigned n) {
        OBJ_CHECK(m, SUP_MANAGER_MAGIC);
        m->start_parallel = start_parallel_or_default(n);
        manager_wake(m);
}

static int copy_config(SupManager *m, const SupConfig *config) {
        int r = path_absolute(config->runtime_dir, &m->runtime_dir);
        if (r >= 0)
                r = path_absolute(config->log_dir, &m->log_dir);
        if (r < 0)
                return r;
        if (config->keeper_path && !(m->keeper_path = strdup(config->keeper_path)))
                return -ENOMEM;
        if (config->exec_path && !(m->exec_path = strdup(config->exec_path)))
                return -ENOMEM;
        if (config->daemon_argv && !(m->daemon_argv = strv_copy(config->daemon_argv)))
                return -ENOMEM;
        if (config->n_listen_fds > 0) {
                m->listen_fds = calloc(config->n_listen_fds, sizeof(int));
                if (!m->listen_fds)
                        return -ENOMEM;
                memcpy(m->listen_fds, config->listen_fds, config->n_listen_fds * sizeof(int));
                m->n_listen_fds = config->n_listen_fds;
        }
        m->start_parallel = start_parallel_or_default(config->start_parallel);
        m->drop_output = config->drop_output;
        m->max_runs = config->max_runs > 0 ? config->max_runs : default_max_runs();
        return 0;
}

/* Links in the path would make the names in /proc/PID/fd different from ours. */
static int make_runtime(SupManager *m) {
        _cleanup_free_ char *runs = path_join(m->runtime_dir, "runs");
        if (!runs)
                return -ENOMEM;
        int r = fs_mkdir_p(runs, 0700);
        if (r < 0)
                return r;
        char *real = realpath(m->runtime_dir, NULL);
        if (!real)
                return errno_neg();
        free(m->runtime_dir);
        m->runtime_dir = real;
        return fs_mkdir_p(m->log_dir, 0700);
}

static int open_cgroups(SupManager *m, const char *root) {
        const char *why = "";

        if (root && (root[0] == '\0' || streq(root, "none")))
                return 0;
        int r = cgroups_open(&m->cgroups, root && !streq(root, "auto") ? root : NULL,
                             m->runtime_dir, &why);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                log_debug("No cgroups: %s", why);
        return 0;
}

static int add_sources(SupManager *m) {
        int r = sd_event_add_time(m->event, &m->timer_source, CLOCK_MONOTONIC, 0, 1, on_timer, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer_source, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(m->event, &m->work_source, on_work, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->work_source, SD_EVENT_OFF);
        return r;
}

int sup_manager_new(SupManager **ret,
                    sd_event *event,
                    const SupConfig *config,
                    const SupOps *ops,
                    void *userdata) {
        _cleanup_(sup_manager_freep) SupManager *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        m->magic = SUP_MANAGER_MAGIC;
        m->event = sd_event_ref(event);
        m->ops = *ops;
        m->userdata = userdata;
        m->link.fd = m->link.child_pidfd = -EBADF;
        list_init(&m->queue);
        list_init(&m->notices);
        list_init(&m->link.out);
        m->runs = map_new();
        m->by_cgroup = map_new();
        if (!m->runs || !m->by_cgroup)
                return -ENOMEM;
        int r = copy_config(m, config);
        if (r >= 0)
                r = make_runtime(m);
        if (r >= 0)
                r = proc_boot_id(m->boot_id);
        if (r >= 0)
                r = open_cgroups(m, config->cgroup_root);
        if (r >= 0)
                r = add_sources(m);
        if (r >= 0)
                r = link_init(m);
        if (r >= 0)
                r = link_open(m, config->keeper_fd);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

SupManager *sup_manager_free(SupManager *m) {
        size_t cursor = 0;
        uint64_t id;
        void *run;

        if (!m)
                return NULL;
        link_done(m);
        while (m->runs && map_next(m->runs, &cursor, &id, &run)) {
                (void) map_remove(m->runs, id);
                run_free(run);
                cursor = 0;
        }
        sd_event_source_disable_unref(m->timer_source);
        sd_event_source_disable_unref(m->work_source);
        heap_done(&m->timers);
        map_free(m->runs);
        map_free(m->by_cgroup);
        cgroups_free(m->cgroups);
        free(m->runtime_dir);
        free(m->log_dir);
        free(m->keeper_path);
        free(m->exec_path);
        strv_free(m->daemon_argv);
        free(m->listen_fds);
        sd_event_unref(m->event);
        m->magic = 0;
        free(m);
        return NULL;
}

pid_t sup_manager_keeper_pid(const SupManager *m) {
        return m->link.hello ? m->link.pid : 0;
}

unsigned sup_manager_n_alive(const SupManager *m) {
        return m->n_alive;
}

bool sup_manager_has_cgroups(const SupManager *m) {
        return m->cgroups != NULL;
}

int sup_manager_quit(SupManager *m, bool keep) {
        KeeperMsg msg = { .type = KEEPER_QUIT, .quit.keep_runs = keep };

        m->quitting = true;
        int r = link_send(m, &msg, NULL, 0);
        return r < 0 ? r : link_flush(m, USEC_PER_SEC);
}

int sup_manager_notify(SupManager *m, KeeperNotify what) {
        KeeperMsg msg = { .type = KEEPER_NOTIFY, .notify.what = what };

        return link_send(m, &msg, NULL, 0);
}

/* ---- who does a cgroup belong to ---- */

/* 1: found; 0: in none of them; negative: one could not be looked into. */
static int find_by_walk(SupManager *m, uint64_t cgroup, SupRun **ret) {
        size_t cursor = 0;
        int failed = 0;
        void *value;

        while (map_next(m->runs, &cursor, NULL, &value)) {
                SupRun *r = OBJ_CAST(SupRun, value, SUP_RUN_MAGIC);
                int found = r->cgroup ? cgroup_contains(r->cgroup, cgroup) : 0;
                if (found > 0) {
                        *ret = r;
                        return 1;
                }
                failed = MIN(failed, found);
        }
        return failed;
}

/* Agents with the right to do so make cgroups of their own below theirs. When there are no more
 * folders than runs nobody did, and the walk is spared. */
static int find_below_runs(SupManager *m, uint64_t cgroup, SupRun **ret) {
        unsigned n;
        int r = cgroups_count(m->cgroups, &n);

        if (r < 0 || n <= map_size(m->by_cgroup))
                return r;
        return find_by_walk(m, cgroup, ret);
}

/* Every request asks, and most come from no agent: counting folders each time was a third of what a
 * read costs. The kernel neither moves a cgroup nor gives its id to another, so one that is in none
 * of the runs' stays so until a run is added. What could not be found out is not remembered. */
uint64_t sup_manager_run_of_cgroup(SupManager *m, uint64_t cgroup_id) {
        uint64_t *foreign = &m->foreign_cgroups[cgroup_id % ELEMENTSOF(m->foreign_cgroups)];

        if (!m->cgroups || cgroup_id == 0)
                return 0;
        SupRun *r = map_get(m->by_cgroup, cgroup_id);
        if (!r && *foreign != cgroup_id && find_below_runs(m, cgroup_id, &r) == 0)
                *foreign = cgroup_id;
        return r ? r->id : 0;
}

int manager_add_cgroup(SupManager *m, uint64_t cgroup_id, SupRun *run) {
        memset(m->foreign_cgroups, 0, sizeof(m->foreign_cgroups));
        return map_put(m->by_cgroup, cgroup_id, run);
}
