/* SPDX-License-Identifier: MIT */
#pragma once

/* What entries mean, as vectors: the models that vectors are of, an index of each, and their files.
 * The rows of memory.db are the truth; see meaning.c. Loop thread only, but meaning_search(). */

#include "memory/memory.h"
#include "memory/vectors.h"

typedef struct Meaning Meaning;
typedef struct MeaningModel MeaningModel; /* lives as long as the Meaning */

/* folder: for the files of the indexes, made when the first is; NULL: everything in memory. event
 * may be NULL: then what an index lacks is not made up for in the background. */
int meaning_new(Meaning **ret, sd_event *event, Store *store, const char *folder);
/* Saves first; no search is under way. */
Meaning *meaning_free(Meaning *s);

/* Is there a vector of anything? If not, nothing below needs to be called. */
bool meaning_is_used(const Meaning *s);
/* The model of a name and dimension, NULL: no entry has a vector of it. */
MeaningModel *meaning_model(const Meaning *s, const char *name, size_t dimensions);

/* Before the entry is put: adds to txn what becomes of its vectors. The old ones stay if what it is
 * found by stays, and what the set brings takes their place in its model. -ENOMEM. */
int meaning_add_set(Meaning *s, StoreTxn *txn, const MemorySet *set, uint64_t entry);
/* The entry's vectors change; entry 0: all of the scope. */
void meaning_add_change(Meaning *s, StoreTxn *txn, MemoryScope scope, uint64_t entry);
/* Something that added a change has committed: the indexes follow. */
void meaning_apply(Meaning *s);

/* The nearest entries of the scopes, best first; in a pool thread with its reader. as_of 0: now.
 * only (ascending ids) may be NULL. */
typedef struct MeaningQuery {
        MeaningModel *model;
        const float *vector;
        const MemoryScope *scopes;
        size_t n_scopes;
        const uint64_t *only;
        size_t n_only;
        size_t limit;
        usec_t as_of;
        bool exact; /* see meaning_is_ready() */
} MeaningQuery;
int meaning_search(StoreReader *reader, const MeaningQuery *q, VectorHit *hits, size_t *ret_n);
/* A model's index, number and dimension; never changes. */
VectorIndex *meaning_index(const MeaningModel *model, uint64_t *ret_id, size_t *ret_dimensions);
/* False: the index is still being made, and a search has to look at the rows. */
bool meaning_is_ready(const MeaningModel *model);
