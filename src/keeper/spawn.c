/* SPDX-License-Identifier: MIT */

/* From SPAWN to a running agent: fork, and exec of agentd-exec.
 *
 * Plain fork(): this process is so small that it costs tens of microseconds, and the child has an
 * address space of its own, so a mistake between fork and exec cannot reach us.
 * posix_spawn() cannot restore limits and the OOM score.
 *
 * The child is born in its cgroup where that works (clone3), else agentd-exec joins it as its first
 * step. Joining makes the kernel wait for every processor to have been idle or in user space once:
 * 12 ms for a single start, measured; being born there costs nothing. But some kernels look at
 * whether the parent's cgroup, and not the child's, was ever killed, and then the child dies at
 * once: so the first cgroup that comes is tried with a child that does nothing.
 *
 * The pidfd is opened right after the fork, before anybody could have reaped the child, so it needs
 * no check. The program is executed from a descriptor that was opened when the keeper started: an
 * upgrade on disk cannot mix versions. */

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/proc.h"
#include "exec/job.h"
#include "keeper/keeper-internal.h"

/* In a child between fork and exec: only async-signal-safe calls from here on. */
static void child_write(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd >= 0) {
                (void) !write(fd, text, strlen(text));
                (void) close(fd);
        }
}

void keeper_child_reset(const Keeper *k) {
        sigset_t none;

        for (int signo = 1; signo < NSIG; signo++)
                (void) signal(signo, SIG_DFL);
        if (k->nofile.rlim_max > 0)
                (void) setrlimit(RLIMIT_NOFILE, &k->nofile);
        if (k->oom_score_adj[0] != '\0')
                child_write("/proc/self/oom_score_adj", k->oom_score_adj);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_fail(int status_fd, int error) {
        ExecFailure failure = { .step = EXEC_STEP_JOB, .error = error };

        (void) !write(status_fd, &failure, sizeof(failure));
        _exit(127);
}

static _Noreturn void child_main(const Keeper *k, int job_fd, int status_fd, bool in_cgroup) {
        static char name[] = "agentd-exec", placed[] = EXEC_IN_CGROUP;
        char *argv[] = { name, in_cgroup ? placed : NULL, NULL };
        int job, status, program;

        keeper_child_reset(k);
        /* Away from the numbers they shall get, so that no dup2() closes one that is still needed. */
        status = fcntl(status_fd, F_DUPFD_CLOEXEC, EXEC_STATUS_FD + 1);
        if (status < 0)
                child_fail(status_fd, errno);
        job = fcntl(job_fd, F_DUPFD_CLOEXEC, EXEC_STATUS_FD + 1);
        program = fcntl(k->exec, F_DUPFD_CLOEXEC, EXEC_STATUS_FD + 1);
        if (job < 0 || program < 0 || dup2(job, EXEC_JOB_FD) < 0 || dup2(status, EXEC_STATUS_FD) < 0)
                child_fail(status, errno);
        (void) fexecve(program, argv, environ);
        child_fail(status, errno);
}
/* End of what runs in the child. */

static int identify(KeeperRun *r) {
        ProcStat stat;
        struct stat st;
        int ret;

        r->pidfd = pidfd_open(r->slot.pid, 0);
        if (r->pidfd < 0 || fstat(r->pidfd, &st) < 0)
                return errno_neg();
        r->slot.pidfd_id = st.st_ino;
        ret = proc_stat(r->slot.pid, &stat);
        if (ret < 0)
                return ret;
        r->slot.start_time = stat.start_time;
        return 0;
}

static void kill_and_reap(pid_t pid) {
        (void) kill(pid, SIGKILL); /* our own child, not reaped: the number is its own */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

/* As fork(), in this cgroup. Of what glibc does besides we need nothing: one thread, no handlers. */
static pid_t fork_into(int cgroup_fd) {
        struct clone_args args = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t) cgroup_fd,
        };

        return (pid_t) syscall(SYS_clone3, &args, sizeof(args));
}

