/* SPDX-License-Identifier: MIT */

/* From a body to the input struct, row by row. One function per field type checks a value and
 * stores it; the table of these functions is indexed by FieldType. What is kept as JSON is checked
 * here, scalars in field-scalar.c.
 *
 * The body is walked once and the last member of each name noted per row; then the rows are checked
 * in their own order, so that errors come in the order of the documentation whatever the client's
 * order is. Looking every row up in the body was rejected: with megabytes of body and thirty rows
 * that is thirty scans.
 *
 * The objects of a FIELD_ARRAY with `ref` are checked against its rows one level deep and not
 * stored; the notes of one object are used again for the next, so that millions of empty objects
 * cost no memory. */

#include "base/field-internal.h"
#include "base/str.h"

#define FIELD_ROWS_MAX 32 /* whose names are looked at for the one that may have been meant */

/* ---- values kept as written ---- */

static bool check_bytes(FieldParse *p, const FieldDef *f, JsonSpan v) {
        if (!field_has_max(f) || (int64_t) v.n <= f->max)
                return true;
        (void) FIELD_REJECT(p, f, v, "value_error",
                            "Value error, the JSON text should have at most %lld bytes",
                            (long long) f->max);
        return false;
}

static bool check_count(FieldParse *p, const FieldDef *f, JsonSpan v, const char *what) {
        if (!field_has_min(f))
                return true;

        int64_t n = (int64_t) json_count(v);
        bool few = n < f->min, many = field_has_max(f) && n > f->max;
        if (few || many)
                (void) FIELD_REJECT(p, f, v, few ? "too_short" : "too_long",
                                    "%s should have at %s %lld item%s after validation, not %lld",
                                    what, few ? "least" : "most", (long long) (few ? f->min : f->max),
                                    (few ? f->min : f->max) == 1 ? "" : "s", (long long) n);
        return !few && !many;
}

static int take_json(FieldParse *p, const FieldDef *f, JsonSpan v) {
        return check_bytes(p, f, v) ? field_store_span(p, f, v) : 0;
}

static int take_content(FieldParse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_STRING) && !json_is(v, JSON_KIND_ARRAY))
                return FIELD_REJECT(p, f, v, "string_type", "Input should be a valid string or list");
        return take_json(p, f, v);
}

static int take_object(FieldParse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_OBJECT))
                return FIELD_REJECT(p, f, v, "dict_type", "Input should be a valid dictionary");
        return check_count(p, f, v, "Dictionary") ? field_store_span(p, f, v) : 0;
}

/* All values of a container are strings, or errors say which are not. */
static bool check_strings(FieldParse *p, const FieldDef *f, JsonSpan container) {
        bool is_list = json_is(container, JSON_KIND_ARRAY);
        unsigned before = p->n_errors;
        JsonIter it = json_iter(container);
        JsonSpan key, v;

        for (unsigned i = 1; p->errors->n < FIELD_ERRORS_MAX && json_next(&it, &key, &v); i++) {
                if (json_is(v, JSON_KIND_STRING))
                        continue;
                (void) FIELD_REJECT(p, f, v, "string_type", "Input should be a valid string");
                FieldError *error = &p->errors->items[p->errors->n - 1];
                if (is_list)
                        error->element = i;
                else
                        error->member = key;
        }
        return p->n_errors == before;
}

static int take_strings(FieldParse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_ARRAY))
                return FIELD_REJECT(p, f, v, "list_type", "Input should be a valid list");
        if (!check_strings(p, f, v) || !check_count(p, f, v, "List"))
                return 0;
        return field_store_span(p, f, v);
}

static int take_string_map(FieldParse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_OBJECT))
                return FIELD_REJECT(p, f, v, "dict_type", "Input should be a valid dictionary");
        if (!check_strings(p, f, v) || !check_count(p, f, v, "Dictionary"))
                return 0;
        return field_store_span(p, f, v);
}

static int parse_object(FieldParse *p, const FieldTable *t, JsonSpan object, JsonSpan *found);

static void refuse_element(FieldParse *element, JsonSpan v) {
        size_t n = element->errors->n;

        field_errors_add(element->errors, "dict_type", element->place, NULL, v,
                         "Input should be a valid dictionary");
        field_count_error(element, n);
}

/* Every element is an object that fits the rows of `ref`. */
static int check_elements(FieldParse *p, const FieldDef *f, JsonSpan array) {
        FieldParse element = *p;
        JsonIter it = json_iter(array);
        JsonSpan v;
        int r = 0;

        JsonSpan *found = field_arena_alloc(p->arena, f->ref->n_fields * sizeof(JsonSpan));
        if (!found)
                return -ENOMEM;
        element.out = NULL;
        element.nested = true;
        while (r == 0 && element.errors->n < FIELD_ERRORS_MAX && json_next(&it, NULL, &v)) {
                element.list = f->name;
                element.element++;
                if (!json_is(v, JSON_KIND_OBJECT))
                        refuse_element(&element, v);
                else if (!p->nested)
                        r = parse_object(&element, f->ref, v, found);
        }
        p->n_errors = element.n_errors;
        return r;
}

