/* SPDX-License-Identifier: MIT */

/* From a body or a text to the input struct, row by row. One function per field type checks a value
 * and stores it; the table of these functions is indexed by FieldType, so that a new type cannot be
 * forgotten in one of two switch statements.
 *
 * The body is walked once and the last member of each name noted per row; then the rows are checked
 * in their own order, so that errors come in the order of the documentation whatever the client's
 * order is. Looking every row up in the body was rejected: with megabytes of body and thirty rows
 * that is thirty scans.
 *
 * Types are strict (a number is no string, "5" is no integer) with one exception that JSON
 * forces: 5.0 is the integer 5, because some languages have only one kind of number. The objects of
 * a FIELD_ARRAY with `ref` are checked against its rows one level deep; they are not stored. */

#include <math.h>
#include <stdio.h>

#include "base/field-internal.h"
#include "base/id.h"
#include "base/str.h"

typedef struct Parse {
        void *out; /* NULL: check only */
        FieldArena *arena;
        FieldErrors *errors;
        const char *place;
        unsigned n_errors; /* counted beyond FIELD_ERRORS_MAX too */
        bool nested;       /* inside an element of a FIELD_ARRAY */
} Parse;

#define REJECT(p, f, input, type, ...)                                                              \
        ({                                                                                          \
                field_errors_add((p)->errors, (type), (p)->place, (f)->name, (input), __VA_ARGS__); \
                (p)->n_errors++;                                                                    \
                0;                                                                                  \
        })

static const char not_unicode[] =
        "Input should be a valid string, unable to parse raw data as a unicode string";
static const char too_large[] = "Unable to parse input string as an integer, exceeded maximum size";
static const char no_integer[] =
        "Input should be a valid integer, unable to parse string as an integer";

/* Where the row's value goes, or NULL if nothing is to be stored. */
static void *target(const Parse *p, const FieldDef *f) {
        return p->out ? (uint8_t *) p->out + f->offset : NULL;
}

static int store_span(const Parse *p, const FieldDef *f, JsonSpan v) {
        JsonSpan *to = target(p, f);

        if (to)
                *to = v;
        return 0;
}

/* ---- strings ---- */

/* "'a', 'b' or 'c'" */
static void list_words(const char *values, char *buf, size_t size) {
        const char *word, *cursor = values;
        size_t n, used = 0;

        buf[0] = '\0';
        while (used < size && field_next_word(&cursor, &word, &n)) {
                const char *before = used == 0 ? "" : cursor ? ", " : " or ";
                used += (size_t) snprintf(buf + used, size - used, "%s'%.*s'", before, (int) n, word);
        }
}

static bool is_allowed_word(const char *values, const char *s, size_t len) {
        const char *word, *cursor = values;
        size_t n;

        while (field_next_word(&cursor, &word, &n))
                if (n == len && memcmp(word, s, n) == 0)
                        return true;
        return false;
}

/* Reports a length outside of the row's limits; false if it did. */
static bool check_length(Parse *p, const FieldDef *f, JsonSpan input, size_t n) {
        if (field_has_min(f) && (int64_t) n < f->min) {
                (void) REJECT(p, f, input, "string_too_short", "String should have at least %lld %s",
                              (long long) f->min, f->min == 1 ? "character" : "bytes");
                return false;
        }
        if (field_has_max(f) && (int64_t) n > f->max) {
                (void) REJECT(p, f, input, "string_too_long",
                              "String should have at most %lld bytes", (long long) f->max);
                return false;
        }
        return true;
}

/* Checks decoded, valid UTF-8 text and stores it. */
static int take_text(Parse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n) {
        if (memchr(s, '\0', n))
                return REJECT(p, f, input, "value_error", "Value error, NUL bytes are not allowed");
        if (!(f->flags & FIELD_ANY_TEXT) && str_has_control(s, n))
                return REJECT(p, f, input, "value_error",
                              "Value error, control characters are not allowed");
        if (!check_length(p, f, input, n))
                return 0;
        if (f->values && !is_allowed_word(f->values, s, n)) {
                char words[128];
                list_words(f->values, words, sizeof(words));
                return REJECT(p, f, input, "literal_error", "Input should be %s", words);
        }
        FieldStr *to = target(p, f);
        if (to)
                *to = (FieldStr){ s, n };
        return 0;
}

