/* SPDX-License-Identifier: MIT */

/* The control socket, for `agentd start` when a keeper with living agents is there but its daemon
 * has left: the new listening sockets are handed in, and the daemon is started again with them.
 *
 * SEQPACKET as on the link, so one reader serves both. Who may connect is checked twice: by the
 * mode of the socket and by SO_PEERCRED. There are few connections by nature; a fixed number is
 * served, and the oldest gives way, so that nobody can keep the others out by holding connections
 * open. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/log.h"
#include "keeper/keeper-internal.h"

#define SOCKET_NAME "keeper.sock"

/* The runtime folder's path may be longer than sun_path; its descriptor's never is. */
static int bind_in(int fd, int dir) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        mode_t mask;
        int r;

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME,
                        dir);
        mask = umask(0177);
        r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? errno_neg() : 0;
        (void) umask(mask);
        return r;
}

int keeper_control_open(Keeper *k) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return errno_neg();
        /* We hold the lock: whatever lies there is a dead keeper's. */
        if (unlinkat(k->dir, SOCKET_NAME, 0) < 0 && errno != ENOENT)
                return errno_neg();
        r = bind_in(fd, k->dir);
        if (r < 0)
                return r;
        if (listen(fd, KEEPER_CONTROL_MAX) < 0)
                return errno_neg();
        r = keeper_watch(k->epoll, fd, EPOLLIN, (KeeperKey){ .source = KEEPER_SOURCE_LISTEN });
        if (r < 0)
                return r;
        k->control_listen = TAKE_FD(fd);
        return 0;
}

static void close_connection(Keeper *k, unsigned index) {
        keeper_unwatch(k->epoll, k->control[index]);
        k->control[index] = fd_close(k->control[index]);
}

void keeper_control_close(Keeper *k) {
        for (unsigned i = 0; i < KEEPER_CONTROL_MAX; i++)
                close_connection(k, i);
        if (k->control_listen < 0)
                return;
        k->control_listen = fd_close(k->control_listen);
        (void) unlinkat(k->dir, SOCKET_NAME, 0);
}

static bool peer_is_allowed(int fd) {
        struct ucred cred;
        socklen_t n = sizeof(cred);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
                return false;
        return cred.uid == 0 || cred.uid == geteuid();
}

void keeper_control_accept(Keeper *k) {
        unsigned index = k->control_generation % KEEPER_CONTROL_MAX;
        int fd;

        fd = accept4(k->control_listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
                return;
        if (!peer_is_allowed(fd)) {
                (void) fd_close(fd);
                return;
        }
        close_connection(k, index);
        k->control[index] = fd;
        if (keeper_watch(k->epoll, fd, EPOLLIN,
                         (KeeperKey){ .source = KEEPER_SOURCE_CONTROL,
                                      .index = index,
                                      .generation = k->control_generation }) < 0)
                close_connection(k, index);
        k->control_generation++;
}

/* The answer; 0: none is deserved. The descriptors are taken over. */
static uint32_t start_daemon(Keeper *k, const KeeperMsg *msg, int *fds, size_t n_fds) {
        if (!k->quitting || k->daemon.pid != 0) {
                keeper_fds_close(fds, n_fds);
                return KEEPER_CONTROL_BUSY;
        }
        if (msg->start.has_arguments) {
                int r = n_fds > 0 ? keeper_daemon_take_arguments(k, fds[n_fds - 1]) : -EBADMSG;

                if (r < 0) {
                        (void) log_warning(r, "the command line for the daemon cannot be used");
                        keeper_fds_close(fds, n_fds);
                        return 0;
                }
                keeper_fds_close(&fds[--n_fds], 1);
        }
        keeper_listen_close(k);
        memcpy(k->listen, fds, n_fds * sizeof(int));
        k->n_listen = (unsigned) n_fds;
        k->quitting = k->keep_runs = k->gave_up = false;
        k->term_at = USEC_INFINITY;
        k->daemon.failures = 0;
        keeper_daemon_start(k);
        return KEEPER_CONTROL_OK;
}

void keeper_control_event(Keeper *k, KeeperKey key) {
        int fd = k->control[key.index], r;
        int fds[KEEPER_MSG_FDS_MAX];
        size_t n_fds = 0;
        KeeperMsg msg;

        unsigned age = (k->control_generation - 1 - key.generation) & KEEPER_GENERATION_MASK;

        if (fd < 0 || age >= KEEPER_CONTROL_MAX)
                return; /* gave way to a newer one in this turn */
        r = keeper_msg_recv(fd, &msg, fds, ELEMENTSOF(fds), &n_fds);
        if (r == -EAGAIN)
                return;
        if (r == 1 && msg.type == KEEPER_START) {
                KeeperMsg answer = { .type = start_daemon(k, &msg, fds, n_fds) };

                r = answer.type ? keeper_msg_send(fd, &answer, NULL, 0) : 0;
                if (r < 0)
                        (void) log_warning(r, "the answer to START could not be sent");
        } else if (r == 1)
                keeper_fds_close(fds, n_fds);
        close_connection(k, key.index);
}
