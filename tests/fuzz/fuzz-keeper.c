/* SPDX-License-Identifier: MIT */

/* The keeper's message handler, fed with whatever a confused daemon might say.
 *
 * The input is a sequence of {1 byte, KeeperMsg}; the byte says which descriptors come along and
 * whether the message names a process that can be adopted. The real table, output and link code run
 * on real pipes, files and a real socket; only forking is kept out (SPAWN gets too few descriptors)
 * and the process that is adopted is dead, so that no signal hits anybody. After each message the
 * counters must agree with the table, and what the daemon is told must be in order: HELLO, slots,
 * SLOTS_END, events. */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "keeper/keeper-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RUNS         3
#define MESSAGES_MAX 64

enum {
        WITH_FDS = 1 << 0,
        KNOWN_PROCESS = 1 << 1,
        SMALL_RUN = 1 << 2, /* run 0..3, so that messages meet */
        ONE_FD = 1 << 3,
        WRITE_OUTPUT = 1 << 4,
};

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

/* A process that has ended, known by its pidfd. */
static int dead_process(pid_t *ret_pid) {
        static int pidfd = -EBADF;
        static pid_t pid;

        if (pidfd < 0) {
                pid = fork();
                require(pid >= 0, "cannot fork\n");
                if (pid == 0)
                        _exit(0);
                pidfd = pidfd_open(pid, 0);
                require(pidfd >= 0 && waitpid(pid, NULL, 0) == pid, "no pidfd\n");
        }
        *ret_pid = pid;
        return pidfd;
}

static void begin(Keeper *k, KeeperRun *runs, int *ret_other) {
        int pair[2];

        *k = (Keeper){ .runs = runs, .max_runs = RUNS, .term_at = USEC_INFINITY };
        k->epoll = epoll_create1(EPOLL_CLOEXEC);
        k->outputs = epoll_create1(EPOLL_CLOEXEC);
        k->null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        k->daemon.kill_at = k->daemon.start_at = USEC_INFINITY;
        require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "no socket\n");
        require(k->epoll >= 0 && k->outputs >= 0 && k->null >= 0, "no descriptors\n");
        require(keeper_link_open(k, pair[0]) == 0, "no link\n");
        *ret_other = pair[1];
}

static void end(Keeper *k, int other) {
        for (unsigned i = 0; i < RUNS; i++)
                if (k->runs[i].used)
                        keeper_run_free(k, &k->runs[i]);
        require(k->n_used == 0 && k->n_pending == 0 && k->high == 0, "the table is not empty\n");
        keeper_link_close(k);
        (void) close(other);
        (void) close(k->epoll);
        (void) close(k->outputs);
        (void) close(k->null);
}

static void make_fds(int fds[static _KEEPER_FD_MAX], bool output) {
        pid_t pid;
        int pipes[4];

        require(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0 &&
                        pipe2(pipes + 2, O_CLOEXEC | O_NONBLOCK) == 0,
                "no pipes\n");
        if (output)
                require(write(pipes[1], "out", 3) == 3 && write(pipes[3], "err", 3) == 3,
                        "no output\n");
        (void) close(pipes[1]);
        (void) close(pipes[3]);
        fds[KEEPER_FD_JOB] = fcntl(dead_process(&pid), F_DUPFD_CLOEXEC, 3);
        fds[KEEPER_FD_OUT] = pipes[0];
        fds[KEEPER_FD_ERR] = pipes[2];
        for (int i = KEEPER_FD_OUT_LOG; i < _KEEPER_FD_MAX; i++)
                fds[i] = memfd_create("fuzz", MFD_CLOEXEC);
}

static void set_run(KeeperMsg *msg, uint64_t run) {
        msg->run.run = run; /* the first member of each kind that the daemon sends, but QUIT */
}

static void feed(Keeper *k, uint8_t how, KeeperMsg *msg) {
        int fds[_KEEPER_FD_MAX];
        size_t n = 0;

        if (how & SMALL_RUN)
                set_run(msg, msg->run.run % (RUNS + 1));
        if ((how & KNOWN_PROCESS) && msg->type == KEEPER_ADOPT) {
                struct stat st;

                require(fstat(dead_process(&msg->adopt.pid), &st) == 0, "no pidfd\n");
                msg->adopt.pidfd_id = st.st_ino;
        }
        if ((how & WITH_FDS) || (how & ONE_FD)) {
                make_fds(fds, how & WRITE_OUTPUT);
                n = _KEEPER_FD_MAX;
                /* With all six, SPAWN would fork. */
                if ((how & ONE_FD) || msg->type == KEEPER_SPAWN) {
                        keeper_fds_close(fds + 1, _KEEPER_FD_MAX - 1);
                        n = 1;
                }
        }
        keeper_link_message(k, msg, fds, n);
}

static void check_table(const Keeper *k) {
        unsigned used = 0, pending = 0;

        for (unsigned i = 0; i < RUNS; i++) {
                const KeeperRun *r = &k->runs[i];

                used += r->used;
                pending += r->pend_slot || r->pend_started || r->pend_end;
                require(!r->used || i < k->high, "a slot above the highest\n");
                require(r->used || !(r->pend_slot || r->pend_started || r->pend_end),
                        "a report of a free slot\n");
        }
        require(used == k->n_used, "the used slots are miscounted\n");
        require(pending == k->n_pending, "the pending reports are miscounted\n");
}

/* phase: 0 before HELLO, 1 slots, 2 events */
static void check_told(Keeper *k, int other, int *phase) {
        KeeperMsg msg;
        size_t n;

        keeper_link_flush(k);
        while (keeper_msg_recv(other, &msg, NULL, 0, &n) == 1) {
                if (msg.type == KEEPER_HELLO)
                        require((*phase)++ == 0, "HELLO in the middle\n");
                else if (msg.type == KEEPER_SLOT)
                        require(*phase == 1, "SLOT out of order\n");
                else if (msg.type == KEEPER_SLOTS_END)
                        require((*phase)++ == 1, "SLOTS_END out of order\n");
                else
                        require(*phase == 2 && msg.type >= KEEPER_STARTED &&
                                        msg.type <= KEEPER_TERMINATE,
                                "an event out of order\n");
        }
        require(k->n_pending == 0, "something was not told\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        KeeperRun runs[RUNS] = {};
        Keeper k;
        int other, phase = 0;

        begin(&k, runs, &other);
        for (unsigned i = 0; i < MESSAGES_MAX && size > 0; i++) {
                KeeperMsg msg = {};
                uint8_t how = data[0];
                size_t n = MIN(size - 1, sizeof(msg));

                memcpy(&msg, data + 1, n);
                data += 1 + n;
                size -= 1 + n;
                feed(&k, how, &msg);
                check_table(&k);
                check_told(&k, other, &phase);
                check_table(&k);
        }
        end(&k, other);
        return 0;
}
