/* SPDX-License-Identifier: MIT */
#pragma once

/* Text to token numbers, as a tokenizer.json says: WordPiece (BERT's) and Unigram (SentencePiece's)
 * vocabularies, which are those that static embedding models have. Special tokens are never made,
 * and what is not in the vocabulary is left out.
 *
 * Of the normalisers in the file these are done: lower case, accents (of Latin, Greek, Cyrillic and
 * kana), control characters, ideographs apart. Others (compatibility forms, SentencePiece's own
 * table) are passed over: they change rare characters only. After new() read-only: any thread. */

#include "base/macro.h"

typedef struct Tokenizer Tokenizer;

/* 0, -ENOMEM, or -EUCLEAN with *ret_message (static text). json is not needed afterwards. */
int tokenizer_new(Tokenizer **ret, const char *json, size_t n, const char **ret_message);
Tokenizer *tokenizer_free(Tokenizer *t);
DEFINE_CLEANUP(Tokenizer *, tokenizer_free);

/* All numbers are below. */
uint32_t tokenizer_size(const Tokenizer *t);
/* The first max numbers of the text, which is looked at up to 16 KiB. -ENOMEM. */
int tokenizer_run(
        const Tokenizer *t, const char *text, size_t n, uint32_t *ids, size_t max, size_t *ret_n);