static int take_array(FieldParse *p, const FieldDef *f, JsonSpan v) {
        unsigned before = p->n_errors;

        if (!json_is(v, JSON_KIND_ARRAY))
                return FIELD_REJECT(p, f, v, "list_type", "Input should be a valid list");
        if (f->ref) {
                int r = check_elements(p, f, v);
                if (r < 0 || p->n_errors > before)
                        return r;
        }
        return check_count(p, f, v, "List") ? field_store_span(p, f, v) : 0;
}

/* ---- bodies ---- */

typedef int (*TakeFunction)(FieldParse *p, const FieldDef *f, JsonSpan v);

/* NULL: the type is for output only and is not looked at in a body. */
static const TakeFunction take_functions[] = {
        [FIELD_STRING] = field_take_string, [FIELD_JSON_STRING] = field_take_json_string,
        [FIELD_JSON] = take_json,           [FIELD_CONTENT] = take_content,
        [FIELD_OBJECT] = take_object,       [FIELD_STRINGS] = take_strings,
        [FIELD_ARRAY] = take_array,         [FIELD_STRING_MAP] = take_string_map,
        [FIELD_INT] = field_take_int,       [FIELD_REAL] = field_take_real,
        [FIELD_BOOL] = field_take_bool,     [FIELD_ID] = field_take_id,
        [FIELD_TIME] = field_take_time,     [FIELD_REFS] = NULL,
};

static int take_member(FieldParse *p, const FieldDef *f, JsonSpan v, JsonSpan object) {
        bool null = json_is(v, JSON_KIND_NULL);

        if (!v.p) {
                if (f->flags & FIELD_REQUIRED)
                        return FIELD_REJECT(p, f, object, "missing", "Field required");
                return 0;
        }
        if (null && (f->flags & FIELD_NULLABLE))
                return 0;
        return take_functions[f->type] ? take_functions[f->type](p, f, v) : 0;
}

/* A member that no row has, with the row that may have been meant. */
static int refuse_member(FieldParse *p, const FieldTable *t, JsonSpan key, JsonSpan value) {
        const char *names[FIELD_ROWS_MAX], *near;
        _cleanup_free_ char *word = NULL;
        size_t n = 0, n_errors = p->errors->n;

        if (json_string_dup(key, &word, NULL) == -ENOMEM)
                return -ENOMEM;
        for (size_t i = 0; i < t->n_fields && n < ELEMENTSOF(names); i++)
                if (t->fields[i].place == FIELD_BODY)
                        names[n++] = t->fields[i].name;
        near = word ? str_nearest(word, names, n) : NULL;
        field_errors_add(p->errors, "extra_forbidden", p->place, NULL, value,
                         near ? "Extra inputs are not permitted; did you mean '%s'?"
                              : "Extra inputs are not permitted%s",
                         near ? near : "");
        if (p->errors->n > n_errors)
                p->errors->items[n_errors].member = key;
        field_count_error(p, n_errors);
        return 0;
}

/* Notes the last member of each row's name. */
static int find_members(FieldParse *p, const FieldTable *t, JsonSpan object, JsonSpan *found) {
        JsonIter it = json_iter(object);
        JsonSpan key, value;
        int r = 0;

        for (size_t i = 0; i < t->n_fields; i++)
                found[i] = (JsonSpan){};
        while (r == 0 && json_next(&it, &key, &value)) {
                size_t i = 0;
                while (i < t->n_fields && (t->fields[i].place != FIELD_BODY ||
                                           !json_string_equals(key, t->fields[i].name)))
                        i++;
                if (i < t->n_fields)
                        found[i] = value;
                else if (t->is_strict && p->errors->n < FIELD_ERRORS_MAX)
                        r = refuse_member(p, t, key, value);
        }
        return r;
}

/* found has room for a span per row. */
static int parse_object(FieldParse *p, const FieldTable *t, JsonSpan object, JsonSpan *found) {
        int r = find_members(p, t, object, found);

        for (size_t i = 0; r >= 0 && i < t->n_fields; i++) {
                if (t->fields[i].place != FIELD_BODY)
                        continue;
                r = take_member(p, &t->fields[i], found[i], object);
        }
        return r;
}

int field_parse_body(const FieldTable *t, JsonSpan body, void *out, FieldArena *arena, FieldErrors *e) {
        FieldParse p = { .out = out, .arena = arena, .errors = e, .place = "body" };

        if (json_is(body, JSON_KIND_NULL))
                body = (JsonSpan){};
        if (body.p && !json_is(body, JSON_KIND_OBJECT)) {
                field_errors_add(
                        e, "model_attributes_type", "body", NULL, body,
                        "Input should be a valid dictionary or object to extract fields from");
                return 1;
        }
        JsonSpan *found = field_arena_alloc(arena, t->n_fields * sizeof(JsonSpan));
        if (!found)
                return -ENOMEM;
        int r = parse_object(&p, t, body, found);
        return r < 0 ? r : (int) p.n_errors;
}
