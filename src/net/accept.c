/* SPDX-License-Identifier: MIT */

/* We accept, libmicrohttpd gets the socket. So one set of limits counts for all listeners, the peer
 * is known before its first byte is read, and draining is closing our listening sockets.
 *
 * Limits: when all slots are taken a new connection gets a 503 that is ready-made and is closed; it
 * is not left in the backlog, where it would look like a hang. A few slots are kept for peers on
 * this machine, so that the administrator gets in while the network is at the door. The limit for
 * one address counts an IPv4 address or an IPv6 /64 (what one subscriber has) and never peers on
 * this machine: agents behind 127.0.0.1 are many.
 *
 * Running out of file descriptors leaves the connection in the backlog and the listening socket
 * readable: accepting then pauses for a moment instead of spinning. */

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "base/fs.h"
#include "base/log.h"
#include "net/auth.h"
#include "net/http-internal.h"

#define ACCEPT_BATCH      32
#define ACCEPT_RETRY_USEC (100 * USEC_PER_MSEC)
#define LOCAL_RESERVE_MAX 32u
#define REFUSAL_MAX       4096

struct HttpPerIp {
        uint64_t key;
        unsigned n;
};

/* Key for counting one remote address; never 0. */
static uint64_t ip_key(const struct sockaddr_storage *addr) {
        const struct sockaddr_in6 *in6 = (const void *) addr;
        const struct sockaddr_in *in = (const void *) addr;
        uint64_t key;

        if (addr->ss_family == AF_INET)
                return UINT64_C(1) << 32 | in->sin_addr.s_addr;
        assert(addr->ss_family == AF_INET6);
        if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
                return UINT64_C(1) << 32 | in6->sin6_addr.s6_addr32[3];
        memcpy(&key, &in6->sin6_addr, sizeof(key));
        return key ?: 1;
}

static HttpPerIp *per_ip_get(HttpServer *s, uint64_t key) {
        HttpPerIp *ip = map_get(s->per_ip, key);

        if (ip) {
                ip->n++;
                return ip;
        }
        ip = calloc(1, sizeof(*ip));
        if (!ip)
                return NULL;
        *ip = (HttpPerIp){ .key = key, .n = 1 };
        if (map_put(s->per_ip, key, ip) < 0) {
                free(ip);
                return NULL;
        }
        return ip;
}

static void per_ip_put(HttpServer *s, HttpPerIp *ip) {
        if (--ip->n > 0)
                return;
        (void) map_remove(s->per_ip, ip->key);
        free(ip);
}

static void conn_free(HttpConn *conn) {
        if (conn->per_ip)
                per_ip_put(conn->server, conn->per_ip);
        http_deadline_clear(&conn->deadline);
        conn->magic = 0;
        free(conn);
}

static HttpConn *conn_new(HttpServer *s, int fd, const struct sockaddr_storage *addr) {
        HttpConn *conn = calloc(1, sizeof(*conn));

        if (!conn)
                return NULL;
        conn->magic = HTTP_CONN_MAGIC;
        conn->server = s;
        conn->fd = fd;
        peer_identify(fd, &conn->peer);
        /* Who came through a unix socket and could not be identified has no address either. */
        if (conn->peer.kind == PEER_REMOTE && addr->ss_family != AF_UNIX) {
                conn->per_ip = per_ip_get(s, ip_key(addr));
                if (!conn->per_ip) {
                        conn_free(conn);
                        return NULL;
                }
        }
        return conn;
}

static bool is_full(const HttpServer *s, const HttpConn *conn) {
        unsigned max = s->config.connections_max;

        if (!conn->per_ip)
                return s->stats.connections_now >= max;
        return s->stats.connections_now >= max - MIN(LOCAL_RESERVE_MAX, max / 8) ||
               conn->per_ip->n > s->config.connections_per_ip_max;
}

