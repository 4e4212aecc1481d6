/* SPDX-License-Identifier: MIT */
#pragma once

/* Between reading a tokenizer's file and using it. */

#include "base/map.h"
#include "memory/tokenizer.h"

typedef enum TokenizerKind {
        TOKENIZER_WORDPIECE,
        TOKENIZER_UNIGRAM,
} TokenizerKind;

struct Tokenizer {
        TokenizerKind kind;
        bool lower_case, strip_accents, clean, ideographs_apart;
        StrMap *vocabulary;     /* number + 1 */
        char *names;            /* all tokens, NUL-terminated, one behind the other */
        float *scores;          /* Unigram: by number */
        uint32_t size, unknown; /* unknown: UINT32_MAX: none */
        size_t longest;         /* bytes of a token */
        float unknown_score;
        char prefix[16]; /* WordPiece: before a token inside of a word, "##" */
        size_t word_max; /* characters: longer words are unknown */
};

/* The letter without its accents; others stay. */
uint32_t tokenizer_base_letter(uint32_t c);
/* The number of a token that ends at end, where there is room for a NUL; UINT32_MAX: none. */
uint32_t tokenizer_find(const Tokenizer *t, char *token, char *end);
