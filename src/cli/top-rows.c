/* SPDX-License-Identifier: MIT */

/* The rows of `agentd top`.
 *
 * Usage is a property of the run, and CPU per cent is the difference of two of its samples over the
 * time between them; a run that was sampled once has the average of its life, as `ps` shows it, so
 * that one table in a pipe has numbers too. A new run begins anew, else the first sample of a
 * restarted agent would be a negative difference.
 *
 * A row has only what a line shows. The sessions' JSON is not kept: with a hundred thousand
 * sessions it would be a hundred megabytes, for the forty lines of a terminal. */

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#include "base/id.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/top.h"

#define SAMPLES_APART_USEC (200 * USEC_PER_MSEC) /* closer ones say nothing */
#define MESSAGE_BYTES      ((size_t) 512)
#define TEXT_BYTES         ((size_t) 8192)

static const char *const sort_names[_TOP_SORT_MAX] = { "cpu", "memory", "name" };
static const char *const states[] = { "running", "paused", "stopped", "error", "created" };

const char *top_sort_to_string(TopSort sort) {
        return sort_names[sort];
}

TopSort top_sort_from_string(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(sort_names); i++)
                if (streq(s, sort_names[i]))
                        return (TopSort) i;
        return _TOP_SORT_INVALID;
}

static void row_free(TopRow *row) {
        free(row->name);
        free(row->status);
        free(row->state);
        free(row->message);
        free(row->run_json);
        free(row);
}

static void set_text(char **place, const char *text) {
        char *copy = strdup(text);

        if (!copy)
                cli_out_of_memory();
        free(*place);
        *place = copy;
}

void top_rows_init(TopRows *t) {
        *t = (TopRows){ .by_id = map_new() };
        if (!t->by_id)
                cli_out_of_memory();
}

void top_rows_done(TopRows *t) {
        size_t cursor = 0;
        void *row;

        while (t->by_id && map_next(t->by_id, &cursor, NULL, &row))
                row_free(row);
        map_free(t->by_id);
        free(t->shown);
        *t = (TopRows){};
}

static void forget_run(TopRow *row) {
        row->sampled_at = 0;
        row->cpu_percent = -1;
        row->memory_bytes = row->tasks = -1;
        free(TAKE_PTR(row->run_json));
}

TopRow *top_rows_get(TopRows *t, uint64_t id) {
        TopRow *row = map_get(t->by_id, id);

        if (row)
                return row;
        row = calloc(1, sizeof(*row));
        if (!row || map_put(t->by_id, id, row) < 0)
                cli_out_of_memory();
        row->id = id;
        row->colour = "";
        row->message_stale = true;
        forget_run(row);
        set_text(&row->name, "");
        set_text(&row->status, "");
        set_text(&row->state, "");
        set_text(&row->message, "");
        return row;
}

void top_rows_remove(TopRows *t, uint64_t id) {
        TopRow *row = map_remove(t->by_id, id);

        if (!row)
                return;
        for (size_t i = 0; i < t->n_shown; i++)
                if (t->shown[i] == row) {
                        for (t->n_shown--; i < t->n_shown; i++)
                                t->shown[i] = t->shown[i + 1];
                        break;
                }
        row_free(row);
}

/* "role: the begin of its text" of the last message, if there are messages in the state. */
static void set_message(TopRow *row, Cli *c, JsonSpan session) {
        JsonSpan list = json_get(session, "messages"), item, last = {};
        JsonIter it = json_iter(list);

        while (json_is(list, JSON_KIND_ARRAY) && json_next(&it, NULL, &item))
                last = item;
        if (!last.p) {
                if (cli_number(session, "message_count") == 0)
                        set_text(&row->message, "");
                return;
        }
        const char *text = cli_member(c, last, "content");
        set_text(&row->message,
                 cli_text(c, "%s: %.*s", cli_member(c, last, "role"), (int) MESSAGE_BYTES, text));
        row->message_stale = false;
}

