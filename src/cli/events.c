/* SPDX-License-Identifier: MIT */

/* `agentd events`: what happened, and what happens.
 *
 * Ids begin with the time (base/id.h), so "since an hour ago" is an id as well: no event needs to be read to
 * find the place. A range is read page by page and only its end is kept when -n says so. */

#include <stdio.h>

#include "base/id.h"
#include "base/str.h"
#include "cli/ask.h"
#include "cli/sse.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define SHOWN_DEFAULT 50
#define SINCE_DEFAULT USEC_PER_DAY

static int since_id(Cli *c, usec_t fallback, char *ret) {
        const char *text = cli_option(c, "since");
        usec_t t = fallback;

        int r = text ? cli_time_option(c, "since", text, &t) : 0;
        if (r != 0)
                return r;
        (void) id_format(id_of_time(t), ret);
        return 0;
}

static void print_event(Cli *c, JsonSpan e) {
        char time[CLOCK_RFC3339_SIZE];
        const char *session = cli_member(c, e, "session_id");

        if (c->json) {
                cli_print_json(e);
                return;
        }
        /* To the millisecond: enough to tell them apart, and short. */
        (void) clock_format_rfc3339(cli_time(e, "time"), time);
        time[sizeof("2026-11-22T07:53:36.123") - 1] = '\0';
        _cleanup_buf_ Buf line = BUF_INIT((size_t) 4 << 20);
        (void) buf_printf(&line, "%sZ  %-18s  %-16s  ", time, cli_member(c, e, "type"), session);
        const char *text = cli_pairs(c, json_get(e, "data"));
        (void) str_put_clean(&line, text, strlen(text), 0);
        (void) printf("%s\n", line.data);
}

typedef struct Page {
        char **path;
        size_t keep, n;
        char **last; /* ring of the last `keep` events, as text */
} Page;

static void keep_event(Page *p, JsonSpan e) {
        char **place = &p->last[p->n++ % p->keep];

        free(*place);
        *place = strndup(e.p, e.n);
        if (!*place)
                cli_out_of_memory();
}

/* All pages; what is printed at the end is the ring's content. */
static int read_pages(Cli *c, const char *path, Page *p) {
        for (;;) {
                _cleanup_reply_ Reply reply = {};
                JsonSpan e;

                int r = ask(c, "GET", path, NULL, &reply);
                if (r != 0)
                        return r;
                JsonIter it = json_iter(reply.json);
                while (json_is(reply.json, JSON_KIND_ARRAY) && json_next(&it, NULL, &e)) {
                        if (p->keep > 0)
                                keep_event(p, e);
                        else
                                print_event(c, e);
                }
                if (!reply.http.next_link)
                        return 0;
                path = cli_text(c, "%s", reply.http.next_link);
        }
}

static void print_ring(Cli *c, const Page *p) {
        size_t n = MIN(p->n, p->keep);

        for (size_t i = p->n - n; i < p->n; i++) {
                const char *text = p->last[i % p->keep];
                JsonSpan e;
                if (json_check(text, strlen(text), JSON_DEPTH_MAX, &e, NULL) >= 0)
                        print_event(c, e);
        }
}

static int show_past(Cli *c, const char *path) {
        char since[ID_STRING_SIZE];
        const char *lines = cli_option(c, "lines");
        uint64_t n = SHOWN_DEFAULT;

        int r = since_id(c, c->now - SINCE_DEFAULT, since);
        if (r == 0 && lines && streq(lines, "all"))
                n = 0;
        else if (r == 0)
                r = cli_option_number(c, "lines", 1, 1000000, &n);
        if (r != 0)
                return r;
        Page p = { .keep = (size_t) n, .last = calloc((size_t) n + 1, sizeof(char *)) };
        if (!p.last)
                cli_out_of_memory();
        r = read_pages(c, cli_text(c, "%s?after=%s", path, since), &p);
        if (r == 0 && n > 0)
                print_ring(c, &p);
        for (size_t i = 0; i < p.keep; i++)
                free(p.last[i]);
        free(p.last);
        return r;
}

static int on_event(const SseEvent *e, void *userdata) {
        Cli *c = userdata;
        JsonSpan event;

        if (streq(e->event, "reset"))
                cli_note(c, "agentd: some events are no longer kept, these are the oldest that are");
        else if (!streq(e->event, "slow") &&
                 json_check(e->data, e->n, JSON_DEPTH_MAX, &event, NULL) >= 0 &&
                 json_is(event, JSON_KIND_OBJECT))
                print_event(c, event);
        return 0;
}

int verb_events(Cli *c) {
        const char *path = "/events";
        char since[ID_STRING_SIZE];
        SessionRef s;

        if (c->n_args > 0) {
                int r = ask_session(c, c->args[0], &s);
                if (r != 0)
                        return r;
                path = cli_text(c, "/sessions/%s/events", s.id);
        }
        if (!cli_option(c, "follow"))
                return show_past(c, path);
        int r = since_id(c, c->now, since);
        if (r != 0)
                return r;
        SsePaths paths = { .first = path, .again = path, .fresh = path };
        return sse_follow(c, &paths, since, on_event, c);
}
