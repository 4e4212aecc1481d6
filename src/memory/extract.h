/* SPDX-License-Identifier: MIT */
#pragma once

/* Extractive summary of a stretch of a conversation: which sentences to keep when there is no model
 * to write one. Deterministic, no state, any thread; time and memory linear in the input.
 *
 * Each sentence (or short turn) is scored by features (length, numbers, names, first person, words
 * of time, decision and preference), by the density of rare terms, and gets a bonus when it answers
 * a question; the best are taken greedily under a budget of bytes, repeats are dropped, and what is
 * kept stands in the conversation's order. Centrality methods (LexRank, TextRank) were rejected: in
 * dialogue they keep small talk. */

#include "base/buf.h"

typedef struct ExtractTurn {
        uint64_t id;      /* the node's; 0: none */
        const char *role; /* "user", "assistant", "tool", "system"; system turns are instructions
                             and are left out; may be NULL */
        const char *text; /* UTF-8; not NUL-terminated; NULL if n is 0 */
        size_t n;         /* below 4 GiB */
} ExtractTurn;

typedef struct ExtractOptions {
        double share; /* of the input's bytes; 0: 0.25. The best sentence is kept whatever it is */
        size_t bytes_max;       /* of the sentences; 0: 1500 */
        size_t terms_max;       /* look-up terms; 0: 12 */
        size_t identifiers_max; /* URLs, paths, numbers, codes; 0: 32 */
} ExtractOptions;

typedef struct ExtractSentence {
        uint64_t id;      /* the turn's */
        const char *text; /* into the turn's text, or into previous */
        size_t n;
        double score;
} ExtractSentence;

typedef struct Extract {
        ExtractSentence *sentences; /* in the conversation's order */
        size_t n_sentences;
        char **terms; /* NULL-terminated, the weightiest first: of what was not kept, to look it up by; never NULL */
        char **identifiers; /* NULL-terminated, verbatim, in order of appearance; never NULL */
} Extract;

/* 0 or -ENOMEM. Nothing worth keeping is an empty result. options may be NULL. previous: an earlier
 * summary's text (NULL: none). Its sentences take part as the oldest turns, under the ids that
 * extract_write() wrote behind them (0 where there is none), and so do its identifiers; the result
 * points into it. */
int extract_turns(const ExtractTurn *turns,
                  size_t n,
                  const char *previous,
                  const ExtractOptions *options,
                  Extract *ret);
void extract_done(Extract *e);
#define _cleanup_extract_ _cleanup_(extract_done)

/* The summary as text: a line for each sentence with "[m:ID]" behind it (16 hex digits, none for id
 * 0), a line of terms, a line of identifiers. White space and control characters become single
 * spaces. The Buf's error. */
int extract_write(const Extract *e, Buf *buf);

/* For checking what a model wrote: true when the identifier-like words of text (URLs, paths,
 * numbers, codes) occur in the turns to at least share (0..1) of them. True if it has none. */
bool extract_identifiers_occur(const char *text, const ExtractTurn *turns, size_t n, double share);
