/* SPDX-License-Identifier: MIT */
#pragma once

/* Is everything there that refers to something, and is it what it says? For a process of its own
 * (`agentd-daemon --tool=fsck`). Checking reads a snapshot and may be done while a daemon runs; repairing
 * wants the databases for itself, and first keeps a copy of each as PATH.before-fsck-TIME. What repair
 * takes out of use is in that copy, or, if it is a file, in DATA/lost+found/. */

#include "base/macro.h"

typedef struct FsckPlaces {
        const char *state, *memory; /* the databases */
        const char *data_dir;
} FsckPlaces;

typedef struct FsckProblem {
        const char *what;   /* "message", "checkpoint", … */
        const char *id;     /* as people know it */
        const char *text;   /* what is wrong with it */
        const char *repair; /* what repair does; NULL: nothing that it could do */
} FsckProblem;

typedef struct FsckResult {
        uint64_t found; /* each once */
        uint64_t left;  /* still there; without repair: all */
} FsckResult;

/* Calls fn for each problem; repairs what can be. Errors with a sentence in *ret_message: -EBUSY: a
 * daemon runs and repair was asked for. */
int fsck_run(const FsckPlaces *p,
             bool repair_it,
             void (*fn)(const FsckProblem *problem, void *userdata),
             void *userdata,
             FsckResult *ret,
             char **ret_message);
