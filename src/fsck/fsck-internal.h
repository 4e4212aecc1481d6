/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of this room share: a run, and how a problem is noted.
 *   fsck     the run: locks, snapshots, copies
 *   rules    what one statement can find and another can repair
 *   nodes    the tree of messages
 *   bodies   large messages and their files
 *   trees    files of checkpoints
 *   logs     output of runs, and its index
 *   references  what memory.db says of state.db */

#include "base/map.h"
#include "base/str.h"
#include "fsck/fsck.h"
#include "store/offline.h"

typedef struct Fsck {
        const FsckPlaces *places;
        bool repair;
        void (*fn)(const FsckProblem *problem, void *userdata);
        void *userdata;
        FsckResult result;
        StrMap *told;  /* problems that fn was told of */
        bool is_live;  /* a daemon goes on writing */
        char *message; /* why it could not go on */
        char *state_copy, *memory_copy;
        StoreReader *state, *memory;   /* in a snapshot each */
        StoreReader *now;              /* of state.db, in none */
        Buf state_edits, memory_edits; /* statements that repair, each with its semicolon */
        char **lost;                   /* names of files below data_dir that go to lost+found */
        char **indexes;                /* and of logs' indexes that are to be repaired */
} Fsck;

void fsck_problem(Fsck *f, const char *what, const char *id, const char *text, const char *repair);
/* The same for an id of a row. */
void fsck_problem_id(Fsck *f, const char *what, uint64_t id, const char *text, const char *repair);

/* ---- rules.c ---- */

enum {
        FSCK_INTEGRITY, /* 0 "ok", or what is wrong */
        FSCK_NODES,     /* 0 id, 1 parent, 2 jump, 3 depth, 4 tool_calls; parents come first */
        FSCK_LARGE,     /* 0 id, 1 body_key; nodes with a large body, each body once */
        FSCK_BODIES,    /* 0 namespace, 1 key, 2 encoding, 3 size, 4 data */
        FSCK_BODY_KEY,  /* 0 the key of the hashes */
        FSCK_BODY_FILE, /* ?1 key. A row if it is a file that somebody knows */
        FSCK_TREES,     /* 0 checkpoint, 1 tree, 2 namespace */
        FSCK_CHECKPOINT_TREE,   /* ?1 checkpoint, ?2 tree. A row if it has that one */
        FSCK_RUN,               /* ?1 run, ?2 session. 0 state */
        FSCK_NAMESPACE,         /* ?1 id. A row if there is one */
        FSCK_MEMORY_NAMESPACES, /* of memory.db. 0 namespace */
        _FSCK_FIXED,            /* the rules follow */
};
extern const StoreSchema fsck_state_schema, fsck_memory_schema;
/* Before anything else. */
void fsck_rules_init(void);
int fsck_rules_state(Fsck *f);
/* 1: it is too damaged to go on. */
int fsck_rules_memory(Fsck *f);

/* ---- nodes.c, bodies.c, trees.c, logs.c, references.c ---- */

int fsck_nodes(Fsck *f);
int fsck_bodies(Fsck *f);
int fsck_trees(Fsck *f);
int fsck_logs(Fsck *f);
int fsck_index_repair(Fsck *f, const char *name);
/* With both databases open. */
int fsck_references(Fsck *f);
