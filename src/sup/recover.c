/* SPDX-License-Identifier: MIT */

/* What became of a run after the daemon's death, the keeper's, or both.
 *
 *   the keeper has a slot      it knows: living, exited with a status, or failed to begin
 *   no slot, leader lives      (both died, or only the keeper) the run is given to the new keeper
 *   no slot, leader is gone    status by the pidfd that we kept, or of a zombie; else LOST; the
 * rest is killed a slot or a cgroup that    killed and forgotten: the store has no such run, so
 * nobody nobody expects             would ever be told of it
 *
 * A leader is recognised by its recorded identity (identity.c). If only one of pidfd inode and
 * start time was recorded, the process must be in the run's cgroup as well. What does not match is
 * never adopted and never signalled; what is killed is the run's own cgroup, whose name no other
 * run will ever have.
 *
 * A run whose start was under way when the keeper died has left a note of who its leader is
 * (EXEC_NOTE_NAME). If that process is of this run and has become the agent it is adopted; else it
 * is ended, with proof, and the restart policy decides. */

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "exec/job.h"
#include "sup/sup-internal.h"

#define NOTE_SIZE 64U

/* ---- the cgroup of a run that is not from this daemon ---- */

static bool path_exists(const char *path) {
        return access(path, F_OK) == 0;
}

/* The daemon may have been started elsewhere in the tree than the one before it. */
static void find_moved_cgroup(SupRun *r) {
        _cleanup_free_ char *path = NULL;

        if (r->identity.pid > 0 && cgroup_find_of_pid(r->identity.pid, &path) >= 0 &&
            cgroup_run_of_path(path) == r->id && cgroup_cut_to_run(path) == 0) {
                free(r->cgroup);
                r->cgroup = TAKE_PTR(path);
        }
}

static void attach(SupRun *r, bool leader_lives) {
        uint64_t recorded = r->identity.cgroup_id;

        if (r->cgroup_source)
                return;
        if (!r->cgroup || !path_exists(r->cgroup))
                find_moved_cgroup(r);
        if (r->cgroup && !path_exists(r->cgroup) && (recorded == 0 || leader_lives)) {
                free(r->cgroup); /* it was begun without one */
                r->cgroup = NULL;
        }
        if (r->cgroup && path_exists(r->cgroup) && run_attach_cgroup(r) < 0)
                log_debug("Cannot watch the cgroup %s", r->cgroup);
}

/* ---- back to the state that it should have ---- */

static void restore_frozen(SupRun *r) {
        if (!r->cgroup || r->state != SUP_RUN_ALIVE)
                return;
        /* Without asking: a freeze that was under way may not show yet. */
        (void) cgroup_freeze(r->cgroup, r->was_frozen);
        if (r->was_frozen)
                sup_run_set_state(r, SUP_RUN_FROZEN);
}

static void restore(SupRun *r) {
        bool first = r->expected;

        r->expected = false;
        if (r->leader_gone)
                return;
        if (r->state == SUP_RUN_KILLING)
                run_kill(r);
        else if (r->state == SUP_RUN_STOPPING) {
                (void) run_send_signal(r, r->spec->kill_signal);
                (void) run_send_signal(r, SIGCONT);
        } else if (r->exit.stop_was_asked) {
                if (first)
                        restore_frozen(r);
                run_begin_stopping(r);
        } else if (first)
                restore_frozen(r);
}

/* ---- with a slot ---- */

static void recover_stray(SupManager *m, const KeeperSlot *slot) {
        SupRun *r;

        if (run_new_stray(m, slot->run, &r) < 0)
                return;
        log_notice("Run %016llx is nobody's; ending it", (unsigned long long) slot->run);
        r->has_slot = true;
        (void) output_open(&r->output, false);
        sup_run_set_state(r, SUP_RUN_KILLING);
        if (slot->state == KEEPER_RUN_EXITED)
                run_on_exited(r, slot);
        else if (slot->state != KEEPER_RUN_FAILED) {
                run_take_identity(r, slot);
                run_open_pidfd(r);
                attach(r, true);
                run_kill(r);
        } /* else: FAILED comes with the step */
}

