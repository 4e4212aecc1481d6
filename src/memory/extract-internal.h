/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the files of the extractive summary: units (a sentence, or a short turn as a whole),
 * their terms and features, and identifiers. */

#include "base/map.h"
#include "memory/extract.h"
#include "memory/text.h"

#define EXTRACT_TURN_BYTES \
        280 /* a turn of at most that is one unit: the weights were measured on such */
#define EXTRACT_SENTENCE_BYTES 400 /* longer ones are parted at white space */

enum {
        EXTRACT_WORD_STOP = 1,
        EXTRACT_WORD_FIRST = 2,
        EXTRACT_WORD_CUE = 4,
};

/* What kinds of word a lower-case term is, as bits. */
unsigned extract_word_kinds(const char *term);
bool extract_words_are_sorted(void);

/* ---- terms ---- */

typedef struct ExtractTerm {
        const char *text; /* as first written */
        uint32_t n;
        uint32_t n_units, n_all; /* units it occurs in; occurrences */
        uint32_t last_unit;      /* + 1; to count a unit once */
        bool is_stop, is_name, is_kept;
} ExtractTerm;

typedef struct ExtractUnit {
        uint64_t id;
        const char *text;
        uint32_t n;
        uint32_t n_terms;
        size_t first_term; /* its distinct terms, in ExtractUnits.unit_terms */
        float features, density, score,
                weight2; /* weight2: squared length of its vector of term weights */
        bool is_answer, is_kept;
} ExtractUnit;

typedef struct ExtractUnits {
        ExtractUnit *units;
        size_t n_units, cap_units;
        ExtractTerm *terms;
        size_t n_terms, cap_terms;
        uint32_t *unit_terms;
        size_t n_unit_terms, cap_unit_terms;
        Map *by_hash; /* of terms: index + 1 */
        uint8_t hash_key[16];
        size_t n_bytes;      /* of the input */
        bool after_question; /* the turn before the one being added ended with one */
} ExtractUnits;

int extract_units_init(ExtractUnits *u);
void extract_units_done(ExtractUnits *u);
/* Parts the turn into units and counts their words. -ENOMEM. */
int extract_units_add(ExtractUnits *u, const ExtractTurn *turn);
/* The weight of a term: how rare it is among the units. */
float extract_term_weight(const ExtractUnits *u, const ExtractTerm *t);
/* Gives each unit its score. */
void extract_units_score(ExtractUnits *u);

/* ---- identifiers ---- */

typedef enum ExtractKind {
        EXTRACT_NONE,
        EXTRACT_PLACE, /* URL, path, mail address */
        EXTRACT_CODE,  /* letters with digits, underscores, inner dots or capitals */
        EXTRACT_NUMBER,
} ExtractKind;

typedef struct ExtractWord {
        const char *p;
        size_t n;
        ExtractKind kind;
} ExtractWord;

/* The next identifier in text from *p on, without the punctuation around it. */
bool extract_identifier_next(const char **p, const char *end, ExtractWord *ret);
