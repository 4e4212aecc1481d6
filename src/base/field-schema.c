/* SPDX-License-Identifier: MIT */

/* JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it) from the same rows that parse and check, so
 * that the documentation cannot promise what the parser refuses. "May be null" is a type array, or
 * anyOf where the type is a reference. Lengths: our limits are bytes and JSON Schema's are
 * characters; a byte maximum is always a valid character maximum, and a minimum is stated only
 * where both agree (1).
 *
 * Tables without a name are written in place. That is a recursion through static tables, whose
 * depth is fixed when the program is built. */

#include "base/field-internal.h"

static void write_type(JsonWriter *w, const FieldDef *f, const char *type) {
        if (!(f->flags & FIELD_NULLABLE)) {
                json_w_kv_string(w, "type", type);
                return;
        }
        json_w_key(w, "type");
        json_w_array_begin(w);
        json_w_string(w, type);
        json_w_string(w, "null");
        json_w_array_end(w);
}

static void write_enum(JsonWriter *w, const FieldDef *f) {
        const char *word, *cursor = f->values;
        size_t n;

        if (!f->values)
                return;
        json_w_key(w, "enum");
        json_w_array_begin(w);
        while (field_next_word(&cursor, &word, &n))
                json_w_string_n(w, word, n);
        if (f->flags & FIELD_NULLABLE)
                json_w_null(w);
        json_w_array_end(w);
}

static void write_string(JsonWriter *w, const FieldDef *f) {
        /* the two quotes of a token are not part of the string */
        int64_t quotes = f->type == FIELD_JSON_STRING ? 2 : 0;

        write_type(w, f, "string");
        write_enum(w, f);
        if (field_has_min(f) && quotes == 0 && f->min >= 1)
                json_w_kv_int(w, "minLength", 1);
        if (field_has_max(f))
                json_w_kv_int(w, "maxLength", MAX(f->max - quotes, (int64_t) 0));
}

static void write_limits(JsonWriter *w, const FieldDef *f, const char *min_key, const char *max_key) {
        if (field_has_min(f))
                json_w_kv_int(w, min_key, f->min);
        if (field_has_max(f))
                json_w_kv_int(w, max_key, f->max);
}

static void write_ref(JsonWriter *w, const FieldTable *t) {
        static const char prefix[] = "#/components/schemas/";
        char path[128];
        size_t n = strlen(t->name);

        assert(n < sizeof(path) - sizeof(prefix));
        memcpy(path, prefix, sizeof(prefix) - 1);
        memcpy(path + sizeof(prefix) - 1, t->name, n + 1);
        json_w_kv_string(w, "$ref", path);
}

/* NOLINTBEGIN(misc-no-recursion) */

static void write_object_members(const FieldTable *t, bool is_output, JsonWriter *w);

/* The members of a schema for an object of that table; NULL: any object. */
static void write_table(JsonWriter *w, const FieldTable *t, bool is_output) {
        if (!t)
                json_w_kv_string(w, "type", "object");
        else if (t->name)
                write_ref(w, t);
        else
                write_object_members(t, is_output, w);
}

static void write_one_ref(JsonWriter *w, const FieldDef *f, bool is_output) {
        if (!(f->flags & FIELD_NULLABLE)) {
                write_table(w, f->ref, is_output);
                return;
        }
        json_w_key(w, "anyOf");
        json_w_array_begin(w);
        json_w_object_begin(w);
        write_table(w, f->ref, is_output);
        json_w_object_end(w);
        json_w_object_begin(w);
        json_w_kv_string(w, "type", "null");
        json_w_object_end(w);
        json_w_array_end(w);
}

static void write_array(JsonWriter *w, const FieldDef *f, bool is_output) {
        write_type(w, f, "array");
        json_w_key(w, "items");
        json_w_object_begin(w);
        if (f->type == FIELD_STRINGS)
                json_w_kv_string(w, "type", "string");
        else if (f->ref)
                write_table(w, f->ref, is_output);
        json_w_object_end(w);
        write_limits(w, f, "minItems", "maxItems");
}

static void write_object(JsonWriter *w, const FieldDef *f, bool is_output) {
        if (f->ref) {
                write_one_ref(w, f, is_output);
                return;
        }
        write_type(w, f, "object");
        if (f->type == FIELD_STRING_MAP) {
                json_w_key(w, "additionalProperties");
                json_w_object_begin(w);
                json_w_kv_string(w, "type", "string");
                json_w_object_end(w);
        }
        write_limits(w, f, "minProperties", "maxProperties");
}

