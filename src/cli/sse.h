/* SPDX-License-Identifier: MIT */
#pragma once

/* Server-sent events, read piece by piece (WHATWG HTML, "Server-sent events"), and following a
 * stream across deaths of the daemon. */

#include "cli/cli.h"

#define SSE_ID_MAX 192

typedef struct SseEvent {
        const char *id;    /* last one seen, "" for none */
        const char *event; /* "message" if unsaid */
        const char *data;  /* NUL-terminated */
        size_t n;
} SseEvent;

/* 0 to go on; anything else ends the reading and is returned. */
typedef int (*SseFn)(const SseEvent *e, void *userdata);

typedef struct Sse {
        Buf line, data;
        char id[SSE_ID_MAX + 1];      /* of the last complete event */
        char next_id[SSE_ID_MAX + 1]; /* of the one that is being read */
        char event[64];
        bool skip_lf; /* behind a CR */
} Sse;
void sse_init(Sse *s);
void sse_done(Sse *s);
/* Forgets an event that is not complete; keeps the id. */
void sse_reset(Sse *s);
int sse_feed(Sse *s, const char *p, size_t n, SseFn fn, void *userdata);

typedef struct SsePaths {
        const char *first; /* until a connection has worked */
        const char *again; /* with Last-Event-ID, when an event was read */
        const char *fresh; /* when none was read yet: what has come since the beginning */
} SsePaths;

/* Streams, and streams on whenever the daemon goes away, without missing or repeating an event;
 * gives up when there was no answer for 60 s. last_id: where to begin, or NULL. */
int sse_follow(Cli *c, const SsePaths *paths, const char *last_id, SseFn fn, void *userdata);
