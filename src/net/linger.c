/* SPDX-License-Identifier: MIT */

/* A request that is refused before its body was read (413 for a gigabyte) is answered and closed at
 * once. But close() with unread bytes in the socket sends a reset, and the client, in the middle of
 * sending, would report "connection reset" instead of our answer. So our side of the connection is
 * closed, and for a moment what still comes is thrown away: by the kernel (MSG_TRUNC), without a copy.
 *
 * The number of such connections is bounded; beyond it a client gets the reset. The dup() holds the
 * socket open when libmicrohttpd closes its own fd. */

#include <fcntl.h>
#include <sys/socket.h>

#include "net/http-internal.h"

#define LINGER_MAGIC 0x474e494cu
#define LINGERS_MAX  64
#define DISCARD_STEP ((size_t) 64 * 1024)

typedef struct HttpLinger {
        uint32_t magic;
        HttpServer *server;
        int fd;
        sd_event_source *source;
        ListLink link;
        HttpDeadline deadline;
} HttpLinger;

static HttpLinger *linger_free(HttpLinger *l) {
        if (!l)
                return NULL;
        OBJ_CHECK(l, LINGER_MAGIC);
        http_deadline_clear(&l->deadline);
        if (list_is_linked(&l->link))
                l->server->n_lingers--;
        list_remove(&l->link);
        sd_event_source_disable_unref(l->source);
        (void) fd_close(l->fd);
        l->magic = 0;
        free(l);
        return NULL;
}
DEFINE_CLEANUP(HttpLinger *, linger_free);

static int on_bytes(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        static char unused[DISCARD_STEP];
        HttpLinger *l = OBJ_CAST(HttpLinger, userdata, LINGER_MAGIC);

        /* A unix socket ignores MSG_TRUNC and copies. */
        ssize_t n = recv(fd, unused, sizeof(unused), MSG_TRUNC | MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
                linger_free(l);
        return 0;
}

void http_linger_start(HttpServer *s, int fd) {
        if (s->n_lingers >= LINGERS_MAX)
                return;

        _cleanup_(linger_freep) HttpLinger *l = calloc(1, sizeof(*l));
        if (!l)
                return;
        l->magic = LINGER_MAGIC;
        l->server = s;
        l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (l->fd < 0 || shutdown(l->fd, SHUT_WR) < 0)
                return;
        if (sd_event_add_io(s->event, &l->source, l->fd, EPOLLIN, on_bytes, l) < 0)
                return;
        (void) sd_event_source_set_description(l->source, "http-linger");

        list_append(&s->lingers, &l->link);
        s->n_lingers++;
        http_deadline_set(s, &l->deadline, HTTP_DEBT_EOF);
        http_deadline_arm(s, USEC_INFINITY);
        TAKE_PTR(l);
}

void http_linger_expire(HttpDeadline *d) {
        linger_free(container_of(d, HttpLinger, deadline));
}

void http_linger_done(HttpServer *s) {
        LIST_FOREACH(l, &s->lingers)
                linger_free(LIST_ENTRY(l, HttpLinger, link));
}
