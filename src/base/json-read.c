/* SPDX-License-Identifier: MIT */

/* Reading checked text. Every function here may rely on what json_check() has accepted: brackets
 * match, strings end, escapes are complete. That is what makes a step over a nested value a search
 * for its last bracket, and it is why these functions must never see unchecked text.
 *
 * Strings are decoded in runs between escapes. A surrogate pair becomes one code point; a lone
 * surrogate has no UTF-8 and is an error of its own (-EILSEQ), because stored values may hold it
 * while our own strings may not. Numbers are converted only when somebody asks for one. */

#include <locale.h>
#include <math.h>

#include "base/json-internal.h"
#include "base/json.h"
#include "base/str.h"

JsonKind json_kind(JsonSpan v) {
        if (!v.p || v.n == 0)
                return _JSON_KIND_INVALID;
        switch (v.p[0]) {
        case 'n':
                return JSON_KIND_NULL;
        case 't':
        case 'f':
                return JSON_KIND_BOOL;
        case '"':
                return JSON_KIND_STRING;
        case '[':
                return JSON_KIND_ARRAY;
        case '{':
                return JSON_KIND_OBJECT;
        default:
                return JSON_KIND_NUMBER;
        }
}

bool json_is(JsonSpan v, JsonKind kind) {
        return json_kind(v) == kind;
}

/* ---- walking ---- */

/* p is at an opening quote; the byte behind the closing one. */
static const char *skip_string(const char *p, const char *end) {
        const uint8_t *i = (const uint8_t *) p + 1, *stop = (const uint8_t *) end;

        for (;;) {
                i = json_checked_run(i, stop);
                if (i >= stop)
                        return end;
                if (*i == '"')
                        return (const char *) i + 1;
                i += 2; /* an escape; its second byte may be a quote */
        }
}

static const char *skip_container(const char *p, const char *end) {
        size_t depth = 0;

        while (p < end) {
                switch (*p) {
                case '"':
                        p = skip_string(p, end);
                        continue;
                case '[':
                case '{':
                        depth++;
                        break;
                case ']':
                case '}':
                        if (--depth == 0)
                                return p + 1;
                        break;
                default:
                        break;
                }
                p++;
        }
        return end;
}

static const char *skip_scalar(const char *p, const char *end) {
        while (p < end && !json_is_space((uint8_t) *p) && *p != ',' && *p != ']' && *p != '}')
                p++;
        return p;
}

static const char *skip_value(const char *p, const char *end) {
        if (*p == '"')
                return skip_string(p, end);
        if (*p == '[' || *p == '{')
                return skip_container(p, end);
        return skip_scalar(p, end);
}

JsonIter json_iter(JsonSpan container) {
        JsonKind kind = json_kind(container);

        if (kind != JSON_KIND_ARRAY && kind != JSON_KIND_OBJECT)
                return (JsonIter){};
        return (JsonIter){
                .p = container.p + 1,
                .end = container.p + container.n - 1,
                .is_object = kind == JSON_KIND_OBJECT,
        };
}

/* Moves over white space and over the one separator that may stand here. */
static const char *skip_between(const char *p, const char *end, char separator) {
        while (p < end && (json_is_space((uint8_t) *p) || *p == separator))
                p++;
        return p;
}

bool json_next(JsonIter *it, JsonSpan *ret_key, JsonSpan *ret_value) {
        const char *p = skip_between(it->p, it->end, ',');
        JsonSpan key = {};

        if (p >= it->end) {
                it->p = p;
                return false;
        }
        if (it->is_object) {
                const char *end = skip_string(p, it->end);
                key = (JsonSpan){ p, (size_t) (end - p) };
                p = skip_between(end, it->end, ':');
        }
        it->p = skip_value(p, it->end);
        if (ret_key)
                *ret_key = key;
        if (ret_value)
                *ret_value = (JsonSpan){ p, (size_t) (it->p - p) };
        return true;
}

JsonSpan json_get(JsonSpan object, const char *name) {
        JsonSpan key, value, found = {};

        if (!json_is(object, JSON_KIND_OBJECT))
                return found;
        JsonIter it = json_iter(object);
        while (json_next(&it, &key, &value))
                if (json_string_equals(key, name))
                        found = value;
        return found;
}

size_t json_count(JsonSpan container) {
        JsonIter it = json_iter(container);
        size_t n = 0;

        while (json_next(&it, NULL, NULL))
                n++;
        return n;
}

/* ---- strings ---- */

static uint32_t hex4(const char *p) {
        uint32_t n = 0;

        for (unsigned i = 0; i < 4; i++)
                n = n << 4 | (uint32_t) hex_digit(p[i]);
        return n;
}

