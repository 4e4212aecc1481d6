/* SPDX-License-Identifier: MIT */
#pragma once

/* A small blocking HTTP client on libcurl for the command line: unix socket first, TCP if told. */

#include "base/json.h"

typedef struct HttpClient HttpClient;

typedef struct HttpClientOptions {
        const char *socket_path; /* unix socket; NULL: use base_url only */
        const char *base_url; /* "http://127.0.0.1:8721"; with socket_path only its path prefix counts */
        const char *token;    /* Bearer; may be NULL */
        unsigned timeout_sec; /* 0: none */
} HttpClientOptions;

typedef struct HttpResponse {
        long status;
        Buf body;
        char *next_link; /* target of Link rel="next", or NULL */
        char *content_type;
} HttpResponse;
void http_response_done(HttpResponse *r);

int http_client_new(HttpClient **ret, const HttpClientOptions *options);
HttpClient *http_client_free(HttpClient *c);
DEFINE_CLEANUP(HttpClient *, http_client_free);
/* body may be NULL. 0 when an answer came, whatever its status; -ECONNREFUSED/-ENOENT nobody
 * listens, -ECONNRESET it went away in between, -ETIMEDOUT. */
int http_client_request(HttpClient *c,
                        const char *method,
                        const char *path,
                        const char *accept,
                        const char *body,
                        HttpResponse *ret);
/* Idempotency-Key of what is asked from here on; not copied. NULL: none. */
void http_client_set_key(HttpClient *c, const char *key);
/* While an answer is waited for, fn is called every 100 ms; NULL: no more. */
void http_client_on_wait(HttpClient *c, void (*fn)(void *userdata), void *userdata);
/* While an answer is waited for, fn is called about once a second; a negative errno ends the
 * waiting, and is what the request returns. NULL: no more. */
void http_client_on_second(HttpClient *c, int (*fn)(void *userdata), void *userdata);
/* Streams the answer's bytes to fn as they come (status known at the first call); fn returns 0 to
 * go on, else the transfer ends and that value is returned. */
int http_client_stream(HttpClient *c,
                       const char *method,
                       const char *path,
                       const char *accept,
                       const char *last_event_id,
                       int (*fn)(long status, const char *data, size_t n, void *userdata),
                       void *userdata);
/* Percent-encodes one path segment or query value; fresh memory. */
char *http_url_escape(const char *s);
