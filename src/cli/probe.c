/* SPDX-License-Identifier: MIT */

/* The only place that waits for the daemon by asking again and again: its start and its end are
 * seen through the socket, since it is the keeper's child and not ours. A request to a socket that
 * the keeper holds simply waits in the queue until the daemon takes it, so this asks seldom. */

#include "cli/probe.h"

#include <poll.h>

#include "base/str.h"
#include "cli/keeper-link.h"

#define AGAIN_MSEC 20
#define TRY_USEC   (2 * USEC_PER_SEC)

static int probe_once(Cli *c, const char *path, usec_t timeout_usec, Reply *ret) {
        _cleanup_(http_client_freep) HttpClient *client = NULL;
        _cleanup_reply_ Reply reply = {};
        HttpClientOptions options = ask_options(c);

        options.timeout_sec = (unsigned) MAX(timeout_usec / USEC_PER_SEC, (usec_t) 1);
        int r = http_client_new(&client, &options);
        if (r >= 0)
                r = http_client_request(client, "GET", path, NULL, NULL, &reply.http);
        if (r < 0)
                return r;
        if (reply.http.status != 200 || json_check(reply.http.body.data, reply.http.body.len,
                                                   JSON_DEPTH_MAX, &reply.json, NULL) < 0)
                return -EAGAIN;
        *ret = reply;
        reply = (Reply){};
        return 0;
}

/* Who hangs up without a word is dying: its socket lives until the last of its threads is gone. */
int probe(Cli *c, const char *path, usec_t timeout_usec, Reply *ret) {
        usec_t until = clock_monotonic() + timeout_usec;
        int r;

        while ((r = probe_once(c, path, timeout_usec, ret)) == -ECONNRESET &&
               clock_monotonic() < until)
                (void) poll(NULL, 0, AGAIN_MSEC);
        return r;
}

int probe_ready(Cli *c, int pidfd, usec_t timeout_usec) {
        usec_t until = clock_monotonic() + timeout_usec;

        for (;;) {
                _cleanup_reply_ Reply reply = {};

                int r = probe(c, "/ready", TRY_USEC, &reply);
                if (r >= 0)
                        return 0;
                if (pidfd >= 0 && process_wait(pidfd, AGAIN_MSEC * USEC_PER_MSEC))
                        return -ECHILD;
                if (pidfd < 0 && (r == -ECONNREFUSED || r == -ENOENT))
                        return -ECONNREFUSED;
                if (clock_monotonic() > until)
                        return -ETIMEDOUT;
                if (pidfd < 0)
                        (void) poll(NULL, 0, AGAIN_MSEC);
        }
}

bool probe_gone_now(Cli *c) {
        _cleanup_reply_ Reply reply = {};
        int r = probe(c, "/health", PROBE_USEC, &reply);

        return r == -ECONNREFUSED || r == -ENOENT;
}

bool probe_gone(Cli *c, usec_t timeout_usec) {
        usec_t until = clock_monotonic() + timeout_usec;

        while (clock_monotonic() < until) {
                _cleanup_reply_ Reply reply = {};

                int r = probe(c, "/health", TRY_USEC, &reply);
                if (r == -ECONNREFUSED || r == -ENOENT)
                        return true;
                (void) poll(NULL, 0, AGAIN_MSEC);
        }
        return false;
}