static uint64_t id_member(Cli *c, JsonSpan object, const char *name) {
        uint64_t id = 0;

        return id_parse(cli_member(c, object, name), &id) >= 0 ? id : 0;
}

void top_rows_session(TopRows *t, Cli *c, JsonSpan session) {
        uint64_t id = id_member(c, session, "session_id");

        if (id == 0)
                return;
        if (streq(cli_member(c, session, "substate"), "archived")) {
                top_rows_remove(t, id);
                return;
        }
        TopRow *row = top_rows_get(t, id);
        uint64_t run = id_member(c, session, "run");
        set_text(&row->name, cli_member(c, session, "name"));
        set_text(&row->status, cli_member(c, session, "status"));
        set_text(&row->state, session_state_text(c, session));
        row->colour = session_colour(c, session);
        row->restarts = (uint64_t) cli_number(session, "restarts");
        row->created_at = cli_time(session, "created_at");
        row->live = run != 0 && (streq(row->status, "running") || streq(row->status, "paused"));
        if (run != row->run || !row->live)
                forget_run(row);
        row->run = run;
        row->listed = true;
        set_message(row, c, session);
}

void top_rows_list(TopRows *t, Cli *c, JsonSpan list) {
        _cleanup_free_ uint64_t *gone = calloc(map_size(t->by_id) + 1, sizeof(*gone));
        JsonIter it = json_iter(list);
        JsonSpan session;
        size_t cursor = 0, n_gone = 0;
        void *row;

        if (!gone)
                cli_out_of_memory();
        while (map_next(t->by_id, &cursor, NULL, &row))
                ((TopRow *) row)->listed = false;
        while (json_next(&it, NULL, &session)) {
                size_t mark = cli_mark(c);
                top_rows_session(t, c, session);
                cli_release(c, mark);
        }
        cursor = 0;
        while (map_next(t->by_id, &cursor, NULL, &row))
                if (!((TopRow *) row)->listed)
                        gone[n_gone++] = ((TopRow *) row)->id;
        while (n_gone > 0)
                top_rows_remove(t, gone[--n_gone]);
}

static int64_t number_or_unknown(JsonSpan run, const char *name) {
        return json_is(json_get(run, name), JSON_KIND_NUMBER) ? cli_number(run, name) : -1;
}

void top_row_run(TopRow *row, Cli *c, JsonSpan run, usec_t now) {
        int64_t cpu = number_or_unknown(run, "cpu_usec");
        usec_t started_at = cli_time(run, "started_at"), wall = clock_realtime();

        if (id_member(c, run, "run_id") != row->run)
                return;
        set_text(&row->run_json, cli_text(c, "%.*s", (int) run.n, run.p));
        if (!row->live)
                return;
        row->memory_bytes = number_or_unknown(run, "memory_bytes");
        row->tasks = number_or_unknown(run, "tasks");
        if (cpu < 0) {
                row->cpu_percent = -1;
                return;
        }
        uint64_t used = (uint64_t) cpu;
        if (row->sampled_at == 0) {
                if (started_at > 0 && wall > started_at)
                        row->cpu_percent = 100.0 * (double) used / (double) (wall - started_at);
        } else if (now - row->sampled_at < SAMPLES_APART_USEC)
                return;
        else
                row->cpu_percent = used < row->cpu_usec ? 0
                                                        : 100.0 * (double) (used - row->cpu_usec) /
                                                                  (double) (now - row->sampled_at);
        row->cpu_usec = used;
        row->sampled_at = now;
}

/* ---- order ---- */

static int compare_names(const TopRow *a, const TopRow *b) {
        int r = strcasecmp(a->name, b->name);

        return r ? r : a->id < b->id ? -1 : a->id > b->id;
}

static int by_name(const void *a, const void *b) {
        return compare_names(*(TopRow *const *) a, *(TopRow *const *) b);
}

