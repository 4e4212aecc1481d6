/* SPDX-License-Identifier: MIT */
#pragma once

/* Long-term memory: entries with a key, any JSON value and what helps to find it again, in scopes
 * that are walls. In a database of its own. Loop thread only; the same rules of completion as in
 * session.h: 0 now and done() after the commit, or an error now and no done().
 *
 * Replacing and removing keep what was (its history), up to a number of versions of a key and an
 * age. Versions of a key ascend from 1 and never come twice, also when it was removed in between. */

#include <systemd/sd-event.h>

#include "store/request-key.h"

typedef struct MemoryManager MemoryManager;

/* Conditions. */
enum {
        MEMORY_E_NOT_FOUND = 1,
        MEMORY_E_VERSION = 2, /* it is not of the version that was asked for */
        MEMORY_E_MODEL = 3,   /* see memory_search() */
};

/* Whose: a namespace's own entries (id 0), a session's (its id), or those of all sessions of one
 * name (memory_agent_scope()). */
typedef struct MemoryScope {
        uint64_t namespace_id;
        uint64_t id;
        const char *agent; /* the name, if that is what it is; else NULL */
} MemoryScope;

static inline MemoryScope memory_namespace_scope(uint64_t namespace_id) {
        return (MemoryScope){ .namespace_id = namespace_id };
}
/* What search and vectors know a scope by: ids of scopes and of namespaces are never the same. */
static inline uint64_t memory_segment(MemoryScope scope) {
        return scope.id ?: scope.namespace_id;
}
/* name must outlive the value. */
MemoryScope memory_agent_scope(uint64_t namespace_id, const char *name);

typedef struct MemoryEntry {
        uint64_t id;
        const char *key;
        JsonSpan value; /* as written */
        uint64_t session, run, node;
        usec_t created_at, updated_at;
        usec_t ended_at; /* of a version that is over: when; else 0 */
        enum {
                MEMORY_LIVE,
                MEMORY_REPLACED,
                MEMORY_DELETED,
                MEMORY_EXPIRED,
        } ended_by;
        uint64_t version, access_count; /* the count may lose its last part when the daemon dies */
        const char *text, *context;     /* NULL: not given */
        JsonSpan metadata, tags;        /* absent: not given */
        double importance;              /* negative: not given */
        usec_t expires_at;              /* 0: never */
} MemoryEntry;

typedef struct MemoryLimits {
        uint64_t versions_max;   /* kept of a key beside the live one */
        usec_t history_age_usec; /* older versions go; USEC_INFINITY: never */
        size_t text_max;         /* bytes of an entry that can be searched */
} MemoryLimits;

/* vectors: the folder for indexes of vectors, made when it is needed; NULL: they stay in memory. */
int memory_manager_new(MemoryManager **ret,
                       sd_event *event,
                       Store *store,
                       const MemoryLimits *limits,
                       const char *vectors);
MemoryManager *memory_manager_free(MemoryManager *m);
DEFINE_CLEANUP(MemoryManager *, memory_manager_free);
void memory_set_limits(MemoryManager *m, const MemoryLimits *limits);

/* ---- writing ---- */

#define MEMORY_MODEL_GIVEN "given" /* of an embedding that nobody names */

/* Everything is copied. What is not given (NULL, absent, 0, importance negative) the entry does not
 * have, whatever its former version had. */
typedef struct MemorySet {
        MemoryScope scope;
        const char *key;
        JsonSpan value;
        const char *text, *context;
        JsonSpan metadata, tags; /* an object, an array of strings: checked by the caller */
        double importance;       /* 0..1 */
        usec_t expires_at;
        uint64_t session, run, node;
        /* Passed vector_check(). NULL: the former one stays, if what the entry is found by does. */
        const float *embedding;
        size_t n_embedding;
        const char *model;   /* what it was made by; with an embedding */
        uint64_t if_version; /* 0: whatever is there */
        bool only_new;       /* MEMORY_E_VERSION if it is there */
} MemorySet;

/* version: of what was written. */
typedef void (*MemoryDoneFn)(int r, uint64_t version, void *userdata);
/* MEMORY_E_VERSION at once, with *ret_version what it is (0: nothing there); ret_version may be NULL. */
int memory_set(MemoryManager *m,
               const MemorySet *s,
               MemoryDoneFn done,
               void *userdata,
               uint64_t *ret_version);
/* MEMORY_E_NOT_FOUND and MEMORY_E_VERSION at once. if_version 0: whatever is there. */
int memory_delete(MemoryManager *m,
                  MemoryScope scope,
                  const char *key,
                  uint64_t if_version,
                  MemoryDoneFn done,
                  void *userdata,
                  uint64_t *ret_version);
/* Everything of a scope that is no more, its history too. done may be NULL. */
int memory_scope_delete(MemoryManager *m, MemoryScope scope, MemoryDoneFn done, void *userdata);
/* The same for each session's scope that is_there() does not know, in the background: sessions are rows of
 * another database, and a crash may come between the two. Once, at start; userdata must live on. */
int memory_collect(MemoryManager *m,
                   bool (*is_there)(uint64_t session, void *userdata),
                   void *userdata);
/* Idempotency-Key, as session_request_key(): memory_set() takes it along. */
void memory_request_key(MemoryManager *m, const RequestKey *key);
int memory_request_key_find(MemoryManager *m, const RequestKey *key, RequestKeyRow *ret);

/* ---- reading ---- */

typedef int (*MemoryFn)(const MemoryEntry *e, void *userdata);
/* as_of: what it was then; 0: now. 0, or MEMORY_E_NOT_FOUND; a negative result of fn is returned.
 * Counts the access (in memory, written in batches), but not of the past. */
int memory_get(MemoryManager *m,
               MemoryScope scope,
               const char *key,
               usec_t as_of,
               MemoryFn fn,
               void *userdata);
typedef struct MemoryList {
        MemoryScope scope;
        const char *prefix, *after; /* may be NULL */
        size_t limit;               /* SIZE_MAX: all */
        bool details;               /* without: only the key is there */
} MemoryList;
/* Ascending by the key's bytes. fn non-zero stops; a negative one is returned. */
int memory_list(MemoryManager *m, const MemoryList *l, MemoryFn fn, void *userdata);
/* Newest first, the live one too; before_version 0: from the newest. MEMORY_E_NOT_FOUND: there
 * never was one, or all that was is too old. */
int memory_history(MemoryManager *m,
                   MemoryScope scope,
                   const char *key,
                   uint64_t before_version,
                   size_t limit,
                   MemoryFn fn,
                   void *userdata);
uint64_t memory_count(MemoryManager *m, MemoryScope scope);
