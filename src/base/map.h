/* SPDX-License-Identifier: MIT */
#pragma once

/* Two hash maps with open addressing: by 64-bit key, and by string (keyed SipHash through
 * libsodium, so that clients cannot choose collisions). Values are pointers that the map does not
 * own; string keys are not copied and must live as long as the entry (usually inside the value). */

#include "base/macro.h"

typedef struct Map Map;
typedef struct StrMap StrMap;

/* 0 is not a legal key: putting it is a bug, nothing is found under it. */
Map *map_new(void);
Map *map_free(Map *m);
DEFINE_CLEANUP(Map *, map_free);
/* 0, 1 if the key existed (value replaced; in a StrMap also the key's memory), -ENOMEM. */
int map_put(Map *m, uint64_t key, void *value);
void *map_get(const Map *m, uint64_t key);
void *map_remove(Map *m, uint64_t key);
size_t map_size(const Map *m);
/* Iteration in unspecified order; the map must not change meanwhile. Start with *cursor = 0. */
bool map_next(const Map *m, size_t *cursor, uint64_t *ret_key, void **ret_value);

StrMap *strmap_new(void);
StrMap *strmap_free(StrMap *m);
DEFINE_CLEANUP(StrMap *, strmap_free);
int strmap_put(StrMap *m, const char *key, void *value);
void *strmap_get(const StrMap *m, const char *key);
void *strmap_remove(StrMap *m, const char *key);
size_t strmap_size(const StrMap *m);
bool strmap_next(const StrMap *m, size_t *cursor, const char **ret_key, void **ret_value);
