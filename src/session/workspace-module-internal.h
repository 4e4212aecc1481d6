/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the module agentd-workspace.so: the only code that includes libgit2. */

#include <git2.h>

#include "session/workspace-module.h"

struct WorkspaceStore {
        char *pack_dir;   /* REPOSITORY/objects/pack */
        char *object_dir; /* REPOSITORY/objects */
        git_odb *disk;    /* loose objects and packs */
        git_odb *queue;   /* new small objects, in memory; NULL: none */
        git_oid *queued;  /* their ids */
        size_t n_queued, cap_queued, bytes_queued;
        uint64_t n_written;
        bool loose_written; /* objects/ itself needs an fsync */
};

/* The errno behind libgit2's return value r < 0. Set errno to 0 before the call. */
int module_error(int r);

/* Writes the queue as one pack; nothing if it is empty. */
int store_flush_queue(WorkspaceStore *s);
/* Writes the named objects of odb into one pack in folder; *ret_name is the pack's hash in hex. */
int store_write_pack(git_odb *odb,
                     const char *folder,
                     const git_oid *oids,
                     size_t n,
                     char ret_name[static GIT_OID_HEXSZ + 1]);
int store_tidy(WorkspaceStore *s);
