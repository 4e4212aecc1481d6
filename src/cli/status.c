/* SPDX-License-Identifier: MIT */

/* `agentd status`: the daemon, or one session as systemctl shows a service: a dot, what it is and
 * since when, its process, and the end of its output.
 *
 * It is put together from several answers. --json prints the session's state with the two things
 * added that the state does not hold: the process id, and the run it belongs to. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define LOG_LINES  10
#define TEXT_BYTES ((size_t) 4 * 1024 * 1024)

/* A row of "label: text" with the labels' colons below each other. */
static void row(Buf *out, const char *label, const char *text) {
        if (*text)
                (void) buf_printf(out, "%11s: %s\n", label, text);
}

/* Whole lines. */
static void say_text(Cli *c, const Buf *text) {
        if (buf_error(text) < 0)
                cli_out_of_memory();
        if (text->len > 0)
                cli_say(c, "%.*s", (int) text->len - 1, text->data);
}

/* One object with the members of both. */
static char *merge(Cli *c, JsonSpan a, const char *more) {
        size_t n = a.n - 1;

        while (n > 0 && strchr(" \n\r\t", a.p[n - 1]))
                n--;
        return cli_text(c, "%.*s%s%s}", (int) n, a.p, a.p[n - 1] == '{' ? "" : ",", more);
}

/* ---- the daemon ---- */

static char *inside(Cli *c, JsonSpan object) {
        return cli_text(c, "%.*s", (int) (object.n - 2), object.p + 1);
}

/* Who lost a night's work looks for those that are not running and should be. */
static char *sessions_text(Cli *c, JsonSpan health) {
        const char *running = cli_member(c, health, "active_sessions");
        int64_t failed = cli_number(health, "error_sessions");

        if (failed == 0)
                return cli_text(c, "%s running", running);
        return cli_text(c, "%s running, %s; see: agentd list", running,
                        cli_paint(c, cli_status_colour("error"),
                                  cli_text(c, "%lld failed", (long long) failed)));
}

int status_daemon(Cli *c) {
        _cleanup_reply_ Reply version = {}, health = {};

        int r = ask(c, "GET", "/version", NULL, &version);
        if (r == 0)
                r = ask(c, "GET", "/health", NULL, &health);
        if (r != 0)
                return r;
        JsonSpan v = version.json;
        if (c->json) {
                (void) puts(merge(c, v, inside(c, health.json)));
                return 0;
        }
        _cleanup_buf_ Buf text = BUF_INIT(TEXT_BYTES);
        Buf *out = &text;
        uint64_t port = (uint64_t) cli_number(v, "port");
        (void) buf_printf(out, "%s agentd %s\n", cli_paint(c, "32", "●"),
                          cli_member(c, v, "version"));
        row(out, "Status",
            cli_text(c, "%s since %s", cli_paint(c, "32", "running"),
                     cli_ago(c, cli_time(v, "started_at"))));
        row(out, "Daemon", cli_member(c, v, "daemon_pid"));
        row(out, "Keeper", cli_member(c, v, "keeper_pid"));
        row(out, "Address", c->url ?: port > 0 ? cli_local_url(c, port) : "");
        if (!c->url) {
                row(out, "Socket", c->socket_path);
                row(out, "Data", c->config.data_dir);
        }
        row(out, "Sessions", sessions_text(c, health.json));
        if (cli_number(health.json, "outputs_held") > 0)
                row(out, "Output",
                    cli_text(c, "of %s agents %s for room on the disk; nothing is lost",
                             cli_member(c, health.json, "outputs_held"), cli_paint(c, "33", "waits")));
        say_text(c, out);
        return 0;
}

/* ---- a session ---- */

typedef struct Look {
        SessionRef ref;
        Reply state, run, checkpoint;
} Look;

static void look_done(Look *l) {
        reply_done(&l->state);
        reply_done(&l->run);
        reply_done(&l->checkpoint);
}

