/* SPDX-License-Identifier: MIT */
#pragma once

/* What the module agentd-workspace.so offers to the daemon: a store of git objects, and nothing of
 * git's ideas above that. The module exports one symbol, `workspace_module`, of this type.
 *
 * Object ids are 20 bytes of SHA-1 as git computes them; trees are git's raw tree format, made and
 * read by the daemon. Functions return 0 or a negative errno; error_text() then says more, for the
 * calling thread. A store belongs to one thread at a time; several stores may be open for one
 * repository, also in several threads, but tidy() and collect() need the repository for themselves. */

#include "base/macro.h"

#define WORKSPACE_MODULE_VERSION 2
#define WORKSPACE_MODULE_SYMBOL  "workspace_module"
#define WORKSPACE_OID_SIZE       20

typedef enum WorkspaceObject {
        WORKSPACE_OBJECT_BLOB,
        WORKSPACE_OBJECT_TREE,
        _WORKSPACE_OBJECT_MAX,
} WorkspaceObject;

typedef struct WorkspaceStore WorkspaceStore;
typedef struct WorkspaceStream WorkspaceStream;

typedef struct WorkspaceModule {
        unsigned version;

        /* Calls are counted; stop() when no store is open any more. */
        int (*start)(void);
        void (*stop)(void);
        /* Static text or the last error of this thread; valid until its next call. Never NULL. */
        const char *(*error_text)(void);

        /* Makes the bare repository at path (its parent must exist) if it is not there. */
        int (*open)(WorkspaceStore **ret, const char *path);
        /* What was written and not flushed is forgotten. NULL is fine; returns NULL. */
        WorkspaceStore *(*close)(WorkspaceStore *s);

        bool (*has)(WorkspaceStore *s, const uint8_t oid[static WORKSPACE_OID_SIZE]);
        /* Keeps the object until flush(); nothing happens if the store has it. */
        int (*write)(WorkspaceStore *s,
                     WorkspaceObject kind,
                     const void *data,
                     size_t n,
                     uint8_t ret_oid[static WORKSPACE_OID_SIZE]);
        /* A blob of exactly size bytes in pieces, for what should not be in memory as a whole. finish()
         * and drop() free the stream; finish() fails with -EINVAL when bytes are missing. */
        int (*stream_new)(WorkspaceStore *s, uint64_t size_bytes, WorkspaceStream **ret);
        int (*stream_write)(WorkspaceStream *w, const void *data, size_t n);
        int (*stream_finish)(WorkspaceStream *w, uint8_t ret_oid[static WORKSPACE_OID_SIZE]);
        WorkspaceStream *(*stream_drop)(WorkspaceStream *w);
        /* After 0 all that was written survives a power cut. ret_n: objects written since opening. */
        int (*flush)(WorkspaceStore *s, uint64_t *ret_n);

        /* Whole object into fresh memory, NUL-terminated behind n; its hash is checked. -ENOENT. */
        int (*read)(WorkspaceStore *s,
                    WorkspaceObject kind,
                    const uint8_t oid[static WORKSPACE_OID_SIZE],
                    char **ret,
                    size_t *ret_n);

        /* Bytes of an object, without reading it. -ENOENT. */
        int (*size)(WorkspaceStore *s,
                    const uint8_t oid[static WORKSPACE_OID_SIZE],
                    uint64_t *ret_bytes);
        /* Two texts as a unified diff of that path, in fresh memory. NULL: there is no file on that
         * side. */
        int (*patch)(const char *path,
                     const char *from,
                     size_t n_from,
                     const char *to,
                     size_t n_to,
                     char **ret);

        /* Merges small packs when there are many, and removes what crashes left behind. */
        int (*tidy)(WorkspaceStore *s);
        /* Removes the objects that none of the trees reaches; ret_n: how many. Nothing is removed
         * if a tree is missing or damaged. Needs the repository for itself, like tidy(). */
        int (*collect)(WorkspaceStore *s,
                       const uint8_t (*trees)[WORKSPACE_OID_SIZE],
                       size_t n_trees,
                       uint64_t *ret_n);
} WorkspaceModule;
