/* SPDX-License-Identifier: MIT */
#pragma once

/* Text as memory looks at it: code points, cuts that do not part one, and words as terms. For UTF-8;
 * what is not valid is taken as U+FFFD, a byte each, so nothing here can fail or read too far. Any thread. */

#include "base/macro.h"

#define TEXT_REPLACEMENT 0xFFFDu
#define TEXT_WORD_MAX    64 /* bytes; a longer run of letters comes as several words */

/* The first code point of n > 0 bytes; returns its length, 1 to 4. */
size_t text_decode(const char *s, size_t n, uint32_t *ret);
/* Writes c as UTF-8 and returns its length. */
size_t text_encode(uint32_t c, char ret[static 4]);
/* The longest length up to max at which s can be cut without parting a code point; where the text
 * is not UTF-8 it is max itself. 0 only if max is less than the first code point. */
size_t text_cut(const char *s, size_t n, size_t max);
/* The same, but at the last end of a sentence in the second half of max bytes, else at the last white
 * space there, else as above. Never 0 unless n or max is: a first code point longer than max is taken whole. */
size_t text_cut_well(const char *s, size_t n, size_t max);

/* Latin, Greek, Cyrillic and Armenian letters; others stay. */
uint32_t text_lower(uint32_t c);
bool text_is_upper(uint32_t c);
bool text_is_space(uint32_t c);
/* Letters, digits and marks of any script. */
bool text_is_word(uint32_t c);
/* Scripts without spaces between words: Chinese, Japanese, Thai, Khmer… */
bool text_is_unspaced(uint32_t c);

typedef struct TextWord {
        const char *p; /* as written */
        size_t n;
        char term[2 * TEXT_WORD_MAX + 1]; /* lower case, NUL-terminated */
        size_t n_term;
        bool is_upper;  /* begins with a capital */
        bool has_digit; /* "42", "B12", "3rd" */
        bool is_pair; /* of a script without spaces: two neighbouring characters, overlapping the next pair */
} TextWord;

/* Walks over the words. A word is a run of letters and digits, with apostrophes inside; of scripts
 * without spaces it is each pair of neighbours (or a lone character). */
typedef struct TextWords {
        const char *p, *end;
        bool in_run;
} TextWords;

static inline TextWords text_words(const char *s, size_t n) {
        return (TextWords){ .p = s, .end = s + n };
}
bool text_words_next(TextWords *w, TextWord *ret);
