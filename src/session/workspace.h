/* SPDX-License-Identifier: MIT */
#pragma once

/* Workspaces: the files of a session's folder as git trees in a bare repository of the daemon's own
 * (libgit2's object database, one per namespace, outside the workspace). The agent's own .git is
 * never touched: we walk the folder ourselves; nested repositories are plain folders without their
 * .git. What a git tree cannot hold (empty folders, the full mode) and what was skipped (over the
 * size limit, ignored by .gitignore, sockets, devices, unreadable) is in a manifest blob
 * `.agentd-manifest` of the tree's wrapper: the tree stored is { "files": tree, "manifest": blob }.
 *
 * Work runs in the pool (base/pool.h), one operation per workspace at a time; results come back on
 * the loop thread. libgit2 is loaded when first used (a module of our own, agentd-workspace.so),
 * because few runs need it. */

#include <systemd/sd-event.h>

#include "base/buf.h"

#define WORKSPACE_TREE_SIZE 20

typedef struct WorkspaceManager WorkspaceManager;

typedef struct WorkspaceResult {
        /* snapshot: the tree; restore: the tree that was there before (pre-restore); materialize: the tree */
        uint8_t tree[WORKSPACE_TREE_SIZE];
        uint64_t files; /* files and links in the tree */
        uint64_t bytes; /* snapshot: their sizes; else bytes written */
        uint64_t changed; /* snapshot: added, altered, removed since the last one; else written or removed */
        uint64_t skipped; /* there but not recorded (but for .gitignore); or not brought back */
        bool is_half; /* a restore failed, and so did putting back what it had changed: a note says so */
        char message[256]; /* for people, when r < 0 or something was skipped; else "" */
} WorkspaceResult;
/* result is never NULL and lives as long as the call. */
typedef void (*WorkspaceDoneFn)(int r, const WorkspaceResult *result, void *userdata);

/* data_dir: repositories are DATA/workspaces/NAMESPACE.git and stat caches DATA/workspaces/cache/.
 * module_path: the module, NULL: beside the program, then the installed place. */
int workspace_manager_new(WorkspaceManager **ret,
                          sd_event *event,
                          const char *data_dir,
                          const char *module_path,
                          uint64_t file_size_max /* 0: 64 MiB */);
/* Of files that are recorded from now on. */
void workspace_manager_set_file_max(WorkspaceManager *m, uint64_t bytes);
/* Waits for work under way. */
WorkspaceManager *workspace_manager_free(WorkspaceManager *m);
DEFINE_CLEANUP(WorkspaceManager *, workspace_manager_free);

/* Records the folder; only files whose (size, mtime, ctime, inode) changed since the cached
 * snapshot are read. -ENOENT: no such folder. */
int workspace_snapshot(WorkspaceManager *m,
                       uint64_t namespace_id,
                       const char *folder,
                       WorkspaceDoneFn done,
                       void *userdata);
/* Brings the folder to the tree, and makes it if only the folder itself is missing. Only what
 * differs is written, each file by write-temp-and-rename; files that are not in the tree and not
 * ignored/skipped are removed. An intent file DATA/workspaces/restore-HASH (folder, tree) is
 * written first and removed last, so that workspace_recover() can finish an interrupted restore. */
int workspace_restore(WorkspaceManager *m,
                      uint64_t namespace_id,
                      const char *folder,
                      const uint8_t tree[static WORKSPACE_TREE_SIZE],
                      WorkspaceDoneFn done,
                      void *userdata);
/* The same into a folder that is empty or does not exist yet (fork). -ENOTEMPTY. The intent file
 * stays, so that whoever dies before he has said whose folder it is leaves no files in it: then
 * call workspace_settle(), or workspace_take_back() if it is nobody's. */
int workspace_materialize(WorkspaceManager *m,
                          uint64_t namespace_id,
                          const char *folder,
                          const uint8_t tree[static WORKSPACE_TREE_SIZE],
                          WorkspaceDoneFn done,
                          void *userdata);
int workspace_settle(WorkspaceManager *m,
                     uint64_t namespace_id,
                     const char *folder,
                     WorkspaceDoneFn done,
                     void *userdata);
