/* SPDX-License-Identifier: MIT */
#pragma once

/* Requests side by side on one thread, for a program that must go on answering its user while a
 * daemon is slow, frozen or gone. Nothing happens but inside http_many_wait(), which also watches
 * the caller's own descriptors. */

#include <poll.h>

#include "net/client.h"

typedef struct HttpMany HttpMany;
typedef struct HttpJob HttpJob;

typedef struct HttpJobOptions {
        const char *method; /* NULL: GET */
        const char *path;
        const char *accept;        /* NULL: JSON */
        const char *last_event_id; /* or NULL */
        const char *body;          /* or NULL; copied */
        unsigned timeout_sec;      /* 0: none, for streams */
        /* What comes, piece by piece; 0 to go on, an errno ends the exchange. NULL: it is collected
         * for on_done. */
        int (*on_data)(long status, const char *data, size_t n, void *userdata);
        /* Once, at the end. error: as of http_client_request(), or on_data's; then status may be 0.
         * body is NUL-terminated and belongs to the client; empty with on_data. */
        void (*on_done)(int error, long status, const Buf *body, void *userdata);
        void *userdata;
} HttpJobOptions;

int http_many_new(HttpMany **ret, const HttpClientOptions *options);
/* Ends what is under way without calling anybody. */
HttpMany *http_many_free(HttpMany *m);
DEFINE_CLEANUP(HttpMany *, http_many_free);
/* Sent by the next http_many_wait(). ret may be NULL; what it gives is valid until on_done. May be
 * called from on_done and on_data. */
int http_many_start(HttpMany *m, const HttpJobOptions *options, HttpJob **ret);
/* Ends it without calling its functions again. */
void http_many_cancel(HttpMany *m, HttpJob *job);
/* How many are not done. */
size_t http_many_count(const HttpMany *m);
/* Waits at most so long for anything to happen on the connections or on fds (POLLIN; sets revents),
 * and calls the functions of what happened. */
int http_many_wait(HttpMany *m, struct pollfd *fds, size_t n, int timeout_msec);
