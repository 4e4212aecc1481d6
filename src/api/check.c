/* SPDX-License-Identifier: MIT */

/* What a field table cannot say: one field that depends on another, words with a grammar of their
 * own, folders that must exist. One function per route that needs it; they run after parsing, also
 * when that found faults, and add theirs to the same list. */

#include <float.h>
#include <math.h>
#include <sys/stat.h>

#include "api/api-internal.h"
#include "base/signal-name.h"
#include "base/str.h"

/* ---- small grammars ---- */

int api_message_limit(FieldStr s, size_t fallback, size_t *ret) {
        uint64_t n;

        if (!s.s)
                *ret = fallback;
        else if (streq(s.s, "all"))
                *ret = SIZE_MAX;
        else if (str_to_u64(s.s, &n) == 0 && n <= INT64_MAX)
                *ret = (size_t) n;
        else
                return -EINVAL;
        return 0;
}

int api_signal(const char *s) {
        int signo;
        int r = signal_from_string(s, &signo);

        return r < 0 ? r : signo;
}

int api_expiry(const char *s, usec_t *ret) {
        usec_t span, now = clock_realtime();

        if (clock_parse_rfc3339(s, ret) == 0)
                return 0;
        int r = clock_parse_span(s, &span);
        if (r < 0)
                return r;
        if (span == 0)
                return -EINVAL;
        *ret = span > (usec_t) INT64_MAX - now ? 0 : now + span;
        return 0;
}

bool api_label_matches(JsonSpan labels, const char *label) {
        const char *sign = strchr(label, '=');
        _cleanup_free_ char *key = strndup(label, sign ? (size_t) (sign - label) : strlen(label));

        if (!key || !labels.p)
                return false;
        JsonSpan v = json_get(labels, key);
        return v.p && (!sign || json_string_equals(v, sign + 1));
}

/* ---- faults ---- */

JsonSpan api_quoted(ApiCall *c, const char *s) {
        _cleanup_buf_ Buf b = BUF_INIT(65536);
        JsonWriter w = JSON_WRITER(&b);

        json_w_string(&w, s);
        char *copy = buf_error(&b) < 0 ? NULL : field_arena_alloc(c->arena, b.len);
        if (!copy)
                return JSON_NULL;
        memcpy(copy, b.data, b.len);
        return (JsonSpan){ copy, b.len };
}

static void reject(ApiCall *c,
                   FieldErrors *e,
                   const char *place,
                   const char *field,
                   FieldStr value,
                   const char *why) {
        field_errors_add(e, "value_error", place, field,
                         value.s ? api_quoted(c, value.s) : JSON_NULL, "Value error, %s", why);
}

static bool has_fault(const FieldErrors *e, const char *field) {
        for (size_t i = 0; i < e->n; i++)
                if (streq_ptr(e->items[i].field, field))
                        return true;
        return false;
}

static void check_namespace_name(ApiCall *c, FieldErrors *e, const char *place, FieldStr name) {
        if (name.s && !str_is_filename_safe(name.s))
                reject(c, e, place, "namespace", name,
                       "a namespace is made of letters, digits and : _ . @ -");
}

static void check_workspace(ApiCall *c, FieldErrors *e, FieldStr path, bool must_exist) {
        struct stat st;

        if (!path.s)
                return;
        if (path.s[0] != '/')
                reject(c, e, "body", "workspace", path, "the path must be absolute");
        else if (must_exist && (stat(path.s, &st) < 0 || !S_ISDIR(st.st_mode)))
                reject(c, e, "body", "workspace", path, "there is no such folder");
}

static int check_agent(JsonSpan agent, FieldErrors *e) {
        _cleanup_(sup_spec_freep) SupSpec *spec = NULL;

        return agent.p ? MIN(sup_spec_parse(agent, &spec, e), 0) : 0;
}

/* ---- routes ---- */

static int check_session_create(ApiCall *c, FieldErrors *e) {
        const InputSessionCreate *in = c->in;

        if (in->unit.s)
                field_errors_add(e, "not_built", "body", "unit", api_quoted(c, in->unit.s),
                                 "Unit files are not built in this version; use agent");
        else if (!in->model.s && !in->agent.p && !has_fault(e, "model") && !has_fault(e, "agent") &&
                 !has_fault(e, NULL))
                field_errors_add(e, "missing", "body", "model", c->body, "Field required");
        check_namespace_name(c, e, "body", in->namespace);
        check_workspace(c, e, in->workspace, true);
        return check_agent(in->agent, e);
}

static int check_session_patch(ApiCall *c, FieldErrors *e) {
        return check_agent(((const InputSessionPatch *) c->in)->agent, e);
}

