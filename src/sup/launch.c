/* SPDX-License-Identifier: MIT */

/* From the queue to the keeper: output, cgroup, job, packet.
 *
 * Everything that can fail is done before the packet goes out, in an order in which each step can
 * be undone by the ordinary end of a run: whatever fails, run_fail() takes the same way as a run
 * that died, so there is one place that removes folders and cgroups. The reason says the step and
 * the path, since `No such file or directory` alone helps nobody. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "exec/job.h"
#include "sup/environment.h"
#include "sup/sup-internal.h"

static const char *run_folder(const SupRun *r, char *const *env) {
        if (r->spec->working_directory)
                return r->spec->working_directory;
        if (r->folder)
                return r->folder;
        if (r->spec->workspace)
                return r->spec->workspace;
        return strv_env_get(env, "HOME");
}

static char *const *run_argv(const SupRun *r) {
        return r->resume && r->spec->exec_resume ? r->spec->exec_resume : r->spec->exec;
}

/* The job borrows all its strings but the environment. */
static int make_job(const SupRun *r, int *ret_fd) {
        _cleanup_strv_ char **env = NULL, **argv = NULL;
        _cleanup_free_ char *folder = NULL;

        int e = sup_environment_make(environ, r->spec->environment, r->env, &env);
        if (e < 0)
                return e;
        argv = strv_copy(run_argv(r));
        folder = strdup(run_folder(r, env));
        if (!argv || !folder)
                return -ENOMEM;
        ExecJob job = {
                .argv = argv,
                .env = env,
                .folder = folder,
                .cgroup = r->cgroup,
                .subreaper = !r->cgroup,
                .stdout_path = r->output.fifo[0],
                .stderr_path = r->output.fifo[1],
        };
        int fd = exec_job_to_memfd(&job);
        if (fd < 0)
                return fd;
        *ret_fd = fd;
        return 0;
}

static int make_cgroup(SupRun *r) {
        uint64_t id;

        if (!r->cgroup)
                return 0;
        int e = cgroup_create(r->cgroup, &id);
        return e < 0 ? e : run_attach_cgroup(r);
}

static int send_spawn(SupRun *r, int job) {
        KeeperMsg msg = { .type = KEEPER_SPAWN, .run.run = r->id };
        int fds[_KEEPER_FD_SPAWN_MAX];

        int e = output_fds(&r->output, fds);
        if (e < 0)
                return e;
        fds[KEEPER_FD_JOB] = job;
        fds[KEEPER_FD_CGROUP] =
                r->cgroup ? open(r->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        /* Without it the helper joins by the path in its job. */
        size_t n = fds[KEEPER_FD_CGROUP] < 0 ? _KEEPER_FD_MAX : _KEEPER_FD_SPAWN_MAX;
        e = link_send(r->manager, &msg, fds, n);
        for (size_t i = KEEPER_FD_OUT; i < n; i++)
                fd_close(fds[i]);
        /* A keeper that has just died took nothing, and its end of file comes next: recovery decides. */
        r->has_slot = true;
        return e == -EPIPE || e == -ECONNRESET || e == -ENOTCONN ? 0 : e;
}

static void fail(SupRun *r, const char *what, const char *path, int error) {
        r->exit.exec_error = -error;
        run_fail(r, SUP_RESULT_EXEC, "could not %s %s: %s", what, path, strerror(-error));
}

void run_launch(SupRun *r) {
        _cleanup_close_ int job = -EBADF;
        int e;

        list_remove(&r->queue);
        sup_run_set_state(r, SUP_RUN_SPAWNING);
        if ((e = output_open(&r->output, true)) < 0)
                fail(r, "make the folder of the run,", r->output.folder, e);
        else if ((e = make_cgroup(r)) < 0)
                fail(r, "make the cgroup", r->cgroup, e);
        else if ((e = make_job(r, &job)) < 0)
                fail(r, "describe the command", run_argv(r)[0], e);
        else if ((e = send_spawn(r, job)) < 0)
                fail(r, "open the log", r->output.log[0], e);
        else
                run_set_timer(r, r->spec->timeout_start_usec);
}

/* ---- a failed start ---- */

void run_on_failed(SupRun *r, uint32_t step, int error) {
        const char *what = step < _EXEC_STEP_MAX ? exec_step_to_string((ExecStep) step) : "start",
                   *path = "";

        if (r->leader_gone || r->state == SUP_RUN_ENDED || r->state == SUP_RUN_QUEUED)
                return;
        r->unlinked = false;
        if (step == EXEC_STEP_PROGRAM && r->spec)
                path = run_argv(r)[0];
        else if (step == EXEC_STEP_FOLDER && r->spec)
                path = run_folder(r, environ);
        r->exit.exec_error = error;
        run_fail(r, SUP_RESULT_EXEC, "could not %s%s%.100s: %s", what, path[0] ? " " : "", path,
                 strerror(error));
}
