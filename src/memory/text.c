/* SPDX-License-Identifier: MIT */

/* Case and kinds of characters come from ranges written here and not from the C library, whose
 * answers depend on the locale, nor from a Unicode library, which would be a dependency of several
 * hundred KiB for deciding what is a word. What is not covered is not lost: a letter of an unknown
 * script is a letter without case, and its words are found as they were written.
 *
 * Chinese, Japanese and Thai have no spaces. Their words come as overlapping pairs of characters,
 * the usual choice where there is no dictionary: every word of two or more characters has a pair of
 * its own in it. */

#include "memory/text.h"

typedef struct Range {
        uint32_t from, to;
} Range;

static bool in_ranges(const Range *ranges, size_t n, uint32_t c) {
        size_t low = 0, high = n;

        while (low < high) {
                size_t middle = (low + high) / 2;
                if (c > ranges[middle].to)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < n && c >= ranges[low].from;
}

/* ---- code points ---- */

size_t text_decode(const char *s, size_t n, uint32_t *ret) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint8_t first = (uint8_t) s[0];
        size_t size = first < 0x80   ? 1
                      : first < 0xC2 ? 0
                      : first < 0xE0 ? 2
                      : first < 0xF0 ? 3
                      : first < 0xF5 ? 4
                                     : 0;
        uint32_t c = size == 1 ? first : first & (0x7Fu >> size);

        *ret = TEXT_REPLACEMENT;
        if (size == 0 || size > n)
                return 1;
        for (size_t i = 1; i < size; i++) {
                if (((uint8_t) s[i] & 0xC0) != 0x80)
                        return 1;
                c = c << 6 | ((uint8_t) s[i] & 0x3F);
        }
        if (c < least[size] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
                return 1;
        *ret = c;
        return size;
}

size_t text_encode(uint32_t c, char ret[static 4]) {
        if (c < 0x80) {
                ret[0] = (char) c;
                return 1;
        }
        size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        static const uint8_t heads[] = { 0, 0, 0xC0, 0xE0, 0xF0 };

        for (size_t i = size - 1; i > 0; i--, c >>= 6)
                ret[i] = (char) (0x80 | (c & 0x3F));
        ret[0] = (char) (heads[size] | c);
        return size;
}

size_t text_cut(const char *s, size_t n, size_t max) {
        uint32_t c;

        if (n <= max)
                return n;
        /* the last code point that begins before max: whole, or cut off */
        size_t back = 0;
        while (back < 3 && back < max && ((uint8_t) s[max - back] & 0xC0) == 0x80)
                back++;
        size_t at = max - back;
        return at + text_decode(s + at, n - at, &c) > max && back > 0 ? at : max;
}

static bool ends_sentence(const char *s, size_t at) {
        static const char *const ends[] = { ". ", "! ", "? ", "\n", "。", "！", "？" };

        ARRAY_FOREACH(e, ends) {
                size_t k = strlen(*e);
                if (at >= k && memcmp(s + at - k, *e, k) == 0)
                        return true;
        }
        return false;
}

size_t text_cut_well(const char *s, size_t n, size_t max) {
        size_t space = 0;
        uint32_t c;

        if (n <= max)
                return n;
        for (size_t at = max; at > max / 2; at--) {
                if (ends_sentence(s, at))
                        return at;
                if (space == 0 && (s[at - 1] == ' ' || s[at - 1] == '\t'))
                        space = at;
        }
        size_t cut = space > 0 ? space : text_cut(s, n, max);
        return cut > 0 || max == 0 ? cut : text_decode(s, n, &c);
}

/* ---- kinds of characters ---- */

/* Blocks where the capital is the even (or the odd) one of each pair. */
static const Range even_pairs[] = {
        { 0x100, 0x137 }, { 0x14A, 0x177 }, { 0x1DE, 0x1EF },   { 0x1F8, 0x21F },
        { 0x222, 0x233 }, { 0x370, 0x373 }, { 0x3D8, 0x3EF },   { 0x460, 0x481 },
        { 0x48A, 0x4BF }, { 0x4D0, 0x52F }, { 0x1E00, 0x1E95 }, { 0x1EA0, 0x1EFF },
};
static const Range odd_pairs[] = {
        { 0x139, 0x148 }, { 0x179, 0x17E }, { 0x1CD, 0x1DC }, { 0x4C1, 0x4CE }
};

uint32_t text_lower(uint32_t c) {
        if (c < 0x80)
                return c >= 'A' && c <= 'Z' ? c + 32 : c;
        if ((c >= 0xC0 && c <= 0xDE && c != 0xD7) || (c >= 0x391 && c <= 0x3AB && c != 0x3A2) ||
            (c >= 0x410 && c <= 0x42F))
                return c + 32;
        if (c >= 0x400 && c <= 0x40F)
                return c + 80;
        if (c >= 0x531 && c <= 0x556)
                return c + 48;
        if (c == 0x130 || c == 0x178)
                return c == 0x130 ? 'i' : 0xFF;
        if (c == 0x386)
                return 0x3AC;
        if (c >= 0x388 && c <= 0x38A)
                return c + 37;
        if (c == 0x38C || c == 0x38E || c == 0x38F)
                return c == 0x38C ? 0x3CC : c + 63;
        if (c % 2 == 0 && in_ranges(even_pairs, ELEMENTSOF(even_pairs), c))
                return c + 1;
        if (c % 2 == 1 && in_ranges(odd_pairs, ELEMENTSOF(odd_pairs), c))
                return c + 1;
        return c;
}

bool text_is_upper(uint32_t c) {
        return text_lower(c) != c;
}

bool text_is_space(uint32_t c) {
        return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
               (c >= 0x2000 && c <= 0x200B) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
               c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

/* Above Latin-1: spaces, punctuation, symbols, private use, pictures. All else there is taken for a letter. */
static const Range no_words[] = {
        { 0x2B9, 0x2DF },     { 0x37E, 0x37E },      { 0x387, 0x387 },   { 0x55A, 0x55F },
        { 0x589, 0x58A },     { 0x5BE, 0x5BE },      { 0x5C0, 0x5C0 },   { 0x5C3, 0x5C3 },
        { 0x5F3, 0x5F4 },     { 0x600, 0x60F },      { 0x61B, 0x61F },   { 0x66A, 0x66D },
        { 0x6D4, 0x6D4 },     { 0x964, 0x965 },      { 0xE3F, 0xE3F },   { 0xE4F, 0xE4F },
        { 0xE5A, 0xE5B },     { 0x104A, 0x104F },    { 0x1361, 0x1368 }, { 0x1680, 0x1680 },
        { 0x17D4, 0x17DB },   { 0x2000, 0x206F },    { 0x20A0, 0x20CF }, { 0x2190, 0x2BFF },
        { 0x2E00, 0x2E7F },   { 0x2FF0, 0x3004 },    { 0x3008, 0x3020 }, { 0x3030, 0x3030 },
        { 0x303D, 0x303F },   { 0x30A0, 0x30A0 },    { 0x30FB, 0x30FB }, { 0xD800, 0xF8FF },
        { 0xFD3E, 0xFD3F },   { 0xFE00, 0xFE1F },    { 0xFE30, 0xFE6F }, { 0xFEFF, 0xFF0F },
        { 0xFF1A, 0xFF20 },   { 0xFF3B, 0xFF40 },    { 0xFF5B, 0xFF65 }, { 0xFFE0, 0xFFFF },
        { 0x1F000, 0x1FAFF }, { 0xE0000, 0x10FFFF },
};

bool text_is_word(uint32_t c) {
        if (c < 0x80)
                return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (c < 0x100)
                return c == 0xAA || c == 0xB5 || c == 0xBA || (c >= 0xC0 && c != 0xD7 && c != 0xF7);
        return !in_ranges(no_words, ELEMENTSOF(no_words), c);
}

bool text_is_unspaced(uint32_t c) {
        static const Range ranges[] = {
                { 0xE01, 0xEFF },   { 0x1000, 0x109F }, { 0x1780, 0x17FF },   { 0x3005, 0x3007 },
                { 0x3041, 0x30FF }, { 0x31F0, 0x31FF }, { 0x3400, 0x4DBF },   { 0x4E00, 0x9FFF },
                { 0xF900, 0xFAFF }, { 0xFF66, 0xFF9D }, { 0x20000, 0x3FFFF },
        };

        return c >= 0xE01 && text_is_word(c) && in_ranges(ranges, ELEMENTSOF(ranges), c);
}

/* ---- words ---- */

static void add(TextWord *w, const char *p, size_t n, uint32_t c) {
        if (w->n == 0) {
                w->p = p;
                w->is_upper = text_is_upper(c);
        }
        w->n = (size_t) (p - w->p) + n;
        w->has_digit |= c >= '0' && c <= '9';
        w->n_term += text_encode(text_lower(c), w->term + w->n_term);
}

static bool is_apostrophe(uint32_t c) {
        return c == '\'' || c == 0x2019;
}

/* An apostrophe between letters belongs to the word; it comes out as the plain one. */
static size_t apostrophe(const TextWords *w, const char *p, uint32_t c, size_t n) {
        uint32_t next;

        if (!is_apostrophe(c) || p + n >= w->end)
                return 0;
        (void) text_decode(p + n, (size_t) (w->end - p) - n, &next);
        return text_is_word(next) && !text_is_unspaced(next) ? n : 0;
}

static void take_run(TextWords *w, TextWord *ret) {
        while (w->p < w->end && ret->n < TEXT_WORD_MAX - 4) {
                uint32_t c;
                size_t n = text_decode(w->p, (size_t) (w->end - w->p), &c);

                if (text_is_word(c) && !text_is_unspaced(c))
                        add(ret, w->p, n, c);
                else if (apostrophe(w, w->p, c, n) > 0)
                        add(ret, w->p, n, '\'');
                else
                        break;
                w->p += n;
        }
}

/* At a character of a script without spaces. False: it was the last of a pair that has been given. */
static bool take_pair(TextWords *w, TextWord *ret, size_t n, uint32_t c) {
        const char *second = w->p + n;
        uint32_t next = 0;
        size_t m = second < w->end ? text_decode(second, (size_t) (w->end - second), &next) : 0;
        bool is_pair = m > 0 && text_is_unspaced(next), was_in_run = w->in_run;

        if (is_pair || !was_in_run)
                add(ret, w->p, n, c);
        if (is_pair)
                add(ret, second, m, next);
        ret->is_pair = true;
        w->p = second;
        w->in_run = is_pair;
        return is_pair || !was_in_run;
}

bool text_words_next(TextWords *w, TextWord *ret) {
        while (w->p < w->end) {
                uint32_t c;
                size_t n = text_decode(w->p, (size_t) (w->end - w->p), &c);

                ret->n = ret->n_term = 0;
                ret->is_upper = ret->has_digit = ret->is_pair = false;
                if (text_is_unspaced(c)) {
                        if (!take_pair(w, ret, n, c))
                                continue;
                } else if (text_is_word(c))
                        take_run(w, ret);
                else {
                        w->p += n;
                        continue;
                }
                ret->term[ret->n_term] = '\0';
                return true;
        }
        return false;
}
