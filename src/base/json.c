/* SPDX-License-Identifier: MIT */

/* The validating scanner. One pass over the text, no allocation, no recursion: the nesting is a
 * counter and one bit per level (object or array), which is why depth is limited to JSON_DEPTH_MAX.
 * What the pass has accepted is never checked again; json-read.c walks the text on the strength of
 * that.
 *
 * A tree was rejected. It costs an allocation per value and ten times the text's memory, and it
 * loses what must not be lost: `1.0`, `1e3`, integers beyond 64 bits, escapes and duplicate names
 * as they were written. A token array (jsmn) was rejected too: most handlers want three members of
 * a large object.
 *
 * UTF-8 is checked inside strings only: outside of them every byte above 0x7F is a syntax error
 * anyway. Runs of plain text are skipped eight bytes at a time (json-internal.h). */

#include "base/json.h"

#include "base/json-internal.h"
#include "base/str.h"

typedef struct Scan {
        const uint8_t *p, *end;
        unsigned depth, depth_max;
        uint64_t object_bits[JSON_DEPTH_MAX / 64]; /* bit set: that level is an object */
        const char *reason;
} Scan;

typedef enum State {
        STATE_VALUE,       /* a value must follow */
        STATE_FIRST_VALUE, /* a value or ']' */
        STATE_KEY,         /* a name must follow */
        STATE_FIRST_KEY,   /* a name or '}' */
        STATE_AFTER,       /* behind a value */
        STATE_END,         /* behind the outermost value */
} State;

static int fail(Scan *s, const char *reason) {
        s->reason = reason;
        return -EINVAL;
}

static inline void skip_space(Scan *s) {
        while (s->p < s->end && json_is_space(*s->p))
                s->p++;
}

static bool top_is_object(const Scan *s) {
        unsigned i = s->depth - 1;
        return s->object_bits[i / 64] >> (i % 64) & 1;
}

static int push(Scan *s, bool is_object) {
        if (s->depth >= s->depth_max) {
                s->reason = "nested too deeply";
                return -E2BIG;
        }
        uint64_t bit = UINT64_C(1) << (s->depth % 64);
        if (is_object)
                s->object_bits[s->depth / 64] |= bit;
        else
                s->object_bits[s->depth / 64] &= ~bit;
        s->depth++;
        s->p++;
        return is_object ? STATE_FIRST_KEY : STATE_FIRST_VALUE;
}

static int pop(Scan *s) {
        s->depth--;
        s->p++;
        return s->depth > 0 ? STATE_AFTER : STATE_END;
}

/* The state behind a value that is not a container. */
static int after_scalar(const Scan *s) {
        return s->depth > 0 ? STATE_AFTER : STATE_END;
}

/* p is at a backslash. */
static int scan_escape(Scan *s) {
        const uint8_t *p = s->p + 1;

        if (p < s->end && *p != 'u') {
                if (*p == '\0' || !strchr("\"\\/bfnrt", *p))
                        return fail(s, "unknown escape in a string");
                s->p = p + 1;
                return 0;
        }
        for (size_t i = 1; i <= 4; i++)
                if (s->end - p <= (ptrdiff_t) i || hex_digit((char) p[i]) < 0)
                        return fail(s, "\\u needs four hex digits");
        s->p = p + 5;
        return 0;
}

/* p is behind the opening quote; afterwards behind the closing one. */
static int scan_string(Scan *s) {
        for (;;) {
                s->p = json_beyond_ascii_run(json_plain_run(s->p, s->end), s->end);
                if (s->p == s->end)
                        return fail(s, "unterminated string");
                uint8_t c = *s->p;
                if (c == '"') {
                        s->p++;
                        return 0;
                }
                if (c == '\\') {
                        int r = scan_escape(s);
                        if (r < 0)
                                return r;
                } else if (c >= 0x80 && utf8_sequence(s->p, (size_t) (s->end - s->p)) == 0) {
                        return fail(s, "invalid UTF-8");
                } else if (c < 0x20) {
                        return fail(s, "control character in a string");
                }
        }
}

static bool skip_digits(Scan *s) {
        const uint8_t *begin = s->p;

        while (s->p < s->end && *s->p >= '0' && *s->p <= '9')
                s->p++;
        return s->p > begin;
}