/* Decodes a string token into the arena. 1 if an error was reported. */
static int decode(Parse *p, const FieldDef *f, JsonSpan v, const char **ret, size_t *ret_n) {
        Buf b = BUF_INIT(v.n);

        /* a decoded string is never longer than its token */
        b.data = field_arena_alloc(p->arena, v.n + 1);
        b.cap = v.n + 1;
        if (!b.data)
                return -ENOMEM;
        int r = json_string_decode(v, &b);
        if (r == -EILSEQ) {
                (void) REJECT(p, f, v, "string_unicode", "%s", not_unicode);
                return 1;
        }
        if (r < 0)
                return r;
        *ret = b.data;
        *ret_n = b.len;
        return 0;
}

static int take_string(Parse *p, const FieldDef *f, JsonSpan v) {
        const char *s;
        size_t n;

        if (!json_is(v, JSON_KIND_STRING))
                return REJECT(p, f, v, "string_type", "Input should be a valid string");
        int r = decode(p, f, v, &s, &n);
        if (r != 0)
                return r < 0 ? r : 0;
        return take_text(p, f, v, s, n);
}

static int take_json_string(Parse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_STRING))
                return REJECT(p, f, v, "string_type", "Input should be a valid string");
        return check_length(p, f, v, v.n) ? store_span(p, f, v) : 0;
}

static int take_time_text(Parse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n) {
        usec_t t;

        if (strlen(s) != n || clock_parse_rfc3339(s, &t) < 0)
                return REJECT(p, f, input, "datetime_parsing",
                              "Input should be a valid datetime, expected RFC 3339");
        FieldStr *to = target(p, f);
        if (to)
                *to = (FieldStr){ s, n };
        return 0;
}

static int take_time(Parse *p, const FieldDef *f, JsonSpan v) {
        const char *s;
        size_t n;

        if (!json_is(v, JSON_KIND_STRING))
                return REJECT(p, f, v, "datetime_type", "Input should be a valid datetime");
        int r = decode(p, f, v, &s, &n);
        if (r != 0)
                return r < 0 ? r : 0;
        return take_time_text(p, f, v, s, n);
}

static int take_id_text(Parse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n) {
        uint64_t id;

        if (strlen(s) != n || id_parse(s, &id) < 0)
                return REJECT(p, f, input, "string_pattern_mismatch",
                              "String should match pattern '" FIELD_ID_PATTERN "'");
        FieldId *to = target(p, f);
        if (to)
                *to = (FieldId){ true, id };
        return 0;
}

static int take_id(Parse *p, const FieldDef *f, JsonSpan v) {
        const char *s;
        size_t n;

        if (!json_is(v, JSON_KIND_STRING))
                return REJECT(p, f, v, "string_type", "Input should be a valid string");
        int r = decode(p, f, v, &s, &n);
        if (r != 0)
                return r < 0 ? r : 0;
        return take_id_text(p, f, v, s, n);
}

/* ---- numbers and booleans ---- */

static int take_int_value(Parse *p, const FieldDef *f, JsonSpan input, int64_t v) {
        if (field_has_min(f) && v < f->min)
                return REJECT(p, f, input, "greater_than_equal",
                              "Input should be greater than or equal to %lld", (long long) f->min);
        if (field_has_max(f) && v > f->max)
                return REJECT(p, f, input, "less_than_equal",
                              "Input should be less than or equal to %lld", (long long) f->max);
        FieldInt *to = target(p, f);
        if (to)
                *to = (FieldInt){ true, v };
        return 0;
}

/* Digits with an optional minus: an integer whose only fault can be its size. */
static bool is_plain_integer(JsonSpan v) {
        return !memchr(v.p, '.', v.n) && !memchr(v.p, 'e', v.n) && !memchr(v.p, 'E', v.n);
}

static int take_int(Parse *p, const FieldDef *f, JsonSpan v) {
        const double exact = 9007199254740992.0; /* 2^53 */
        int64_t i;
        double d;

        if (!json_is(v, JSON_KIND_NUMBER))
                return REJECT(p, f, v, "int_type", "Input should be a valid integer");
        if (json_int(v, &i) == 0)
                return take_int_value(p, f, v, i);
        if (is_plain_integer(v))
                return REJECT(p, f, v, "int_parsing_size", "%s", too_large);
        int r = json_real(v, &d);
        if (r == -ENOMEM)
                return r;
        if (r == 0 && d >= -exact && d <= exact && !islessgreater(trunc(d), d))
                return take_int_value(p, f, v, (int64_t) d);
        return REJECT(p, f, v, "int_from_float",
                      "Input should be a valid integer, got a number with a fractional part");
}

static int store_bool(const Parse *p, const FieldDef *f, bool v) {
        FieldBool *to = target(p, f);

        if (to)
                *to = (FieldBool){ true, v };
        return 0;
}

static int take_bool(Parse *p, const FieldDef *f, JsonSpan v) {
        bool b;

        if (json_bool(v, &b) < 0)
                return REJECT(p, f, v, "bool_type", "Input should be a valid boolean");
        return store_bool(p, f, b);
}

