/* SPDX-License-Identifier: MIT */

/* Those parts of the description that no row of a route has: what holds for all of them, what an
 * operation does beyond its summary, the keys of an agent, and the tables of errors and events.
 *
 * Words of other rooms (unit keys, errors, events) are written from the tables that those rooms
 * work by. The notes are texts of this file and not of routes.def, because they are only for
 * readers of the description: the command line has its own. Codes and event types are tables of
 * extensions and no enums, since both grow, and a generated client must not break on a new word. */

#include "api/openapi-parts.h"

#include <stdio.h>

#include "api/api-internal.h"
#include "base/str.h"
#include "contract/examples.h"
#include "contract/unit-keys.h"

/* ---- the whole ---- */

static const char description[] =
        "Supervises AI agents, keeps their sessions, brings them back to any earlier point. Times are RFC 3339 in UTC; ids are 16 "
        "hex digits and ascend with time.\n\n"
        "**Errors** are the schema Error: `code` is stable, `detail` says what is wrong, `hint` what to do; x-error-codes lists the "
        "codes. A path that is not here is 404 not_found, a method that a path does not have is 405 method_not_allowed with Allow. "
        "Only a request whose head does not fit (32 KiB) is answered with 414 or 431 and a body that is no JSON. A 503 has Retry-After.\n\n"
        "**Bodies** are JSON in UTF-8 whatever Content-Type says, of 8 MiB at most (AGENTD_BODY_MAX), and may have Content-Encoding gzip or "
        "zstd. Members without a name here are refused where a schema has additionalProperties false and ignored elsewhere, as are query "
        "parameters. A member that may be null is as if absent then.\n\n"
        "**Lists** take limit and after, and have a header `Link: <…>; rel=\"next\"` as long as there is more: follow it until it is "
        "missing. A page may be shorter than limit.\n\n"
        "**Asking again**: send a POST with Idempotency-Key, and repeat it as it was (same path, query and bytes of the body) until there is an "
        "answer: the effect is there once. The repeated answer has `Idempotency-Replayed: true`, and may be without ETag.\n\n"
        "**Changing what was read**: an ETag is sent back as it came, with its quotes, in If-Match (412 if it is not the current one) or in "
        "If-None-Match (304 if it is).\n\n"
        "**Tokens**: `Authorization: Bearer …`. x-access says which scope an operation needs (local: only the daemon's own user on its machine), "
        "x-run whether a running agent may use it for its own session, x-cli-verb what it is called on the command line.\n\n"
        "**Compression**: answers of 1 KiB and more come in zstd or gzip if Accept-Encoding asks for it.";

static const struct Tag {
        const char *prefix, *name, *doc;
} tags[] = {
        { "/sessions/{id}/messages", "messages", "The conversation." },
        { "/sessions/{id}/variables", "variables", "Named values of a session, with versions." },
        { "/sessions/{id}/checkpoints", "history",
          "Checkpoints, branches, forks and what differs between them." },
        { "/sessions/{id}/branches", "history", NULL },
        { "/sessions/{id}/forks", "history", NULL },
        { "/sessions/{id}/diff", "history", NULL },
        { "/sessions/{id}/restore", "history", NULL },
        { "/sessions/{id}/fork", "history", NULL },
        { "/sessions/{id}/runs", "runs", "What a session's processes did and wrote." },
        { "/sessions/{id}/logs", "runs", NULL },
        { "/sessions/{id}/events", "events", "What happened, as a list or as a stream." },
        { "/sessions/{id}/memory", "memory", "Long-term memory." },
        { "/sessions", "sessions", "Making, looking at and moving sessions." },
        { "/events", "events", NULL },
        { "/memory", "memory", NULL },
        { "/tokens", "tokens", "Who may use the API." },
        { "/", "daemon", "The daemon itself." },
};

const char *openapi_tag(const char *path) {
        ARRAY_FOREACH(t, tags)
                if (str_startswith(path, t->prefix))
                        return t->name;
        return tags[ELEMENTSOF(tags) - 1].name;
}