/* Removes what workspace_materialize() wrote. */
int workspace_take_back(WorkspaceManager *m,
                        uint64_t namespace_id,
                        const char *folder,
                        WorkspaceDoneFn done,
                        void *userdata);
/* Removes from the namespace's repository what none of the trees reaches, so that deleting a
 * session deletes its files. The trees must be all that anybody will ask for again, those of
 * operations that are done but not committed included. -EBUSY: an operation of the namespace is
 * under way; operations asked for meanwhile wait. result: changed is the number of objects removed.
 * If a tree is missing or damaged nothing is removed. */
int workspace_collect(WorkspaceManager *m,
                      uint64_t namespace_id,
                      const uint8_t (*trees)[WORKSPACE_TREE_SIZE],
                      size_t n_trees,
                      WorkspaceDoneFn done,
                      void *userdata);

/* ---- differences ---- */

typedef enum WorkspaceChangeKind {
        WORKSPACE_ADDED,
        WORKSPACE_REMOVED,
        WORKSPACE_MODIFIED, /* its bytes, its permissions, or file and link exchanged */
        _WORKSPACE_CHANGE_KIND_MAX,
} WorkspaceChangeKind;

typedef struct WorkspaceSide {
        bool exists, is_link;
        unsigned mode; /* permissions */
        uint64_t size_bytes;
} WorkspaceSide;

typedef struct WorkspaceChange {
        char *path; /* relative; any bytes but NUL */
        WorkspaceChangeKind kind;
        WorkspaceSide from, to;
        char *patch; /* unified, valid UTF-8; NULL: not asked for, no text, too large, or the bytes are equal */
} WorkspaceChange;

typedef struct WorkspaceDiff {
        /* the question: two trees, and which of the changes are listed */
        uint8_t from[WORKSPACE_TREE_SIZE], to[WORKSPACE_TREE_SIZE];
        size_t skip, limit;
        bool with_patches;
        /* the answer: all are counted; `unknown` are files that one of the two left out (too large,
         * ignored, unreadable), so that nobody knows. In the order of paths. */
        uint64_t added, removed, modified, unknown;
        WorkspaceChange *changes;
        size_t n_changes;
} WorkspaceDiff;
void workspace_diff_done(WorkspaceDiff *d);
/* Compares files and links of two trees of the namespace, in the pool. *d is the caller's and must
 * live until done. -ENOENT: no such tree. */
int workspace_diff(WorkspaceManager *m,
                   uint64_t namespace_id,
                   WorkspaceDiff *d,
                   WorkspaceDoneFn done,
                   void *userdata);
/* The same with a list that is made in the pool, when no operation is under way and none can
 * begin: what gather() adds counts beside the trees. gather() runs in a pool thread; a negative
 * errno of it ends the collection. -ENOENT: the namespace has no repository. done: -EBUSY while a
 * note of an unfinished restore is there. */
typedef int (*WorkspaceAddFn)(const uint8_t tree[static WORKSPACE_TREE_SIZE], void *list);
typedef int (*WorkspaceGatherFn)(WorkspaceAddFn add, void *list, void *userdata);
typedef struct WorkspaceLiving {
        const uint8_t (*trees)[WORKSPACE_TREE_SIZE];
        size_t n_trees;
        WorkspaceGatherFn gather; /* NULL: there are no others */
        void *userdata;           /* of gather; lives until done */
} WorkspaceLiving;
int workspace_collect_living(WorkspaceManager *m,
                             uint64_t namespace_id,
                             const WorkspaceLiving *living,
                             WorkspaceDoneFn done,
                             void *userdata);
/* Whether what a note says is still to be done: making the folder like the tree; NULL: emptying a
 * folder that nobody got in the end. */
typedef bool (*WorkspacePendingFn)(uint64_t namespace_id,
                                   const char *folder,
                                   const uint8_t *tree,
                                   void *userdata);
/* Finishes interrupted restores; blocking, at start, before anything runs. A note that is not
 * pending is removed and not followed. *ret_n: how many were finished. An error of one does not
 * keep it from the others. */
int workspace_recover(WorkspaceManager *m,
                      WorkspacePendingFn is_pending,
                      void *userdata,
                      unsigned *ret_n);
