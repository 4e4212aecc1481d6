/* SPDX-License-Identifier: MIT */

/* Strings, numbers and booleans of a request: is the value what its row says, and if so, store it.
 * For each type there is a function for a JSON value; where a text from a path or a query can hold
 * the type too, both end in one function for the converted value, so that limits and words of
 * errors are the same in all places.
 *
 * Types are strict (a number is no string, "5" is no integer) with one exception that JSON
 * forces: 5.0 is the integer 5, because some languages have only one kind of number. */

#include <math.h>
#include <stdio.h>

#include "base/field-internal.h"
#include "base/id.h"
#include "base/str.h"

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
static bool check_length(FieldParse *p, const FieldDef *f, JsonSpan input, size_t n) {
        if (field_has_min(f) && (int64_t) n < f->min) {
                (void) FIELD_REJECT(p, f, input, "string_too_short",
                                    "String should have at least %lld %s", (long long) f->min,
                                    f->min == 1 ? "character" : "bytes");
                return false;
        }
        if (field_has_max(f) && (int64_t) n > f->max) {
                (void) FIELD_REJECT(p, f, input, "string_too_long",
                                    "String should have at most %lld bytes", (long long) f->max);
                return false;
        }
        return true;
}

/* Checks decoded, valid UTF-8 text and stores it. */
int field_take_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n) {
        if (memchr(s, '\0', n))
                return FIELD_REJECT(p, f, input, "value_error",
                                    "Value error, NUL bytes are not allowed");
        if (!(f->flags & FIELD_ANY_TEXT) && str_has_control(s, n))
                return FIELD_REJECT(p, f, input, "value_error",
                                    "Value error, control characters are not allowed");
        if (!check_length(p, f, input, n))
                return 0;
        if (f->values && !is_allowed_word(f->values, s, n)) {
                char words[128];
                list_words(f->values, words, sizeof(words));
                return FIELD_REJECT(p, f, input, "literal_error", "Input should be %s", words);
        }
        FieldStr *to = field_target(p, f);
        if (to)
                *to = (FieldStr){ s, n };
        return 0;
}

/* Decodes a string token into the arena. 1 if an error was reported. */
static int decode(FieldParse *p, const FieldDef *f, JsonSpan v, const char **ret, size_t *ret_n) {
        Buf b = BUF_INIT(v.n);

        /* a decoded string is never longer than its token */
        b.data = field_arena_alloc(p->arena, v.n + 1);
        b.cap = v.n + 1;
        if (!b.data)
                return -ENOMEM;
        int r = json_string_decode(v, &b);
        if (r == -EILSEQ) {
                (void) FIELD_REJECT(p, f, v, "string_unicode", "%s", FIELD_MSG_UNICODE);
                return 1;
        }
        if (r < 0)
                return r;
        *ret = b.data;
        *ret_n = b.len;
        return 0;
}

int field_take_string(FieldParse *p, const FieldDef *f, JsonSpan v) {
        const char *s;
        size_t n;

        if (!json_is(v, JSON_KIND_STRING))
                return FIELD_REJECT(p, f, v, "string_type", "Input should be a valid string");
        int r = decode(p, f, v, &s, &n);
        if (r != 0)
                return r < 0 ? r : 0;
        return field_take_text(p, f, v, s, n);
}

int field_take_json_string(FieldParse *p, const FieldDef *f, JsonSpan v) {
        if (!json_is(v, JSON_KIND_STRING))
                return FIELD_REJECT(p, f, v, "string_type", "Input should be a valid string");
        return check_length(p, f, v, v.n) ? field_store_span(p, f, v) : 0;
}

int field_take_time_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n) {
        usec_t t;

        if (strlen(s) != n || clock_parse_rfc3339(s, &t) < 0)
                return FIELD_REJECT(p, f, input, "datetime_parsing",
                                    "Input should be a valid datetime, expected RFC 3339%s",
                                    f->place == FIELD_QUERY && strchr(s, ' ')
                                            ? "; a + in a URL is written %2B"
                                            : "");
        FieldStr *to = field_target(p, f);
        if (to)
                *to = (FieldStr){ s, n };
        return 0;
}

int field_take_time(FieldParse *p, const FieldDef *f, JsonSpan v) {
        const char *s;
        size_t n;

        if (!json_is(v, JSON_KIND_STRING))
                return FIELD_REJECT(p, f, v, "datetime_type", "Input should be a valid datetime");
        int r = decode(p, f, v, &s, &n);
        if (r != 0)
                return r < 0 ? r : 0;
        return field_take_time_text(p, f, v, s, n);
}

