/* SPDX-License-Identifier: MIT */

/* The writer appends text to a Buf and keeps one bit, whether a comma is due. It does not know
 * where it is: the callers are generated from tables or short, and a stack in the writer would only
 * repeat what their braces say. Strings are copied in runs: only quotes, backslashes, control
 * characters and broken UTF-8 interrupt a run, so that a reply made of stored text costs about a
 * memcpy.
 *
 * Non-ASCII text is written as it is and not as \u escapes: half the size, and readable in a
 * terminal. */

#include <math.h>
#include <stdio.h>

#include "base/id.h"
#include "base/json-internal.h"
#include "base/json.h"

static void begin_value(JsonWriter *w) {
        if (w->comma)
                (void) buf_putc(w->buf, ',');
        w->comma = true;
}

/* Appends one value whose text is ready. */
static void put_value(JsonWriter *w, const char *text, size_t n) {
        begin_value(w);
        (void) buf_append(w->buf, text, n);
}

void json_w_object_begin(JsonWriter *w) {
        put_value(w, "{", 1);
        w->comma = false;
}

void json_w_object_end(JsonWriter *w) {
        (void) buf_putc(w->buf, '}');
        w->comma = true;
}

void json_w_array_begin(JsonWriter *w) {
        put_value(w, "[", 1);
        w->comma = false;
}

void json_w_array_end(JsonWriter *w) {
        (void) buf_putc(w->buf, ']');
        w->comma = true;
}

void json_w_key(JsonWriter *w, const char *name) {
        size_t n = strlen(name);

        begin_value(w);
        w->comma = false;
        char *p = buf_reserve(w->buf, n + 3);
        if (!p)
                return;
        p[0] = '"';
        memcpy(p + 1, name, n); /* NOLINT(bugprone-not-null-terminated-result): a Buf counts */
        p[n + 1] = '"';
        p[n + 2] = ':';
        w->buf->len += n + 3;
}

/* Appends what replaces the byte that ended a clean run. */
static void put_replacement(Buf *b, uint8_t c) {
        static const char hex[] = "0123456789abcdef";
        static const char letters[128] = {
                ['"'] = '"',  ['\\'] = '\\', ['\n'] = 'n', ['\t'] = 't',
                ['\r'] = 'r', ['\b'] = 'b',  ['\f'] = 'f',
        };

        if (c >= 0x80)
                (void) buf_append(b, "\xef\xbf\xbd", 3); /* U+FFFD */
        else if (letters[c] != 0)
                (void) buf_append(b, (const char[]){ '\\', letters[c] }, 2);
        else
                (void) buf_append(b, (const char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] },
                                  6);
}

/* The end of the longest piece from p on that needs no change. */
static const uint8_t *clean_run(const uint8_t *p, const uint8_t *end) {
        for (;;) {
                const uint8_t *ascii_end = json_plain_run(p, end);
                p = json_beyond_ascii_run(ascii_end, end);
                if (p == ascii_end)
                        return p;
        }
}

void json_w_string_n(JsonWriter *w, const char *s, size_t n) {
        if (!s) {
                json_w_null(w);
                return;
        }
        put_value(w, "\"", 1);
        /* it will be no shorter; saves growing step by step */
        if (n >= SIZE_MAX || !buf_reserve(w->buf, n + 1))
                return;

        const uint8_t *p = (const uint8_t *) s, *end = p + n;
        while (p < end) {
                const uint8_t *stop = clean_run(p, end);
                (void) buf_append(w->buf, p, (size_t) (stop - p));
                if (stop < end)
                        put_replacement(w->buf, *stop++);
                p = stop;
        }
        (void) buf_putc(w->buf, '"');
}

void json_w_string(JsonWriter *w, const char *s) {
        json_w_string_n(w, s, s ? strlen(s) : 0);
}

void json_w_uint(JsonWriter *w, uint64_t v) {
        char digits[20];
        size_t at = sizeof(digits);

        do {
                digits[--at] = (char) ('0' + v % 10);
                v /= 10;
        } while (v > 0);
        put_value(w, digits + at, sizeof(digits) - at);
}

void json_w_int(JsonWriter *w, int64_t v) {
        if (v >= 0) {
                json_w_uint(w, (uint64_t) v);
                return;
        }
        put_value(w, "-", 1);
        w->comma = false;
        json_w_uint(w, 0 - (uint64_t) v);
}

