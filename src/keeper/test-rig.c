/* SPDX-License-Identifier: MIT */

/* The test's stand-in for the daemon. It drives the real programs over the real protocol: a mocked
 * keeper would prove nothing about processes, pipes and kills. It plays the daemon in two ways: as
 * the one that started the keeper (adopted), or in the place of a stub that the keeper starts and
 * that hands its descriptors over. */

#include "keeper/test-rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"

#define ASSERT_OK(expr) assert_true((expr) >= 0)

int rig_setup(void **state) {
        Rig *rig = calloc(1, sizeof(Rig));

        assert_non_null(rig);
        rig->dir = test_folder();
        ASSERT_OK(path_of_program_dir(&rig->programs));
        ASSERT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
        rig->link = rig->door = rig->stub_pidfd = -EBADF;
        rig->self = pidfd_open(getpid(), 0);
        ASSERT_OK(rig->self);
        rig->max_runs = 16;
        *state = rig;
        return 0;
}

static void end_children(void) {
        int status;

        /* Only our own descendants: whoever is left was reparented to us. */
        for (;;) {
                char path[64];
                _cleanup_free_ char *text = NULL;
                char *save = NULL;

                (void) snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int) getpid());
                if (fs_read_file(AT_FDCWD, path, 1U << 16, &text, NULL) < 0 || text[0] == '\0')
                        break;
                for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
                        int64_t pid;

                        if (str_to_i64(w, &pid) >= 0)
                                (void) kill((pid_t) pid, SIGKILL);
                }
                if (waitpid(-1, &status, 0) < 0)
                        break;
        }
}

int rig_teardown(void **state) {
        Rig *rig = *state;

        rig->link = fd_close(rig->link);
        if (rig->keeper > 0)
                rig_kill_keeper(rig);
        end_children();
        rig->door = fd_close(rig->door);
        rig->stub_pidfd = fd_close(rig->stub_pidfd);
        rig->self = fd_close(rig->self);
        for (int i = 0; i < rig->n_listening; i++)
                (void) fd_close(rig->listening[i]);
        ASSERT_OK(fs_remove_tree(AT_FDCWD, rig->dir));
        free(rig->dir);
        free(rig->programs);
        free(rig);
        return 0;
}

/* Descriptors from 3 on, in this order; argv without the program's name. */
static void start_keeper(Rig *rig, const int *fds, int n_fds, char *const *args) {
        char *path = path_join(rig->programs, "agentd-keeper");
        char *argv[32] = { path };

        for (int i = 0; args[i]; i++)
                argv[i + 1] = args[i];
        rig->keeper = fork();
        ASSERT_OK(rig->keeper);
        if (rig->keeper == 0) {
                int moved[8];

                /* A test that is killed shall leave no keeper behind. */
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (int i = 0; i < n_fds; i++)
                        moved[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
                for (int i = 0; i < n_fds; i++)
                        (void) dup2(moved[i], 3 + i);
                (void) execv(path, argv);
                _exit(127);
        }
        free(path);
}

void rig_adopt_only(Rig *rig) {
        char runs[16];
        int pair[2];

        (void) snprintf(runs, sizeof(runs), "%u", rig->max_runs);
        ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
        char *args[] = { (char[]){ "--runtime" },
                         rig->dir,
                         (char[]){ "--max-runs" },
                         runs,
                         (char[]){ "--listen-fds" },
                         (char[]){ "0" },
                         (char[]){ "--daemon" },
                         (char[]){ "/bin/false" },
                         (char[]){ "--adopt-fd" },
                         (char[]){ "3" },
                         (char[]){ "--daemon-pidfd" },
                         (char[]){ "4" },
                         (char[]){ "--" },
                         NULL };
        start_keeper(rig, (int[]){ pair[1], rig->self }, 2, args);
        (void) close(pair[1]);
        rig->link = pair[0];
}

void rig_adopt(Rig *rig) {
        rig_adopt_only(rig);
        KeeperMsg hello = rig_expect(rig, KEEPER_HELLO, 0);
        assert_int_equal(hello.hello.version, KEEPER_PROTOCOL_VERSION);
        assert_int_equal(hello.hello.pid, rig->keeper);
        assert_int_equal(hello.hello.n_slots, 0);
        (void) rig_expect(rig, KEEPER_SLOTS_END, 0);
}

static int listen_at(const Rig *rig, const char *name, int type) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

        ASSERT_OK(fd);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", rig->dir, name);
        ASSERT_OK(bind(fd, (struct sockaddr *) &address, sizeof(address)));
        ASSERT_OK(listen(fd, 8));
        return fd;
}