/* ---- values kept as written ---- */

static bool check_bytes(Parse *p, const FieldDef *f, JsonSpan v) {
        if (!field_has_max(f) || (int64_t) v.n <= f->max)
                return true;
        (void) REJECT(p, f, v, "value_error",
                      "Value error, the JSON text should have at most %lld bytes",
                      (long long) f->max);
        return false;
}

static bool check_count(Parse *p, const FieldDef *f, JsonSpan v, const char *what) {
        if (!field_has_min(f))
                return true;

        int64_t n = (int64_t) json_count(v);
        bool few = n < f->min, many = field_has_max(f) && n > f->max;
        if (few || many)
                (void) REJECT(p, f, v, few ? "too_short" : "too_long",
                              "%s should have at %s %lld item%s after validation, not %lld", what,
                              few ? "least" : "most", (long long) (few ? f->min : f->max),
                              (few ? f->min : f->max) == 1 ? "" : "s", (long long) n);
        return !few && !many;
}

static int take_json(Parse *p, const FieldDef *f, JsonSpan v) {
        return check_bytes(p, f, v) ? store_span(p, f, v) : 0;
}

static int take_content(Parse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_STRING) && !json_is(v, JSON_KIND_ARRAY))
                return REJECT(p, f, v, "string_type", "Input should be a valid string or list");
        return take_json(p, f, v);
}

static int take_object(Parse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_OBJECT))
                return REJECT(p, f, v, "dict_type", "Input should be a valid dictionary");
        return check_count(p, f, v, "Dictionary") ? store_span(p, f, v) : 0;
}

/* All values of a container are strings, or errors say which are not. */
static bool check_strings(Parse *p, const FieldDef *f, JsonSpan container) {
        unsigned before = p->n_errors;
        JsonIter it = json_iter(container);
        JsonSpan v;

        while (p->errors->n < FIELD_ERRORS_MAX && json_next(&it, NULL, &v))
                if (!json_is(v, JSON_KIND_STRING))
                        (void) REJECT(p, f, v, "string_type", "Input should be a valid string");
        return p->n_errors == before;
}

static int take_strings(Parse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_ARRAY))
                return REJECT(p, f, v, "list_type", "Input should be a valid list");
        if (!check_strings(p, f, v) || !check_count(p, f, v, "List"))
                return 0;
        return store_span(p, f, v);
}

static int take_string_map(Parse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_OBJECT))
                return REJECT(p, f, v, "dict_type", "Input should be a valid dictionary");
        if (!check_strings(p, f, v) || !check_count(p, f, v, "Dictionary"))
                return 0;
        return store_span(p, f, v);
}

static int parse_object(Parse *p, const FieldTable *t, JsonSpan object);

/* Every element is an object that fits the rows of `ref`. */
static int check_elements(Parse *p, const FieldDef *f, JsonSpan array) {
        Parse element = *p;
        JsonIter it = json_iter(array);
        JsonSpan v;
        int r = 0;

        element.out = NULL;
        element.nested = true;
        while (r == 0 && element.errors->n < FIELD_ERRORS_MAX && json_next(&it, NULL, &v)) {
                if (!json_is(v, JSON_KIND_OBJECT))
                        r = REJECT(&element, f, v, "dict_type", "Input should be a valid dictionary");
                else if (!p->nested)
                        r = parse_object(&element, f->ref, v); /* NOLINT(misc-no-recursion): once */
        }
        p->n_errors = element.n_errors;
        return r;
}

static int take_array(Parse *p, const FieldDef *f, JsonSpan v) {
        unsigned before = p->n_errors;

        if (!json_is(v, JSON_KIND_ARRAY))
                return REJECT(p, f, v, "list_type", "Input should be a valid list");
        if (f->ref) {
                int r = check_elements(p, f, v);
                if (r < 0 || p->n_errors > before)
                        return r;
        }
        return check_count(p, f, v, "List") ? store_span(p, f, v) : 0;
}

/* ---- bodies ---- */

typedef int (*TakeFunction)(Parse *p, const FieldDef *f, JsonSpan v);

/* NULL: the type is for output only and is not looked at in a body. */
static const TakeFunction take_functions[] = {
        [FIELD_STRING] = take_string, [FIELD_JSON_STRING] = take_json_string,
        [FIELD_JSON] = take_json,     [FIELD_CONTENT] = take_content,
        [FIELD_OBJECT] = take_object, [FIELD_STRINGS] = take_strings,
        [FIELD_ARRAY] = take_array,   [FIELD_STRING_MAP] = take_string_map,
        [FIELD_INT] = take_int,       [FIELD_BOOL] = take_bool,
        [FIELD_ID] = take_id,         [FIELD_TIME] = take_time,
        [FIELD_REFS] = NULL,
};

