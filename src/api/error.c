/* SPDX-License-Identifier: MIT */

/* Answers that are errors: {"detail", "code", "hint"}, each from its row of the error table. What
 * the domain rooms return is turned into a row here and nowhere else. An errno without a meaning to
 * a client is logged and answered as internal, so that nothing is refused without a trace. */

#include <stdio.h>

#include "api/api-internal.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"

static void write_error(Buf *out, const char *detail, const char *code, const char *hint) {
        JsonWriter w = JSON_WRITER(out);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "detail", detail);
        json_w_kv_string(&w, "code", code);
        json_w_kv_string(&w, "hint", hint);
        json_w_object_end(&w);
}

void api_error_body(Buf *out, unsigned status, const char *code, const char *sentence, void *userdata) {
        ErrorId id = error_by_code(code);

        write_error(out, sentence, code, id >= 0 ? error_table[id].hint : NULL);
}

/* The table's sentences have at most two %s; a format that is data cannot be printed by printf()
 * with the warnings on. */
static void write_sentence(Buf *out, const char *format, const char *a, const char *b) {
        const char *values[] = { a ? a : "?", b ? b : "?" };
        size_t n = 0;

        for (const char *p = format, *hole; *p; p = hole + 2) {
                hole = n < ELEMENTSOF(values) ? strstr(p, "%s") : NULL;
                if (!hole) {
                        (void) buf_puts(out, p);
                        return;
                }
                (void) buf_append(out, p, (size_t) (hole - p));
                (void) buf_puts(out, values[n++]);
        }
}

static void prepare(HttpRequest *req, ErrorId id, const char *a, const char *b, Buf *body) {
        _cleanup_buf_ Buf sentence = BUF_INIT(65536);
        const ErrorDef *e = &error_table[id];

        (void) buf_puts(&sentence, "");
        write_sentence(&sentence, e->sentence, a, b);
        write_error(body, sentence.data, e->code, e->hint);
        if (e->http == 401)
                http_reply_header(req, "WWW-Authenticate", "Bearer");
        if (e->http == 503)
                http_reply_header(req, "Retry-After", "1");
}

void api_fail_request(HttpRequest *req, ErrorId id, const char *a, const char *b) {
        Buf body = BUF_INIT(API_REPLY_MAX);

        prepare(req, id, a, b, &body);
        http_reply(req, error_table[id].http, "application/json", &body);
}

/* The session's id as the client wrote it. */
static const char *session_text(const ApiCall *c) {
        return c->route->in && route_has_session(c->route) ? ((const InputSession *) c->in)->id.s
                                                           : NULL;
}

/* What a sentence's two holes are filled with. */
typedef enum Holes {
        HOLES_SESSION,         /* the session, if there is a hole at all */
        HOLES_SUBJECT_SESSION, /* what the call is about, then the session */
        HOLES_SUBJECT,
        HOLES_SESSION_SUBJECT,
} Holes;

static const Holes holes[_ERROR_MAX] = {
        [ERROR_CHECKPOINT_NOT_FOUND] = HOLES_SUBJECT_SESSION,
        [ERROR_RESUME_CHECKPOINT] = HOLES_SUBJECT_SESSION,
        [ERROR_NODE_NOT_FOUND] = HOLES_SUBJECT_SESSION,
        [ERROR_BRANCH_NOT_FOUND] = HOLES_SUBJECT_SESSION,
        [ERROR_POINT_NOT_FOUND] = HOLES_SESSION_SUBJECT,
        [ERROR_RUN_NOT_FOUND] = HOLES_SUBJECT_SESSION,
        [ERROR_VARIABLE_NOT_FOUND] = HOLES_SUBJECT_SESSION,
        [ERROR_VARIABLE_EXISTS] = HOLES_SUBJECT_SESSION,
        [ERROR_VERSION_CONFLICT] = HOLES_SESSION_SUBJECT,
        [ERROR_MEMORY_NOT_FOUND] = HOLES_SUBJECT,
        [ERROR_MEMORY_VERSION] = HOLES_SUBJECT,
        [ERROR_NO_VECTORS] = HOLES_SUBJECT,
        [ERROR_NAMESPACE_NOT_FOUND] = HOLES_SUBJECT,
        [ERROR_TOKEN_NOT_FOUND] = HOLES_SUBJECT,
        [ERROR_PRECONDITION] = HOLES_SUBJECT,
        [ERROR_CONFIG_WRONG] = HOLES_SUBJECT,
        [ERROR_TOOL_FAILED] = HOLES_SUBJECT,
        [ERROR_WRONG_STATE] = HOLES_SESSION_SUBJECT,
        [ERROR_WORKSPACE_UNUSABLE] = HOLES_SESSION_SUBJECT,
        [ERROR_WORKSPACE_FAILED] = HOLES_SESSION_SUBJECT,
};

void api_fail(ApiCall *c, ErrorId id) {
        const char *session = session_text(c);
        bool subject_first = holes[id] == HOLES_SUBJECT || holes[id] == HOLES_SUBJECT_SESSION;
        Buf body = BUF_INIT(API_REPLY_MAX);

        if (subject_first)
                prepare(c->req, id, c->subject, session, &body);
        else
                prepare(c->req, id, session, c->subject, &body);
        api_send(c, error_table[id].http, "application/json", &body);
}

void api_fail_validation(ApiCall *c, const FieldErrors *e) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        field_errors_write(e, &w);
        http_reply(c->req, error_table[ERROR_VALIDATION].http, "application/json", &body);
}