static void serve(Rig *rig, const char *path, const char *const *daemon_args, const int *fds, int n) {
        char runs[16], listen_text[16], *args[24] = {};
        _cleanup_strv_ char **copy = NULL;

        (void) snprintf(runs, sizeof(runs), "%u", rig->max_runs);
        (void) snprintf(listen_text, sizeof(listen_text), "%d", n);
        const char *const fixed[] = { "--runtime", rig->dir,   "--max-runs", runs, "--listen-fds",
                                      listen_text, "--daemon", path,         "--" };
        for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
                ASSERT_OK(strv_extend(&copy, fixed[i]));
        while (*daemon_args)
                ASSERT_OK(strv_extend(&copy, *daemon_args++));
        assert_true(strv_length(copy) < ELEMENTSOF(args));
        memcpy(args, copy, sizeof(char *) * strv_length(copy));
        start_keeper(rig, fds, n, args);
}

void rig_serve_program(Rig *rig, const char *path, const char *const *args) {
        serve(rig, path, args, NULL, 0);
}

void rig_serve(Rig *rig, int n_listen) {
        _cleanup_free_ char *stub = path_join(rig->programs, "test-keeper-stub"),
                            *door = path_join(rig->dir, "door");
        int sockets[2] = { -EBADF, -EBADF };

        if (rig->door < 0)
                rig->door = listen_at(rig, "door", SOCK_SEQPACKET);
        for (int i = 0; i < n_listen; i++)
                sockets[i] = listen_at(rig, i ? "listen-1" : "listen-0", SOCK_STREAM);
        serve(rig, stub, (const char *[]){ door, NULL }, sockets, n_listen);
        for (int i = 0; i < n_listen; i++)
                (void) fd_close(sockets[i]);
}

void rig_enter(Rig *rig) {
        int fds[8], connection;
        size_t n_fds = 0;
        KeeperMsg msg;

        wait_readable(rig->door);
        connection = accept4(rig->door, NULL, NULL, SOCK_CLOEXEC);
        ASSERT_OK(connection);
        wait_readable(connection);
        assert_int_equal(keeper_msg_recv(connection, &msg, fds, ELEMENTSOF(fds), &n_fds), 1);
        (void) close(connection);
        assert_true(n_fds >= 1);
        rig->link = fd_close(rig->link);
        rig->link = fds[0];
        rig->stub = msg.hello.pid;
        rig->stub_pidfd = fd_close(rig->stub_pidfd);
        rig->stub_pidfd = pidfd_open(rig->stub, 0);
        ASSERT_OK(rig->stub_pidfd);
        for (int i = 0; i < rig->n_listening; i++)
                (void) fd_close(rig->listening[i]);
        rig->n_listening = (int) n_fds - 1;
        memcpy(rig->listening, fds + 1, sizeof(int) * (n_fds - 1));
}

pid_t rig_only_child(Rig *rig) {
        _cleanup_free_ char *path =
                str_printf("/proc/%d/task/%d/children", (int) rig->keeper, (int) rig->keeper);
        pid_t pid = 0;

        /* /proc has no events; the child is microseconds away. */
        while (pid == 0) {
                _cleanup_free_ char *text = NULL;

                ASSERT_OK(fs_read_file(AT_FDCWD, path, 4096, &text, NULL));
                pid = text[0] ? (pid_t) number_after(text, "") : 0;
                (void) sched_yield();
        }
        return pid;
}

void rig_kill_stub(Rig *rig) {
        ASSERT_OK(pidfd_send_signal(rig->stub_pidfd, SIGKILL, NULL, 0));
        wait_gone(rig->stub_pidfd);
}

void rig_kill_keeper(Rig *rig) {
        (void) kill(rig->keeper, SIGKILL);
        assert_int_equal(waitpid(rig->keeper, NULL, 0), rig->keeper);
        rig->keeper = 0;
        rig->link = fd_close(rig->link);
}

