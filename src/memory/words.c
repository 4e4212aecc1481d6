/* SPDX-License-Identifier: MIT */

/* FTS5's unicode61 tokenizer parts words at what is neither letter nor digit, which makes one "word" of
 * a whole sentence in scripts without spaces, and of a key in camel case. Putting the spaces in
 * before both indexing and asking is simpler than a tokenizer of our own, needs no code inside
 * SQLite, and a database can be looked at with any sqlite3. A character a word finds too much rather
 * than too little; a query's words are ranked together, so what has them all is still first.
 *
 * The strings of a value are found in its text directly: it was checked when it came, so a quote
 * opens a string, and a colon behind its end makes it a name. */

#include "memory/words.h"

#include <ctype.h>

/* The code point at p and its length; the text is valid UTF-8. */
static uint32_t code_point(const char *p, const char *end, size_t *ret_n) {
        const unsigned char *u = (const unsigned char *) p;
        size_t n = u[0] < 0x80 ? 1 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
        uint32_t c = u[0];

        n = MIN(n, (size_t) (end - p));
        if (n > 1)
                c &= 0x7fU >> n;
        for (size_t i = 1; i < n; i++)
                c = c << 6 | (u[i] & 0x3fU);
        *ret_n = n;
        return c;
}

static bool has_no_spaces(uint32_t c) {
        static const struct {
                uint32_t first, last;
        } scripts[] = {
                { 0x0e00, 0x0eff },                     /* Thai, Lao */
                { 0x1000, 0x109f },                     /* Burmese */
                { 0x1780, 0x17ff },                     /* Khmer */
                { 0x3040, 0x30ff },                     /* Hiragana, Katakana */
                { 0x3400, 0x4dbf },                     /* Han */
                { 0x4e00, 0x9fff }, { 0xac00, 0xd7af }, /* Hangul */
                { 0xf900, 0xfaff }, { 0x20000, 0x3ffff },
        };

        if (c < scripts[0].first)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(scripts); i++)
                if (c >= scripts[i].first && c <= scripts[i].last)
                        return true;
        return false;
}

void words_append(Buf *out, const char *text, size_t n, size_t max) {
        const char *end = text + n;
        bool lower = false;

        while (text < end && out->len < max) {
                size_t size;
                uint32_t c = code_point(text, end, &size);
                bool alone = has_no_spaces(c);

                if (alone || (lower && c < 0x80 && isupper((int) c)))
                        (void) buf_append(out, " ", 1);
                (void) buf_append(out, c == 0 ? " " : text, size);
                if (alone)
                        (void) buf_append(out, " ", 1);
                lower = c < 0x80 && islower((int) c);
                text += size;
        }
}

/* Behind the closing quote of the string that opens at p. */
static const char *string_end(const char *p, const char *end) {
        for (p++; p < end && *p != '"'; p++)
                if (*p == '\\')
                        p++;
        return p < end ? p + 1 : end;
}

static bool is_name(const char *p, const char *end) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
                p++;
        return p < end && *p == ':';
}

static void append_string(Buf *out, JsonSpan token, size_t max) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);

        /* A lone surrogate has no UTF-8, and no word either. What was decoded before it stays. */
        (void) json_string_decode(token, &text);
        words_append(out, text.data ? text.data : "", text.len, max);
        (void) buf_append(out, "\n", 1);
}

void words_of_value(Buf *out, JsonSpan value, bool names, size_t max) {
        const char *end = value.p + value.n;

        for (const char *p = value.p, *next; p < end && out->len < max; p = next) {
                next = p + 1;
                if (*p == '"') {
                        next = string_end(p, end);
                        if (is_name(next, end) == names)
                                append_string(out, (JsonSpan){ p, (size_t) (next - p) }, max);
                } else if (!names && (*p == '-' || isdigit((unsigned char) *p))) {
                        while (next < end && strchr("0123456789.eE+-", *next))
                                next++;
                        (void) buf_append(out, p, (size_t) (next - p));
                        (void) buf_append(out, "\n", 1);
                }
        }
}