static int take_member(Parse *p, const FieldDef *f, JsonSpan v, JsonSpan object) {
        bool null = json_is(v, JSON_KIND_NULL);

        if (!v.p) {
                if (f->flags & FIELD_REQUIRED)
                        return REJECT(p, f, object, "missing", "Field required");
                return 0;
        }
        if (null && (f->flags & FIELD_NULLABLE))
                return 0;
        return take_functions[f->type] ? take_functions[f->type](p, f, v) : 0;
}

/* Notes the last member of each row's name. */
static void find_members(const FieldTable *t, JsonSpan object, JsonSpan *found) {
        JsonIter it = json_iter(object);
        JsonSpan key, value;

        while (json_next(&it, &key, &value))
                for (size_t i = 0; i < t->n_fields; i++)
                        if (t->fields[i].place == FIELD_BODY &&
                            json_string_equals(key, t->fields[i].name)) {
                                found[i] = value;
                                break;
                        }
}

static int parse_object(Parse *p, const FieldTable *t, JsonSpan object) {
        JsonSpan *found = field_arena_alloc(p->arena, t->n_fields * sizeof(JsonSpan));

        if (!found)
                return -ENOMEM;
        find_members(t, object, found);
        for (size_t i = 0; i < t->n_fields; i++) {
                if (t->fields[i].place != FIELD_BODY)
                        continue;
                int r = take_member(p, &t->fields[i], found[i], object);
                if (r < 0)
                        return r;
        }
        return 0;
}

int field_parse_body(const FieldTable *t, JsonSpan body, void *out, FieldArena *arena, FieldErrors *e) {
        Parse p = { .out = out, .arena = arena, .errors = e, .place = "body" };

        if (json_is(body, JSON_KIND_NULL))
                body = (JsonSpan){};
        if (body.p && !json_is(body, JSON_KIND_OBJECT)) {
                field_errors_add(
                        e, "model_attributes_type", "body", NULL, body,
                        "Input should be a valid dictionary or object to extract fields from");
                return 1;
        }
        int r = parse_object(&p, t, body);
        return r < 0 ? r : (int) p.n_errors;
}

/* ---- texts ---- */

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

static int take_int_text(Parse *p, const FieldDef *f, JsonSpan input, const char *text) {
        int64_t v;
        int r = str_to_i64(text, &v);

        if (r == -ERANGE)
                return REJECT(p, f, input, "int_parsing_size", "%s", too_large);
        if (r < 0)
                return REJECT(p, f, input, "int_parsing", "%s", no_integer);
        return take_int_value(p, f, input, v);
}

static int take_bool_text(Parse *p, const FieldDef *f, JsonSpan input, const char *text) {
        if (streq(text, "1") || streq(text, "true"))
                return store_bool(p, f, true);
        if (streq(text, "0") || streq(text, "false"))
                return store_bool(p, f, false);
        return REJECT(p, f, input, "bool_parsing",
                      "Input should be a valid boolean, unable to interpret input");
}

/* The text moves into the arena, where the input struct may point to it. */
static int take_string_text(Parse *p, const FieldDef *f, JsonSpan input, const char *text, size_t n) {
        char *copy = field_arena_alloc(p->arena, n + 1);

        if (!copy)
                return -ENOMEM;
        memcpy(copy, text, n);
        if (f->type == FIELD_TIME)
                return take_time_text(p, f, input, copy, n);
        return take_text(p, f, input, copy, n);
}

static int take_from_text(Parse *p, const FieldDef *f, JsonSpan input, const char *text) {
        size_t n = strlen(text);

        if (!utf8_is_valid(text, n))
                return REJECT(p, f, input, "string_unicode", "%s", not_unicode);
        if (f->type == FIELD_INT)
                return take_int_text(p, f, input, text);
        if (f->type == FIELD_BOOL)
                return take_bool_text(p, f, input, text);
        if (f->type == FIELD_ID)
                return take_id_text(p, f, input, text, n);
        assert(f->type == FIELD_STRING || f->type == FIELD_STRINGS || f->type == FIELD_TIME);
        return take_string_text(p, f, input, text, n);
}

int field_parse_text(const FieldDef *f, const char *text, void *out, FieldArena *arena, FieldErrors *e) {
        Parse p = { .out = out, .arena = arena, .errors = e, .place = place_name(f->place) };
        JsonSpan input = quote(arena, text);
        int r = take_from_text(&p, f, input, text);

        return r < 0 ? r : (int) p.n_errors;
}