void openapi_write_head(JsonWriter *w) {
        json_w_key(w, "info");
        json_w_object_begin(w);
        json_w_kv_string(w, "title", "agentd");
        json_w_kv_string(w, "version", AGENTD_VERSION);
        json_w_kv_string(w, "description", description);
        json_w_kv_raw(w, "license", JSON_LITERAL("{\"name\":\"MIT\",\"identifier\":\"MIT\"}"));
        json_w_object_end(w);
        json_w_kv_raw(
                w, "servers",
                JSON_LITERAL(
                        "[{\"url\":\"/\",\"description\":\"The daemon that this document came from\"}]"));
        json_w_key(w, "tags");
        json_w_array_begin(w);
        ARRAY_FOREACH(t, tags) {
                if (!t->doc)
                        continue;
                json_w_object_begin(w);
                json_w_kv_string(w, "name", t->name);
                json_w_kv_string(w, "description", t->doc);
                json_w_object_end(w);
        }
        json_w_array_end(w);
}

/* ---- operations ---- */

#define EVENT_NOTE                                                                                                                            \
        "With `Accept: text/event-stream` it is a stream of Server-Sent Events that does not end: `id` is the event's id, `event` its type, " \
        "`data` an Event as one line of JSON. It begins with what happens from now on, or right behind Last-Event-ID (or after), and "        \
        "nothing is missed or sent twice. `event: reset` says that events between were deleted by age, or that the id is none of this "       \
        "daemon's, and that it goes on with the oldest kept; `event: slow` that the reader is too far behind and is cut. A comment line "     \
        "comes when nothing else did for half a minute. Else it is a page of a list, from the oldest kept on or behind after; there "         \
        "the header `Agentd-Events: reset` says the same as the event."

/* Long sentences, each of several pieces. NOLINTBEGIN(bugprone-suspicious-missing-comma) */
static const char *const notes[_ROUTE_MAX] = {
        [ROUTE_SESSION_CREATE] =
                "With agent the session runs a program, as soon as it is started (`start`, or POST …/start). Without one it is a "
                "record that others write to, and needs a model.",
        [ROUTE_SESSION_LIST] =
                "Items carry no messages unless asked for. Archived sessions are listed with status=archived or ref only.",
        [ROUTE_SESSION_PATCH] =
                "Labels and tools are replaced as a whole. The ETag is that of GET /sessions/{id}.",
        [ROUTE_SESSION_DELETE] = "A running session is refused unless force is given.",
        [ROUTE_SESSION_START] =
                "Answers when the start is on disk; substate is starting until the process is there.",
        [ROUTE_SESSION_PAUSE] = "Answers when the whole process tree is frozen.",
        [ROUTE_SESSION_STOP] =
                "Answers when the whole process tree is dead. A session that is stopped already stays so: 200.",
        [ROUTE_SESSION_RESUME] =
                "Goes on with a frozen process, else starts one. A checkpoint that does not exist is 400 here.",
        [ROUTE_SESSION_KILL] =
                "Answers when the signal was sent, so the state is often still the one before. Whether a new process is started afterwards is "
                "up to the agent's restart: use POST …/stop to end it for good.",
        [ROUTE_SESSION_ARCHIVE] =
                "Only of a session that is not running. Its status stays stopped, its substate is archived; POST …/start or "
                "…/resume bring it back.",
        [ROUTE_SESSION_FORK] =
                "The new session is created and not started. Of a session with a workspace, name a folder for the new one's files.",
        [ROUTE_SESSION_RESTORE] =
                "Nothing is lost: the conversation goes on in a new branch, and a checkpoint of what was before is taken first. Pause or "
                "stop a running session before.",
        [ROUTE_MESSAGE_LIST] =
                "Without after and before these are the last ones. To read all, begin with after=0000000000000000 and follow Link. To read "
                "backwards, give the first id of an answer as before. To wait for new ones, repeat with wait and with the last id "
                "as after; an empty list says that nothing came in time.",
        [ROUTE_VARIABLE_LIST] = "The version is of all variables together.",
        [ROUTE_VARIABLE_GET] =
                "The version, and so the ETag, is of all variables together: it changes with any of them.",
        [ROUTE_VARIABLE_PUT] =
                "The body is the value itself, any JSON. If-Match takes the version of all variables in quotes; `If-None-Match: *` sets it "
                "only if there is none of this name. A / in a name is written %2F.",
        [ROUTE_VARIABLE_DELETE] = "If-Match takes the version of all variables in quotes.",
        [ROUTE_CHECKPOINT_CREATE] = "The label is a query parameter, or a member of the body.",
        [ROUTE_DIFF] = "removed is what only from has, added what only to has.",
        [ROUTE_LOGS] =
                "Accept chooses the form: application/x-ndjson (a LogLine each line), text/event-stream (its ids are cursors), else text/plain, "
                "made safe for terminals. With follow it goes on until the session is deleted.",
        [ROUTE_EVENTS] = EVENT_NOTE,
        [ROUTE_SESSION_EVENTS] = EVENT_NOTE,
        [ROUTE_NAMESPACE_MEMORY_SET] = "A namespace that is not there is made.",
        [ROUTE_TOKEN_CREATE] = "Of a token with scope admin: for its own namespace only.",
        [ROUTE_SHUTDOWN] = "Answers before it is done.",
};
/* NOLINTEND(bugprone-suspicious-missing-comma) */

