/* SPDX-License-Identifier: MIT */

/* `agentd logs`: what a session's runs wrote. Without -f it is one answer, passed on as it comes,
 * however long. With -f it is a stream of events whose ids are positions in the log, so that
 * following goes on behind the last line when the daemon was replaced meanwhile. Lines are printed
 * whole: a piece of an overlong line comes without the line's end. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/sse.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define PATH_BYTES    ((size_t) 64 * 1024)
#define LINE_BYTES    ((size_t) 4 * 1024 * 1024)
#define ERROR_BYTES   ((size_t) 64 * 1024)
#define RUN_ID_LENGTH 16

static int add_time(Cli *c, Buf *path, const char *option) {
        char time[CLOCK_RFC3339_SIZE];
        const char *text = cli_option(c, option);
        usec_t t;

        if (!text)
                return 0;
        int r = cli_time_option(c, option, text, &t);
        if (r == 0)
                query_add(path, option, clock_format_rfc3339(t, time));
        return r;
}

/* --run: its id, or its number as `agentd runs` and AGENTD_RUN have it. */
static int add_run(Cli *c, const char *session, Buf *path) {
        const char *text = cli_option(c, "run");
        _cleanup_buf_ Buf buf = {};
        JsonSpan runs, run;
        uint64_t number;

        if (!text || strlen(text) >= RUN_ID_LENGTH || str_to_u64(text, &number) < 0) {
                query_add(path, "run", text);
                return 0;
        }
        int r = ask_list(c, cli_text(c, "/sessions/%s/runs", session), &buf, &runs);
        if (r != 0)
                return r;
        JsonIter it = json_iter(runs);
        while (json_next(&it, NULL, &run))
                if ((uint64_t) cli_number(run, "number") == number) {
                        query_add(path, "run", cli_member(c, run, "run_id"));
                        return 0;
                }
        return cli_error(c, CLI_NOT_FOUND, "there is no run %s; see: agentd runs %s", text,
                         c->args[0]);
}

/* The path without what differs between the requests of one following. */
static int log_path(Cli *c, const char *id, bool with_since, Buf *path) {
        *path = BUF_INIT(PATH_BYTES);
        (void) buf_printf(path, "/sessions/%s/logs", id);
        query_add(path, "stream", cli_option(c, "stream"));
        query_add(path, "grep", cli_option(c, "grep"));
        int r = add_run(c, id, path);
        if (r == 0 && with_since)
                r = add_time(c, path, "since");
        return r == 0 ? add_time(c, path, "until") : r;
}

static int lines_wanted(Cli *c, char **ret) {
        const char *text = cli_option(c, "lines");
        uint64_t n = 0;

        *ret = NULL;
        if (!text)
                return 0;
        int r = streq(text, "all") ? 0 : cli_option_number(c, "lines", 0, UINT64_C(1) << 40, &n);
        if (r == 0)
                *ret = streq(text, "all") ? cli_text(c, "-1")
                                          : cli_text(c, "%llu", (unsigned long long) n);
        return r;
}

/* ---- one answer ---- */

typedef struct Dump {
        long status;
        bool is_empty;
        Buf refusal;
} Dump;

static int on_dump(long status, const char *data, size_t n, void *userdata) {
        Dump *d = userdata;

        d->status = status;
        d->is_empty = d->is_empty && n == 0;
        if (status == 200)
                return fwrite(data, 1, n, stdout) == n ? 0 : -EIO;
        (void) buf_append(&d->refusal, data, MIN(n, ERROR_BYTES - d->refusal.len));
        return 0;
}

/* Most who look for output in vain have a program that holds it back. */
static void say_nothing_there(Cli *c, const SessionRef *s) {
        static const char *const filters[] = { "stream", "grep", "run", "since", "until", "lines" };

        for (size_t i = 0; i < ELEMENTSOF(filters); i++)
                if (cli_option(c, filters[i])) {
                        cli_note(c, "there is no output to show");
                        return;
                }
        cli_note(c, "there is no output to show%s",
                 streq(s->status, "running")
                         ? "; if there should be: many programs hold it back when they write to no "
                           "terminal (python3 -u, stdbuf -oL, -e PYTHONUNBUFFERED=1)"
                         : "");
}