static void check_messages(ApiCall *c, FieldErrors *e, FieldStr s) {
        size_t n;

        if (api_message_limit(s, 0, &n) < 0)
                reject(c, e, "query", "messages", s, "expected a number or all");
}

static int check_session_list(ApiCall *c, FieldErrors *e) {
        check_messages(c, e, ((const InputSessionList *) c->in)->messages);
        return 0;
}

static int check_session_get(ApiCall *c, FieldErrors *e) {
        check_messages(c, e, ((const InputSessionGet *) c->in)->messages);
        return 0;
}

static int check_checkpoint_state(ApiCall *c, FieldErrors *e) {
        check_messages(c, e, ((const InputCheckpoint *) c->in)->messages);
        return 0;
}

static int check_session_resume(ApiCall *c, FieldErrors *e) {
        const InputSessionResume *in = c->in;

        if (in->session_id.s && !streq(in->session_id.s, in->id.s))
                reject(c, e, "body", "session_id", in->session_id,
                       "it is another session than the path's");
        return 0;
}

static int check_session_kill(ApiCall *c, FieldErrors *e) {
        const InputSessionKill *in = c->in;

        if (in->signal.s && api_signal(in->signal.s) < 0)
                reject(c, e, "body", "signal", in->signal,
                       "expected a signal such as SIGTERM, TERM or 15");
        return 0;
}

static int check_session_fork(ApiCall *c, FieldErrors *e) {
        const InputSessionFork *in = c->in;

        if (in->checkpoint_id.s && in->node.s)
                reject(c, e, "body", "node", in->node, "give either checkpoint_id or node");
        check_workspace(c, e, in->workspace, false);
        return 0;
}

static int check_session_restore(ApiCall *c, FieldErrors *e) {
        const InputSessionRestore *in = c->in;

        if (in->checkpoint_id.s && in->node.s)
                reject(c, e, "body", "node", in->node, "give either checkpoint_id or node");
        else if (!in->checkpoint_id.s && !in->node.s && e->n == 0)
                field_errors_add(e, "missing", "body", "checkpoint_id", JSON_NULL,
                                 "Field required without node");
        return 0;
}

/* A filter looks at members directly: no objects and lists inside. */
static void check_metadata(FieldErrors *e, JsonSpan metadata) {
        JsonIter it = json_iter(metadata);
        JsonSpan name, value;

        while (json_next(&it, &name, &value))
                if (json_is(value, JSON_KIND_OBJECT) || json_is(value, JSON_KIND_ARRAY)) {
                        field_errors_add(e, "value_error", "body", "metadata", metadata,
                                         "Value error, the member %.*s is an object or a list; use "
                                         "strings, numbers, booleans and nulls",
                                         (int) MIN(name.n, (size_t) 64), name.p);
                        return;
                }
}

/* Numbers that a float can hold, not all of them 0. */
static void check_embedding(FieldErrors *e, JsonSpan list) {
        JsonIter it = json_iter(list);
        JsonSpan number;
        bool is_zero = true;
        unsigned i = 0;

        for (; json_next(&it, NULL, &number); i++) {
                double d;
                if (json_is(number, JSON_KIND_NUMBER) && json_real(number, &d) >= 0 &&
                    fabs(d) <= (double) FLT_MAX) {
                        is_zero = is_zero && fpclassify((float) d) == FP_ZERO;
                        continue;
                }
                field_errors_add(e, "value_error", "body", "embedding", number,
                                 "Value error, element %u is no number that a 32-bit float can hold",
                                 i);
                return;
        }
        if (is_zero)
                field_errors_add(e, "value_error", "body", "embedding", JSON_NULL,
                                 "Value error, all numbers are 0: there is no direction to compare");
}

static int check_memory_set(ApiCall *c, FieldErrors *e) {
        const InputMemory *in = c->in;

        if (in->embedding.p && !has_fault(e, "embedding"))
                check_embedding(e, in->embedding);
        if (in->model.s && !in->embedding.p)
                reject(c, e, "body", "model", in->model,
                       "it names what made the embedding, and there is none");

        if (in->metadata.p && !has_fault(e, "metadata"))
                check_metadata(e, in->metadata);
        if (in->if_none_match.s && !streq(in->if_none_match.s, "*"))
                reject(c, e, "header", "If-None-Match", in->if_none_match,
                       "only * is understood here: store it if there is no such entry");
        return 0;
}

static int check_memory_get(ApiCall *c, FieldErrors *e) {
        const InputMemory *in = c->in;

        if (in->as_of.s && !in->key.s)
                reject(c, e, "query", "as_of", in->as_of, "a key is needed with it");
        return 0;
}