const char *openapi_note(RouteId id) {
        return notes[id];
}

/* ---- headers of answers ---- */

static void write_header(JsonWriter *w, const char *name, const char *doc) {
        json_w_key(w, name);
        json_w_object_begin(w);
        json_w_kv_string(w, "description", doc);
        json_w_kv_raw(w, "schema", JSON_LITERAL("{\"type\":\"string\"}"));
        json_w_object_end(w);
}

static bool has_etag(const Route *r) {
        const FieldTable *t = r->out;

        if (r->flags & ROUTE_TAGGED)
                return t != &output_status;
        if (t == &output_memory_stored)
                return streq(r->method, "POST");
        return t == &output_variable_stored || (t == &output_checkpoint && !r->out_is_array) ||
               (t == &output_session && !r->out_is_array && r->id != ROUTE_CHECKPOINT_STATE);
}

static bool has_pages(const Route *r) {
        for (size_t i = 0; r->in && i < r->in->n_fields; i++)
                if (streq(r->in->fields[i].name, "after") || r->out == &output_memory_history)
                        return true;
        return false;
}

void openapi_write_headers(JsonWriter *w, const Route *r) {
        bool is_events = r->id == ROUTE_EVENTS || r->id == ROUTE_SESSION_EVENTS;

        if (!has_etag(r) && !has_pages(r) && !route_is_keyed(r))
                return;
        json_w_key(w, "headers");
        json_w_object_begin(w);
        if (has_etag(r))
                write_header(w, "ETag", "what it is now, in quotes: for If-Match and If-None-Match");
        if (has_pages(r))
                write_header(w, "Link",
                             "<PATH>; rel=\"next\": where the list goes on; absent: that was all");
        if (is_events)
                write_header(w, "Agentd-Events",
                             "reset: the events behind after are not kept any more");
        if (route_is_keyed(r))
                write_header(w, "Idempotency-Replayed", "true: this answer was given before");
        json_w_object_end(w);
}

void openapi_write_error_headers(JsonWriter *w, unsigned status) {
        if (status != 401 && status != 503)
                return;
        json_w_key(w, "headers");
        json_w_object_begin(w);
        if (status == 401)
                write_header(w, "WWW-Authenticate", "Bearer");
        else
                write_header(w, "Retry-After", "in how many seconds to try again");
        json_w_object_end(w);
}

/* ---- an agent ---- */

#define TEXT  "{\"type\":\"string\"}"
#define TEXTS "{\"type\":\"array\",\"items\":{\"type\":[\"string\",\"number\"]}}"