static int look(Cli *c, const char *ref, Look *l) {
        int r = ask_session(c, ref, &l->ref);
        if (r == 0)
                r = ask(c, "GET", cli_text(c, "/sessions/%s?messages=0", l->ref.id), NULL, &l->state);
        if (r != 0)
                return r;
        const char *run = cli_member(c, l->state.json, "run"),
                   *checkpoint = cli_member(c, l->state.json, "last_checkpoint");
        if (*run)
                r = ask(c, "GET", cli_text(c, "/sessions/%s/runs/%s", l->ref.id, run), NULL, &l->run);
        if (r == 0 && *checkpoint && !c->json)
                r = ask(c, "GET", cli_text(c, "/sessions/%s/checkpoints/%s", l->ref.id, checkpoint),
                        NULL, &l->checkpoint);
        return r;
}

static bool run_is_open(Cli *c, JsonSpan run) {
        return run.p && !streq(cli_member(c, run, "state"), "ended");
}

static int print_json(Cli *c, const Look *l) {
        const char *pid = run_is_open(c, l->run.json) ? cli_member(c, l->run.json, "pid") : "";
        Buf b = BUF_INIT((size_t) 1 << 20);

        (void) buf_printf(&b, "\"pid\":%s,\"last_run\":", *pid ? pid : "null");
        if (l->run.json.p)
                (void) buf_append(&b, l->run.json.p, l->run.json.n);
        else
                (void) buf_puts(&b, "null");
        (void) puts(merge(c, l->state.json, cli_take(c, &b)));
        return 0;
}

static usec_t since(Cli *c, JsonSpan s, JsonSpan run) {
        usec_t t = streq(cli_member(c, s, "status"), "paused") ? 0
                   : run_is_open(c, run)                       ? cli_time(run, "started_at")
                                                               : cli_time(run, "ended_at");

        return t ? t : cli_time(s, "updated_at");
}

/* "after 5min: exit status 3": the reason may be long and end with what to do. */
static char *end_text(Cli *c, JsonSpan run) {
        const char *result = cli_member(c, run, "result"), *reason = cli_member(c, run, "reason");
        usec_t from = cli_time(run, "started_at"), to = cli_time(run, "ended_at");
        char span[32];

        if (from == 0 || to < from)
                return cli_text(c, "%s", *reason ? reason : result);
        return cli_text(c, "after %s: %s", text_span(to - from, span, sizeof(span)),
                        *reason ? reason : result);
}

/* What a run uses, if the daemon tells. */
static void print_usage(Cli *c, JsonSpan run, Buf *out) {
        int64_t memory = cli_number(run, "memory_bytes"), cpu = cli_number(run, "cpu_usec");
        char text[64];

        row(out, "Tasks", cli_member(c, run, "tasks"));
        if (memory > 0)
                row(out, "Memory", text_size((uint64_t) memory, text, sizeof(text)));
        if (cpu >= (int64_t) USEC_PER_MSEC) /* finer is noise */
                row(out, "CPU",
                    clock_format_span((usec_t) cpu / USEC_PER_MSEC * USEC_PER_MSEC, text,
                                      sizeof(text)));
}

/* Also of a run that has ended: the end of its output may still wait. */
static void print_held(Cli *c, JsonSpan run, Buf *out) {
        const char *why = cli_member(c, run, "output_held");

        if (*why)
                row(out, "Output",
                    cli_text(c, "%s since %s: %s. Nothing is lost; make room%s%s and it goes on",
                             cli_paint(c, "33", "waits"),
                             cli_ago(c, cli_time(run, "output_held_since")), why,
                             c->url ? "" : " in ", c->url ? "" : c->config.data_dir));
}

static char *checkpoint_text(Cli *c, JsonSpan cp) {
        const char *label = cli_member(c, cp, "label");

        return cp.p ? cli_text(c, "%s %s%s%s", cli_member(c, cp, "checkpoint_id"), label,
                               *label ? ", " : "", cli_ago(c, cli_time(cp, "created_at")))
                    : cli_text(c, "%s", "");
}