int field_take_id_text(FieldParse *p, const FieldDef *f, JsonSpan input, const char *s, size_t n) {
        uint64_t id;

        if (strlen(s) != n || id_parse(s, &id) < 0)
                return FIELD_REJECT(p, f, input, "string_pattern_mismatch",
                                    "String should match pattern '" FIELD_ID_PATTERN "'");
        FieldId *to = field_target(p, f);
        if (to)
                *to = (FieldId){ true, id };
        return 0;
}

int field_take_id(FieldParse *p, const FieldDef *f, JsonSpan v) {
        const char *s;
        size_t n;

        if (!json_is(v, JSON_KIND_STRING))
                return FIELD_REJECT(p, f, v, "string_type", "Input should be a valid string");
        int r = decode(p, f, v, &s, &n);
        if (r != 0)
                return r < 0 ? r : 0;
        return field_take_id_text(p, f, v, s, n);
}

/* ---- numbers and booleans ---- */

int field_take_int_value(FieldParse *p, const FieldDef *f, JsonSpan input, int64_t v) {
        if (field_has_min(f) && v < f->min)
                return FIELD_REJECT(p, f, input, "greater_than_equal",
                                    "Input should be greater than or equal to %lld",
                                    (long long) f->min);
        if (field_has_max(f) && v > f->max)
                return FIELD_REJECT(p, f, input, "less_than_equal",
                                    "Input should be less than or equal to %lld", (long long) f->max);
        FieldInt *to = field_target(p, f);
        if (to)
                *to = (FieldInt){ true, v };
        return 0;
}

/* Digits with an optional minus: an integer whose only fault can be its size. */
static bool is_plain_integer(JsonSpan v) {
        return !memchr(v.p, '.', v.n) && !memchr(v.p, 'e', v.n) && !memchr(v.p, 'E', v.n);
}

int field_take_int(FieldParse *p, const FieldDef *f, JsonSpan v) {
        const double exact = 9007199254740992.0; /* 2^53 */
        int64_t i;
        double d;

        if (!json_is(v, JSON_KIND_NUMBER))
                return FIELD_REJECT(p, f, v, "int_type", "Input should be a valid integer");
        if (json_int(v, &i) == 0)
                return field_take_int_value(p, f, v, i);
        if (is_plain_integer(v))
                return FIELD_REJECT(p, f, v, "int_parsing_size", "%s", FIELD_MSG_INT_SIZE);
        int r = json_real(v, &d);
        if (r == -ENOMEM)
                return r;
        if (r == 0 && d >= -exact && d <= exact && !islessgreater(trunc(d), d))
                return field_take_int_value(p, f, v, (int64_t) d);
        return FIELD_REJECT(p, f, v, "int_from_float",
                            "Input should be a valid integer, got a number with a fractional part");
}

int field_take_real(FieldParse *p, const FieldDef *f, JsonSpan v) {
        double d;

        if (!json_is(v, JSON_KIND_NUMBER))
                return FIELD_REJECT(p, f, v, "float_type", "Input should be a valid number");
        int r = json_real(v, &d);
        if (r == -ENOMEM)
                return r;
        if (r < 0 || !isfinite(d))
                return FIELD_REJECT(p, f, v, "finite_number", "Input should be a finite number");
        if (field_has_min(f) && d < (double) f->min)
                return FIELD_REJECT(p, f, v, "greater_than_equal",
                                    "Input should be greater than or equal to %lld",
                                    (long long) f->min);
        if (field_has_max(f) && d > (double) f->max)
                return FIELD_REJECT(p, f, v, "less_than_equal",
                                    "Input should be less than or equal to %lld", (long long) f->max);
        FieldReal *to = field_target(p, f);
        if (to)
                *to = (FieldReal){ true, d };
        return 0;
}

int field_store_bool(const FieldParse *p, const FieldDef *f, bool v) {
        FieldBool *to = field_target(p, f);

        if (to)
                *to = (FieldBool){ true, v };
        return 0;
}

int field_take_bool(FieldParse *p, const FieldDef *f, JsonSpan v) {
        bool b;

        if (json_bool(v, &b) < 0)
                return FIELD_REJECT(p, f, v, "bool_type", "Input should be a valid boolean");
        return field_store_bool(p, f, b);
}
