/* SPDX-License-Identifier: MIT */

/* `agentd top`: on a terminal a live view, else a table.
 *
 * One thread and one loop: keys, signals, events and answers come out of one wait, so a daemon that
 * is frozen or gone never freezes the keys. The table in a pipe is made by plain requests one after
 * another: there nothing is waiting for a key.
 *
 * The view goes on when its daemon dies: it says so, and takes up again what the next one tells. */

#include "cli/top.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>

#include "base/id.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/top-internal.h"
#include "cli/verbs.h"

#define ESCAPE_MSEC  25 /* a key's bytes come together; Escape alone is followed by nothing */
#define FILTER_BYTES ((size_t) 256)
#define ANSWER_BYTES ((size_t) 64 * 1024 * 1024)

/* ---- the table ---- */

static int sample_run(Cli *c, TopRow *row) {
        char id[ID_STRING_SIZE], run[ID_STRING_SIZE];
        HttpResponse reply = {};
        HttpClient *client;
        JsonSpan json;

        int r = ask_client(c, &client);
        if (r != 0)
                return r;
        r = http_client_request(client, "GET",
                                cli_text(c, "/sessions/%s/runs/%s", id_format(row->id, id),
                                         id_format(row->run, run)),
                                NULL, NULL, &reply);
        if (r < 0)
                return ask_no_answer(c, r);
        /* A session that was deleted meanwhile is no error here. */
        if (reply.status == 200 &&
            json_check(reply.body.data, reply.body.len, JSON_DEPTH_MAX, &json, NULL) >= 0)
                top_row_run(row, c, json, clock_monotonic());
        http_response_done(&reply);
        return 0;
}

static void print_json(Cli *c, const TopRows *t, JsonSpan list) {
        _cleanup_buf_ Buf b = BUF_INIT((size_t) 1 << 30);
        JsonWriter w = JSON_WRITER(&b);
        JsonIter it = json_iter(list);
        JsonSpan session;
        uint64_t id;

        json_w_array_begin(&w);
        while (json_next(&it, NULL, &session)) {
                if (id_parse(cli_member(c, session, "session_id"), &id) < 0)
                        continue;
                const TopRow *row = map_get(t->by_id, id);
                const char *run = row && row->run_json ? row->run_json : "null";
                json_w_raw(&w, (JsonSpan){ session.p, session.n - 1 });
                (void) buf_printf(&b, ",\"last_run\":%s}", run);
        }
        json_w_array_end(&w);
        if (buf_error(&b) < 0)
                cli_out_of_memory();
        cli_print_json((JsonSpan){ b.data, b.len });
}

static void print_table(Cli *c, const TopRows *t) {
        Table table;
        char *cells[TOP_CELLS], id[ID_STRING_SIZE];

        table_init(&table, c,
                   c->wide ? "NAME|STATUS|>CPU%|>MEM|>TASKS|>RST|>AGE|ID|LAST MESSAGE"
                           : "NAME|STATUS|>CPU%|>MEM|>TASKS|>RST|>AGE|LAST MESSAGE");
        for (size_t i = 0; i < t->n_shown; i++) {
                const TopRow *row = t->shown[i];

                top_row_cells(row, c, cells);
                for (size_t k = 0; k < TOP_CELLS; k++) {
                        if (k == TOP_MESSAGE && c->wide)
                                table_add(&table, id_format(row->id, id), NULL);
                        table_add(&table, cells[k], k == TOP_STATE ? row->colour : NULL);
                }
        }
        table_print(&table);
        table_done(&table);
}

static void print_names(Cli *c, const TopRows *t) {
        char id[ID_STRING_SIZE];

        for (size_t i = 0; i < t->n_shown; i++)
                (void) puts(c->names ? t->shown[i]->name : id_format(t->shown[i]->id, id));
}

static int print_once(Cli *c, TopRows *t, TopSort sort) {
        _cleanup_buf_ Buf buf = {};
        JsonSpan list;
        size_t cursor = 0;
        void *row;

        int r = ask_list(c, "/sessions?messages=1", &buf, &list);
        if (r != 0)
                return r;
        top_rows_list(t, c, list);
        while (map_next(t->by_id, &cursor, NULL, &row))
                if (((TopRow *) row)->live && (r = sample_run(c, row)) != 0)
                        return r;
        top_rows_sort(t, sort, "");
        if (c->json)
                print_json(c, t, list);
        else if (c->quiet || c->names)
                print_names(c, t);
        else
                print_table(c, t);
        return 0;
}

static int print_tables(Cli *c, TopSort sort, usec_t every_usec) {
        uint64_t n = 1;
        TopRows rows;

        int r = cli_option_number(c, "iterations", 1, 1000000000, &n);
        if (r != 0)
                return r;
        top_rows_init(&rows);
        for (uint64_t i = 0; i < n && r == 0; i++) {
                size_t mark = cli_mark(c);

                if (i > 0) {
                        (void) poll(NULL, 0, (int) (every_usec / USEC_PER_MSEC));
                        (void) puts("");
                }
                r = print_once(c, &rows, sort);
                if (r == 0 && fflush(stdout) != 0)
                        r = CLI_FAILURE;
                cli_release(c, mark);
        }
        top_rows_done(&rows);
        return r;
}