/* Written here, because libmicrohttpd never sees this connection. */
static void refuse(HttpServer *s, const HttpConn *conn) {
        _cleanup_buf_ Buf body = BUF_INIT(REFUSAL_MAX), answer = BUF_INIT(REFUSAL_MAX);

        s->stats.refused++;
        log_debug("http: %s: refused, too many connections", conn->peer.address);
        s->config.error_body(&body, MHD_HTTP_SERVICE_UNAVAILABLE, "too_many_connections",
                             "Too many connections", s->config.userdata);
        (void) buf_printf(&answer,
                          "HTTP/1.1 503 Service Unavailable\r\n"
                          "Connection: close\r\n"
                          "Retry-After: 1\r\n"
                          "Content-Type: application/json\r\n"
                          "Content-Length: %zu\r\n"
                          "\r\n",
                          body.len);
        (void) buf_append(&answer, body.data, body.len);
        if (buf_error(&answer) == 0)
                (void) send(conn->fd, answer.data, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        http_linger_start(s, conn->fd);
}

static void add_connection(HttpServer *s, int fd, const struct sockaddr_storage *addr, socklen_t n) {
        HttpConn *conn = conn_new(s, fd, addr);

        if (!conn || is_full(s, conn)) {
                if (conn) {
                        refuse(s, conn);
                        conn_free(conn);
                }
                (void) fd_close(fd);
                return;
        }

        s->accepting = conn;
        /* Closes fd if it fails. */
        if (MHD_add_connection(s->daemon, fd, (const struct sockaddr *) addr, n) != MHD_YES &&
            s->accepting)
                conn_free(TAKE_PTR(s->accepting));
}

void http_conn_notify(void *cls,
                      struct MHD_Connection *mhd,
                      void **socket_context,
                      enum MHD_ConnectionNotificationCode code) {
        HttpServer *s = OBJ_CAST(HttpServer, cls, HTTP_SERVER_MAGIC);

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                HttpConn *conn = TAKE_PTR(s->accepting);

                *socket_context = conn;
                s->stats.connections++;
                s->stats.connections_now++;
                (void) MHD_set_connection_option(mhd, MHD_CONNECTION_OPTION_TIMEOUT,
                                                 http_timeout_sec(s));
                http_deadline_set(s, &conn->deadline, HTTP_DEBT_REQUEST_LINE);
                http_deadline_arm(s, USEC_INFINITY);
                return;
        }

        HttpConn *conn = OBJ_CAST(HttpConn, TAKE_PTR(*socket_context), HTTP_CONN_MAGIC);
        /* libmicrohttpd 0.9.75 does not tell the end of a request whose headers it refuses. */
        void *request = conn->request;
        if (request)
                http_request_completed(s, mhd, &request, MHD_REQUEST_TERMINATED_WITH_ERROR);
        s->stats.connections_now--;
        if (conn->linger)
                http_linger_start(s, conn->fd);
        conn_free(conn);
}

/* ---- listening ---- */

static void listeners_enable(HttpServer *s, int enabled) {
        for (size_t i = 0; i < s->n_listeners; i++)
                (void) sd_event_source_set_enabled(s->listen_sources[i], enabled);
}

static int on_accept_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        HttpServer *s = OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC);

        s->accept_retry_source = sd_event_source_disable_unref(s->accept_retry_source);
        listeners_enable(s, SD_EVENT_ON);
        return 0;
}

static void accept_pause(HttpServer *s, int error) {
        (void) log_full(LOG_LEVEL_DEBUG, error, "http: cannot accept, pausing");
        if (sd_event_add_time_relative(s->event, &s->accept_retry_source, CLOCK_MONOTONIC,
                                       ACCEPT_RETRY_USEC, 0, on_accept_retry, s) >= 0)
                listeners_enable(s, SD_EVENT_OFF);
}

static bool is_out_of_resources(int error) {
        return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

static int on_listen(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        HttpServer *s = OBJ_CAST(HttpServer, userdata, HTTP_SERVER_MAGIC);

        for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
                struct sockaddr_storage addr = {};
                socklen_t n = sizeof(addr);

                int client = accept4(fd, (struct sockaddr *) &addr, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
                if (client >= 0) {
                        add_connection(s, client, &addr, n);
                        continue;
                }
                if (is_out_of_resources(errno_neg()))
                        accept_pause(s, errno_neg());
                return 0;
        }
        return 0;
}

int http_server_listen(HttpServer *s, int fd) {
        OBJ_CHECK(s, HTTP_SERVER_MAGIC);
        if (s->n_listeners == HTTP_LISTENERS_MAX)
                return -E2BIG;

        int domain, one = 1;
        socklen_t n = sizeof(domain);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0)
                return errno_neg();
        if (domain != AF_UNIX && domain != AF_INET && domain != AF_INET6)
                return -EAFNOSUPPORT;

        _cleanup_close_ int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (copy < 0)
                return errno_neg();
        int r = fd_set_nonblock(copy, true);
        if (r < 0)
                return r;
        /* Accepted sockets inherit it. */
        if (domain != AF_UNIX)
                (void) setsockopt(copy, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

        sd_event_source *source;
        r = sd_event_add_io(s->event, &source, copy, EPOLLIN, on_listen, s);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(source, "http-listen");
        s->listen_sources[s->n_listeners] = source;
        s->listen_fds[s->n_listeners++] = TAKE_FD(copy);
        return 0;
}

void http_accept_stop(HttpServer *s) {
        s->accept_retry_source = sd_event_source_disable_unref(s->accept_retry_source);
        for (size_t i = 0; i < s->n_listeners; i++) {
                s->listen_sources[i] = sd_event_source_disable_unref(s->listen_sources[i]);
                s->listen_fds[i] = fd_close(s->listen_fds[i]);
        }
        s->n_listeners = 0;
}