static bool can_be_born_in(Keeper *k, int cgroup_fd) {
        siginfo_t si = {};

        if (cgroup_fd < 0 || k->birth == BIRTH_FAILS)
                return false;
        if (k->birth == BIRTH_WORKS)
                return true;
        pid_t pid = fork_into(cgroup_fd);
        if (pid == 0)
                _exit(0);
        if (pid < 0)
                return false; /* perhaps the next one */
        while (waitid(P_PID, (id_t) pid, &si, WEXITED) < 0 && errno == EINTR)
                ;
        k->birth = si.si_code == CLD_EXITED ? BIRTH_WORKS : BIRTH_FAILS;
        return k->birth == BIRTH_WORKS;
}

static pid_t fork_child(Keeper *k, int job_fd, int status_fd, int cgroup_fd) {
        bool in_cgroup = can_be_born_in(k, cgroup_fd);
        pid_t pid = in_cgroup ? fork_into(cgroup_fd) : fork();

        if (pid < 0 && in_cgroup) {
                in_cgroup = false; /* joining says what is wrong, if it is the cgroup */
                pid = fork();
        }
        if (pid == 0)
                child_main(k, job_fd, status_fd, in_cgroup);
        return pid;
}

static int spawn(Keeper *k, KeeperRun *r, int job_fd, int cgroup_fd) {
        _cleanup_close_ int status_write = -EBADF;
        int pipe_fds[2], ret;

        if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return errno_neg();
        r->status_fd = pipe_fds[0];
        status_write = pipe_fds[1];
        ret = keeper_watch(k->epoll, r->status_fd, EPOLLIN,
                           keeper_run_key(k, r, KEEPER_SOURCE_STATUS));
        if (ret < 0)
                return ret;

        pid_t pid = fork_child(k, job_fd, status_write, cgroup_fd);
        if (pid < 0)
                return errno_neg();
        r->slot.pid = pid;
        r->child = true;
        ret = identify(r);
        if (ret < 0)
                kill_and_reap(pid);
        return ret;
}

void keeper_run_spawn(Keeper *k, KeeperRun *r, int job_fd, int cgroup_fd) {
        int ret;

        ret = spawn(k, r, job_fd, cgroup_fd);
        if (ret >= 0)
                return;
        r->status_fd = fd_close(r->status_fd);
        r->pidfd = fd_close(r->pidfd);
        (void) log_warning(ret, "run %016lx could not be started", (unsigned long) r->slot.run);
        keeper_run_failed(k, r, EXEC_STEP_JOB, -ret);
}

/* The failure is reported when the process has been reaped: then FREE may close everything. */
void keeper_run_status(Keeper *k, KeeperRun *r) {
        ExecFailure failure;
        ssize_t n;

        if (r->status_fd < 0)
                return;
        n = read(r->status_fd, &failure, sizeof(failure));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        r->status_fd = fd_close(r->status_fd);
        if (n == (ssize_t) sizeof(failure) && failure.error > 0) {
                r->fail_step = failure.step;
                r->fail_error = failure.error;
        } else if (r->slot.state == KEEPER_RUN_SPAWNING)
                keeper_run_started(k, r);
}

void keeper_run_reap(Keeper *k, KeeperRun *r) {
        siginfo_t si = {};

        if (r->status_fd >= 0)
                keeper_run_status(k, r);
        r->status_fd = fd_close(r->status_fd);
        if (waitid(P_PIDFD, (id_t) r->pidfd, &si, WEXITED | WNOHANG) < 0) {
                (void) log_error(errno, "run %016lx: process %d could not be reaped",
                                 (unsigned long) r->slot.run, (int) r->slot.pid);
                keeper_run_exited(k, r, -1, 0, false, KEEPER_EXIT_UNKNOWN);
                return;
        }
        if (r->fail_error > 0) {
                keeper_run_failed(k, r, r->fail_step, r->fail_error);
                return;
        }
        bool exited = si.si_code == CLD_EXITED;
        keeper_run_exited(k, r, exited ? si.si_status : -1, exited ? 0 : si.si_status,
                          si.si_code == CLD_DUMPED, KEEPER_EXIT_REAPED);
}
