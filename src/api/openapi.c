/* SPDX-License-Identifier: MIT */

/* OpenAPI 3.1 from the tables that the daemon itself routes, parses and answers by, so that it
 * cannot promise what is not there. Made once, when first asked for.
 *
 * Responses are written out at each operation instead of being references: simple readers of such
 * documents (and our own tests) look a status up and find its schema there. */

#include <ctype.h>
#include <stdio.h>

#include "api/api-internal.h"
#include "api/openapi-parts.h"
#include "base/str.h"

#define TABLES_MAX 96

/* What every route may answer. */
static const ErrorId general_errors[] = {
        ERROR_BAD_REQUEST,  ERROR_BAD_ENCODING,    ERROR_UNSUPPORTED_ENCODING,
        ERROR_UNAUTHORIZED, ERROR_BAD_TOKEN,       ERROR_STALE_TOKEN,
        ERROR_FORBIDDEN,    ERROR_RUN_FORBIDDEN,   ERROR_LOCAL_ONLY,
        ERROR_BAD_ORIGIN,   ERROR_BAD_HOST,        ERROR_VALIDATION,
        ERROR_INVALID_URL,  ERROR_BODY_TOO_LARGE,  ERROR_TOO_MANY_HEADERS,
        ERROR_INTERNAL,     ERROR_REPLY_TOO_LARGE, ERROR_BUSY,
        ERROR_NO_MEMORY,    ERROR_NO_DESCRIPTORS,  ERROR_SHUTTING_DOWN,
        ERROR_STORE_FAILED, ERROR_STORE_BUSY,      ERROR_DISK_FULL,
        ERROR_KEY_REUSED, /* the last one: only of routes that take a key */
};

/* ---- parameters and bodies ---- */

static void write_parameter(JsonWriter *w, const FieldDef *f) {
        static const char *const places[] = {
                [FIELD_PATH] = "path",
                [FIELD_QUERY] = "query",
                [FIELD_HEADER] = "header",
        };

        json_w_object_begin(w);
        json_w_kv_string(w, "name", f->name);
        json_w_kv_string(w, "in", places[f->place]);
        json_w_kv_bool(w, "required", f->flags & FIELD_REQUIRED);
        json_w_key(w, "schema");
        field_schema_write_value(f, false, w);
        json_w_object_end(w);
}

static const FieldDef idempotency_key = {
        .name = "Idempotency-Key",
        .type = FIELD_STRING,
        .place = FIELD_HEADER,
        .min = 1,
        .max = 255,
        .doc = "any text that no other request of yours has: the same request again gets the same answer, and its "
               "effect once",
};

static const FieldDef if_none_match = {
        .name = "If-None-Match",
        .type = FIELD_STRING,
        .place = FIELD_HEADER,
        .doc = "ETags that the client has: 304 if one of them is the current one",
};

static const FieldDef if_match = {
        .name = "If-Match",
        .type = FIELD_STRING,
        .place = FIELD_HEADER,
        .doc = "the ETag that it must still have: 412 if it has changed",
};

static void write_parameters(JsonWriter *w, const Route *route) {
        const FieldTable *t = route->in;

        json_w_key(w, "parameters");
        json_w_array_begin(w);
        for (size_t i = 0; t && i < t->n_fields; i++)
                if (t->fields[i].place != FIELD_BODY)
                        write_parameter(w, &t->fields[i]);
        if (route_is_keyed(route))
                write_parameter(w, &idempotency_key);
        if (route->flags & ROUTE_TAGGED)
                write_parameter(w, streq(route->method, "GET") ? &if_none_match : &if_match);
        json_w_array_end(w);
}

static bool has_body(const FieldTable *t, bool *ret_required) {
        bool has = false;

        *ret_required = false;
        for (size_t i = 0; t && i < t->n_fields; i++)
                if (t->fields[i].place == FIELD_BODY) {
                        has = true;
                        *ret_required |= t->fields[i].flags & FIELD_REQUIRED;
                }
        return has;
}

static void write_ref(JsonWriter *w, const FieldTable *t, bool is_output) {
        assert(t);
        _cleanup_free_ char *path = t->name ? str_printf("#/components/schemas/%s", t->name) : NULL;

        if (!path) {
                field_schema_write(t, is_output, w);
                return;
        }
        json_w_object_begin(w);
        json_w_kv_string(w, "$ref", path);
        json_w_object_end(w);
}

static void content_begin(JsonWriter *w, const char *type) {
        json_w_key(w, type);
        json_w_object_begin(w);
        json_w_key(w, "schema");
}