static void write_content(JsonWriter *w, const FieldDef *f, bool is_output) {
        json_w_key(w, "type");
        json_w_array_begin(w);
        json_w_string(w, "string");
        json_w_string(w, "array");
        if (f->flags & FIELD_NULLABLE)
                json_w_string(w, "null");
        json_w_array_end(w);
        if (f->ref) {
                json_w_key(w, "items");
                json_w_object_begin(w);
                write_table(w, f->ref, is_output);
                json_w_object_end(w);
        }
}

static void write_value_members(const FieldDef *f, bool is_output, JsonWriter *w) {
        switch (f->type) {
        case FIELD_STRING:
        case FIELD_JSON_STRING:
                write_string(w, f);
                break;
        case FIELD_JSON:
                break;
        case FIELD_CONTENT:
                write_content(w, f, is_output);
                break;
        case FIELD_OBJECT:
        case FIELD_STRING_MAP:
                write_object(w, f, is_output);
                break;
        case FIELD_STRINGS:
                if (f->place != FIELD_BODY)
                        write_string(w, f);
                else
                        write_array(w, f, is_output);
                break;
        case FIELD_ARRAY:
        case FIELD_REFS:
                write_array(w, f, is_output);
                break;
        case FIELD_INT:
                write_type(w, f, "integer");
                write_limits(w, f, "minimum", "maximum");
                break;
        case FIELD_REAL:
                write_type(w, f, "number");
                write_limits(w, f, "minimum", "maximum");
                break;
        case FIELD_BOOL:
                write_type(w, f, "boolean");
                break;
        case FIELD_ID:
                write_type(w, f, "string");
                json_w_kv_string(w, "pattern", FIELD_ID_PATTERN);
                break;
        case FIELD_TIME:
                write_type(w, f, "string");
                json_w_kv_string(w, "format", "date-time");
                break;
        case FIELD_REF:
                write_one_ref(w, f, is_output);
                break;
        }
}

void field_schema_write_value(const FieldDef *f, bool is_output, JsonWriter *w) {
        json_w_object_begin(w);
        write_value_members(f, is_output, w);
        if (f->pattern)
                json_w_kv_string(w, "pattern", f->pattern);
        if (f->fallback)
                json_w_kv_raw(w, "default", (JsonSpan){ f->fallback, strlen(f->fallback) });
        if (f->doc)
                json_w_kv_string(w, "description", f->doc);
        json_w_object_end(w);
}

/* A row of a path, query or header is no member of a body. */
static bool is_member(const FieldDef *f, bool is_output) {
        return is_output || f->place == FIELD_BODY;
}

static void write_required(const FieldTable *t, bool is_output, JsonWriter *w) {
        bool any = false;

        for (size_t i = 0; i < t->n_fields; i++) {
                const FieldDef *f = &t->fields[i];
                if (!is_member(f, is_output) || !(f->flags & FIELD_REQUIRED))
                        continue;
                if (!any) {
                        json_w_key(w, "required");
                        json_w_array_begin(w);
                }
                any = true;
                json_w_string(w, f->name);
        }
        if (any)
                json_w_array_end(w);
}

static void write_object_members(const FieldTable *t, bool is_output, JsonWriter *w) {
        json_w_kv_string(w, "type", "object");
        if (t->doc)
                json_w_kv_string(w, "description", t->doc);
        json_w_key(w, "properties");
        json_w_object_begin(w);
        for (size_t i = 0; i < t->n_fields; i++) {
                if (!is_member(&t->fields[i], is_output))
                        continue;
                json_w_key(w, t->fields[i].name);
                field_schema_write_value(&t->fields[i], is_output, w);
        }
        json_w_object_end(w);
        write_required(t, is_output, w);
        if (t->is_strict)
                json_w_kv_bool(w, "additionalProperties", false);
        if (t->example) {
                json_w_key(w, "examples");
                json_w_array_begin(w);
                json_w_raw(w, (JsonSpan){ t->example, strlen(t->example) });
                json_w_array_end(w);
        }
}

/* NOLINTEND(misc-no-recursion) */

void field_schema_write(const FieldTable *t, bool is_output, JsonWriter *w) {
        json_w_object_begin(w);
        write_object_members(t, is_output, w);
        json_w_object_end(w);
}