void recover_slot(SupManager *m, const KeeperSlot *slot) {
        SupRun *r = map_get(m->runs, slot->run);

        if (!r) {
                recover_stray(m, slot);
                return;
        }
        if (!r->unlinked)
                return;
        r->unlinked = false;
        r->has_slot = true;
        switch ((KeeperRunState) slot->state) {
        case KEEPER_RUN_SPAWNING:
                attach(r, true);
                run_set_timer(r, r->spec->timeout_start_usec);
                restore(r);
                break;
        case KEEPER_RUN_ALIVE:
                run_take_identity(r, slot);
                attach(r, true);
                (void) output_open(&r->output, false);
                run_on_started(r, slot);
                restore(r);
                break;
        case KEEPER_RUN_EXITED:
                attach(r, false);
                (void) output_open(&r->output, false);
                run_on_exited(r, slot);
                break;
        case KEEPER_RUN_FAILED:
                r->exit.time = slot->time_usec;
                attach(r, false); /* FAILED comes with the step */
                break;
        }
}

/* ---- without a slot ---- */

static bool is_in_cgroup(const SupRun *r) {
        _cleanup_free_ char *path = NULL;
        return proc_cgroup(r->identity.pid, &path) >= 0 && cgroup_run_of_path(path) == r->id;
}

static void read_note(SupRun *r) {
        _cleanup_free_ char *path = path_join(r->output.folder, EXEC_NOTE_NAME), *text = NULL;
        uint64_t pid, start_time;

        if (!path || fs_read_file(AT_FDCWD, path, NOTE_SIZE, &text, NULL) < 0)
                return;
        text[strcspn(text, "\n")] = '\0';
        char *space = strchr(text, ' ');
        if (!space)
                return;
        *space = '\0';
        if (str_to_u64(text, &pid) < 0 || str_to_u64(space + 1, &start_time) < 0 || pid > INT32_MAX)
                return;
        r->identity.pid = (pid_t) pid;
        r->identity.start_time = start_time;
}

/* The helper has become the agent. */
static bool has_begun(pid_t pid) {
        _cleanup_free_ char *link = str_printf("/proc/%d/exe", (int) pid);
        char path[PATH_MAX];
        ssize_t n = link ? readlink(link, path, sizeof(path) - 1) : -1;

        if (n < 0)
                return false;
        path[n] = '\0';
        const char *slash = strrchr(path, '/');
        return !slash || !str_startswith(slash + 1, "agentd-exec");
}

/* Without cgroups the helper stays, as the run's subreaper. */
static bool is_of_run(const SupRun *r) {
        if (!r->cgroup)
                return proc_holds(r->identity.pid, r->output.folder);
        return is_in_cgroup(r) && (r->confirmed || has_begun(r->identity.pid));
}

static void find_leader(SupRun *r) {
        if (r->pidfd >= 0)
                return;
        if (r->identity.pid <= 0)
                read_note(r);
        run_open_pidfd(r);
        bool strong = r->identity.pidfd_id != 0 && r->identity.start_time != 0;
        if (r->pidfd >= 0 && !strong && !is_of_run(r))
                r->pidfd = fd_close(r->pidfd);
        if (r->pidfd < 0 && !r->confirmed)
                r->identity.pid = 0;
}

/* As if the keeper had still said so. */
static void confirm_noted(SupRun *r) {
        struct stat st;
        KeeperSlot slot = {
                .run = r->id,
                .pid = r->identity.pid,
                .start_time = r->identity.start_time,
        };

        if (fstat(r->pidfd, &st) == 0)
                slot.pidfd_id = st.st_ino;
        run_on_started(r, &slot);
}

static int adopt(SupRun *r) {
        KeeperMsg msg = {
                .type = KEEPER_ADOPT,
                .adopt = { .run = r->id,
                           .pid = r->identity.pid,
                           .held_error = r->held_error,
                           .pidfd_id = r->identity.pidfd_id,
                           .start_time = r->identity.start_time },
        };
        int fds[_KEEPER_FD_MAX];

        int e = output_open(&r->output, false);
        if (e >= 0)
                e = output_fds(&r->output, fds);
        bool with_output = e >= 0;
        if (!with_output)
                (void) log_warning(e, "The output of run %016llx is lost",
                                   (unsigned long long) r->id);
        fds[KEEPER_FD_JOB] = r->pidfd;
        e = link_send(r->manager, &msg, fds, with_output ? _KEEPER_FD_MAX : 1);
        for (size_t i = KEEPER_FD_OUT; with_output && i < _KEEPER_FD_MAX; i++)
                fd_close(fds[i]);
        r->has_slot = true;
        return e;
}

