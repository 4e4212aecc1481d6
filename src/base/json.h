/* SPDX-License-Identifier: MIT */
#pragma once

/* JSON without a tree: a validating scanner that yields byte spans, and a writer that appends text.
 *
 * Source: RFC 8259. Stricter than some parsers: the whole text must be valid UTF-8, one value with
 * nothing but white space behind it, no NaN or Infinity, a depth limit. Values that clients store
 * come back exactly as they were written (`1.0` stays `1.0`, escapes stay escapes), so a value is
 * kept as the span of its checked text and never as a parsed copy. Spans point into the caller's
 * text and live as long as it does. Recursion-free. Duplicate names in an object: the last one
 * counts. */

#include "base/buf.h"
#include "base/clock.h"

#define JSON_DEPTH_MAX 128

typedef struct JsonSpan {
        const char *p; /* NULL: absent */
        size_t n;
} JsonSpan;

#define JSON_NULL ((JsonSpan){ "null", 4 })
/* A span over a string literal that holds JSON. */
#define JSON_LITERAL(s) ((JsonSpan){ (s), sizeof(s) - 1 })

typedef enum JsonKind {
        JSON_KIND_NULL,
        JSON_KIND_BOOL,
        JSON_KIND_NUMBER,
        JSON_KIND_STRING,
        JSON_KIND_ARRAY,
        JSON_KIND_OBJECT,
        _JSON_KIND_MAX,
        _JSON_KIND_INVALID = -EINVAL,
} JsonKind;

typedef struct JsonError {
        size_t offset;      /* byte position of the first offending byte */
        const char *reason; /* static text for people, e.g. "expected ',' or '}'" */
} JsonError;

/* Checks one whole text. 0 and the value's span without surrounding white space, or -EINVAL (syntax
 * or UTF-8) or -E2BIG (depth) with *ret_error filled. ret_error may be NULL. All functions below
 * expect a span that passed this check (or a part of one). */
int json_check(const char *text, size_t n, unsigned depth_max, JsonSpan *ret, JsonError *ret_error);

JsonKind json_kind(JsonSpan v);
bool json_is(JsonSpan v, JsonKind kind);

/* Walks an object or an array, one member a call, O(bytes) in all.
 *   JsonIter it = json_iter(span);
 *   while (json_next(&it, &key, &value)) …
 * key is the raw string token with its quotes (absent for arrays). */
typedef struct JsonIter {
        const char *p, *end;
        bool is_object;
} JsonIter;
JsonIter json_iter(JsonSpan container);
bool json_next(JsonIter *it, JsonSpan *ret_key, JsonSpan *ret_value);

/* Member of an object by decoded name; absent span if it is not there. O(object). */
JsonSpan json_get(JsonSpan object, const char *name);
size_t json_count(JsonSpan container);

/* True if the string token decodes to exactly these bytes. */
bool json_string_equals(JsonSpan string, const char *s);

/* Appends the decoded bytes of a string token. -EILSEQ for a lone surrogate escape (has no UTF-8);
 * NUL escapes are decoded to a NUL byte. */
int json_string_decode(JsonSpan string, Buf *out);
/* The same into fresh NUL-terminated memory; -EINVAL if a NUL byte is inside and ret_len is NULL.
 */
int json_string_dup(JsonSpan string, char **ret, size_t *ret_len);

/* Integer in int64 range written without fraction or exponent: 0; other numbers -ERANGE; else
 * -EINVAL. */
int json_int(JsonSpan v, int64_t *ret);
int json_real(JsonSpan v, double *ret);
int json_bool(JsonSpan v, bool *ret);

/* ---- writer ---- */

/* Appends JSON text to a Buf and sets the commas. Errors stick to the Buf. Nesting and keys are the
 * caller's duty (asserted: no value without key inside an object is not checked). */
typedef struct JsonWriter {
        Buf *buf;
        bool comma; /* the next value or key needs one before it */
} JsonWriter;

#define JSON_WRITER(b) ((JsonWriter){ .buf = (b) })

void json_w_object_begin(JsonWriter *w);
void json_w_object_end(JsonWriter *w);
void json_w_array_begin(JsonWriter *w);
void json_w_array_end(JsonWriter *w);
/* name must need no escaping (our own field names). */
void json_w_key(JsonWriter *w, const char *name);
/* Any bytes; escapes what must be; invalid UTF-8 becomes U+FFFD. NULL writes null. */
void json_w_string(JsonWriter *w, const char *s);
void json_w_string_n(JsonWriter *w, const char *s, size_t n);
void json_w_int(JsonWriter *w, int64_t v);
void json_w_uint(JsonWriter *w, uint64_t v);
void json_w_real(JsonWriter *w, double v);
void json_w_bool(JsonWriter *w, bool v);
void json_w_null(JsonWriter *w);
/* Checked JSON as it is; an absent span writes null. */
void json_w_raw(JsonWriter *w, JsonSpan v);
/* 16 lower-case hex digits as a string. */
void json_w_id(JsonWriter *w, uint64_t id);
/* RFC 3339 string; 0 writes null. */
void json_w_time(JsonWriter *w, usec_t t);

/* key + value in one call. */
void json_w_kv_string(JsonWriter *w, const char *name, const char *s);
void json_w_kv_int(JsonWriter *w, const char *name, int64_t v);
void json_w_kv_uint(JsonWriter *w, const char *name, uint64_t v);
void json_w_kv_bool(JsonWriter *w, const char *name, bool v);
void json_w_kv_real(JsonWriter *w, const char *name, double v);
void json_w_kv_raw(JsonWriter *w, const char *name, JsonSpan v);
void json_w_kv_id(JsonWriter *w, const char *name, uint64_t id);
/* id, or null for 0. */
void json_w_kv_id_or_null(JsonWriter *w, const char *name, uint64_t id);
void json_w_kv_time(JsonWriter *w, const char *name, usec_t t);
