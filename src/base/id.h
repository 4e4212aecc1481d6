/* SPDX-License-Identifier: MIT */
#pragma once

/* Ids: 64 bits, ascending: 42 bits of milliseconds since 2020-01-01T00:00Z and a 22-bit counter
 * within the millisecond. Ascending keys keep B-tree inserts at the right edge (ten times the rate
 * of random keys). In public they are 16 lower-case hex digits. The top bit stays 0 until 2089, so
 * they are also positive int64. 0 is never an id. */

#include "base/macro.h"

#define ID_STRING_SIZE 17

/* The next id, larger than every one before it in this process and than the floor. Thread-safe. */
uint64_t id_new(void);
/* The smallest id of this time (microseconds, realtime); 0 before 2020. For asking what came since. */
uint64_t id_of_time(uint64_t usec);
/* No id at or below this will be given out: call with the largest stored id at start, so that a
 * clock that went backwards cannot break the order. */
void id_set_floor(uint64_t largest_known);
/* Ids that another program gave to what was taken over from it: not ascending, so they are names,
 * and what they name has an id of ours inside. id_format() writes the name, id_parse() reads it,
 * id_new() gives out no id that is one. */
typedef struct IdAlias {
        uint64_t id, name;
} IdAlias;
/* Replaces all (n 0: none); the list is copied. Once at start, before another thread uses ids.
 * -EEXIST if an id or a name comes twice or is 0. */
int id_aliases_set(const IdAlias *list, size_t n);

/* 16 hex digits; returns buf. */
char *id_format(uint64_t id, char buf[static ID_STRING_SIZE]);
/* Exactly 16 hex digits (either case); -EINVAL. Sixteen zeros are read as 0, which is no id. */
int id_parse(const char *s, uint64_t *ret);