static void recover_dead(SupRun *r) {
        bool began = r->identity.pid > 0;
        int status = 0;

        (void) output_open(&r->output, false);
        bool known =
                began && r->pidfd >= 0 && proc_exit_status(r->pidfd, r->identity.pid, &status) == 0;
        r->exit.never_began = !began && r->created_at > r->manager->link.started_at;
        const char *reason = !began ? "lost while it was being started" : "gone without a trace";
        if (streq(r->identity.boot_id, "restored")) /* by backup/restore.c */
                reason = "it was running when the backup was made";
        else if (r->identity.boot_id[0] && !streq(r->identity.boot_id, r->manager->boot_id))
                reason = "the machine was started anew";
        /* Seen to be gone, status lost: that is less than to be gone without a trace. */
        run_leader_gone_status(r, known, status,
                               r->pidfd >= 0 ? SUP_RESULT_UNKNOWN : SUP_RESULT_LOST, reason);
}

static void recover_run(SupRun *r) {
        r->unlinked = false;
        find_leader(r);
        bool lives = r->pidfd >= 0 && !pidfd_has_exited(r->pidfd);
        attach(r, lives);
        if (!lives) {
                recover_dead(r);
                return;
        }
        if (!r->confirmed)
                confirm_noted(r);
        (void) adopt(r); /* a keeper that is dead again will be noticed */
        run_enter_alive(r);
        restore(r);
}

/* ---- what nobody expects ---- */

static int end_stale_cgroup(uint64_t run, void *userdata) {
        SupManager *m = userdata;
        SupRun *r;

        if (map_get(m->runs, run))
                return 0;
        int e = run_new_stray(m, run, &r);
        if (e < 0)
                return e;
        log_notice("The cgroup of run %016llx is nobody's; ending what is in it",
                   (unsigned long long) run);
        sup_run_set_state(r, SUP_RUN_KILLING);
        run_leader_gone(r, SUP_RESULT_LOST, -1, 0, false, NULL);
        if (r->state == SUP_RUN_KILLING)
                run_kill(r);
        return 0;
}

static void remove_stale_folders(SupManager *m) {
        _cleanup_free_ char *path = path_join(m->runtime_dir, "runs");
        _cleanup_(dir_closep) DIR *d = path ? opendir(path) : NULL;

        if (!d)
                return;
        for (struct dirent *e; (e = readdir(d));) {
                uint64_t run;
                if (id_parse(e->d_name, &run) == 0 && !map_get(m->runs, run))
                        (void) fs_remove_tree(dirfd(d), e->d_name);
        }
}

void recover_all(SupManager *m) {
        size_t cursor = 0;
        void *value;

        while (map_next(m->runs, &cursor, NULL, &value)) {
                SupRun *r = OBJ_CAST(SupRun, value, SUP_RUN_MAGIC);
                if (r->unlinked)
                        recover_run(r);
        }
        if (m->link.ever_ready)
                return;
        if (m->cgroups && cgroups_enumerate(m->cgroups, end_stale_cgroup, m) < 0)
                log_debug("Cannot look for old cgroups in %s", m->cgroups->path);
        remove_stale_folders(m);
}

int sup_run_expect(SupManager *m,
                   const SupRunParams *params,
                   const SupIdentity *id,
                   bool stop_asked,
                   bool frozen,
                   SupRun **ret) {
        SupRun *r;

        assert(!m->link.hello);
        int e = run_new(m, params, &r);
        if (e < 0)
                return e;
        r->identity = *id;
        r->confirmed = id->pid > 0;
        r->exit.stop_was_asked = stop_asked;
        r->was_frozen = frozen;
        r->unlinked = r->expected = true;
        sup_run_set_state(r, SUP_RUN_SPAWNING);
        *ret = r;
        return 0;
}