static int dump(Cli *c, const SessionRef *s, const char *path) {
        Dump d = { .is_empty = true, .refusal = BUF_INIT(ERROR_BYTES) };
        HttpClient *client;

        int r = ask_client(c, &client);
        if (r == 0)
                r = http_client_stream(client, "GET", path,
                                       c->json ? "application/x-ndjson" : "text/plain", NULL,
                                       on_dump, &d);
        if (r < 0 && ferror(stdout))
                r = cli_error(c, CLI_FAILURE, "the output cannot be written: %s", strerror(errno));
        else if (r < 0)
                r = ask_no_answer(c, r);
        else if (r == 0 && d.status != 0 && d.status != 200)
                r = ask_refused(c, d.status, d.refusal.data, d.refusal.len);
        else if (r == 0 && d.is_empty)
                say_nothing_there(c, s);
        buf_done(&d.refusal);
        return r;
}

/* ---- following ---- */

static int print_line(Cli *c, JsonSpan line) {
        _cleanup_buf_ Buf text = BUF_INIT(LINE_BYTES), safe = BUF_INIT(LINE_BYTES);
        JsonSpan token = json_get(line, "text");
        bool cut = false;

        if (!json_is(token, JSON_KIND_STRING) || json_string_decode(token, &text) < 0)
                return 0;
        (void) json_bool(json_get(line, "cut"), &cut);
        (void) str_put_clean(&safe, text.data ? text.data : "", text.len,
                             STR_CLEAN_COLOUR | STR_CLEAN_LINES | STR_CLEAN_TABS);
        if (!cut)
                (void) buf_putc(&safe, '\n');
        if (buf_error(&safe) < 0)
                return buf_error(&safe);
        return fwrite(safe.data ? safe.data : "", 1, safe.len, stdout) == safe.len ? 0 : -EIO;
}

static int on_line(const SseEvent *e, void *userdata) {
        Cli *c = userdata;
        JsonSpan line;

        if (!streq(e->event, "message") ||
            json_check(e->data, e->n, JSON_DEPTH_MAX, &line, NULL) < 0 ||
            !json_is(line, JSON_KIND_OBJECT))
                return 0;
        if (!c->json)
                return print_line(c, line);
        cli_print_json(line);
        return 0;
}

int logs_follow(Cli *c, const char *id) {
        _cleanup_buf_ Buf first = {}, again = {}, fresh = {};
        char now[CLOCK_RFC3339_SIZE], *lines;

        int r = lines_wanted(c, &lines);
        if (r == 0)
                r = log_path(c, id, true, &first);
        if (r == 0)
                r = log_path(c, id, true, &again);
        if (r == 0)
                r = log_path(c, id, false, &fresh);
        if (r != 0)
                return r;
        query_add(&first, "follow", "1");
        query_add(&first, "lines", lines);
        query_add(&again, "follow", "1");
        query_add(&fresh, "follow", "1");
        query_add(&fresh, "lines", "-1");
        query_add(&fresh, "since", clock_format_rfc3339(c->now, now));
        SsePaths paths = { .first = first.data, .again = again.data, .fresh = fresh.data };
        return sse_follow(c, &paths, NULL, on_line, c);
}

int verb_logs(Cli *c) {
        _cleanup_buf_ Buf path = {};
        SessionRef s;
        char *lines;

        int r = lines_wanted(c, &lines);
        if (r == 0)
                r = ask_session(c, c->args[0], &s);
        if (r == 0 && cli_option(c, "follow"))
                return logs_follow(c, s.id);
        if (r == 0)
                r = log_path(c, s.id, true, &path);
        if (r != 0)
                return r;
        query_add(&path, "lines", lines);
        return dump(c, &s, path.data);
}
