/* SPDX-License-Identifier: MIT */

/* Logs, as the reader likes them: text (made safe for terminals), JSON lines, or an event stream
 * whose ids are cursors. One stream of pieces serves all, at the reader's pace; following means
 * waiting for more where others end. Lines are cut where the log room cuts them, so a piece has a
 * size whatever an agent prints. */

#include "api/handlers.h"
#include "base/id.h"
#include "base/str.h"

#define LOGS_MAGIC   0x4c4f4753U
#define FOLLOW_LINES 10

typedef enum LogFormat {
        LOG_TEXT,
        LOG_JSON_LINES,
        LOG_EVENTS,
        _LOG_FORMAT_MAX,
} LogFormat;

typedef struct LogStream {
        ApiPull pull;
        uint32_t magic;
        ApiStream base;
        SessionManager *sessions;
        uint64_t session;
        SupLog *log;
        SessionSubscription *subscription; /* run ends complete the last line */
        LogFormat format;
        bool follow, is_ending;
} LogStream;

static ApiPull *log_stream_free(ApiPull *p) {
        LogStream *l = container_of(p, LogStream, pull);

        sup_log_free(l->log);
        session_unsubscribe(l->subscription);
        api_stream_done(&l->base);
        l->magic = 0;
        free(l);
        return NULL;
}

/* ---- lines ---- */

static void write_json(const SupLogLine *line, Buf *out) {
        static const char *const streams[] = { "notice", "stdout", "stderr" };
        JsonWriter w = JSON_WRITER(out);

        json_w_object_begin(&w);
        json_w_kv_id(&w, "run", line->run);
        json_w_kv_string(&w, "stream", streams[MIN(line->stream, 2U)]);
        json_w_kv_time(&w, "time", line->time);
        json_w_key(&w, "text");
        json_w_string_n(&w, line->text, line->n);
        if (line->cut)
                json_w_kv_bool(&w, "cut", true);
        json_w_object_end(&w);
}

static int write_line(LogStream *l, const SupLogLine *line, Buf *out) {
        switch (l->format) {
        case LOG_TEXT:
                (void) sup_log_sanitize(line->text, line->n, true, out);
                if (!line->cut)
                        (void) buf_putc(out, '\n');
                break;
        case LOG_JSON_LINES:
                write_json(line, out);
                (void) buf_putc(out, '\n');
                break;
        case LOG_EVENTS:
                (void) buf_puts(out, "id: ");
                (void) sup_log_cursor(l->log, out);
                (void) buf_puts(out, "\ndata: ");
                write_json(line, out);
                (void) buf_puts(out, "\n\n");
                break;
        case _LOG_FORMAT_MAX:
                break;
        }
        return buf_error(out);
}

