/* SPDX-License-Identifier: MIT */

/* One value from a path, a query or a header. There is no JSON here: numbers are plain digits and
 * booleans two words each, because these values are typed by people. The text belongs to the HTTP
 * server and is gone before the handler's reply is; what is kept moves into the arena. */

#include "base/field-internal.h"
#include "base/str.h"

static const char no_integer[] =
        "Input should be a valid integer, unable to parse string as an integer";

static const char *place_name(FieldPlace place) {
        static const char *const names[] = {
                [FIELD_BODY] = "body",
                [FIELD_PATH] = "path",
                [FIELD_QUERY] = "query",
                [FIELD_HEADER] = "header",
        };
        return names[place];
}

/* The text as a JSON string in the arena, to be shown in errors; absent if it is too long for that.
 */
static JsonSpan quote(FieldArena *arena, const char *text) {
        char small[1024];
        Buf b = { .data = small, .cap = sizeof(small), .max = sizeof(small) - 1 };
        JsonWriter w = JSON_WRITER(&b);

        json_w_string(&w, text);
        if (buf_error(&b) < 0)
                return (JsonSpan){};
        char *copy = field_arena_alloc(arena, b.len);
        if (!copy)
                return (JsonSpan){};
        memcpy(copy, small, b.len);
        return (JsonSpan){ copy, b.len };
}

static int take_int_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *text) {
        int64_t v;
        int r = str_to_i64(text, &v);

        if (r == -ERANGE)
                return FIELD_REJECT(p, f, input, "int_parsing_size", "%s", FIELD_MSG_INT_SIZE);
        if (r < 0)
                return FIELD_REJECT(p, f, input, "int_parsing", "%s", no_integer);
        return field_take_int_value(p, f, input, v);
}

static int take_bool_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *text) {
        if (streq(text, "1") || streq(text, "true"))
                return field_store_bool(p, f, true);
        if (streq(text, "0") || streq(text, "false"))
                return field_store_bool(p, f, false);
        return FIELD_REJECT(p, f, input, "bool_parsing",
                            "Input should be a valid boolean, unable to interpret input");
}

/* The text moves into the arena, where the input struct may point to it. */
static int take_string_text(
        FieldParse *p, const FieldDef *f, JsonSpan input, const char *text, size_t n) {
        char *copy = field_arena_alloc(p->arena, n + 1);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, text, n);
        if (f->type == FIELD_TIME)
                return field_take_time_text(p, f, input, copy, n);
        return field_take_text(p, f, input, copy, n);
}

static int take_from_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *text) {
        size_t n = strlen(text);

        if (!utf8_is_valid(text, n))
                return FIELD_REJECT(p, f, input, "string_unicode", "%s", FIELD_MSG_UNICODE);
        if (f->type == FIELD_INT)
                return take_int_text(p, f, input, text);
        if (f->type == FIELD_BOOL)
                return take_bool_text(p, f, input, text);
        if (f->type == FIELD_ID)
                return field_take_id_text(p, f, input, text, n);
        assert(f->type == FIELD_STRING || f->type == FIELD_STRINGS || f->type == FIELD_TIME);
        return take_string_text(p, f, input, text, n);
}

int field_parse_text(const FieldDef *f, const char *text, void *out, FieldArena *arena, FieldErrors *e) {
        FieldParse p = { .out = out, .arena = arena, .errors = e, .place = place_name(f->place) };
        JsonSpan input = quote(arena, text);
        int r = take_from_text(&p, f, input, text);

        return r < 0 ? r : (int) p.n_errors;
}
