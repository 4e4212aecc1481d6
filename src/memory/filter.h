/* SPDX-License-Identifier: MIT */
#pragma once

/* Which entries a search is about. A filter is a JSON object, all of whose parts must hold:
 *   prefix          the key begins so
 *   tags, any_tags  lists of words: the entry has all of them, at least one of them
 *   since, until    RFC 3339: last changed at or after, before
 *   min_importance  a number: the entry's is at least that (one without has none)
 *   metadata        an object: each named member equals the value given, or holds against an object
 * of operators: eq ne gt gte lt lte (a value), in nin (a list), exists (true or false), contains
 * (text in text) Numbers compare as numbers, text as bytes, and what is of another kind is neither
 * equal nor less nor greater; ne and nin hold for what is not there. Pure; any thread. The filter
 * points into the JSON it was made of. */

#include "base/json.h"
#include "memory/memory.h"

#define FILTER_MESSAGE_SIZE 160

typedef struct MemoryFilter {
        char prefix[513];
        JsonSpan tags, any_tags, metadata;
        usec_t since, until;   /* 0: none */
        double min_importance; /* negative: none */
} MemoryFilter;

/* 0, or -EINVAL with what is wrong in message. */
int filter_parse(JsonSpan json, MemoryFilter *ret, char message[static FILTER_MESSAGE_SIZE]);
bool filter_holds(const MemoryFilter *f, const MemoryEntry *e);
