/* SPDX-License-Identifier: MIT */
#pragma once

/* The parts of `agentd top` on a terminal: what it asks (top-feed.c, top-stream.c), what it shows
 * (top-draw.c), what keys do (top-keys.c). Private to them and top.c. */

#include "cli/screen.h"
#include "cli/sse.h"
#include "cli/top.h"
#include "net/many.h"

#define TOP_ASKS_MAX   512
#define TOP_LINES_MAX  2000
#define TOP_EVERY_USEC USEC_PER_SEC
#define TOP_FRAME_USEC (30 * USEC_PER_MSEC) /* frames are at least so far apart */

typedef struct Top Top;

/* One request about one session. */
typedef struct TopAsk {
        Top *top; /* NULL: free */
        uint64_t id;
        const char *verb; /* of a POST; static */
} TopAsk;

/* A stream of events that is opened again whenever it ends. */
typedef struct TopStream {
        Top *top;
        HttpJob *job; /* NULL: none is open */
        Sse sse;
        SseFn fn;
        char *path, *again; /* at first, and behind an event that was read */
        usec_t again_at;    /* monotonic */
        bool is_on;
        bool refused; /* by the daemon: not tried again */
} TopStream;

typedef enum TopView {
        TOP_VIEW_LIST,
        TOP_VIEW_STATUS,
        TOP_VIEW_LOGS,
        TOP_VIEW_HELP,
} TopView;

struct Top {
        Cli *c;
        Screen screen;
        HttpMany *many;
        TopRows rows;
        TopSort sort;
        usec_t every_usec;

        TopAsk asks[TOP_ASKS_MAX];
        TopStream events;
        bool list_asked, list_stale, health_asked;
        usec_t health_asked_at; /* monotonic */
        uint64_t *stale;        /* ids of rows to ask for */
        size_t n_stale, stale_size;
        size_t sweep;        /* which row beyond the visible ones is sampled next */
        usec_t tick_at;      /* monotonic */
        usec_t silent_since; /* monotonic; no answer since; 0: all is well */
        bool has_list;       /* one came */

        TopView view;
        uint64_t selected;  /* id; 0: none */
        size_t selected_at; /* its place */
        size_t first, page; /* first row that is shown, and how many */
        Buf filter;
        bool filtering; /* keys go into the filter */
        bool asks_stop; /* y/n is expected */
        char *note;     /* of the last action, or NULL */
        bool note_is_bad;
        bool dirty, quit;
        int result;

        uint64_t opened;        /* the session of the status and log views */
        Buf status, status_log; /* answers */
        TopStream log;
        char *lines[TOP_LINES_MAX]; /* a ring */
        size_t n_lines, scroll;     /* ever; how far back is looked */
};

/* ---- top-feed.c ---- */

int feed_open(Top *t);
void feed_close(Top *t);
/* What time brings: samples each second, streams again. */
void feed_tick(Top *t, usec_t now);
/* Sends what is wanted, as much as may be under way at once. */
void feed_pump(Top *t);
void feed_verb(Top *t, uint64_t id, const char *verb);
/* Answers for the status view; its parts come one after the other. */
void feed_status(Top *t);
/* An answer came (0), or did not. */
void feed_heard(Top *t, int error);
/* Since when nobody answers (monotonic), or 0. */
usec_t feed_silent_since(const Top *t, usec_t now);

/* ---- top-stream.c ---- */

/* path and again are taken over; NULL ends the process. last_id: begin behind this event; or NULL. */
void stream_open(TopStream *s, Top *t, char *path, char *again, const char *last_id, SseFn fn);
void stream_close(TopStream *s);
void stream_tick(TopStream *s, usec_t now);
/* The log view's stream. */
void log_open(Top *t);
void log_close(Top *t);

/* ---- top-draw.c, top-keys.c ---- */

int top_draw(Top *t);
void top_key(Top *t, int key);
/* Puts the selection and the first row where rows are. */
void top_settle(Top *t);
TopRow *top_selected(const Top *t);
/* text: taken over; NULL takes a note away. */
void top_note(Top *t, bool is_bad, char *text);
