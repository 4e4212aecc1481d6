/* SPDX-License-Identifier: MIT */

/* Listening sockets that a service manager has bound for us, by the protocol of sd_listen_fds(3): 3
 * and up, LISTEN_FDS of them, meant for us if LISTEN_PID is our pid. What is useful about it is a
 * port below 1024 without a privilege, and a port that is open from the first moment of the boot.
 *
 * What a manager does not hand in is bound here as always: a unit that names only a port still has
 * its unix socket. A unix socket at another place than ours is served beside ours, since clients
 * look there. Anything that is no listening stream socket is refused: a daemon that ignores what it
 * was given listens where nobody expects it.
 *
 * libsystemd was not linked for it: the whole protocol is two variables. */

#include "cli/activation.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/str.h"

#define FIRST_FD 3

static int socket_option(int fd, int option) {
        int value = -1;
        socklen_t n = sizeof(value);

        return getsockopt(fd, SOL_SOCKET, option, &value, &n) < 0 ? -1 : value;
}

static bool is_listening_stream(int fd) {
        return socket_option(fd, SO_ACCEPTCONN) == 1 && socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

static bool is_at(int fd, const char *path) {
        struct sockaddr_un address = {};
        socklen_t n = sizeof(address);

        return getsockname(fd, (struct sockaddr *) &address, &n) >= 0 &&
               streq(address.sun_path, path);
}

static int take(Cli *c, Listeners *l, int fd, Activation *ret) {
        int family = socket_option(fd, SO_DOMAIN);

        if (!is_listening_stream(fd) ||
            (family != AF_INET && family != AF_INET6 && family != AF_UNIX))
                return cli_error(c, CLI_FAILURE,
                                 "descriptor %d from LISTEN_FDS is no listening stream socket; the socket "
                                 "unit needs ListenStream=",
                                 fd);
        int r = fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? errno_neg() : fd_set_nonblock(fd, true);
        if (r < 0)
                return cli_error(c, CLI_FAILURE, "cannot use descriptor %d from LISTEN_FDS: %s", fd,
                                 strerror(-r));
        l->fds[l->n++] = fd;
        ret->has_tcp |= family != AF_UNIX;
        ret->has_unix |= family == AF_UNIX && is_at(fd, c->socket_path);
        return 0;
}

/* How many there are; -ERANGE: not a number that can be meant. */
static int count_given(void) {
        const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
        uint64_t whom, n;

        if (!pid || !fds || str_to_u64(pid, &whom) < 0 || whom != (uint64_t) getpid())
                return 0;
        return str_to_u64(fds, &n) < 0 || n > ACTIVATION_MAX ? -ERANGE : (int) n;
}

int activation_take(Cli *c, Listeners *l, Activation *ret) {
        int n = count_given();

        *ret = (Activation){};
        if (n < 0)
                return cli_error(c, CLI_FAILURE, "LISTEN_FDS=%s: expected a number from 0 to %d",
                                 getenv("LISTEN_FDS"), ACTIVATION_MAX);
        for (int fd = FIRST_FD; fd < FIRST_FD + n; fd++) {
                int r = take(c, l, fd, ret);
                if (r != 0)
                        return r;
        }
        return 0;
}

bool activation_has_socket(const Cli *c) {
        int n = count_given();

        for (int fd = FIRST_FD; fd < FIRST_FD + n; fd++)
                if (socket_option(fd, SO_DOMAIN) == AF_UNIX && is_at(fd, c->socket_path))
                        return true;
        return false;
}
