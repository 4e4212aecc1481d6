/* SPDX-License-Identifier: MIT */

/* The peer for "GET /health": libmicrohttpd on sd-event with nothing of ours around it. One
 * response object for all requests, no route, no check; the access handler does what it must to
 * keep the connection alive (answer on its second call). So it is the most that this library gives
 * in this loop, and the ratio to it is what our server adds.
 *
 *   bench-http-bare PORT      (0: any; it is printed) */

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "base/macro.h"

static const char body[] = "{\"status\":\"healthy\",\"uptime_seconds\":1.5,\"active_sessions\":0}";

typedef struct Bare {
        struct MHD_Daemon *daemon;
        struct MHD_Response *response;
        sd_event_source *again;
} Bare;

static enum MHD_Result on_access(void *cls,
                                 struct MHD_Connection *connection,
                                 const char *url,
                                 const char *method,
                                 const char *version,
                                 const char *upload,
                                 size_t *upload_size,
                                 void **context) {
        Bare *bare = cls;
        static int seen;

        if (!*context) {
                *context = &seen;
                return MHD_YES;
        }
        if (*upload_size > 0) {
                *upload_size = 0;
                return MHD_YES;
        }
        return MHD_queue_response(connection, MHD_HTTP_OK, bare->response);
}

static void run(Bare *bare) {
        MHD_UNSIGNED_LONG_LONG msec;

        (void) MHD_run(bare->daemon);
        if (MHD_get_timeout(bare->daemon, &msec) != MHD_YES)
                return;
        if (msec == 0)
                (void) sd_event_source_set_enabled(bare->again, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        run(userdata);
        return 0;
}

static int on_again(sd_event_source *source, void *userdata) {
        run(userdata);
        return 0;
}

int main(int argc, char **argv) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        sd_event *event = NULL;
        Bare bare = {};

        if (argc != 2) {
                (void) fprintf(stderr, "usage: %s PORT\n", argv[0]);
                return 2;
        }
        in.sin_port = htons((uint16_t) strtoul(argv[1], NULL, 10));
        bare.daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_access, &bare,
                                       MHD_OPTION_SOCK_ADDR, (const struct sockaddr *) &in,
                                       MHD_OPTION_CONNECTION_LIMIT, 4096u, MHD_OPTION_END);
        bare.response = MHD_create_response_from_buffer(sizeof(body) - 1, (void *) (uintptr_t) body,
                                                        MHD_RESPMEM_PERSISTENT);
        if (!bare.daemon || !bare.response || sd_event_default(&event) < 0)
                return 1;
        (void) MHD_add_response_header(bare.response, "Content-Type", "application/json");

        (void) printf("%u\n",
                      (unsigned) MHD_get_daemon_info(bare.daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
        (void) fflush(stdout);
        int fd = MHD_get_daemon_info(bare.daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
        if (sd_event_add_io(event, NULL, fd, EPOLLIN, on_io, &bare) < 0 ||
            sd_event_add_defer(event, &bare.again, on_again, &bare) < 0)
                return 1;
        return sd_event_loop(event) < 0;
}