static int log_next(ApiPull *p, Buf *out) {
        LogStream *l = container_of(p, LogStream, pull);
        SupLogLine line;
        int r = 0;

        OBJ_CHECK(l, LOGS_MAGIC);
        if (api_stream_has_expired(&l->base))
                return API_PULL_END;
        while (out->len < API_PIECE && (r = sup_log_next(l->log, &line)) > 0) {
                r = write_line(l, &line, out);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (out->len >= API_PIECE)
                return API_PULL_MORE;
        return l->follow && !l->is_ending && session_get(l->sessions, l->session) ? API_PULL_WAIT
                                                                                  : API_PULL_END;
}

/* ---- following ---- */

static void on_more(void *userdata) {
        LogStream *l = OBJ_CAST(LogStream, userdata, LOGS_MAGIC);

        if (l->pull.state == API_PULL_WAIT)
                api_pull_wake(&l->pull);
}

static int on_event(const EventInfo *e, void *userdata) {
        if (e->type == EVENT_RUN_ENDED || e->type == EVENT_SESSION_DELETED)
                on_more(userdata);
        return 0;
}

static void on_end(ApiStream *base) {
        LogStream *l = container_of(base, LogStream, base);

        l->is_ending = true;
        on_more(l);
}

static int write_state(const RunInfo *run, void *userdata) {
        *(RunState *) userdata = run->state;
        return 0;
}

static bool is_ended(uint64_t run, void *userdata) {
        const LogStream *l = OBJ_CAST(LogStream, userdata, LOGS_MAGIC);
        RunState state = RUN_ENDED;

        (void) session_run_get(l->sessions, run, write_state, &state);
        return state == RUN_ENDED;
}

/* ---- the route ---- */

static const char *const content_types[_LOG_FORMAT_MAX] = {
        [LOG_TEXT] = "text/plain; charset=utf-8",
        [LOG_JSON_LINES] = "application/x-ndjson",
        [LOG_EVENTS] = "text/event-stream",
};

static LogFormat format_wanted(ApiCall *c) {
        const char *accept = http_header(c->req, "Accept");

        if (accept && strstr(accept, "text/event-stream"))
                return LOG_EVENTS;
        return accept && strstr(accept, "application/x-ndjson") ? LOG_JSON_LINES : LOG_TEXT;
}

static SupLogOptions log_options(const InputLogs *in) {
        SupLogOptions options = {
                .lines = in->lines.set  ? in->lines.v
                         : in->follow.v ? FOLLOW_LINES
                                        : -1,
                .cursor = in->last_event_id.s ? in->last_event_id.s : in->cursor.s,
                .run = in->run.v,
                .grep = in->grep.s,
        };

        if (in->stream.s)
                options.streams = streq(in->stream.s, "stdout") ? 1 : 2;
        if (in->since.s)
                (void) clock_parse_rfc3339(in->since.s, &options.since);
        if (in->until.s)
                (void) clock_parse_rfc3339(in->until.s, &options.until);
        return options;
}

static void fail_open(ApiCall *c, int r) {
        const InputLogs *in = c->in;
        FieldErrors e = {};

        if (r != -EINVAL || (!in->cursor.s && !in->last_event_id.s)) {
                api_fail_result(c, r);
                return;
        }
        const char *text = in->last_event_id.s ? in->last_event_id.s : in->cursor.s;
        field_errors_add(&e, "value_error", in->last_event_id.s ? "header" : "query",
                         in->last_event_id.s ? "Last-Event-ID" : "cursor", api_quoted(c, text),
                         "Value error, this is no cursor of a log");
        api_fail_validation(c, &e);
}

static int start_following(ApiCall *c, LogStream *l) {
        int r = session_subscribe(l->sessions, 0, l->session, on_event, l, &l->subscription);

        return r < 0 ? r : sup_log_follow(l->log, c->api->event, on_more, l);
}

static int write_session(const RunInfo *run, void *userdata) {
        *(uint64_t *) userdata = run->session;
        return 0;
}

/* False: there is no such run of this session, and that was answered. */
static bool check_run(ApiCall *c) {
        const InputLogs *in = c->in;
        uint64_t session = 0;

        if (!in->run.set)
                return true;
        int r = session_run_get(c->api->sessions, in->run.v, write_session, &session);
        if (r >= 0 && session == c->session_id)
                return true;
        char *id = field_arena_alloc(c->arena, ID_STRING_SIZE);
        c->subject = id ? id_format(in->run.v, id) : NULL;
        if (r < 0 && r != -ENOENT)
                api_fail_result(c, r);
        else
                api_fail(c, ERROR_RUN_NOT_FOUND);
        return false;
}

void api_logs(ApiCall *c) {
        const InputLogs *in = c->in;
        SupLogOptions options = log_options(in);

        if (!check_run(c))
                return;
        LogStream *l = calloc(1, sizeof(*l));
        if (!l) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        l->magic = LOGS_MAGIC;
        l->pull = (ApiPull){ .next = log_next, .destroy = log_stream_free };
        l->sessions = c->api->sessions;
        l->session = c->session_id;
        l->format = format_wanted(c);
        l->follow = in->follow.v;
        if (l->follow && !api_stream_begin(c, &l->base, on_end)) {
                log_stream_free(&l->pull);
                return;
        }
        int r = sup_log_open(&l->log, c->api->config.log_dir, c->session_id, &options);
        if (r >= 0)
                sup_log_set_ended(l->log, is_ended, l);
        if (r >= 0 && l->follow)
                r = start_following(c, l);
        if (r < 0) {
                log_stream_free(&l->pull);
                fail_open(c, r);
                return;
        }
        /* An agent's words: no browser shall take them for a script or a page. */
        http_reply_header(c->req, "X-Content-Type-Options", "nosniff");
        api_reply_pull(c, &l->pull, content_types[l->format]);
}