static void write_request_body(JsonWriter *w, const Route *route) {
        bool required;

        if (!has_body(route->in, &required))
                return;
        json_w_key(w, "requestBody");
        json_w_object_begin(w);
        json_w_kv_bool(w, "required", required);
        json_w_key(w, "content");
        json_w_object_begin(w);
        content_begin(w, "application/json");
        if (route->flags & ROUTE_BODY_IS_VALUE) {
                json_w_object_begin(w);
                json_w_kv_string(w, "description", route->in->doc);
                json_w_object_end(w);
        } else
                write_ref(w, route->in, false);
        json_w_object_end(w);
        json_w_object_end(w);
        json_w_object_end(w);
}

/* ---- responses ---- */

static void write_out_schema(JsonWriter *w, const Route *route, bool as_array) {
        if (!route->out || as_array) {
                json_w_object_begin(w);
                json_w_kv_string(w, "type", as_array ? "array" : "object");
                if (as_array) {
                        json_w_key(w, "items");
                        write_ref(w, route->out, true);
                }
                json_w_object_end(w);
        } else
                write_ref(w, route->out, true);
}

static void write_text_content(JsonWriter *w, const char *type) {
        content_begin(w, type);
        json_w_object_begin(w);
        json_w_kv_string(w, "type", "string");
        json_w_object_end(w);
        json_w_object_end(w);
}

static void write_success_content(JsonWriter *w, const Route *route) {
        bool is_logs = route->id == ROUTE_LOGS, is_metrics = route->id == ROUTE_METRICS;
        bool is_docs = route->id == ROUTE_DOCS, is_backup = route->id == ROUTE_BACKUP;
        bool is_events = route->id == ROUTE_EVENTS || route->id == ROUTE_SESSION_EVENTS;

        json_w_key(w, "content");
        json_w_object_begin(w);
        if (!is_metrics && !is_docs && !is_backup) {
                content_begin(w, is_logs ? "application/x-ndjson" : "application/json");
                write_out_schema(w, route, route->out_is_array && !is_logs);
                json_w_object_end(w);
        }
        if (is_docs)
                write_text_content(w, "text/html");
        if (is_backup)
                write_text_content(w, "application/zstd");
        if (is_logs || is_metrics)
                write_text_content(w, "text/plain");
        if (is_logs || is_events)
                write_text_content(w, "text/event-stream");
        json_w_object_end(w);
}

static void write_success(JsonWriter *w, const Route *route) {
        char status[8];

        (void) snprintf(status, sizeof(status), "%u", route->status);
        json_w_key(w, status);
        json_w_object_begin(w);
        json_w_kv_string(w, "description", route->summary);
        openapi_write_headers(w, route);
        write_success_content(w, route);
        json_w_object_end(w);
        if (route->flags & ROUTE_PAGE) {
                json_w_key(w, "302");
                json_w_raw(w,
                           JSON_LITERAL(
                                   "{\"description\":\"The client takes text/html: see /docs.\"}"));
        }
        if (route->flags & ROUTE_TAGGED && streq(route->method, "GET")) {
                json_w_key(w, "304");
                json_w_raw(w, JSON_LITERAL("{\"description\":\"The client has it already.\"}"));
        }
}

/* The route's own errors, then the general ones. */
static ErrorId nth_error(const Route *route, size_t i) {
        size_t n_own = 0;

        while (route->errors[n_own] != _ERROR_MAX)
                n_own++;
        if (i < n_own)
                return route->errors[i];
        size_t n_general = ELEMENTSOF(general_errors) - (route_is_keyed(route) ? 0 : 1);
        return i - n_own < n_general ? general_errors[i - n_own] : _ERROR_MAX;
}

static bool is_listed(const Route *route, size_t i, const ErrorDef *e) {
        for (size_t k = 0; k < i; k++) {
                const ErrorDef *before = &error_table[nth_error(route, k)];
                if (before->http == e->http && streq(before->code, e->code))
                        return true;
        }
        return false;
}

/* The code words of this status, each once. */
static void list_codes(const Route *route, unsigned status, Buf *out) {
        ErrorId id;

        for (size_t i = 0; (id = nth_error(route, i)) != _ERROR_MAX; i++)
                if (error_table[id].http == status && !is_listed(route, i, &error_table[id]))
                        (void) buf_printf(out, "%s%s", out->len > 0 ? ", " : "",
                                          error_table[id].code);
}

static void write_failure(JsonWriter *w, const Route *route, unsigned status) {
        _cleanup_buf_ Buf codes = BUF_INIT(4096);
        char key[8];

        list_codes(route, status, &codes);
        if (codes.len == 0)
                return;
        (void) snprintf(key, sizeof(key), "%u", status);
        json_w_key(w, key);
        json_w_object_begin(w);
        json_w_kv_string(w, "description", codes.data);
        openapi_write_error_headers(w, status);
        json_w_key(w, "content");
        json_w_object_begin(w);
        content_begin(w, "application/json");
        write_ref(w, &output_error, true);
        json_w_object_end(w);
        json_w_object_end(w);
        json_w_object_end(w);
}