/* The living first where nothing is known of both: then those that wait for a sample do not jump. */
static int by_value(double a, double b, const TopRow *x, const TopRow *y) {
        if (a < b || a > b)
                return a < b ? 1 : -1;
        if (x->live != y->live)
                return x->live ? -1 : 1;
        return compare_names(x, y);
}

static int by_cpu(const void *a, const void *b) {
        const TopRow *x = *(TopRow *const *) a, *y = *(TopRow *const *) b;

        return by_value(x->cpu_percent, y->cpu_percent, x, y);
}

static int by_memory(const void *a, const void *b) {
        const TopRow *x = *(TopRow *const *) a, *y = *(TopRow *const *) b;

        return by_value((double) x->memory_bytes, (double) y->memory_bytes, x, y);
}

static bool passes(const TopRow *row, const char *filter) {
        char id[ID_STRING_SIZE];

        return *filter == '\0' || strcasestr(row->name, filter) ||
               strncasecmp(row->status, filter, strlen(filter)) == 0 ||
               str_startswith(id_format(row->id, id), filter);
}

void top_rows_sort(TopRows *t, TopSort sort, const char *filter) {
        static int (*const orders[_TOP_SORT_MAX])(const void *, const void *) = { by_cpu, by_memory,
                                                                                  by_name };
        size_t n = map_size(t->by_id), cursor = 0;
        void *value;

        if (n > t->size) {
                TopRow **shown = reallocarray(t->shown, n, sizeof(TopRow *));
                if (!shown)
                        cli_out_of_memory();
                t->shown = shown;
                t->size = n;
        }
        t->n_shown = 0;
        memset(t->n_by_state, 0, sizeof(t->n_by_state));
        while (map_next(t->by_id, &cursor, NULL, &value)) {
                TopRow *row = value;

                for (size_t i = 0; i < ELEMENTSOF(states); i++)
                        t->n_by_state[i] += streq(row->status, states[i]);
                /* One that only an event has told of so far has nothing to show. */
                if (*row->status && passes(row, filter))
                        t->shown[t->n_shown++] = row;
        }
        if (t->n_shown > 1)
                qsort(t->shown, t->n_shown, sizeof(TopRow *), orders[sort]);
}

/* ---- cells ---- */

static char *safe_text(Cli *c, const char *text) {
        Buf b = BUF_INIT(TEXT_BYTES);

        (void) str_put_clean(&b, text, strnlen(text, 2 * MESSAGE_BYTES), 0);
        return cli_take(c, &b);
}

/* Line breaks as spaces: the begin of a message is to be read, and \x0a is not. */
static char *message_text(Cli *c, const char *message) {
        char *text = cli_text(c, "%s", message);

        for (char *p = text; *p; p++)
                if (isspace((unsigned char) *p))
                        *p = ' ';
        return safe_text(c, text);
}

void top_row_cells(const TopRow *row, Cli *c, char *ret[static TOP_CELLS]) {
        char size[32], age[32];
        usec_t now = clock_realtime();

        ret[TOP_NAME] = safe_text(c, row->name);
        ret[TOP_STATE] = safe_text(c, row->state);
        ret[TOP_CPU] =
                row->cpu_percent < 0 ? cli_text(c, "-") : cli_text(c, "%.1f", row->cpu_percent);
        ret[TOP_MEMORY] =
                row->memory_bytes < 0
                        ? cli_text(c, "-")
                        : cli_text(c, "%s",
                                   text_size((uint64_t) row->memory_bytes, size, sizeof(size)));
        ret[TOP_TASKS] =
                row->tasks < 0 ? cli_text(c, "-") : cli_text(c, "%lld", (long long) row->tasks);
        ret[TOP_RESTARTS] = cli_text(c, "%llu", (unsigned long long) row->restarts);
        ret[TOP_AGE] =
                row->created_at == 0 || row->created_at > now
                        ? cli_text(c, "0s")
                        : cli_text(c, "%s", text_span(now - row->created_at, age, sizeof(age)));
        ret[TOP_MESSAGE] = message_text(c, row->message);
}
