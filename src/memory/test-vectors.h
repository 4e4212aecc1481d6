/* SPDX-License-Identifier: MIT */
#pragma once

/* Vectors for tests, and the search that everything is measured by: float64, of all, sorted. */

#include "base/test.h"
#include "memory/vectors-internal.h"

typedef struct Known {
        uint64_t id, scope;
        float *numbers;
} Known;

/* What an index should hold. */
typedef struct World {
        unsigned dimensions;
        VectorIndex *index;
        Known *known;
        size_t n, capacity;
        uint64_t random;
} World;

void world_init(World *w, unsigned dimensions, const char *path);
void world_done(World *w);
uint64_t world_random(World *w);
/* In [-1, 1), evenly. */
float world_float(World *w);
/* Fills numbers with values of a normal distribution. */
void world_normal(World *w, float *numbers);
/* Into the index and into what is known; an id that is known is replaced. */
void world_put(World *w, uint64_t scope, uint64_t id, const float *numbers);
void world_put_normal(World *w, uint64_t scope, uint64_t id);
bool world_erase(World *w, uint64_t id);
void world_erase_scope(World *w, uint64_t scope);
/* Clusters of vectors that lie close together, ids from first on. */
void world_put_clusters(World *w, uint64_t scope, uint64_t first, size_t n, size_t n_clusters);

/* The best by float64; returns how many. */
size_t world_search(const World *w, const VectorQuery *q, VectorHit *ret);
/* Searches the index and demands the same as world_search(): equal scores within 1e-5, and ids in
 * the same order where scores differ by more than that. */
void world_check(World *w, const VectorQuery *q);
/* The share of world_search()'s hits that the index finds; ties count as found. */
double world_recall(World *w, const VectorQuery *q);
