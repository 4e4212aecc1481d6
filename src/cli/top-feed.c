/* SPDX-License-Identifier: MIT */

/* What `agentd top` asks the daemon, and when.
 *
 * The list comes once; from then on the event stream says which session has changed, and only that
 * one is asked for, so that a thousand quiet sessions cost nothing. Usage has no events: each
 * second the rows that can be seen are asked for their runs, and a fixed small number of the others
 * in turn, so that sorting by CPU finds the busy ones without one request per session per second.
 *
 * Asking for the list each second was rejected: with many sessions it is megabytes a second. Many
 * changes at once are cheaper as one list, though.
 *
 * At most TOP_ASKS_MAX requests are under way; a row that finds no place is asked for later. */

#include <stdio.h>

#include "base/id.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/top-internal.h"

#define EXTRA_PER_TICK 20                 /* samples of rows that cannot be seen */
#define STALE_MAX      200                /* more than that: the whole list */
#define SLOW_USEC      (2 * USEC_PER_SEC) /* then the head line says that there is no answer */
#define OVERLAP_USEC   (2 * USEC_PER_SEC) /* events from before the list, so that none is missed */
#define ANSWER_TIMEOUT 30                 /* seconds */

void feed_heard(Top *t, int error) {
        if (error == 0 && t->silent_since != 0) {
                t->silent_since = 0;
                t->list_stale = true;
        } else if (error < 0 && t->silent_since == 0)
                t->silent_since = clock_monotonic();
        t->dirty = true;
}

usec_t feed_silent_since(const Top *t, usec_t now) {
        if (t->silent_since != 0)
                return t->silent_since;
        return t->health_asked && now - t->health_asked_at > SLOW_USEC ? t->health_asked_at : 0;
}

static TopAsk *free_ask(Top *t) {
        ARRAY_FOREACH(a, t->asks)
                if (!a->top)
                        return a;
        return NULL;
}

static void start(Top *t, const HttpJobOptions *o) {
        if (http_many_start(t->many, o, NULL) < 0)
                cli_out_of_memory();
}

static bool parse(const Buf *body, JsonKind kind, JsonSpan *ret) {
        return json_check(body->data, body->len, JSON_DEPTH_MAX, ret, NULL) >= 0 &&
               json_is(*ret, kind);
}

/* ---- the list ---- */

static void on_list(int error, long status, const Buf *body, void *userdata) {
        Top *t = userdata;
        JsonSpan list;

        t->list_asked = false;
        feed_heard(t, error);
        if (error < 0 || status >= 500) {
                t->list_stale = true;
                return;
        }
        if (status == 200 && parse(body, JSON_KIND_ARRAY, &list)) {
                top_rows_list(&t->rows, t->c, list);
                t->has_list = true;
                return;
        }
        /* Not permitted, or no agentd: nothing will come. */
        screen_close(&t->screen);
        t->result = ask_refused(t->c, status, body->data, body->len);
        t->quit = true;
}

static void ask_for_list(Top *t) {
        HttpJobOptions o = {
                .path = "/sessions", .timeout_sec = ANSWER_TIMEOUT, .on_done = on_list, .userdata = t
        };

        t->list_asked = true;
        t->list_stale = false;
        while (t->n_stale > 0) {
                TopRow *row = map_get(t->rows.by_id, t->stale[--t->n_stale]);
                if (row)
                        row->stale = false;
        }
        start(t, &o);
}

/* Each second: who has nothing else to ask learns so that the daemon is gone, and that it is back. */
static void on_health(int error, long status, const Buf *body, void *userdata) {
        Top *t = userdata;

        t->health_asked = false;
        feed_heard(t, error);
}

static void ask_for_health(Top *t, usec_t now) {
        if (t->health_asked)
                return;
        t->health_asked = true;
        t->health_asked_at = now;
        start(t, &(HttpJobOptions){ .path = "/health",
                                    .timeout_sec = ANSWER_TIMEOUT,
                                    .on_done = on_health,
                                    .userdata = t });
}

/* ---- one row ---- */

static void on_session(int error, long status, const Buf *body, void *userdata) {
        TopAsk *ask = userdata;
        Top *t = TAKE_PTR(ask->top);
        TopRow *row = map_get(t->rows.by_id, ask->id);
        JsonSpan session;

        feed_heard(t, error);
        if (!row)
                return;
        row->asked = false;
        if (error < 0)
                return;
        size_t mark = cli_mark(t->c);
        if (status == 200 && parse(body, JSON_KIND_OBJECT, &session))
                top_rows_session(&t->rows, t->c, session);
        else if (status == 404)
                top_rows_remove(&t->rows, ask->id);
        cli_release(t->c, mark);
}

