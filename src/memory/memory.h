/* SPDX-License-Identifier: MIT */
#pragma once

/* Long-term memory, the plain part: a durable key-value store with any JSON value, per namespace
 * (shared by all its sessions and outliving them, as the original's). In its own database. Loop
 * thread only; the same rules of completion as in session.h: 0 now and done() after the commit, or
 * an error now and no done(). */

#include <systemd/sd-event.h>

#include "store/request-key.h"

typedef struct MemoryManager MemoryManager;

enum {
        MEMORY_E_NOT_FOUND = 1,
};

typedef struct MemoryEntry {
        const char *key;
        JsonSpan value; /* as written */
        uint64_t session, run;
        usec_t created_at, updated_at;
        uint64_t version, access_count; /* the count may lose its last part when the daemon dies */
} MemoryEntry;

int memory_manager_new(MemoryManager **ret, sd_event *event, Store *store);
MemoryManager *memory_manager_free(MemoryManager *m);
DEFINE_CLEANUP(MemoryManager *, memory_manager_free);

typedef void (*MemoryDoneFn)(int r, void *userdata);
int memory_set(MemoryManager *m,
               uint64_t namespace_id,
               const char *key,
               JsonSpan value,
               uint64_t session,
               uint64_t run,
               MemoryDoneFn done,
               void *userdata);
/* done(MEMORY_E_NOT_FOUND) if it was not there. */
int memory_delete(
        MemoryManager *m, uint64_t namespace_id, const char *key, MemoryDoneFn done, void *userdata);
/* Idempotency-Key, as session_request_key(): memory_set() takes it along. */
void memory_request_key(MemoryManager *m, const RequestKey *key);
int memory_request_key_find(MemoryManager *m, const RequestKey *key, RequestKeyRow *ret);
typedef int (*MemoryFn)(const MemoryEntry *e, void *userdata);
/* 0, or MEMORY_E_NOT_FOUND; a negative result of fn is returned. Counts the access (in memory, written in batches). */
int memory_get(MemoryManager *m, uint64_t namespace_id, const char *key, MemoryFn fn, void *userdata);
/* Ascending by the key's bytes; prefix and after may be NULL; without details only the key is
 * there. fn non-zero stops; a negative one is returned. limit SIZE_MAX: all. */
int memory_list(MemoryManager *m,
                uint64_t namespace_id,
                const char *prefix,
                const char *after,
                size_t limit,
                bool details,
                MemoryFn fn,
                void *userdata);
uint64_t memory_count(MemoryManager *m, uint64_t namespace_id);