/* ---- the view ---- */

static int wait_msec(const Top *t, usec_t now, usec_t drawn_at) {
        usec_t until = t->tick_at;

        if (t->events.is_on && !t->events.job)
                until = MIN(until, t->events.again_at);
        if (t->log.is_on && !t->log.job)
                until = MIN(until, t->log.again_at);
        if (t->dirty)
                until = MIN(until, drawn_at + TOP_FRAME_USEC);
        if (screen_key_pends(&t->screen))
                until = MIN(until, now + ESCAPE_MSEC * USEC_PER_MSEC);
        return until > now ? (int) ((until - now) / USEC_PER_MSEC) + 1 : 0;
}

static void handle_keys(Top *t, bool nothing_came) {
        int key;

        if (nothing_came && screen_key_pends(&t->screen))
                screen_key_settle(&t->screen);
        while (!t->quit && (key = screen_key(&t->screen)) != KEY_NONE) {
                top_key(t, key);
                top_rows_sort(&t->rows, t->sort, t->filter.len > 0 ? t->filter.data : "");
                top_settle(t);
        }
}

static int wait_for_something(Top *t, usec_t drawn_at) {
        struct pollfd fds[] = { { .fd = STDIN_FILENO }, { .fd = t->screen.signals } };
        usec_t now = clock_monotonic();

        int r = http_many_wait(t->many, fds, ELEMENTSOF(fds), wait_msec(t, now, drawn_at));
        if (r < 0 || t->quit)
                return r;
        unsigned what = fds[1].revents ? screen_signals(&t->screen) : 0;
        if (what & SCREEN_ENDS)
                t->quit = true;
        if (what & SCREEN_RESIZED)
                t->dirty = true;
        if (fds[0].revents)
                r = screen_read(&t->screen);
        if (r >= 0)
                handle_keys(t, !fds[0].revents);
        return r;
}

static int view_loop(Top *t) {
        usec_t drawn_at = 0;

        t->dirty = true;
        while (!t->quit) {
                usec_t now = clock_monotonic();

                feed_tick(t, now);
                top_rows_sort(&t->rows, t->sort, t->filter.len > 0 ? t->filter.data : "");
                top_settle(t);
                feed_pump(t);
                int r = 0;
                if (t->dirty && now >= drawn_at + TOP_FRAME_USEC) {
                        t->dirty = false;
                        drawn_at = now;
                        r = top_draw(t);
                }
                if (r >= 0)
                        r = wait_for_something(t, drawn_at);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int view(Cli *c, TopSort sort, usec_t every_usec) {
        _cleanup_free_ Top *t = calloc(1, sizeof(*t));

        if (!t)
                cli_out_of_memory();
        *t = (Top){ .c = c,
                    .sort = sort,
                    .every_usec = every_usec,
                    .filter = BUF_INIT(FILTER_BYTES),
                    .status = BUF_INIT(ANSWER_BYTES),
                    .status_log = BUF_INIT(ANSWER_BYTES) };
        int r = screen_open(&t->screen, c);
        if (r >= 0)
                r = feed_open(t);
        if (r >= 0)
                r = view_loop(t);
        screen_close(&t->screen);
        if (r < 0)
                t->result = r == -EPIPE ? CLI_FAILURE
                                        : cli_error(c, CLI_FAILURE,
                                                    "the terminal cannot be used: %s", strerror(-r));
        int signo = t->screen.signal;
        feed_close(t);
        buf_done(&t->filter);
        buf_done(&t->status);
        buf_done(&t->status_log);
        free(t->note);
        /* Whoever sent it sees that it was the signal's end. */
        if (signo != 0)
                (void) raise(signo);
        return t->result;
}

int verb_top(Cli *c) {
        const char *by = cli_option(c, "sort"), *delay = cli_option(c, "delay");
        usec_t every_usec = TOP_EVERY_USEC;
        TopSort sort = by ? top_sort_from_string(by) : TOP_BY_CPU;

        assert(sort >= 0); /* the option has no other words */
        if (delay && (clock_parse_span(delay, &every_usec) < 0 ||
                      every_usec < 100 * USEC_PER_MSEC || every_usec > USEC_PER_DAY))
                return cli_usage(c, "--delay %s: a time from 100ms to 1d is expected", delay);
        bool table = cli_option(c, "batch") || cli_option(c, "iterations") || c->json || c->quiet ||
                     c->names || !c->terminal || isatty(STDIN_FILENO) != 1;
        if (table)
                return print_tables(c, sort, every_usec);
        /* A daemon that is not there is said as by every other verb, and not on a screen of its own. */
        _cleanup_reply_ Reply version = {};
        int r = ask(c, "GET", "/version", NULL, &version);
        return r == 0 ? view(c, sort, every_usec) : r;
}