int rig_wait_keeper(Rig *rig) {
        int pidfd = pidfd_open(rig->keeper, 0), status = 0;

        ASSERT_OK(pidfd);
        wait_gone(pidfd);
        (void) close(pidfd);
        assert_int_equal(waitpid(rig->keeper, &status, 0), rig->keeper);
        rig->keeper = 0;
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

int64_t number_after(const char *text, const char *word) {
        const char *p = strstr(text, word);
        char digits[24] = "";
        int64_t n = 0;

        assert_non_null(p);
        p += strlen(word);
        (void) snprintf(digits, sizeof(digits), "%.*s", (int) strspn(p, "0123456789"), p);
        ASSERT_OK(str_to_i64(digits, &n));
        return n;
}

size_t count_names(const char *path) {
        _cleanup_(dir_closep) DIR *dir = opendir(path);
        size_t n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        return n;
}

void wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int r;

        do
                r = poll(&p, 1, RIG_PATIENCE_MSEC);
        while (r < 0 && errno == EINTR);
        assert_int_equal(r, 1);
}

void wait_gone(int pidfd) {
        wait_readable(pidfd);
}

static void send_waiting(Rig *rig, const KeeperMsg *msg, const int *fds, size_t n_fds) {
        struct pollfd p = { .fd = rig->link, .events = POLLOUT };
        int r;

        while ((r = keeper_msg_send(rig->link, msg, fds, n_fds)) == -EAGAIN)
                assert_int_equal(poll(&p, 1, RIG_PATIENCE_MSEC), 1);
        ASSERT_OK(r);
}

void rig_send(Rig *rig, KeeperMsg msg) {
        send_waiting(rig, &msg, NULL, 0);
}

KeeperMsg rig_recv(Rig *rig) {
        KeeperMsg msg;
        size_t n = 0;

        wait_readable(rig->link);
        assert_int_equal(keeper_msg_recv(rig->link, &msg, NULL, 0, &n), 1);
        return msg;
}

static uint64_t run_of(const KeeperMsg *msg) {
        return msg->type == KEEPER_FAILED ? msg->failed.run : msg->slot.run;
}

KeeperMsg rig_expect(Rig *rig, KeeperMsgType type, uint64_t run) {
        KeeperMsg msg = rig_recv(rig);

        if (msg.type != type)
                print_error("message %u of run %lu instead of %u of run %lu\n", msg.type,
                            (unsigned long) run_of(&msg), (unsigned) type, (unsigned long) run);
        assert_int_equal(msg.type, type);
        if (run != 0)
                assert_int_equal(run_of(&msg), run);
        return msg;
}

/* ---- agents ---- */

char *agent_path(const Agent *a, const char *name) {
        char *path = path_join(a->dir, name);

        assert_non_null(path);
        return path;
}

static int agent_file(const Agent *a, const char *name, int flags) {
        _cleanup_free_ char *path = agent_path(a, name);
        int fd = open(path, flags | O_CLOEXEC, 0600);

        ASSERT_OK(fd);
        return fd;
}

void agent_init_argv(Rig *rig, Agent *a, const char *const *argv) {
        char name[32];

        *a = (Agent){ .run = 1000 + rig->n_agents++, .pidfd = -EBADF };
        (void) snprintf(name, sizeof(name), "run-%u", rig->n_agents);
        a->dir = path_join(rig->dir, name);
        ASSERT_OK(mkdir(a->dir, 0700));
        a->job.stdout_path = agent_path(a, "out");
        a->job.stderr_path = agent_path(a, "err");
        ASSERT_OK(mkfifo(a->job.stdout_path, 0600));
        ASSERT_OK(mkfifo(a->job.stderr_path, 0600));
        a->fifo[0] = agent_file(a, "out", O_RDONLY | O_NONBLOCK);
        a->fifo[1] = agent_file(a, "err", O_RDONLY | O_NONBLOCK);
        while (*argv)
                ASSERT_OK(strv_extend(&a->job.argv, *argv++));
        ASSERT_OK(strv_env_set(&a->job.env, "PATH", "/usr/bin:/bin"));
        a->job.folder = strdup(a->dir);
}

void agent_init(Rig *rig, Agent *a, const char *script) {
        agent_init_argv(rig, a, (const char *[]){ "sh", "-c", script, NULL });
}