static int scan_number(Scan *s) {
        if (*s->p == '-')
                s->p++;
        if (s->p < s->end && *s->p == '0')
                s->p++;
        else if (!skip_digits(s))
                return fail(s, "expected a digit");
        if (s->p < s->end && *s->p == '.') {
                s->p++;
                if (!skip_digits(s))
                        return fail(s, "expected a digit behind '.'");
        }
        if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
                s->p++;
                if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
                        s->p++;
                if (!skip_digits(s))
                        return fail(s, "expected a digit in the exponent");
        }
        return after_scalar(s);
}

static int scan_literal(Scan *s, const char *word, size_t n) {
        if ((size_t) (s->end - s->p) < n || memcmp(s->p, word, n) != 0)
                return fail(s, "expected a value");
        s->p += n;
        return after_scalar(s);
}

static int scan_value(Scan *s, State state) {
        int r;

        if (s->p == s->end)
                return fail(s, "expected a value");
        switch (*s->p) {
        case '{':
                return push(s, true);
        case '[':
                return push(s, false);
        case ']':
                return state == STATE_FIRST_VALUE ? pop(s) : fail(s, "expected a value");
        case '"':
                s->p++;
                r = scan_string(s);
                return r < 0 ? r : after_scalar(s);
        case 't':
                return scan_literal(s, "true", 4);
        case 'f':
                return scan_literal(s, "false", 5);
        case 'n':
                return scan_literal(s, "null", 4);
        case '-':
        case '0' ... '9':
                return scan_number(s);
        default:
                return fail(s, "expected a value");
        }
}

static int scan_key(Scan *s, State state) {
        if (s->p < s->end && *s->p == '}' && state == STATE_FIRST_KEY)
                return pop(s);
        if (s->p == s->end || *s->p != '"')
                return fail(s, "expected a name in quotes");
        s->p++;
        int r = scan_string(s);
        if (r < 0)
                return r;
        skip_space(s);
        if (s->p == s->end || *s->p != ':')
                return fail(s, "expected ':'");
        s->p++;
        return STATE_VALUE;
}

static int scan_after(Scan *s) {
        bool object = top_is_object(s);

        if (s->p < s->end && *s->p == ',') {
                s->p++;
                return object ? STATE_KEY : STATE_VALUE;
        }
        if (s->p < s->end && *s->p == (object ? '}' : ']'))
                return pop(s);
        return fail(s, object ? "expected ',' or '}'" : "expected ',' or ']'");
}

static int scan_step(Scan *s, State state) {
        switch (state) {
        case STATE_VALUE:
        case STATE_FIRST_VALUE:
                return scan_value(s, state);
        case STATE_KEY:
        case STATE_FIRST_KEY:
                return scan_key(s, state);
        case STATE_AFTER:
                return scan_after(s);
        case STATE_END:
        default: /* the loop in scan_text() ends there */
                assert(false);
                return -EINVAL;
        }
}

/* One value and the white space around it; *ret is set on success. */
static int scan_text(Scan *s, JsonSpan *ret) {
        int state = STATE_VALUE;

        skip_space(s);
        const uint8_t *begin = s->p;
        while (state >= 0 && state != STATE_END) {
                skip_space(s);
                state = scan_step(s, (State) state);
        }
        if (state < 0)
                return state;

        *ret = (JsonSpan){ (const char *) begin, (size_t) (s->p - begin) };
        skip_space(s);
        return s->p == s->end ? 0 : fail(s, "more text behind the value");
}

int json_check(const char *text, size_t n, unsigned depth_max, JsonSpan *ret, JsonError *ret_error) {
        const uint8_t *begin = n > 0 ? (const uint8_t *) text : (const uint8_t *) "";
        Scan s = {
                .p = begin,
                .end = begin + n,
                .depth_max = MIN(depth_max, (unsigned) JSON_DEPTH_MAX),
        };
        JsonSpan value;
        int r = scan_text(&s, &value);

        if (r < 0) {
                if (ret_error)
                        *ret_error = (JsonError){ (size_t) (s.p - begin), s.reason };
                return r;
        }
        if (ret)
                *ret = value;
        return 0;
}