static size_t utf8_encode(uint32_t c, char ret[static 4]) {
        if (c < 0x80) {
                ret[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                ret[0] = (char) (0xC0 | c >> 6);
                ret[1] = (char) (0x80 | (c & 0x3F));
                return 2;
        }
        if (c < 0x10000) {
                ret[0] = (char) (0xE0 | c >> 12);
                ret[1] = (char) (0x80 | (c >> 6 & 0x3F));
                ret[2] = (char) (0x80 | (c & 0x3F));
                return 3;
        }
        ret[0] = (char) (0xF0 | c >> 18);
        ret[1] = (char) (0x80 | (c >> 12 & 0x3F));
        ret[2] = (char) (0x80 | (c >> 6 & 0x3F));
        ret[3] = (char) (0x80 | (c & 0x3F));
        return 4;
}

/* p is at the `u` of an escape; moves it behind the escape or the pair of escapes. */
static int take_unicode(const char **p, const char *end, uint32_t *ret) {
        uint32_t c = hex4(*p + 1);

        *p += 5;
        if (c >= 0xD800 && c < 0xDC00) {
                if (end - *p < 6 || (*p)[0] != '\\' || (*p)[1] != 'u')
                        return -EILSEQ;
                uint32_t low = hex4(*p + 2);
                if (low < 0xDC00 || low > 0xDFFF)
                        return -EILSEQ;
                *p += 6;
                c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        } else if (c >= 0xDC00 && c < 0xE000) {
                return -EILSEQ;
        }
        *ret = c;
        return 0;
}

/* p is at a backslash; the bytes it stands for go to ret; returns their number. */
static int take_escape(const char **p, const char *end, char ret[static 4]) {
        static const char pairs[] = "b\bf\fn\nr\rt\t";
        const char *escape = ++*p;
        uint32_t c;

        if (*escape == 'u') {
                int r = take_unicode(p, end, &c);
                return r < 0 ? r : (int) utf8_encode(c, ret);
        }
        ret[0] = *escape;
        for (const char *i = pairs; *i != '\0'; i += 2)
                if (*i == *escape)
                        ret[0] = i[1];
        (*p)++;
        return 1;
}

/* The bytes between the quotes. */
static JsonSpan inner(JsonSpan string) {
        assert(string.n >= 2 && string.p[0] == '"');
        return (JsonSpan){ string.p + 1, string.n - 2 };
}

bool json_string_equals(JsonSpan string, const char *s) {
        size_t n = strlen(s);

        if (!json_is(string, JSON_KIND_STRING))
                return false;
        JsonSpan v = inner(string);
        if (v.n == n && memcmp(v.p, s, n) == 0)
                return !memchr(v.p, '\\', v.n);
        if (v.n <= n)
                return false;

        for (const char *p = v.p, *end = v.p + v.n; p < end;) {
                char bytes[4] = { *p };
                int k = 1;
                if (*p == '\\')
                        k = take_escape(&p, end, bytes);
                else
                        p++;
                if (k < 0 || n < (size_t) k || memcmp(bytes, s, (size_t) k) != 0)
                        return false;
                s += k;
                n -= (size_t) k;
        }
        return n == 0;
}

int json_string_decode(JsonSpan string, Buf *out) {
        JsonSpan v = inner(string);
        const char *p = v.p, *end = v.p + v.n;

        while (p < end) {
                const char *escape = memchr(p, '\\', (size_t) (end - p));
                (void) buf_append(out, p, (size_t) ((escape ? escape : end) - p));
                if (!escape)
                        break;

                char bytes[4];
                p = escape;
                int k = take_escape(&p, end, bytes);
                if (k < 0)
                        return k;
                (void) buf_append(out, bytes, (size_t) k);
        }
        return buf_error(out);
}

int json_string_dup(JsonSpan string, char **ret, size_t *ret_len) {
        _cleanup_buf_ Buf b = BUF_INIT(string.n);
        size_t n;
        int r = json_string_decode(string, &b);

        if (r < 0)
                return r;
        if (!ret_len && b.len > 0 && memchr(b.data, '\0', b.len))
                return -EINVAL;
        char *s = buf_take(&b, &n);
        if (!s)
                return -ENOMEM;
        *ret = s;
        if (ret_len)
                *ret_len = n;
        return 0;
}

/* ---- scalars ---- */

int json_int(JsonSpan v, int64_t *ret) {
        char text[sizeof("-9223372036854775808")];

        if (!json_is(v, JSON_KIND_NUMBER))
                return -EINVAL;
        if (v.n >= sizeof(text))
                return -ERANGE;
        memcpy(text, v.p, v.n);
        text[v.n] = '\0';
        /* what the scanner accepted and this does not has a fraction or an exponent */
        return str_to_i64(text, ret) < 0 ? -ERANGE : 0;
}

int json_real(JsonSpan v, double *ret) {
        char small[64];
        _cleanup_free_ char *large = NULL;
        char *text = small;

        if (!json_is(v, JSON_KIND_NUMBER))
                return -EINVAL;
        if (v.n >= sizeof(small)) {
                text = large = malloc(v.n + 1);
                if (!large)
                        return -ENOMEM;
        }
        memcpy(text, v.p, v.n);
        text[v.n] = '\0';

        /* glibc hands out its static "C" locale here: no allocation, nothing to free */
        locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t) 0);
        double d = strtod_l(text, NULL, c_locale);
        if (!isfinite(d))
                return -ERANGE;
        *ret = d;
        return 0;
}

int json_bool(JsonSpan v, bool *ret) {
        if (!json_is(v, JSON_KIND_BOOL))
                return -EINVAL;
        *ret = v.p[0] == 't';
        return 0;
}