/* The count is that of the restart policy and begins anew with progress; the runs are all there were. */
static char *restarts_text(Cli *c, JsonSpan s, JsonSpan run) {
        int64_t restarts = cli_number(s, "restarts"), number = cli_number(run, "number");

        if (number <= restarts + 1)
                return cli_text(c, "%lld", (long long) restarts);
        return cli_text(c, "%lld in a row; this is run %lld, see: agentd runs %s",
                        (long long) restarts, (long long) number, cli_member(c, s, "name"));
}

void session_status_text(Cli *c, JsonSpan s, JsonSpan run, JsonSpan checkpoint, Buf *out) {
        const char *colour = session_colour(c, s);
        usec_t restart_at = cli_time(s, "restart_at");

        (void) buf_printf(out, "%s %s (%s)\n", cli_paint(c, colour, "●"), cli_member(c, s, "name"),
                          cli_member(c, s, "session_id"));
        row(out, "Status",
            cli_text(c, "%s since %s", cli_paint(c, colour, session_state_text(c, s)),
                     cli_ago(c, since(c, s, run))));
        const char *reason = cli_member(c, s, "reason");
        if (!streq(reason, cli_member(c, run, "reason")))
                row(out, "Reason", reason);
        if (restart_at > 0)
                row(out, "Next run",
                    restart_at > c->now + USEC_PER_SEC ? cli_ago(c, restart_at) : "now");
        /* Some reasons say it themselves. */
        if (streq(cli_member(c, s, "status"), "error") && !strstr(reason, "tries again"))
                row(out, "Next run",
                    strstr(reason, "tries again") ? "none"
                                                  : cli_text(c, "none; `agentd start %s` tries again",
                                                             cli_member(c, s, "name")));
        if (run_is_open(c, run)) {
                row(out, "Main PID", cli_member(c, run, "pid"));
                print_usage(c, run, out);
        } else if (run.p)
                row(out, "Last run", end_text(c, run));
        print_held(c, run, out);
        row(out, "Restarts", restarts_text(c, s, run));
        row(out, "Messages", cli_member(c, s, "message_count"));
        row(out, "Model", cli_member(c, s, "model"));
        row(out, "Command", session_command(c, s, false));
        row(out, "Workspace", cli_member(c, s, "workspace"));
        row(out, "Checkpoint", checkpoint_text(c, checkpoint));
}

/* The end of its output as it is; a session without output has none. */
static int print_log(Cli *c, const Look *l) {
        HttpResponse reply = {};
        HttpClient *client;

        int r = ask_client(c, &client);
        if (r == 0)
                r = http_client_request(
                        client, "GET",
                        cli_text(c, "/sessions/%s/logs?lines=%d", l->ref.id, LOG_LINES),
                        "text/plain", NULL, &reply);
        if (r == 0 && reply.status == 200 && reply.body.len > 0) {
                size_t n = reply.body.len;
                if (reply.body.data[n - 1] == '\n')
                        reply.body.data[n - 1] = '\0';
                cli_say(c, "\n%s", reply.body.data);
        }
        http_response_done(&reply);
        return r < 0 ? ask_no_answer(c, r) : r;
}

int status_session(Cli *c, const char *ref) {
        _cleanup_(look_done) Look l = {};

        int r = look(c, ref, &l);
        if (r != 0)
                return r;
        if (c->json)
                return print_json(c, &l);
        _cleanup_buf_ Buf text = BUF_INIT(TEXT_BYTES);
        session_status_text(c, l.state.json, l.run.json, l.checkpoint.json, &text);
        say_text(c, &text);
        return print_log(c, &l);
}

int verb_status(Cli *c) {
        return c->n_args > 0 ? status_session(c, c->args[0]) : status_daemon(c);
}