static int check_memory_search(ApiCall *c, FieldErrors *e) {
        const InputMemorySearch *in = c->in;
        char message[FILTER_MESSAGE_SIZE];
        MemoryFilter filter;
        bool wants_text = streq_ptr(in->mode.s, "text") || streq_ptr(in->mode.s, "hybrid");
        bool wants_vector = streq_ptr(in->mode.s, "vector") || streq_ptr(in->mode.s, "hybrid");

        if (in->embedding.p && !has_fault(e, "embedding"))
                check_embedding(e, in->embedding);
        if (!in->query.s && !in->embedding.p && e->n == 0)
                field_errors_add(e, "missing", "body", "query", JSON_NULL,
                                 "Field required without embedding");
        else if ((wants_text && !in->query.s) || (wants_vector && !in->embedding.p))
                reject(c, e, "body", "mode", in->mode,
                       "text needs a query, vector an embedding, hybrid both");
        if (in->filter.p && !has_fault(e, "filter") && filter_parse(in->filter, &filter, message) < 0)
                field_errors_add(e, "value_error", "body", "filter", in->filter, "Value error, %s",
                                 message);
        return 0;
}

static int check_namespace_memory_search(ApiCall *c, FieldErrors *e) {
        check_namespace_name(c, e, "query", ((const InputMemorySearch *) c->in)->namespace);
        return check_memory_search(c, e);
}

static int check_namespace_memory_set(ApiCall *c, FieldErrors *e) {
        check_namespace_name(c, e, "query", ((const InputMemory *) c->in)->namespace);
        return check_memory_set(c, e);
}

static int check_namespace_memory_get(ApiCall *c, FieldErrors *e) {
        check_namespace_name(c, e, "query", ((const InputMemory *) c->in)->namespace);
        return check_memory_get(c, e);
}

static int check_token_create(ApiCall *c, FieldErrors *e) {
        const InputToken *in = c->in;
        usec_t t;

        if (!in->namespace.s || !streq(in->namespace.s, API_ALL_NAMESPACES))
                check_namespace_name(c, e, "body", in->namespace);
        if (in->expires.s && api_expiry(in->expires.s, &t) < 0)
                reject(c, e, "body", "expires", in->expires,
                       "expected a span such as 12h or an RFC 3339 time");
        return 0;
}

static int check_variable_put(ApiCall *c, FieldErrors *e) {
        const InputVariable *in = c->in;

        if (in->if_none_match.s && !streq(in->if_none_match.s, "*"))
                reject(c, e, "header", "If-None-Match", in->if_none_match,
                       "of a write it can be * only; If-Match takes an ETag");
        return 0;
}

static int check_events(ApiCall *c, FieldErrors *e) {
        const InputEvents *in = c->in;

        if (in->last_event_id.s && !api_id(in->last_event_id) &&
            !streq(in->last_event_id.s, "0000000000000000"))
                reject(c, e, "header", "Last-Event-ID", in->last_event_id,
                       "expected the id of an event, 16 hex digits");
        return 0;
}

typedef int (*CheckFunction)(ApiCall *c, FieldErrors *e);

static const CheckFunction checks[_ROUTE_MAX] = {
        [ROUTE_SESSION_CREATE] = check_session_create,
        [ROUTE_SESSION_LIST] = check_session_list,
        [ROUTE_SESSION_GET] = check_session_get,
        [ROUTE_SESSION_PATCH] = check_session_patch,
        [ROUTE_SESSION_RESUME] = check_session_resume,
        [ROUTE_SESSION_KILL] = check_session_kill,
        [ROUTE_SESSION_FORK] = check_session_fork,
        [ROUTE_SESSION_RESTORE] = check_session_restore,
        [ROUTE_VARIABLE_PUT] = check_variable_put,
        [ROUTE_CHECKPOINT_STATE] = check_checkpoint_state,
        [ROUTE_MEMORY_GET] = check_memory_get,
        [ROUTE_MEMORY_SET] = check_memory_set,
        [ROUTE_MEMORY_SEARCH] = check_memory_search,
        [ROUTE_NAMESPACE_MEMORY_SEARCH] = check_namespace_memory_search,
        [ROUTE_NAMESPACE_MEMORY_GET] = check_namespace_memory_get,
        [ROUTE_NAMESPACE_MEMORY_SET] = check_namespace_memory_set,
        [ROUTE_EVENTS] = check_events,
        [ROUTE_SESSION_EVENTS] = check_events,
        [ROUTE_TOKEN_CREATE] = check_token_create,
};

int api_check(ApiCall *c, FieldErrors *e) {
        return checks[c->route->id] ? checks[c->route->id](c, e) : 0;
}
