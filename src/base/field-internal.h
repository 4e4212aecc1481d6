/* SPDX-License-Identifier: MIT */
#pragma once

/* What the field files share. */

#include "base/field.h"

#define FIELD_ID_PATTERN "^[0-9a-f]{16}$"

/* The limits of a row. max below min means that there is only a minimum. */
static inline bool field_has_min(const FieldDef *f) {
        return f->min != 0 || f->max != 0;
}

static inline bool field_has_max(const FieldDef *f) {
        return field_has_min(f) && f->max >= f->min;
}

/* One of the words of f->values. Start with *cursor = f->values; false at the end. */
bool field_next_word(const char **cursor, const char **ret_word, size_t *ret_n);

/* One body or text on its way into an input struct. */
typedef struct FieldParse {
        void *out; /* NULL: check only */
        FieldArena *arena;
        FieldErrors *errors;
        const char *place;
        unsigned n_errors; /* counted beyond FIELD_ERRORS_MAX too */
        bool nested;       /* inside an element of a FIELD_ARRAY: */
        const char *list;  /* its name */
        unsigned element;  /* and which, from 1 */
} FieldParse;

#define FIELD_MSG_UNICODE \
        "Input should be a valid string, unable to parse raw data as a unicode string"
#define FIELD_MSG_INT_SIZE "Unable to parse input string as an integer, exceeded maximum size"

/* Counts an error; of which element it is, if there was room for it behind the n that there were. */
static inline void field_count_error(FieldParse *p, size_t n) {
        if (p->list && p->errors->n > n) {
                p->errors->items[n].list = p->list;
                p->errors->items[n].element = p->element;
        }
        p->n_errors++;
}

/* Reports an error; the value is 0, for `return FIELD_REJECT(…)`: a wrong input is no failure of
 * ours. */
#define FIELD_REJECT(p, f, input, type, ...)                                                        \
        ({                                                                                          \
                size_t n_errors_ = (p)->errors->n;                                                  \
                field_errors_add((p)->errors, (type), (p)->place, (f)->name, (input), __VA_ARGS__); \
                field_count_error((p), n_errors_);                                                  \
                0;                                                                                  \
        })

/* Where the row's value goes, or NULL if nothing is to be stored. */
static inline void *field_target(const FieldParse *p, const FieldDef *f) {
        return p->out ? (uint8_t *) p->out + f->offset : NULL;
}

static inline int field_store_span(const FieldParse *p, const FieldDef *f, JsonSpan v) {
        JsonSpan *to = field_target(p, f);

        if (to)
                *to = v;
        return 0;
}

/* Check a JSON value and store it; a wrong one is reported. 0, or a negative errno that ends the
 * parsing. */
int field_take_string(FieldParse *p, const FieldDef *f, JsonSpan v);
int field_take_json_string(FieldParse *p, const FieldDef *f, JsonSpan v);
int field_take_time(FieldParse *p, const FieldDef *f, JsonSpan v);
int field_take_id(FieldParse *p, const FieldDef *f, JsonSpan v);
int field_take_int(FieldParse *p, const FieldDef *f, JsonSpan v);
int field_take_real(FieldParse *p, const FieldDef *f, JsonSpan v);
int field_take_bool(FieldParse *p, const FieldDef *f, JsonSpan v);

/* The same for converted values. s is valid UTF-8, NUL-terminated and lives in the arena; input is
 * what errors show. */
int field_take_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n);
int field_take_time_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n);
int field_take_id_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n);
int field_take_int_value(FieldParse *p, const FieldDef *f, JsonSpan input, int64_t v);
int field_store_bool(const FieldParse *p, const FieldDef *f, bool v);
