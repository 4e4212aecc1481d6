/* SPDX-License-Identifier: MIT */
#pragma once

/* Reading the logs of a session: its runs' raw segments and side indexes, merged in the order in
 * which the newlines arrived. A line is (run, stream, time, bytes). A last line without a newline
 * is delivered when the run is complete. Positions are cursors "RUN:OUT_OFFSET:ERR_OFFSET:RECORD"
 * (run as 16 hex digits; RECORD is the number of index records that are done with) that stay valid
 * for ever; clients pass them back as they are. */

#include <systemd/sd-event.h>

#include "base/json.h"

#define SUP_LOG_LINE_MAX (64U << 10)

typedef struct SupLog SupLog;

typedef struct SupLogLine {
        uint64_t run;
        unsigned stream;  /* 1 stdout, 2 stderr, 0: a notice of ours (gap) */
        usec_t time;      /* realtime of arrival */
        const char *text; /* without the newline; raw bytes; valid until the next call */
        size_t n;
        bool cut; /* longer than SUP_LOG_LINE_MAX: delivered in pieces, this is not the last */
} SupLogLine;

typedef struct SupLogOptions {
        int64_t lines;       /* the last so many; < 0: from the beginning (or cursor) */
        const char *cursor;  /* start right behind it; wins over lines */
        usec_t since, until; /* realtime; 0: open */
        unsigned streams;    /* bit 0 stdout, bit 1 stderr; 0: both. Notices come with either. */
        uint64_t run;        /* only this run; 0: all */
        const char *grep; /* plain substring, or NULL; matches pieces of overlong lines each by itself */
} SupLogOptions;

/* A session without logs is empty, not an error. -EINVAL: not a cursor. */
int sup_log_open(SupLog **ret, const char *log_dir, uint64_t session, const SupLogOptions *options);
SupLog *sup_log_free(SupLog *l);
DEFINE_CLEANUP(SupLog *, sup_log_free);
/* The next line: 1; 0: nothing more now; negative errno. */
int sup_log_next(SupLog *l, SupLogLine *ret);
/* ended(run) tells whether a run is complete: its end was committed and it was released, so that
 * nothing can be added to its files (then its unfinished last line is delivered); NULL: all are.
 * Before the first sup_log_next(). */
void sup_log_set_ended(SupLog *l, bool (*ended)(uint64_t run, void *userdata), void *userdata);
/* Behind the last line that was delivered; lines that a filter left out count as delivered. Before
 * the first sup_log_next() and in a session without logs: nothing is appended. */
int sup_log_cursor(const SupLog *l, Buf *out);
/* Calls wake() when there may be more (inotify on the session's folder, which is made if missing), until the log
 * is freed. A run that becomes complete changes no file: then the owner looks by itself. */
int sup_log_follow(SupLog *l, sd_event *event, void (*wake)(void *userdata), void *userdata);

/* Text made safe for a terminal: control characters other than tab and (keep_colour) SGR colour
 * sequences, and invalid UTF-8, are shown as \xHH. */
int sup_log_sanitize(const char *text, size_t n, bool keep_colour, Buf *out);
/* Removes the files of a session. */
int sup_log_delete(const char *log_dir, uint64_t session);
