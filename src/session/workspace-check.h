/* SPDX-License-Identifier: MIT */
#pragma once

/* Is everything there that a recorded workspace needs, and is it what its hash says? For fsck:
 * reads what is stored and changes nothing; what several trees share is read once. */

#include "base/macro.h"

#define WORKSPACE_TREE_SIZE 20

typedef enum WorkspaceFault {
        WORKSPACE_SOUND,
        WORKSPACE_GONE,    /* the tree itself is not there, or not what its hash says */
        WORKSPACE_DAMAGED, /* something in it */
} WorkspaceFault;

typedef struct WorkspaceCheck WorkspaceCheck;

/* data_dir: the daemon's. -ENOENT and the like when the module is not installed, with a sentence in
 * *ret_message. */
int workspace_check_new(WorkspaceCheck **ret, const char *data_dir, char **ret_message);
WorkspaceCheck *workspace_check_free(WorkspaceCheck *c);
DEFINE_CLEANUP(WorkspaceCheck *, workspace_check_free);
/* A WorkspaceFault, or negative errno. again: forgets what was found so far in that namespace. */
int workspace_check_tree(WorkspaceCheck *c,
                         uint64_t namespace_id,
                         const uint8_t tree[static WORKSPACE_TREE_SIZE],
                         bool again);