/* What the parser of each type takes (sup/spec-read.c); null is as if absent. */
static const char *const key_schemas[_UNIT_KEY_TYPE_MAX] = {
        [UNIT_KEY_COMMAND] = "[" TEXT "," TEXTS,
        [UNIT_KEY_ENVIRONMENT] =
                "[{\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\"]}}," TEXTS
                "," TEXT,
        [UNIT_KEY_PATH] = "[" TEXT,
        [UNIT_KEY_WORD] = NULL,
        [UNIT_KEY_SPAN] = "[{\"type\":\"number\",\"minimum\":0}," TEXT,
        [UNIT_KEY_COUNT] =
                "[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"string\",\"pattern\":\"^[0-9]+$\"}",
        [UNIT_KEY_EXIT_SET] = "[" TEXT ",{\"type\":\"integer\",\"minimum\":0,\"maximum\":255}," TEXTS,
        [UNIT_KEY_SIGNAL] = "[" TEXT ",{\"type\":\"integer\",\"minimum\":1}",
};

static void write_words(JsonWriter *w, const char *words) {
        json_w_key(w, "enum");
        json_w_array_begin(w);
        for (const char *p = words; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
                json_w_string_n(w, p, strcspn(p, "|"));
        json_w_null(w);
        json_w_array_end(w);
}

static void write_key(JsonWriter *w, const UnitKey *k) {
        _cleanup_free_ char *any = NULL, *doc = NULL;

        json_w_key(w, k->api_name);
        json_w_object_begin(w);
        if (k->values)
                write_words(w, k->values);
        else {
                any = str_printf("%s%s", key_schemas[k->type],
                                 streq(k->api_name, "exec") ? "]" : ",{\"type\":\"null\"}]");
                json_w_kv_raw(w, "anyOf", any ? (JsonSpan){ any, strlen(any) } : JSON_NULL);
        }
        if (k->fallback)
                json_w_kv_string(w, "default", k->fallback);
        doc = k->values ? strdup(k->doc)
                        : str_printf("%s: %s", k->doc, unit_key_type_to_string(k->type));
        json_w_kv_string(w, "description", doc ? doc : k->doc);
        json_w_object_end(w);
}

void openapi_write_agent(JsonWriter *w) {
        static const char examples[] = "[" EXAMPLE_AGENT "]";

        json_w_object_begin(w);
        json_w_kv_string(w, "type", "object");
        json_w_kv_string(w, "description", input_agent.doc);
        json_w_key(w, "properties");
        json_w_object_begin(w);
        for (size_t i = 0; i < n_unit_keys; i++)
                if (unit_keys[i].built)
                        write_key(w, &unit_keys[i]);
        json_w_object_end(w);
        json_w_kv_raw(w, "required", JSON_LITERAL("[\"exec\"]"));
        json_w_kv_bool(w, "additionalProperties", false);
        json_w_kv_raw(w, "examples", (JsonSpan){ examples, sizeof(examples) - 1 });
        json_w_object_end(w);
}

/* ---- words that grow ---- */

static bool is_first_of_code(unsigned i) {
        for (unsigned k = 0; k < i; k++)
                if (streq(error_table[k].code, error_table[i].code))
                        return false;
        return true;
}

void openapi_write_words(JsonWriter *w) {
        json_w_key(w, "x-error-codes");
        json_w_object_begin(w);
        for (unsigned i = 0; i < _ERROR_MAX; i++) {
                if (!is_first_of_code(i))
                        continue;
                json_w_key(w, error_table[i].code);
                json_w_object_begin(w);
                json_w_kv_int(w, "status", error_table[i].http);
                json_w_kv_string(w, "detail", error_table[i].sentence);
                json_w_kv_string(w, "hint", error_table[i].hint);
                json_w_object_end(w);
        }
        json_w_object_end(w);
        json_w_key(w, "x-event-types");
        json_w_object_begin(w);
        for (unsigned i = 0; i < _SESSION_EVENT_MAX; i++)
                json_w_kv_string(w, session_event_to_string(i), session_event_doc(i));
        json_w_object_end(w);
}
