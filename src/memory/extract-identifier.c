/* SPDX-License-Identifier: MIT */

/* Identifiers: what must not be changed by a letter to be of use, so what a summary must carry
 * verbatim. A word between white space, stripped of punctuation around it, is judged by its shape:
 * URLs, paths and addresses, then codes (letters with digits, underscores, dots, colons or capitals
 * inside), then numbers of at least two digits. No list of known forms and no regular expressions:
 * agents' conversations are full of forms that nobody listed, and a word taken too many costs a few
 * bytes.
 *
 * Scripts without spaces: a run of ASCII between such characters is a word too. */

#include "memory/extract-internal.h"

#define IDENTIFIER_BYTES_MAX 512 /* longer ones are data, not names */

typedef struct Shape {
        size_t digits, letters, slashes, underscores;
        bool inner_dot, inner_colons, inner_capital, inner_at;
} Shape;

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (uint8_t) c >= 0x80;
}

static bool is_alnum(char c) {
        return is_digit(c) || is_letter(c);
}

static Shape shape_of(const char *p, size_t n) {
        Shape s = {};

        for (size_t i = 0; i < n; i++) {
                bool inner = i > 0 && i + 1 < n && is_alnum(p[i - 1]) && is_alnum(p[i + 1]);

                s.digits += is_digit(p[i]);
                s.letters += is_letter(p[i]);
                s.slashes += p[i] == '/' || p[i] == '\\';
                s.underscores += p[i] == '_';
                s.inner_dot |= p[i] == '.' && inner;
                s.inner_at |= p[i] == '@' && inner;
                s.inner_colons |= i > 0 && i + 2 < n && memcmp(p + i, "::", 2) == 0;
                s.inner_capital |=
                        i > 0 && p[i - 1] >= 'a' && p[i - 1] <= 'z' && p[i] >= 'A' && p[i] <= 'Z';
        }
        return s;
}

static bool is_path(const char *p, size_t n, const Shape *s) {
        if (memmem(p, n, "://", 3))
                return true;
        if (s->slashes == 0 || s->letters + s->digits == 0)
                return false;
        if (p[0] == '/' || p[0] == '~' || p[0] == '.' || p[0] == '\\')
                return true;
        if (n > 2 && p[1] == ':' && is_letter(p[0]) && (p[2] == '\\' || p[2] == '/'))
                return true;
        /* "and/or" is none; "src/main.c" and "a/b/c" are */
        return s->slashes > 1 || s->inner_dot || s->underscores > 0;
}

static ExtractKind kind_of(const char *p, size_t n) {
        if (n < 2 || n > IDENTIFIER_BYTES_MAX)
                return EXTRACT_NONE;

        Shape s = shape_of(p, n);
        if (is_path(p, n, &s) || (s.inner_at && s.inner_dot))
                return EXTRACT_PLACE;
        if (s.letters == 0)
                return s.digits >= 2 ? EXTRACT_NUMBER : EXTRACT_NONE;
        if (s.digits > 0 || s.underscores > 0 || s.inner_dot || s.inner_colons || s.inner_capital ||
            s.inner_at)
                return EXTRACT_CODE;
        return EXTRACT_NONE;
}

static bool strips_in_front(char c) {
        return strchr("\"'`([{<*,;:!?=|>", c) != NULL && c != '\0';
}

static bool strips_behind(char c) {
        return strchr("\"'`)]}>*,;:!?.=|<", c) != NULL && c != '\0';
}

/* A bracket that was opened inside of the word stays: "main()", "https://x.y/a_(b)". */
static bool closes_inside(const char *p, size_t n) {
        static const char pairs[] = "()[]{}";
        const char *pair = strchr(pairs, p[n - 1]);
        size_t opened = 0, closed = 0;

        if (!pair || (pair - pairs) % 2 == 0)
                return false;
        for (size_t i = 0; i < n; i++) {
                opened += p[i] == pair[-1];
                closed += p[i] == *pair;
        }
        return opened >= closed;
}

static void strip(const char **p, size_t *n) {
        while (*n > 0 && strips_in_front(**p))
                (*p)++, (*n)--;
        while (*n > 0 && strips_behind((*p)[*n - 1]) && !closes_inside(*p, *n))
                (*n)--;
}

/* The end of a word that begins at p: white space, or a change to or from a script without spaces. */
static const char *word_end(const char *p, const char *end) {
        bool unspaced = false;

        for (const char *i = p; i < end;) {
                uint32_t c = (uint8_t) *i;
                size_t n = c < 0x80 ? 1 : text_decode(i, (size_t) (end - i), &c);
                bool is_other = c >= 0x2010 && (text_is_unspaced(c) || !text_is_word(c));

                if (text_is_space(c) || c < 0x20 || c == TEXT_REPLACEMENT ||
                    (i > p && is_other != unspaced))
                        return i;
                unspaced = is_other;
                i += n;
        }
        return end;
}

/* White space and whatever else ends a word. */
static const char *word_begin(const char *p, const char *end) {
        while (p < end) {
                uint32_t c;
                size_t n = text_decode(p, (size_t) (end - p), &c);

                if (!text_is_space(c) && c >= 0x20 && c != TEXT_REPLACEMENT)
                        break;
                p += n;
        }
        return p;
}

bool extract_identifier_next(const char **p, const char *end, ExtractWord *ret) {
        for (;;) {
                const char *begin = word_begin(*p, end);

                if (begin >= end)
                        return false;
                *p = word_end(begin, end);
                ExtractWord w = { .p = begin, .n = (size_t) (*p - begin) };
                uint32_t c;
                (void) text_decode(w.p, w.n, &c);
                /* what is far too long is not even looked through */
                if (c >= 0x2010 || w.n > (size_t) 2 * IDENTIFIER_BYTES_MAX)
                        continue;
                strip(&w.p, &w.n);
                w.kind = kind_of(w.p, w.n);
                if (w.kind == EXTRACT_NONE)
                        continue;
                *ret = w;
                return true;
        }
}

/* ---- checking what somebody else wrote ---- */

static bool stands_alone(const ExtractTurn *t, const char *at, size_t n) {
        const char *end = t->text + t->n;
        bool open_left = at == t->text || !is_digit(at[-1]) || !is_digit(at[0]);
        bool open_right = at + n == end || !is_digit(at[n]) || !is_digit(at[n - 1]);

        return open_left && open_right;
}

/* "42" does not occur in "1427". */
static bool occurs(const ExtractWord *w, const ExtractTurn *turns, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const char *p = turns[i].text, *end = p + turns[i].n, *at;

                while (p < end && (at = memmem(p, (size_t) (end - p), w->p, w->n))) {
                        if (stands_alone(&turns[i], at, w->n))
                                return true;
                        p = at + 1;
                }
        }
        return false;
}

bool extract_identifiers_occur(const char *text, const ExtractTurn *turns, size_t n, double share) {
        const char *p = text, *end = text + strlen(text);
        size_t n_all = 0, n_found = 0;
        ExtractWord w;

        while (extract_identifier_next(&p, end, &w)) {
                n_all++;
                n_found += occurs(&w, turns, n);
        }
        return (double) n_found >= share * (double) n_all;
}
