/* SPDX-License-Identifier: MIT */

/* Sockets are bound here and not in the daemon: who typed the command sees what is wrong with the
 * port, and the keeper holds them from the first moment, so that they outlive every daemon.
 *
 * The unix socket is bound under a name of its own and renamed into place once it is certain that
 * no other daemon lives here: binding at the place itself would need the old file removed first,
 * and of two starts at the same moment the loser would have removed the winner's socket.
 *
 * A name such as `localhost` may mean several addresses; all are bound, with one port. */

#include "cli/listen.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/str.h"
#include "cli/activation.h"
#include "cli/keeper-link.h"

#define BACKLOG     4096
#define TCP_MAX     (LISTEN_FDS_MAX - 1)
#define SOCKET_NAME "agentd.sock"

static void addrinfo_freep(struct addrinfo **p) {
        if (*p)
                freeaddrinfo(*p);
}

static int bind_one(const struct addrinfo *a, uint16_t port, int *ret) {
        struct sockaddr_storage address = {};
        const int on = 1;

        _cleanup_close_ int fd =
                socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
        if (fd < 0)
                return errno_neg();
        memcpy(&address, a->ai_addr, a->ai_addrlen);
        if (a->ai_family == AF_INET)
                ((struct sockaddr_in *) &address)->sin_port = htons(port);
        else
                ((struct sockaddr_in6 *) &address)->sin6_port = htons(port);
        (void) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (a->ai_family == AF_INET6)
                (void) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *) &address, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return errno_neg();
        *ret = TAKE_FD(fd);
        return 0;
}

static int explain(Cli *c, int error) {
        unsigned port = (unsigned) c->config.port;
        const char *host = c->config.host;
        pid_t daemon = 0;

        if (error == -EADDRINUSE && daemon_find(c->config.db, &daemon) > 0)
                return cli_error(
                        c, CLI_FAILURE,
                        "agentd is already running on %s (pid %d), but not with the runtime folder "
                        "%s, or that was removed; agentd --port %u stop --all ends it",
                        c->config.db, (int) daemon, c->config.runtime_dir, port);
        if (error == -EADDRINUSE)
                return cli_error(
                        c, CLI_FAILURE,
                        "port %u on %s is in use by another program; choose another with --port %u "
                        "(or AGENT_RUNTIME_PORT; 0 takes any free one)",
                        port, host, port < 65535 ? port + 1 : 8721);
        if (error == -EACCES)
                return cli_error(c, CLI_NOT_PERMITTED,
                                 "port %u on %s needs privileges; choose one above 1023 with --port",
                                 port, host);
        if (error == -EADDRNOTAVAIL)
                return cli_error(c, CLI_FAILURE,
                                 "%s is no address of this machine; choose one with --host (0.0.0.0: all, "
                                 "127.0.0.1: only this machine)",
                                 host);
        return cli_error(c, CLI_FAILURE, "cannot listen at port %u of %s: %s", port, host,
                         strerror(-error));
}

static uint16_t bound_port(int fd) {
        struct sockaddr_storage address = {};
        socklen_t n = sizeof(address);

        if (getsockname(fd, (struct sockaddr *) &address, &n) < 0)
                return 0;
        if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
                return 0;
        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): it was filled in as another type */
        return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *) &address)->sin_port
                                                  : ((struct sockaddr_in6 *) &address)->sin6_port);
}

static int open_tcp(Cli *c, Listeners *l) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
        _cleanup_(addrinfo_freep) struct addrinfo *list = NULL;
        size_t before = l->n;
        int first_error = 0;

        int r = getaddrinfo(c->config.host, NULL, &hints, &list);
        if (r != 0)
                return cli_error(c, CLI_FAILURE,
                                 "the host '%s' is not known (%s); choose an address with --host",
                                 c->config.host, gai_strerror(r));
        l->port = (uint16_t) c->config.port;
        for (const struct addrinfo *a = list; a && l->n < TCP_MAX; a = a->ai_next) {
                r = bind_one(a, l->port, &l->fds[l->n]);
                if (r == -EADDRINUSE)
                        return explain(c, r);
                if (r < 0) {
                        first_error = first_error ?: r;
                        continue;
                }
                if (l->port == 0)
                        l->port = bound_port(l->fds[l->n]);
                l->n++;
        }
        return l->n > before ? 0 : explain(c, first_error ?: -EADDRNOTAVAIL);
}

/* Through the folder's descriptor: the temporary name may be too long for a socket's address. */
static int bind_unix(int fd, const char *runtime_dir, const char *name) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int dir = open(runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (dir < 0)
                return errno_neg();
        (void) unlinkat(dir, name, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dir, name);
        mode_t mask = umask(0177);
        int r = bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ? errno_neg() : 0;
        (void) umask(mask);
        if (r >= 0 && listen(fd, BACKLOG) < 0)
                r = errno_neg();
        return r;
}

static int open_unix(Cli *c, Listeners *l) {
        char name[64];

        (void) snprintf(name, sizeof(name), SOCKET_NAME ".%d", (int) getpid());
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int r = fd < 0 ? errno_neg() : 0;
        if (r >= 0) {
                l->fds[l->n++] = fd;
                l->unix_temporary = str_printf("%s/%s", c->config.runtime_dir, name);
                r = l->unix_temporary ? bind_unix(fd, c->config.runtime_dir, name) : -ENOMEM;
        }
        if (r < 0)
                return cli_error(c, CLI_FAILURE, "cannot make the socket %s: %s", c->socket_path,
                                 strerror(-r));
        return 0;
}

int listeners_open(Cli *c, Listeners *ret) {
        Listeners l = {};
        Activation given;

        int r = activation_take(c, &l, &given);
        for (size_t i = 0; i < l.n && l.port == 0; i++)
                l.port = bound_port(l.fds[i]);
        if (r == 0 && !given.has_tcp)
                r = open_tcp(c, &l);
        if (r == 0 && !given.has_unix)
                r = open_unix(c, &l);
        if (r != 0) {
                listeners_done(&l);
                return r;
        }
        *ret = l;
        return 0;
}

int listeners_publish(Cli *c, Listeners *l) {
        if (!l->unix_temporary)
                return 0; /* it was given, and is in its place */
        if (rename(l->unix_temporary, c->socket_path) < 0)
                return cli_error(c, CLI_FAILURE, "cannot put the socket %s in its place: %s",
                                 c->socket_path, strerror(errno));
        free(TAKE_PTR(l->unix_temporary));
        return 0;
}

void listeners_done(Listeners *l) {
        for (size_t i = 0; i < l->n; i++)
                l->fds[i] = fd_close(l->fds[i]);
        l->n = 0;
        if (l->unix_temporary)
                (void) unlink(l->unix_temporary);
        free(TAKE_PTR(l->unix_temporary));
}
