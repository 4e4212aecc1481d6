/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the room: the manager, and how a change is submitted. */

#include "base/obj.h"
#include "memory/access.h"
#include "memory/flight.h"
#include "memory/meaning.h"
#include "memory/memory.h"
#include "store/schema-memory.h"

#define MEMORY_MAGIC 0x4d454d59U

typedef struct Expiry Expiry;
typedef struct Searcher Searcher;
typedef struct Collector Collector;

struct MemoryManager {
        uint32_t magic;
        Store *store;
        sd_event *event; /* NULL: none */
        AccessCounts *counts;
        Flights *flights;
        Expiry *expiry;
        struct Catchup *catchup;
        Searcher *searcher;
        Meaning *meaning;
        Collector *collector; /* NULL: nothing to collect, or done */
        MemoryLimits limits;
        const RequestKey *request_key; /* of the call under way */
};

/* What a change is, for its completion. */
typedef struct MemoryChange {
        MemoryDoneFn done; /* may be NULL */
        void *userdata;
        uint64_t version;
        Flight *flight; /* may be NULL; ended in every case */
        bool vectors;   /* they may have changed */
} MemoryChange;

/* Takes txn over, and the flight; the counts that wait go along. */
int memory_submit(MemoryManager *m, StoreTxn *txn, const MemoryChange *change);
/* What the key will be once everything submitted has committed. An expired entry is not there. */
int memory_key_state(MemoryManager *m, MemoryScope scope, const char *key, KeyState *ret);
/* Adds what removes the entry of the key and keeps it as a version. */
void memory_add_removal(
        MemoryManager *m, StoreTxn *txn, MemoryScope scope, const char *key, const KeyState *state);

/* Adds what makes the row findable by its words. */
void memory_add_search(MemoryManager *m, StoreTxn *txn, const MemorySet *s, uint64_t row);
/* An entry from a row with the columns of an entry; it points into the row. m NULL: without the
 * reads that are not written yet, for another thread. */
void memory_read_entry(MemoryManager *m, StoreCursor *c, MemoryEntry *ret);

/* Lets an entry point into a fresh block, which the caller frees. */
int memory_entry_copy(MemoryEntry *e, void **ret_block);

/* Makes entries findable that came without (an import, an older version of the program), piece by
 * piece in the background. */
typedef struct Catchup Catchup;
int catchup_new(Catchup **ret, MemoryManager *m, sd_event *event);
Catchup *catchup_free(Catchup *c);

Collector *collector_free(Collector *c);

/* The threads of searches and their readers. */
int searcher_new(Searcher **ret, sd_event *event, Store *store);
Searcher *searcher_free(Searcher *s);

/* Entries that expire and versions that become too old, by a timer that is armed only when there are any. */
int expiry_new(Expiry **ret, MemoryManager *m, sd_event *event);
Expiry *expiry_free(Expiry *e);
/* Something expires at t. */
void expiry_at(Expiry *e, usec_t t);
/* Looks again: the limits changed. */
void expiry_again(Expiry *e);