static void write_responses(JsonWriter *w, const Route *route) {
        json_w_key(w, "responses");
        json_w_object_begin(w);
        write_success(w, route);
        for (unsigned status = 400; status < 600; status++)
                write_failure(w, route, status);
        json_w_object_end(w);
}

/* ---- operations ---- */

static void write_operation(JsonWriter *w, const Route *route) {
        char method[16];
        size_t n = 0;

        for (; route->method[n] && n < sizeof(method) - 1; n++)
                method[n] = (char) tolower((unsigned char) route->method[n]);
        method[n] = '\0';
        json_w_key(w, method);
        json_w_object_begin(w);
        json_w_kv_string(w, "operationId", route->name);
        json_w_kv_string(w, "summary", route->summary);
        if (openapi_note(route->id))
                json_w_kv_string(w, "description", openapi_note(route->id));
        json_w_key(w, "tags");
        json_w_array_begin(w);
        json_w_string(w, openapi_tag(route->path));
        json_w_array_end(w);
        if (route->verb)
                json_w_kv_string(w, "x-cli-verb", route->verb);
        json_w_kv_string(w, "x-access", route_access_to_string(route->access));
        json_w_kv_bool(w, "x-run", route->flags & ROUTE_RUN_OWN);
        write_parameters(w, route);
        write_request_body(w, route);
        write_responses(w, route);
        if (route->access == ACCESS_PUBLIC) {
                json_w_key(w, "security");
                json_w_array_begin(w);
                json_w_array_end(w);
        }
        json_w_object_end(w);
}

static bool is_first_of_path(unsigned i) {
        for (unsigned k = 0; k < i; k++)
                if (streq(route_table[k].path, route_table[i].path))
                        return false;
        return true;
}

static void write_paths(JsonWriter *w) {
        json_w_key(w, "paths");
        json_w_object_begin(w);
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                if (!is_first_of_path(i))
                        continue;
                json_w_key(w, route_table[i].path);
                json_w_object_begin(w);
                for (unsigned k = i; k < _ROUTE_MAX; k++)
                        if (streq(route_table[k].path, route_table[i].path))
                                write_operation(w, &route_table[k]);
                json_w_object_end(w);
        }
        json_w_object_end(w);
}

/* ---- components ---- */

typedef struct Tables {
        const FieldTable *items[TABLES_MAX];
        bool is_output[TABLES_MAX];
        size_t n;
} Tables;

static bool is_known(const Tables *all, const FieldTable *t) {
        for (size_t i = 0; i < all->n; i++)
                if (all->items[i] == t)
                        return true;
        return false;
}

static void tables_add(Tables *all, const FieldTable *t, bool is_output) {
        if (!t || is_known(all, t))
                return;
        assert(all->n < TABLES_MAX);
        all->items[all->n] = t;
        all->is_output[all->n++] = is_output;
}

/* Those of the routes, then those that the ones found refer to. */
static void tables_collect(Tables *all) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                tables_add(all, route_table[i].in, false);
                tables_add(all, route_table[i].out, true);
        }
        tables_add(all, &output_error, true);
        for (size_t i = 0; i < all->n; i++)
                for (size_t k = 0; k < all->items[i]->n_fields; k++)
                        tables_add(all, all->items[i]->fields[k].ref, true);
}

static void write_components(JsonWriter *w) {
        Tables all = {};

        tables_collect(&all);
        json_w_key(w, "components");
        json_w_object_begin(w);
        json_w_key(w, "schemas");
        json_w_object_begin(w);
        for (size_t i = 0; i < all.n; i++)
                if (all.items[i]->name) {
                        json_w_key(w, all.items[i]->name);
                        if (all.items[i] == &input_agent)
                                openapi_write_agent(w);
                        else
                                field_schema_write(all.items[i], all.is_output[i], w);
                }
        json_w_object_end(w);
        json_w_key(w, "securitySchemes");
        json_w_raw(
                w,
                JSON_LITERAL(
                        "{\"token\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"A token made by "
                        "POST /tokens or `agentd token create`. The daemon's own user on its machine needs none.\"}}"));
        json_w_object_end(w);
}

int openapi_write(Buf *out) {
        JsonWriter w = JSON_WRITER(out);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "openapi", "3.1.0");
        openapi_write_head(&w);
        json_w_key(&w, "security");
        json_w_raw(&w, JSON_LITERAL("[{},{\"token\":[]}]"));
        write_paths(&w);
        write_components(&w);
        openapi_write_words(&w);
        json_w_object_end(&w);
        return buf_error(out);
}
