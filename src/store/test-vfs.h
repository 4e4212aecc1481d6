/* SPDX-License-Identifier: MIT */
#pragma once

/* A disk with trouble, inside the process: a SQLite VFS in front of the real one, which counts what
 * changes files and fails the calls it is told to. Only the log and the database are looked at, not
 * the shared index, which no power cut leaves. */

#include <stdbool.h>
#include <stdint.h>

typedef enum TroubleKind {
        TROUBLE_WRITE = 1 << 0,
        TROUBLE_SYNC = 1 << 1,
        TROUBLE_TRUNCATE = 1 << 2,
        TROUBLE_ANY = TROUBLE_WRITE | TROUBLE_SYNC | TROUBLE_TRUNCATE,
} TroubleKind;

typedef struct Trouble {
        unsigned kinds;      /* TroubleKind */
        uint64_t from, upto; /* which calls of these kinds fail, counted from 1; 0: none */
        int error;           /* an errno; 0: write a half, then ENOSPC */
} Trouble;

/* Becomes the default VFS; once. */
void trouble_install(void);
/* What happens from here on; the count begins anew. NULL: no trouble. */
void trouble_set(const Trouble *t);
/* Calls of the kinds that were asked for since trouble_set(), and how many of them failed. */
uint64_t trouble_calls(void);
uint64_t trouble_failures(void);
