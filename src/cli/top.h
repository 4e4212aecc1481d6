/* SPDX-License-Identifier: MIT */
#pragma once

/* What `agentd top` knows of the sessions: rows from the API's answers, sorted and filtered. No
 * terminal and no connection here. */

#include "base/map.h"
#include "cli/cli.h"

typedef enum TopSort {
        TOP_BY_CPU,
        TOP_BY_MEMORY,
        TOP_BY_NAME,
        _TOP_SORT_MAX,
        _TOP_SORT_INVALID = -EINVAL,
} TopSort;

/* "cpu", "memory", "name". */
const char *top_sort_to_string(TopSort sort);
TopSort top_sort_from_string(const char *s);

typedef struct TopRow {
        uint64_t id;
        /* "" until it was told. */
        char *name, *status, *state, *message;
        const char *colour; /* of the state; static */
        uint64_t restarts;
        usec_t created_at;
        uint64_t run; /* the current or last one, or 0 */
        bool live;    /* it has a process */

        uint64_t cpu_usec;           /* of the run */
        usec_t sampled_at;           /* when that was told (monotonic); 0: never */
        double cpu_percent;          /* of one processor; negative: unknown */
        int64_t memory_bytes, tasks; /* negative: unknown */
        char *run_json;              /* as it was told last, or NULL */

        bool stale;            /* it is to be asked for */
        bool message_stale;    /* if it is looked at */
        bool asked, run_asked; /* a request is under way */
        bool listed;           /* was in the last list */
} TopRow;

typedef struct TopRows {
        Map *by_id;     /* of TopRow, owned */
        TopRow **shown; /* sorted, those that pass the filter */
        size_t n_shown, size;
        size_t n_by_state[5]; /* of all: running, paused, stopped, error, created */
} TopRows;

void top_rows_init(TopRows *t);
void top_rows_done(TopRows *t);
/* The row of this id, made if there is none. */
TopRow *top_rows_get(TopRows *t, uint64_t id);
void top_rows_remove(TopRows *t, uint64_t id);
/* From a SessionState; with its last message if it carries one. An archived one is removed. */
void top_rows_session(TopRows *t, Cli *c, JsonSpan session);
/* A whole list: what is not in it is removed. */
void top_rows_list(TopRows *t, Cli *c, JsonSpan list);
/* From a Run that was told at `now` (monotonic). */
void top_row_run(TopRow *row, Cli *c, JsonSpan run, usec_t now);
/* Makes `shown`. filter: part of a name, an id's begin, or a status; "" for all. Ignores case. */
void top_rows_sort(TopRows *t, TopSort sort, const char *filter);
/* The cells of one line, each free of control characters: name, state, CPU, memory, tasks,
 * restarts, age, message. Texts belong to c. */
enum {
        TOP_NAME,
        TOP_STATE,
        TOP_CPU,
        TOP_MEMORY,
        TOP_TASKS,
        TOP_RESTARTS,
        TOP_AGE,
        TOP_MESSAGE,
        TOP_CELLS
};
void top_row_cells(const TopRow *row, Cli *c, char *ret[static TOP_CELLS]);