static void agent_fds(Agent *a, int fds[static _KEEPER_FD_MAX]) {
        fds[KEEPER_FD_OUT] = agent_file(a, "out", O_RDONLY | O_NONBLOCK);
        fds[KEEPER_FD_ERR] = agent_file(a, "err", O_RDONLY | O_NONBLOCK);
        fds[KEEPER_FD_OUT_LOG] = agent_file(a, "out.log", O_RDWR | O_CREAT);
        fds[KEEPER_FD_ERR_LOG] = agent_file(a, "err.log", O_RDWR | O_CREAT);
        fds[KEEPER_FD_INDEX] = agent_file(a, "idx.log", O_RDWR | O_CREAT);
}

static void send_with_fds(Rig *rig, const KeeperMsg *msg, int fds[static _KEEPER_FD_MAX]) {
        send_waiting(rig, msg, fds, _KEEPER_FD_MAX);
        keeper_fds_close(fds, _KEEPER_FD_MAX);
}

void agent_send_spawn(Rig *rig, Agent *a) {
        KeeperMsg msg = { .type = KEEPER_SPAWN, .run = { .run = a->run } };
        int fds[_KEEPER_FD_MAX];

        agent_fds(a, fds);
        fds[KEEPER_FD_JOB] = exec_job_to_memfd(&a->job);
        ASSERT_OK(fds[KEEPER_FD_JOB]);
        send_with_fds(rig, &msg, fds);
}

void agent_spawn(Rig *rig, Agent *a) {
        struct stat st;

        agent_send_spawn(rig, a);
        a->slot = rig_expect(rig, KEEPER_STARTED, a->run).slot;
        assert_int_equal(a->slot.state, KEEPER_RUN_ALIVE);
        a->pidfd = pidfd_open(a->slot.pid, 0);
        if (a->pidfd >= 0) { /* a short one may be gone */
                ASSERT_OK(fstat(a->pidfd, &st));
                assert_int_equal(st.st_ino, a->slot.pidfd_id);
        }
}

void agent_adopt(Rig *rig, Agent *a) {
        KeeperMsg msg = { .type = KEEPER_ADOPT,
                          .adopt = { .run = a->run,
                                     .pid = a->slot.pid,
                                     .pidfd_id = a->slot.pidfd_id,
                                     .start_time = a->slot.start_time } };
        int fds[_KEEPER_FD_MAX];

        agent_fds(a, fds);
        fds[KEEPER_FD_JOB] = fcntl(a->pidfd, F_DUPFD_CLOEXEC, 3);
        ASSERT_OK(fds[KEEPER_FD_JOB]);
        send_with_fds(rig, &msg, fds);
}

void agent_signal(Rig *rig, Agent *a, int signo) {
        rig_send(rig,
                 (KeeperMsg){ .type = KEEPER_SIGNAL, .signal = { .run = a->run, .signo = signo } });
}

void agent_release(Rig *rig, Agent *a) {
        rig_send(rig, (KeeperMsg){ .type = KEEPER_FREE, .run = { .run = a->run } });
}

void agent_done(Agent *a) {
        exec_job_done(&a->job);
        free(a->dir);
        keeper_fds_close(a->fifo, 2);
        a->pidfd = fd_close(a->pidfd);
}

char *agent_log(Agent *a, unsigned stream, size_t *ret_n) {
        _cleanup_free_ char *path = agent_path(a, stream == 2 ? "idx.log"
                                                  : stream    ? "err.log"
                                                              : "out.log");
        char *text = NULL;

        ASSERT_OK(fs_read_file(AT_FDCWD, path, 1U << 30, &text, ret_n));
        return text;
}

char *wait_text(const char *path, const char *text) {
        int watch = inotify_init1(IN_CLOEXEC), fd;
        char *content = NULL;

        ASSERT_OK(watch);
        fd = open(path, O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
        ASSERT_OK(fd);
        (void) close(fd);
        ASSERT_OK(inotify_add_watch(watch, path, IN_MODIFY));
        for (;;) {
                char events[4096];

                ASSERT_OK(fs_read_file(AT_FDCWD, path, 1U << 30, &content, NULL));
                if (strstr(content, text))
                        break;
                free(content);
                wait_readable(watch);
                assert_true(read(watch, events, sizeof(events)) > 0);
        }
        (void) close(watch);
        return content;
}

void agent_wait_output(Agent *a, const char *text) {
        _cleanup_free_ char *path = agent_path(a, "out.log"), *content = NULL;

        content = wait_text(path, text);
}

bool process_exists(pid_t pid) {
        return kill(pid, 0) == 0;
}