static void on_run(int error, long status, const Buf *body, void *userdata) {
        TopAsk *ask = userdata;
        Top *t = TAKE_PTR(ask->top);
        TopRow *row = map_get(t->rows.by_id, ask->id);
        JsonSpan run;

        feed_heard(t, error);
        if (!row)
                return;
        row->run_asked = false;
        size_t mark = cli_mark(t->c);
        if (error == 0 && status == 200 && parse(body, JSON_KIND_OBJECT, &run))
                top_row_run(row, t->c, run, clock_monotonic());
        cli_release(t->c, mark);
}

static bool ask_session_of(Top *t, TopRow *row) {
        char id[ID_STRING_SIZE], path[64];
        TopAsk *ask = row->asked ? NULL : free_ask(t);

        if (!ask)
                return row->asked;
        (void) snprintf(path, sizeof(path), "/sessions/%s?messages=1", id_format(row->id, id));
        *ask = (TopAsk){ .top = t, .id = row->id };
        row->asked = true;
        row->stale = row->message_stale = false;
        start(t, &(HttpJobOptions){ .path = path,
                                    .timeout_sec = ANSWER_TIMEOUT,
                                    .on_done = on_session,
                                    .userdata = ask });
        return true;
}

static void ask_run_of(Top *t, TopRow *row) {
        char id[ID_STRING_SIZE], run[ID_STRING_SIZE], path[80];
        TopAsk *ask = row->run_asked || row->run == 0 ? NULL : free_ask(t);

        if (!ask)
                return;
        (void) snprintf(path, sizeof(path), "/sessions/%s/runs/%s", id_format(row->id, id),
                        id_format(row->run, run));
        *ask = (TopAsk){ .top = t, .id = row->id };
        row->run_asked = true;
        start(t, &(HttpJobOptions){ .path = path,
                                    .timeout_sec = ANSWER_TIMEOUT,
                                    .on_done = on_run,
                                    .userdata = ask });
}

/* ---- events ---- */

static void set_stale(Top *t, uint64_t id) {
        TopRow *row = top_rows_get(&t->rows, id);

        if (t->n_stale >= STALE_MAX) {
                t->list_stale = true;
                return;
        }
        if (t->n_stale == t->stale_size) {
                size_t size = t->stale_size ? 2 * t->stale_size : 64;
                uint64_t *stale = reallocarray(t->stale, size, sizeof(*stale));
                if (!stale)
                        cli_out_of_memory();
                t->stale = stale;
                t->stale_size = size;
        }
        row->stale = true;
        t->stale[t->n_stale++] = id;
}

static int on_event(const SseEvent *e, void *userdata) {
        Top *t = userdata;
        JsonSpan event;
        uint64_t id;

        if (streq(e->event, "reset"))
                t->list_stale = true;
        if (json_check(e->data, e->n, JSON_DEPTH_MAX, &event, NULL) < 0 ||
            !json_is(event, JSON_KIND_OBJECT))
                return 0;
        size_t mark = cli_mark(t->c);
        const char *type = cli_member(t->c, event, "type");
        if (streq(type, "daemon.started"))
                t->list_stale = true;
        if (id_parse(cli_member(t->c, event, "session_id"), &id) >= 0 && id != 0) {
                const TopRow *row = map_get(t->rows.by_id, id);

                if (streq(type, "session.deleted"))
                        top_rows_remove(&t->rows, id);
                else if (streq(type, "message.appended") && row)
                        top_rows_get(&t->rows, id)->message_stale = true;
                else if (!str_startswith(type, "variable.") && (!row || !row->stale))
                        set_stale(t, id);
        }
        cli_release(t->c, mark);
        return 0;
}

/* ---- when ---- */

/* Rows that can be seen first, then the others in turn. */
static void ask_samples(Top *t) {
        size_t n = t->rows.n_shown, last = MIN(t->first + t->page, n);

        for (size_t i = t->first; i < last; i++)
                if (t->rows.shown[i]->live)
                        ask_run_of(t, t->rows.shown[i]);
        for (size_t i = 0, asked = 0; i < n && asked < EXTRA_PER_TICK; i++) {
                TopRow *row = t->rows.shown[t->sweep++ % n];

                if (!row->live || row->run_asked)
                        continue;
                ask_run_of(t, row);
                asked++;
        }
}

void feed_pump(Top *t) {
        bool waits = t->silent_since != 0;

        if (t->list_stale && !t->list_asked && !waits)
                ask_for_list(t);
        while (t->n_stale > 0 && !waits) {
                TopRow *row = map_get(t->rows.by_id, t->stale[t->n_stale - 1]);

                if (row && row->stale && (row->asked || !ask_session_of(t, row)))
                        break;
                t->n_stale--;
        }
        for (size_t i = t->first; i < MIN(t->first + t->page, t->rows.n_shown) && !waits; i++)
                if (t->rows.shown[i]->message_stale)
                        (void) ask_session_of(t, t->rows.shown[i]);
}

