/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to workspace.c, workspace-job.c and workspace-recover.c: the manager and its jobs. */

#include <pthread.h>

#include "base/list.h"
#include "base/obj.h"
#include "base/pool.h"
#include "session/workspace-internal.h"

#define WORKSPACE_MANAGER_MAGIC UINT32_C(0x57734d67)
#define WORKSPACE_JOBS_MAX      4096
#define WORKSPACE_INTENT_PREFIX "restore-"

typedef struct WorkspaceRepository {
        ListLink link;
        uint64_t namespace_id;
        char *path;
        pthread_rwlock_t lock; /* shared: operations; alone: tidying and collecting */
        /* loop thread: */
        size_t n_active; /* jobs in the pool */
        size_t n_held;
        ListLink held; /* jobs that wait for a collection */
        bool is_collecting;
} WorkspaceRepository;

struct WorkspaceManager {
        uint32_t magic;
        char *data_dir;
        char *dir; /* DATA/workspaces */
        char *module_path;
        uint64_t file_size_max;
        Pool *pool;
        ListLink repositories; /* loop thread */
        pthread_mutex_t module_lock;
        const WorkspaceModule *module; /* NULL until loaded */
};

typedef int (*WorkspaceOperationFn)(WorkspaceOperation *o,
                                    const uint8_t target[static WORKSPACE_OID_SIZE]);

typedef struct WorkspaceJob {
        uint32_t magic;
        ListLink link; /* in held */
        WorkspaceManager *manager;
        WorkspaceRepository *repository;
        WorkspaceOperationFn run; /* NULL: a collection */
        WorkspaceOperation operation;
        uint8_t target[WORKSPACE_OID_SIZE];
        uint8_t (*trees)[WORKSPACE_OID_SIZE]; /* of a collection */
        size_t n_trees, cap_trees;
        WorkspaceGatherFn gather;
        void *gather_userdata;
        uint64_t key;
        char *folder, *cache_path, *intent_path, *temporary;
        int r;
        WorkspaceDoneFn done;
        void *userdata;
} WorkspaceJob;

/* The repository of a namespace; made known if it is new. */
int workspace_repository_get(WorkspaceManager *m, uint64_t namespace_id, WorkspaceRepository **ret);
/* Loads the module at the first call; from any thread. error: text for people. */
int workspace_manager_module(WorkspaceManager *m,
                             const WorkspaceModule **ret,
                             char *error,
                             size_t error_size);

/* A job for a folder (NULL: for a repository), with all its paths. */
int workspace_job_new(WorkspaceJob **ret,
                      WorkspaceManager *m,
                      uint64_t namespace_id,
                      const char *folder);
WorkspaceJob *workspace_job_free(WorkspaceJob *j);
DEFINE_CLEANUP(WorkspaceJob *, workspace_job_free);
/* Takes j over if it returns 0; held back while the repository is collecting. */
int workspace_job_submit(WorkspaceJob *j);
/* Makes a message out of j->r. */
void workspace_job_explain(WorkspaceJob *j);
