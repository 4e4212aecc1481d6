/* SPDX-License-Identifier: MIT */

/* agentd-exec: becomes an agent.
 *
 * The keeper forks and executes this program at once, from a descriptor it pinned when it started;
 * everything that prepares the agent happens here, in a fresh and small address space, where malloc
 * and stdio are allowed and where a mistake harms one run only. Doing it between fork and exec in
 * the keeper was rejected: only async-signal-safe functions may be called there, and the keeper has
 * to stay simple.
 *
 * The steps are one table, applied in order. The first that fails is reported with its errno
 * through the status pipe at fd 4; when all succeed, execve() closes that pipe, which is the news
 * of success. */

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "exec/exec-internal.h"

static int step_cgroup(const ExecJob *job) {
        _cleanup_close_ int dir = -EBADF;

        if (!job->cgroup)
                return 0;
        dir = open(job->cgroup, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return errno_neg();
        return fs_write_attribute(dir, "cgroup.procs", "0");
}

/* The keeper blocks and ignores signals for itself; the agent gets a clean slate. */
static int step_session(const ExecJob *job) {
        sigset_t none;

        if (setsid() < 0 && getsid(0) != getpid())
                return errno_neg();
        for (int signo = 1; signo < NSIG; signo++)
                (void) signal(signo, SIG_DFL); /* KILL, STOP and the C library's own two refuse */
        sigemptyset(&none);
        if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return errno_neg();
        (void) umask(job->has_umask ? job->umask : 022);
        return 0;
}

static int open_as(const char *path, int flags, int target) {
        _cleanup_close_ int fd = -EBADF;

        fd = open(path ?: "/dev/null", flags | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return errno_neg();
        if (fd == target) /* was closed before: dup2() would leave CLOEXEC on */
                return fcntl(TAKE_FD(fd), F_SETFD, 0) < 0 ? errno_neg() : 0;
        return dup2(fd, target) < 0 ? errno_neg() : 0;
}

/* Of use only in the moment in which nobody else knows this process, so it may be missing. */
static void note_leader(const ExecJob *job) {
        const char *slash = job->stdout_path ? strrchr(job->stdout_path, '/') : NULL;
        _cleanup_free_ char *text = NULL, *path = NULL;
        ProcStat self;

        if (!slash || proc_stat(getpid(), &self) < 0)
                return;
        path = str_printf("%.*s/" EXEC_NOTE_NAME, (int) (slash - job->stdout_path), job->stdout_path);
        text = str_printf("%d %llu\n", (int) getpid(), (unsigned long long) self.start_time);
        if (!path || !text)
                return;
        _cleanup_close_ int fd =
                open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0)
                (void) fd_write_all(fd, text, strlen(text));
}

/* Read-write, so that the pipe has a reader for as long as it has a writer: without a keeper the
 * agent waits for room instead of dying of SIGPIPE. */
static int step_output(const ExecJob *job) {
        int r;

        note_leader(job);
        r = open_as(NULL, O_RDONLY, STDIN_FILENO);
        if (r < 0)
                return r;
        r = open_as(job->stdout_path, O_RDWR, STDOUT_FILENO);
        if (r < 0)
                return r;
        return open_as(job->stderr_path, O_RDWR, STDERR_FILENO);
}

static int step_rlimit(const ExecJob *job) {
        struct rlimit limit = { .rlim_cur = job->nofile, .rlim_max = job->nofile };

        if (!job->has_nofile)
                return 0;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? errno_neg() : 0;
}

static int step_nice(const ExecJob *job) {
        if (!job->has_nice)
                return 0;
        return setpriority(PRIO_PROCESS, 0, job->nice) < 0 ? errno_neg() : 0;
}

static int step_folder(const ExecJob *job) {
        if (!job->folder)
                return 0;
        return chdir(job->folder) < 0 ? errno_neg() : 0;
}

/* With the keeper that started us dead, no one has been told that this run exists. Without a cgroup
 * it could not even be found: so it had better not begin. */
static bool start_is_watched(void) {
        struct pollfd status = { .fd = EXEC_STATUS_FD };

        return poll(&status, 1, 0) <= 0 || !(status.revents & POLLERR);
}

static int step_program(const ExecJob *job) {
        return start_is_watched() ? exec_program(job) : -EPIPE;
}

static const ExecStepFn steps[_EXEC_STEP_MAX] = {
        [EXEC_STEP_CGROUP] = step_cgroup,       [EXEC_STEP_SESSION] = step_session,
        [EXEC_STEP_SUBREAPER] = exec_subreaper, [EXEC_STEP_OUTPUT] = step_output,
        [EXEC_STEP_RLIMIT] = step_rlimit,       [EXEC_STEP_NICE] = step_nice,
        [EXEC_STEP_FOLDER] = step_folder,       [EXEC_STEP_PROGRAM] = step_program,
};

static int read_job(ExecJob *ret) {
        _cleanup_free_ char *data = NULL;
        struct stat st;
        int r;

        if (fstat(EXEC_JOB_FD, &st) < 0)
                return errno_neg();
        if (st.st_size <= 0 || st.st_size > (off_t) EXEC_JOB_MAX)
                return -EBADMSG;
        size_t n = (size_t) st.st_size;
        data = malloc(n);
        if (!data)
                return -ENOMEM;
        if (lseek(EXEC_JOB_FD, 0, SEEK_SET) < 0)
                return errno_neg();
        r = fd_read_exact(EXEC_JOB_FD, data, n);
        if (r < 0)
                return r;
        return exec_job_parse(data, n, ret);
}

static _Noreturn void fail(ExecStep step, int error) {
        ExecFailure failure = { .step = step, .error = -error };

        /* Eight bytes into a pipe: all or nothing. Without a keeper there is nobody to tell. */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) !write(EXEC_STATUS_FD, &failure, sizeof(failure));
        _exit(127);
}

int main(int argc, char **argv) {
        ExecJob job = {};
        int r;

        if (argc == 2 && streq(argv[1], "--version"))
                return puts("agentd-exec " AGENTD_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        /* What we were started with is the user's, and no agent's to read. exec() undoes it. */
        (void) prctl(PR_SET_DUMPABLE, 0);
        /* Executed by descriptor, our name would be a number in ps. */
        (void) prctl(PR_SET_NAME, "agentd-exec");
        if (close_range(EXEC_JOB_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                fail(EXEC_STEP_JOB, errno_neg());
        r = read_job(&job);
        if (r < 0)
                fail(EXEC_STEP_JOB, r);

        if (argc > 1 && streq(argv[1], EXEC_IN_CGROUP)) {
                free(job.cgroup);
                job.cgroup = NULL;
        }
        for (ExecStep step = EXEC_STEP_JOB + 1; step < _EXEC_STEP_MAX; step++) {
                r = steps[step](&job);
                if (r < 0)
                        fail(step, r);
        }
        fail(EXEC_STEP_PROGRAM, -ENOEXEC); /* not reached: the last step succeeds by not returning */
}