static bool same_bits(double a, double b) {
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): -0.0 is not 0.0 */
        return memcmp(&a, &b, sizeof(a)) == 0;
}

/* Most numbers of ours are times in seconds: at most fifteen digits, six of them behind the point,
 * which integer arithmetic finds in a tenth of the time. Both operands of the division are exact,
 * so its result is the number that the digits read back as. */
static bool put_micros(JsonWriter *w, double v) {
        char text[24], *at = text + sizeof(text);
        double micros = nearbyint(v * 1e6);

        if (!(v >= 1e-4 && v < 1e9) || !same_bits(micros / 1e6, v))
                return false;

        uint64_t n = (uint64_t) micros;
        unsigned places = 6;
        for (; places > 1 && n % 10 == 0; places--)
                n /= 10;
        for (unsigned i = 0; i < places; i++, n /= 10)
                *--at = (char) ('0' + n % 10);
        *--at = '.';
        do {
                *--at = (char) ('0' + n % 10);
                n /= 10;
        } while (n > 0);
        put_value(w, at, (size_t) (text + sizeof(text) - at));
        return true;
}

void json_w_real(JsonWriter *w, double v) {
        char text[40];
        int n = 0;

        if (!isfinite(v)) {
                json_w_null(w);
                return;
        }
        if (put_micros(w, v))
                return;
        /* the fewest digits that read back as the same number */
        for (int precision = 15; precision <= 17; precision++) {
                double back = 0;
                n = snprintf(text, sizeof(text), "%.*g", precision, v);
                for (char *comma = strchr(text, ','); comma; comma = NULL)
                        *comma = '.';
                if (json_real((JsonSpan){ text, (size_t) n }, &back) == 0 && same_bits(back, v))
                        break;
        }
        if (!strpbrk(text, ".e"))
                n += snprintf(text + n, sizeof(text) - (size_t) n, ".0");
        put_value(w, text, (size_t) n);
}

void json_w_bool(JsonWriter *w, bool v) {
        put_value(w, v ? "true" : "false", v ? 4 : 5);
}

void json_w_null(JsonWriter *w) {
        put_value(w, "null", 4);
}

void json_w_raw(JsonWriter *w, JsonSpan v) {
        if (v.p)
                put_value(w, v.p, v.n);
        else
                json_w_null(w);
}

void json_w_id(JsonWriter *w, uint64_t id) {
        char text[ID_STRING_SIZE + 2] = "\"";

        (void) id_format(id, text + 1);
        text[ID_STRING_SIZE] = '"';
        put_value(w, text, ID_STRING_SIZE + 1);
}

void json_w_time(JsonWriter *w, usec_t t) {
        char text[CLOCK_RFC3339_SIZE + 2] = "\"";

        if (t == 0) {
                json_w_null(w);
                return;
        }
        (void) clock_format_rfc3339(t, text + 1);
        text[CLOCK_RFC3339_SIZE] = '"';
        put_value(w, text, CLOCK_RFC3339_SIZE + 1);
}

void json_w_kv_string(JsonWriter *w, const char *name, const char *s) {
        json_w_key(w, name);
        json_w_string(w, s);
}

void json_w_kv_int(JsonWriter *w, const char *name, int64_t v) {
        json_w_key(w, name);
        json_w_int(w, v);
}

void json_w_kv_uint(JsonWriter *w, const char *name, uint64_t v) {
        json_w_key(w, name);
        json_w_uint(w, v);
}

void json_w_kv_bool(JsonWriter *w, const char *name, bool v) {
        json_w_key(w, name);
        json_w_bool(w, v);
}

void json_w_kv_real(JsonWriter *w, const char *name, double v) {
        json_w_key(w, name);
        json_w_real(w, v);
}

void json_w_kv_raw(JsonWriter *w, const char *name, JsonSpan v) {
        json_w_key(w, name);
        json_w_raw(w, v);
}

void json_w_kv_id(JsonWriter *w, const char *name, uint64_t id) {
        json_w_key(w, name);
        json_w_id(w, id);
}

void json_w_kv_id_or_null(JsonWriter *w, const char *name, uint64_t id) {
        json_w_key(w, name);
        if (id != 0)
                json_w_id(w, id);
        else
                json_w_null(w);
}

void json_w_kv_time(JsonWriter *w, const char *name, usec_t t) {
        json_w_key(w, name);
        json_w_time(w, t);
}
