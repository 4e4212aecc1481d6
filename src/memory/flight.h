/* SPDX-License-Identifier: MIT */
#pragma once

/* What keys will be once everything that was submitted has committed. Reads see only what is on
 * disk; a write builds on the one before it, which may still be on its way. */

#include "memory/memory.h"

typedef struct Flights Flights;
typedef struct Flight Flight;

typedef struct KeyState {
        uint64_t id;       /* of the entry's row; 0: there is none */
        uint64_t version;  /* of the entry, or the last one that was */
        usec_t expires_at; /* 0: never */
        bool is_there;     /* there, and not expired when it was asked */
} KeyState;

Flights *flights_new(void); /* NULL: out of memory */
/* Nothing may be under way. NULL is fine. */
Flights *flights_free(Flights *f);

/* False: nothing of this key is under way, look at the rows. */
bool flights_get(const Flights *f, MemoryScope scope, const char *key, KeyState *ret);
/* A write of this key is about to be submitted. NULL: out of memory. */
Flight *flights_begin(Flights *f, MemoryScope scope, const char *key);
/* It was submitted: the key will be this. */
void flight_set(Flight *flight, const KeyState *state);
/* It committed or failed (then all that was built on it fails too, and ends here likewise), or was
 * not submitted after all. */
void flight_end(Flight *flight);
