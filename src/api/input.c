/* SPDX-License-Identifier: MIT */

/* From a request to its input struct, by the rows of the route's table: each row says where its
 * value is. All faults are collected, so that a client learns about them at once.
 *
 * A body that is no JSON is one fault with its position, in pydantic's words, because clients of
 * the original parse those. Routes without body fields do not look at the body. */

#include <stdio.h>

#include "api/api-internal.h"
#include "base/id.h"

static const char *text_of(const HttpRequest *req, const FieldDef *f) {
        const char *text = f->place == FIELD_PATH    ? http_path_value(req, f->name)
                           : f->place == FIELD_QUERY ? http_query_value(req, f->name)
                                                     : http_header(req, f->name);

        /* `?force` alone means yes, `?label=` alone means none. */
        if (text && *text == '\0' && f->place == FIELD_QUERY)
                return f->type == FIELD_BOOL ? "1" : f->min > 0 ? text : NULL;
        return text;
}

static int parse_text(ApiCall *c, const FieldDef *f, FieldErrors *e) {
        const char *text = text_of(c->req, f);

        if (text) {
                int r = field_parse_text(f, text, c->in, c->arena, e);
                return MIN(r, 0);
        }
        if (f->flags & FIELD_REQUIRED)
                field_errors_add(e, "missing", f->place == FIELD_HEADER ? "header" : "query",
                                 f->name, JSON_NULL, "Field required");
        return 0;
}

static int invalid_json(ApiCall *c, FieldErrors *e, const JsonError *error) {
        char *offset = field_arena_alloc(c->arena, 24);

        if (!offset)
                return -ENOMEM;
        (void) snprintf(offset, 24, "%zu", error->offset);
        field_errors_add(e, "json_invalid", "body", offset, JSON_LITERAL("{}"),
                         "JSON decode error: %s", error->reason);
        return 1;
}

/* The body is one value, whatever it is. */
static int take_whole_body(ApiCall *c, const FieldDef *f, JsonSpan body, FieldErrors *e) {
        if (body.p)
                *(JsonSpan *) (void *) ((uint8_t *) c->in + f->offset) = body;
        else
                field_errors_add(e, "missing", "body", NULL, JSON_NULL, "Field required");
        return 0;
}

static int parse_body(ApiCall *c, const FieldDef *first, FieldErrors *e) {
        JsonSpan raw = http_body(c->req), body = {};
        JsonError error;

        if (raw.n > 0) {
                int r = json_check(raw.p, raw.n, JSON_DEPTH_MAX, &body, &error);
                if (r < 0)
                        return invalid_json(c, e, &error);
                c->body = body;
        }
        if (c->route->flags & ROUTE_BODY_IS_VALUE)
                return take_whole_body(c, first, body, e);
        int r = field_parse_body(c->route->in, body, c->in, c->arena, e);
        return MIN(r, 0);
}

int api_parse(ApiCall *c, FieldErrors *e) {
        const FieldTable *t = c->route->in;
        const FieldDef *body = NULL;
        int r = 0;

        for (size_t i = 0; t && i < t->n_fields && r >= 0; i++)
                if (t->fields[i].place == FIELD_BODY)
                        body = body ? body : &t->fields[i];
                else
                        r = parse_text(c, &t->fields[i], e);
        return r >= 0 && body ? parse_body(c, body, e) : r;
}

uint64_t api_id(FieldStr s) {
        uint64_t id;

        return s.s && strlen(s.s) == s.n && id_parse(s.s, &id) == 0 ? id : 0;
}
