/* SPDX-License-Identifier: MIT */
#pragma once

/* Field tables: one row per field of a request or a reply. From the same rows come parsing into a
 * struct, validation errors (pydantic v2's shapes, which clients of the original parse), JSON
 * Schema and help text.
 *
 * An input struct holds, at each row's offset, the C type that the comment of its FieldType names.
 * Absent optional fields are left zeroed. Strings and spans point into the request body or into the
 * arena given to the parser, and live as long as those. */

#include "base/json.h"

typedef enum FieldType {
        FIELD_STRING,      /* FieldStr: decoded, NUL-terminated, no NUL bytes, no control characters
                            * unless FIELD_ANY_TEXT; min/max in bytes */
        FIELD_JSON_STRING, /* JsonSpan: a string token kept as written; min/max in bytes of the
                              token */
        FIELD_JSON,        /* JsonSpan: any value kept as written */
        FIELD_CONTENT,     /* JsonSpan: string or array, kept as written */
        FIELD_OBJECT,      /* JsonSpan: an object kept as written */
        FIELD_STRINGS,     /* JsonSpan: an array of strings kept as written; in a query: FieldStr */
        FIELD_ARRAY,       /* JsonSpan: an array of `ref` objects or of anything, kept as written;
                            * the objects are checked against the rows of `ref`, one level deep */
        FIELD_STRING_MAP,  /* JsonSpan: an object whose values are strings */
        FIELD_INT,         /* FieldInt */
        FIELD_REAL,        /* FieldReal: finite; min/max as for INT; not in a query */
        FIELD_BOOL,        /* FieldBool */
        FIELD_ID,          /* FieldId: 16 hex digits; min/max unused */
        FIELD_TIME,        /* FieldStr on input; RFC 3339 string on output */
        FIELD_REF,         /* output only: an object described by `ref` */
        FIELD_REFS,        /* output only: an array of objects described by `ref` */
} FieldType;

typedef enum FieldPlace {
        FIELD_BODY,
        FIELD_PATH,
        FIELD_QUERY,
        FIELD_HEADER,
} FieldPlace;

enum {
        FIELD_REQUIRED = 1 << 0,
        FIELD_NULLABLE = 1 << 1, /* null is accepted and means absent; on output: may be null */
        FIELD_ANY_TEXT = 1 << 2, /* control characters other than NUL are fine */
};

typedef struct FieldStr {
        const char *s; /* NULL: absent */
        size_t n;
} FieldStr;
typedef struct FieldInt {
        bool set;
        int64_t v;
} FieldInt;
typedef struct FieldReal {
        bool set;
        double v;
} FieldReal;
typedef struct FieldBool {
        bool set;
        bool v;
} FieldBool;
typedef struct FieldId {
        bool set;
        uint64_t v;
} FieldId;

typedef struct FieldTable FieldTable;

typedef struct FieldDef {
        const char *name;
        FieldType type;
        FieldPlace place;
        unsigned flags;
        int64_t min, max;      /* both 0: no limit; max < min: only a minimum. Items for STRINGS,
                                * ARRAY, STRING_MAP, OBJECT; max bytes of text for JSON, CONTENT */
        size_t offset;         /* into the input struct; unused on output */
        const FieldTable *ref; /* FIELD_REF, FIELD_REFS, FIELD_ARRAY; of the schema only:
                                * FIELD_OBJECT, FIELD_CONTENT (of the array's elements) */
        const char *values;    /* FIELD_STRING: the allowed words, separated by '|', or NULL */
        const char *pattern; /* FIELD_STRING: of the schema only; a check of the route enforces it */
        const char *fallback; /* what absence means, as JSON text, for the schema only; or NULL */
        const char *doc;      /* one phrase for people */
} FieldDef;

struct FieldTable {
        const char *name; /* as in OpenAPI components, e.g. "SessionState"; NULL: anonymous */
        const FieldDef *fields;
        size_t n_fields;
        const char *doc;
        const char *example; /* JSON text of one that is valid, or NULL */
        bool is_strict;      /* a body's members without a row are faults; else they are ignored */
};

/* One validation error; loc is [place, field], a field a.b being two parts of it. Behind it stands the
 * index of a wrong element of a list, or the name of a wrong member of an object; in front of a field
 * of an object in a list its list and index: ["body", "tool_calls", 0, "name"]. Syntax: ["body", offset]. */
typedef struct FieldError {
        const char *type; /* pydantic's: missing, string_type, int_parsing, list_type, json_invalid,
                             … */
        const char *place;
        const char *field; /* NULL: the whole place. For json_invalid: the offset in decimal digits,
                            * sent as a number. Not copied */
        const char *list;  /* NULL, or whose element's field it is; not copied */
        unsigned element; /* which of the list's, or else of the field's, elements, from 1; 0: none */
        JsonSpan member; /* the name of a member of the field (or place), a string token; may be absent */
        char msg[160];
        JsonSpan input; /* may be absent; then null is sent */
} FieldError;

#define FIELD_ERRORS_MAX 16

typedef struct FieldErrors {
        FieldError items[FIELD_ERRORS_MAX];
        size_t n;
} FieldErrors;

/* Memory for decoded strings of one request: freed all at once. */
typedef struct FieldArena FieldArena;
FieldArena *field_arena_new(void);
FieldArena *field_arena_free(FieldArena *a);
DEFINE_CLEANUP(FieldArena *, field_arena_free);
/* Zeroed, aligned memory, or NULL. */
void *field_arena_alloc(FieldArena *a, size_t n);

/* Adds an error; silently full after FIELD_ERRORS_MAX. */
void field_errors_add(FieldErrors *e,
                      const char *type,
                      const char *place,
                      const char *field,
                      JsonSpan input,
                      const char *format,
                      ...) _printf_(6, 7);

/* Fills `out` from a body (checked JSON; absent span or null = no body: every required body field
 * is then "missing"). Unknown members are ignored unless the table is strict. 0, or the number of
 * errors added (> 0), or -ENOMEM. */
int field_parse_body(const FieldTable *t, JsonSpan body, void *out, FieldArena *arena, FieldErrors *e);

/* One path, query or header value, already percent-decoded, for the row: STRING, STRINGS, TIME,
 * INT, BOOL or ID (others are asserted against). Text is copied to the arena. Returns as
 * field_parse_body(). */
int field_parse_text(const FieldDef *f, const char *text, void *out, FieldArena *arena, FieldErrors *e);

/* {"detail":[{"type","loc","msg","input"}…],"code":"validation_failed","hint":…}; an input above
 * 1 KiB is sent as null. */
void field_errors_write(const FieldErrors *e, JsonWriter *w);

/* The JSON Schema of a table's body or output fields. Names of referenced tables become
 * {"$ref":"#/components/schemas/NAME"}. is_output: required means always present. */
void field_schema_write(const FieldTable *t, bool is_output, JsonWriter *w);
/* The schema of one field's value. */
void field_schema_write_value(const FieldDef *f, bool is_output, JsonWriter *w);
