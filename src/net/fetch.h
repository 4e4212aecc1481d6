/* SPDX-License-Identifier: MIT */
#pragma once

/* HTTP requests of the daemon to others (embedding and summarising endpoints), without blocking:
 * libcurl's multi interface in the daemon's loop. libcurl is in a module of its own that is loaded
 * at the first request, because most daemons never make one and it costs several MiB at start.
 *
 * TLS is always verified. Redirects are not followed (a key must not travel on). No proxy but the
 * environment's. Answers above body_max are cut off with -EFBIG. Connections are kept and used
 * again. Who starts requests bounds their number. Loop thread only. */

#include <systemd/sd-event.h>

#include "base/buf.h"
#include "base/clock.h"

typedef struct Fetcher Fetcher;
typedef struct Fetch Fetch;

typedef struct FetchRequest {
        const char *method, *url;
        const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
        const void *body;           /* copied; may be NULL */
        size_t body_size;
        size_t body_max;     /* of the answer; 0: 64 MiB */
        usec_t timeout_usec; /* of the whole; 0: none */
        usec_t connect_usec; /* 0: 10 s */
} FetchRequest;

typedef struct FetchAnswer {
        /* 0: an answer came, whatever its status. Else: -ECONNREFUSED, -ENETUNREACH… as connecting
         * failed, -EHOSTUNREACH (no such name), -ETIMEDOUT, -ECONNRESET (cut or hung up), -EFBIG
         * (above body_max), -EKEYREJECTED (TLS: the certificate is not trusted), -EPROTO (what came
         * is no HTTP, or TLS failed), -ENOMEM, -EIO. */
        int r;
        long status;
        const char *body; /* NUL-terminated behind its end; never NULL */
        size_t body_size;
        usec_t retry_after; /* of the header, as a span; 0: none */
        const char *message; /* for people, when r < 0: what failed and where, without user, password and query; else NULL */
} FetchAnswer;
/* The answer lives until it returns. May start and cancel requests and free the fetcher. */
typedef void (*FetchDoneFn)(const FetchAnswer *answer, void *userdata);

int fetcher_new(Fetcher **ret, sd_event *event);
/* Everything under way is given up without a done(). Never waits for the network. */
Fetcher *fetcher_free(Fetcher *f);
DEFINE_CLEANUP(Fetcher *, fetcher_free);
/* Where the module is, for programs that are not installed: before the first request; copied. */
int fetcher_set_module(Fetcher *f, const char *path);
/* Why the module could not be loaded, after -ELIBACC; never NULL. */
const char *fetcher_error(const Fetcher *f);

/* done() comes exactly once, later, on the loop. ret may be NULL; it is valid until done() or
 * fetch_cancel(). -ELIBACC when the module is missing or of another version, -EINVAL when the URL
 * is none (http and https only) or a header has a line break. */
int fetch_start(Fetcher *f, const FetchRequest *request, FetchDoneFn done, void *userdata, Fetch **ret);
/* No done() any more. NULL is fine. */
Fetch *fetch_cancel(Fetch *fetch);