static const ErrorId conditions[_SESSION_E_MAX] = {
        [SESSION_E_NOT_FOUND] = ERROR_SESSION_NOT_FOUND,
        [SESSION_E_ALREADY_RUNNING] = ERROR_ALREADY_RUNNING,
        [SESSION_E_NOT_RUNNING] = ERROR_NOT_RUNNING,
        [SESSION_E_WRONG_STATE] = ERROR_WRONG_STATE,
        [SESSION_E_NO_CHECKPOINT] = ERROR_CHECKPOINT_NOT_FOUND,
        [SESSION_E_NO_NODE] = ERROR_NODE_NOT_FOUND,
        [SESSION_E_CONFLICT] = ERROR_VERSION_CONFLICT,
        [SESSION_E_STALE_RUN] = ERROR_STALE_RUN,
        [SESSION_E_NO_WORKSPACE] = ERROR_WORKSPACE_REQUIRED,
        [SESSION_E_WORKSPACE_BUSY] = ERROR_WORKSPACE_BUSY,
        [SESSION_E_RUNNING] = ERROR_SESSION_RUNNING,
        [SESSION_E_NO_AGENT] = ERROR_NO_AGENT,
        [SESSION_E_LIMIT] = ERROR_LIMIT,
        [SESSION_E_NOT_DURABLE] = ERROR_WORKSPACE_FAILED,
        [SESSION_E_NOT_FROZEN] = ERROR_NOT_FROZEN,
        [SESSION_E_TOKENS] = ERROR_TOKEN_LIMIT,
        [SESSION_E_CHECKPOINTS] = ERROR_CHECKPOINT_LIMIT,
        [SESSION_E_VARIABLES] = ERROR_VARIABLE_LIMIT,
        [SESSION_E_SHUTTING_DOWN] = ERROR_SHUTTING_DOWN,
        [SESSION_E_UNFINISHED] = ERROR_WORKSPACE_UNFINISHED,
};

_Static_assert(_SESSION_E_MAX == SESSION_E_UNFINISHED + 1 && SESSION_E_UNFINISHED == 20,
               "a new condition needs its error here");

static void fail_condition(ApiCall *c, SessionCondition r) {
        const Session *s = c->session_id ? session_get(c->api->sessions, c->session_id) : NULL;
        ErrorId id = conditions[r];
        RouteId route = c->route->id;

        if (r == SESSION_E_NO_CHECKPOINT && route == ROUTE_SESSION_RESUME)
                id = ERROR_RESUME_CHECKPOINT;
        if (r == SESSION_E_LIMIT && (route == ROUTE_SESSION_CREATE || route == ROUTE_SESSION_FORK))
                id = ERROR_SESSION_LIMIT;
        if (r == SESSION_E_NOT_DURABLE)
                c->subject = session_files_error(c->api->sessions);
        if (r == SESSION_E_CONFLICT && s)
                c->subject = api_etag_text(c, session_info(s)->vars);
        if (r == SESSION_E_WRONG_STATE && s)
                c->subject = session_info(s)->substate == SUBSTATE_ARCHIVED
                                     ? "archived"
                                     : session_status_to_string(session_info(s)->status);
        api_fail(c, id);
}

static ErrorId errno_error(int r) {
        switch (-r) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG: /* a limit of the file's size, hit */
                return ERROR_DISK_FULL;
        case EIO:
        case EROFS:
        case EUCLEAN:
        case EACCES:
        case EPERM:
                return ERROR_STORE_FAILED;
        case EAGAIN:
                return ERROR_STORE_BUSY;
        case ENOMEM:
                return ERROR_NO_MEMORY;
        case EMFILE:
        case ENFILE:
                return ERROR_NO_DESCRIPTORS;
        case ESHUTDOWN:
        case ECANCELED:
                return ERROR_SHUTTING_DOWN;
        default:
                return ERROR_INTERNAL;
        }
}

/* Of the client's folder, not of our database. */
static bool is_about_files(const ApiCall *c, int r) {
        static const int errors[] = { EACCES, EPERM,  ENOENT,    ENOTDIR, EISDIR,       ELOOP,
                                      EBUSY,  EEXIST, ENOTEMPTY, ETXTBSY, ENAMETOOLONG, EXDEV };
        RouteId route = c->route->id;

        if (route != ROUTE_SESSION_FORK && route != ROUTE_SESSION_RESTORE &&
            route != ROUTE_SESSION_RESUME)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(errors); i++)
                if (errors[i] == -r)
                        return true;
        return false;
}

/* The client's own name of the request. */
static const char *client_id(const HttpRequest *req) {
        const char *id = http_header(req, "X-Request-Id");

        return id && strlen(id) <= 128 && !str_has_control(id, strlen(id)) ? id : "no X-Request-Id";
}

/* What was compared with If-Match is not there any more. */
static bool is_lost_race(const ApiCall *c, int r) {
        return r == -ESTALE && (c->route->flags & ROUTE_TAGGED) && http_header(c->req, "If-Match");
}

void api_fail_result(ApiCall *c, int r) {
        if (r > 0 && r < _SESSION_E_MAX) {
                fail_condition(c, (SessionCondition) r);
                return;
        }
        if (is_about_files(c, r)) {
                c->subject = strerror(-r);
                api_fail(c, ERROR_WORKSPACE_UNUSABLE);
                return;
        }
        if (is_lost_race(c, r)) {
                c->subject = "another";
                api_fail(c, ERROR_PRECONDITION);
                return;
        }
        ErrorId id = r < 0 ? errno_error(r) : ERROR_INTERNAL;
        if (id == ERROR_INTERNAL)
                log_error(r, "Request %llu (%s): %s failed",
                          (unsigned long long) http_request_number(c->req), client_id(c->req),
                          c->route->name);
        if (id == ERROR_INTERNAL || id == ERROR_STORE_FAILED)
                api_fail_request(c->req, id, r < 0 ? strerror(-r) : "unknown condition", NULL);
        else
                api_fail(c, id);
}
