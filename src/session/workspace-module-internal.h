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

typedef struct Pack {
        char *name; /* without ending */
        uint64_t size_bytes;
} Pack;

typedef struct PackList {
        Pack *packs;
        size_t n, cap;
} PackList;

typedef struct OidList {
        git_oid *oids;
        size_t n, cap;
} OidList;

void pack_list_done(PackList *l);
void oid_list_done(OidList *l);
int oid_list_add(OidList *l, const git_oid *oid);

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
/* All packs of a folder; what crashes left behind is removed on the way. */
int store_list_packs(const char *folder, PackList *ret);
/* The odb gets the objects of one pack; their ids are appended to oids. */
int store_open_pack(git_odb *odb, const char *folder, const char *name, OidList *oids);
int store_remove_pack(const char *folder, const char *name);

int store_size(WorkspaceStore *s, const uint8_t oid[static WORKSPACE_OID_SIZE], uint64_t *ret_bytes);
int store_patch(
        const char *path, const char *from, size_t n_from, const char *to, size_t n_to, char **ret);
int store_tidy(WorkspaceStore *s);
int store_collect(WorkspaceStore *s,
                  const uint8_t (*trees)[WORKSPACE_OID_SIZE],
                  size_t n_trees,
                  uint64_t *ret_n);