void feed_tick(Top *t, usec_t now) {
        stream_tick(&t->events, now);
        stream_tick(&t->log, now);
        if (now < t->tick_at)
                return;
        t->tick_at = now + t->every_usec;
        t->dirty = true; /* ages */
        ask_for_health(t, now);
        if (feed_silent_since(t, now) != 0)
                return;
        if (t->events.refused)
                t->list_stale = true;
        ask_samples(t);
        if (t->view == TOP_VIEW_STATUS)
                feed_status(t);
}

/* ---- verbs ---- */

static void on_verb(int error, long status, const Buf *body, void *userdata) {
        TopAsk *ask = userdata;
        Top *t = TAKE_PTR(ask->top);
        size_t mark = cli_mark(t->c);
        JsonSpan session;
        int r;

        feed_heard(t, error);
        if (error < 0)
                top_note(t, true,
                         str_printf("%s: no answer (%s); look whether it was done", ask->verb,
                                    strerror(-error)));
        else if (status < 200 || status > 299)
                top_note(t, true, strdup(refusal_text(t->c, status, body->data, body->len, &r)));
        else if (parse(body, JSON_KIND_OBJECT, &session)) {
                top_rows_session(&t->rows, t->c, session);
                top_note(t, false,
                         str_printf("%s is %s", cli_member(t->c, session, "name"),
                                    session_state_text(t->c, session)));
        }
        cli_release(t->c, mark);
}

void feed_verb(Top *t, uint64_t id, const char *verb) {
        char text[ID_STRING_SIZE], path[64];
        TopAsk *ask = free_ask(t);

        if (!ask) {
                top_note(t, true, strdup("too much is under way; try again"));
                return;
        }
        (void) snprintf(path, sizeof(path), "/sessions/%s/%s", id_format(id, text), verb);
        *ask = (TopAsk){ .top = t, .id = id, .verb = verb };
        start(t, &(HttpJobOptions){
                         .method = "POST", .path = path, .on_done = on_verb, .userdata = ask });
        top_note(t, false, str_printf("%s …", verb));
}

/* ---- the status view ---- */

static void keep(Top *t, Buf *place, int error, long status, const Buf *body) {
        feed_heard(t, error);
        if (error < 0 || status != 200)
                return;
        buf_clear(place);
        if (buf_append(place, body->data, body->len) < 0)
                cli_out_of_memory();
}

static void on_status_log(int error, long status, const Buf *body, void *userdata) {
        TopAsk *ask = userdata;
        Top *t = TAKE_PTR(ask->top);

        if (t->opened == ask->id)
                keep(t, &t->status_log, error, status, body);
}

static void on_status(int error, long status, const Buf *body, void *userdata) {
        TopAsk *ask = userdata;
        Top *t = TAKE_PTR(ask->top);

        if (t->opened == ask->id)
                keep(t, &t->status, error, status, body);
}

void feed_status(Top *t) {
        char id[ID_STRING_SIZE], path[80];
        TopAsk *ask = free_ask(t);

        (void) id_format(t->opened, id);
        if (ask) {
                *ask = (TopAsk){ .top = t, .id = t->opened };
                (void) snprintf(path, sizeof(path), "/sessions/%s?messages=0", id);
                start(t, &(HttpJobOptions){ .path = path,
                                            .timeout_sec = ANSWER_TIMEOUT,
                                            .on_done = on_status,
                                            .userdata = ask });
        }
        ask = free_ask(t);
        if (ask) {
                *ask = (TopAsk){ .top = t, .id = t->opened };
                (void) snprintf(path, sizeof(path), "/sessions/%s/logs?lines=%zu", id,
                                t->screen.rows);
                start(t, &(HttpJobOptions){ .path = path,
                                            .accept = "text/plain",
                                            .timeout_sec = ANSWER_TIMEOUT,
                                            .on_done = on_status_log,
                                            .userdata = ask });
        }
        TopRow *row = map_get(t->rows.by_id, t->opened);
        if (row)
                ask_run_of(t, row);
}

/* ---- life ---- */

int feed_open(Top *t) {
        char since[ID_STRING_SIZE];
        HttpClientOptions options = ask_options(t->c);

        options.timeout_sec = 0;
        int r = http_many_new(&t->many, &options);
        if (r < 0)
                return r;
        top_rows_init(&t->rows);
        (void) id_format(id_of_time(t->c->now - OVERLAP_USEC), since);
        stream_open(&t->events, t, strdup("/events"), strdup("/events"), since, on_event);
        ask_for_list(t);
        return 0;
}

void feed_close(Top *t) {
        stream_close(&t->events);
        log_close(t);
        t->many = http_many_free(t->many);
        top_rows_done(&t->rows);
        free(TAKE_PTR(t->stale));
}
