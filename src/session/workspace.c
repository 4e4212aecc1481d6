/* SPDX-License-Identifier: MIT */

/* Who may do what when: the manager turns calls on the loop thread into jobs (workspace-job.c) for
 * a pool of its own, keyed by folder, so that operations on one workspace never overlap and
 * different ones do. The work itself is in workspace-operation.c and blocks.
 *
 * A repository serves all workspaces of a namespace at once; only tidying (merging packs) and
 * collecting garbage need it alone. Operations hold a read lock, and the operation that added
 * something tries for the write lock when it is finished: tidying waits for nobody and nobody waits
 * for it to begin. A collection is refused while operations are under way, because what they found
 * in the store may be garbage by the caller's list; those asked for meanwhile are held back until
 * it is done.
 *
 * Rejected: a process per snapshot (the daemon starts none), one repository per session (forks
 * would share nothing). */

#include "session/workspace.h"

#include <sodium.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/workspace-manager-internal.h"

#define THREADS_MAX   2
#define FILE_SIZE_MAX ((uint64_t) 64 << 20)

static_assert(WORKSPACE_TREE_SIZE == WORKSPACE_OID_SIZE, "a tree is named by its id");

static WorkspaceRepository *repository_free(WorkspaceRepository *r) {
        if (!r)
                return NULL;
        list_remove(&r->link);
        (void) pthread_rwlock_destroy(&r->lock);
        assert(list_is_empty(&r->held));
        free(r->path);
        free(r);
        return NULL;
}

int workspace_manager_new(WorkspaceManager **ret,
                          sd_event *event,
                          const char *data_dir,
                          const char *module_path,
                          uint64_t file_size_max) {
        _cleanup_free_ char *cache = NULL;

        if (sodium_init() < 0)
                return -EIO;
        _cleanup_(workspace_manager_freep) WorkspaceManager *m = calloc(1, sizeof(WorkspaceManager));
        if (!m)
                return -ENOMEM;
        m->magic = WORKSPACE_MANAGER_MAGIC;
        m->file_size_max = file_size_max > 0 ? file_size_max : FILE_SIZE_MAX;
        list_init(&m->repositories);
        (void) pthread_mutex_init(&m->module_lock, NULL);
        m->data_dir = strdup(data_dir);
        m->dir = path_join(data_dir, "workspaces");
        m->module_path = module_path ? strdup(module_path) : NULL;
        cache = m->dir ? path_join(m->dir, "cache") : NULL;
        if (!cache || !m->data_dir || (module_path && !m->module_path))
                return -ENOMEM;
        int r = fs_mkdir_p(cache, 0700);
        if (r >= 0)
                r = fs_sync_folder(m->data_dir);
        if (r >= 0)
                r = pool_new(&m->pool, event, THREADS_MAX, WORKSPACE_JOBS_MAX);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

void workspace_manager_set_file_max(WorkspaceManager *m, uint64_t bytes) {
        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        m->file_size_max = bytes > 0 ? bytes : FILE_SIZE_MAX;
}

WorkspaceManager *workspace_manager_free(WorkspaceManager *m) {
        if (!m)
                return NULL;
        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        m->pool = pool_free(m->pool);
        LIST_FOREACH(l, &m->repositories)
                (void) repository_free(LIST_ENTRY(l, WorkspaceRepository, link));
        if (m->module)
                m->module->stop();
        (void) pthread_mutex_destroy(&m->module_lock);
        free(m->module_path);
        free(m->dir);
        free(m->data_dir);
        m->magic = 0;
        free(m);
        return NULL;
}

int workspace_repository_get(WorkspaceManager *m, uint64_t namespace_id, WorkspaceRepository **ret) {
        LIST_FOREACH(l, &m->repositories) {
                WorkspaceRepository *r = LIST_ENTRY(l, WorkspaceRepository, link);
                if (r->namespace_id == namespace_id) {
                        *ret = r;
                        return 0;
                }
        }
        WorkspaceRepository *r = calloc(1, sizeof(WorkspaceRepository));
        if (!r)
                return -ENOMEM;
        r->namespace_id = namespace_id;
        list_init(&r->held);
        (void) pthread_rwlock_init(&r->lock, NULL);
        r->path = str_printf("%s/%016llx.git", m->dir, (unsigned long long) namespace_id);
        if (!r->path) {
                (void) repository_free(r);
                return -ENOMEM;
        }
        list_append(&m->repositories, &r->link);
        *ret = r;
        return 0;
}

int workspace_manager_module(WorkspaceManager *m,
                             const WorkspaceModule **ret,
                             char *error,
                             size_t error_size) {
        int r = 0;

        (void) pthread_mutex_lock(&m->module_lock);
        if (!m->module) {
                const WorkspaceModule *module = NULL;
                r = workspace_module_load(m->module_path, &module, error, error_size);
                if (r >= 0)
                        r = module->start();
                if (r >= 0)
                        m->module = module;
        }
        *ret = m->module;
        (void) pthread_mutex_unlock(&m->module_lock);
        return r;
}

/* ---- calls ---- */

static int submit(WorkspaceManager *m,
                  uint64_t namespace_id,
                  const char *folder,
                  WorkspaceOperationFn run,
                  const uint8_t *target,
                  WorkspaceDoneFn done,
                  void *userdata) {
        _cleanup_(workspace_job_freep) WorkspaceJob *j = NULL;

        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        int r = workspace_job_new(&j, m, namespace_id, folder);
        if (r < 0)
                return r;
        j->run = run;
        j->done = done;
        j->userdata = userdata;
        if (target)
                memcpy(j->target, target, WORKSPACE_OID_SIZE);
        r = workspace_job_submit(j);
        if (r >= 0)
                j = NULL;
        return r;
}

static int run_snapshot(WorkspaceOperation *o, const uint8_t target[static WORKSPACE_OID_SIZE]) {
        return workspace_operation_snapshot(o);
}

int workspace_snapshot(WorkspaceManager *m,
                       uint64_t namespace_id,
                       const char *folder,
                       WorkspaceDoneFn done,
                       void *userdata) {
        return submit(m, namespace_id, folder, run_snapshot, NULL, done, userdata);
}

int workspace_restore(WorkspaceManager *m,
                      uint64_t namespace_id,
                      const char *folder,
                      const uint8_t tree[static WORKSPACE_TREE_SIZE],
                      WorkspaceDoneFn done,
                      void *userdata) {
        return submit(m, namespace_id, folder, workspace_operation_restore, tree, done, userdata);
}

static int run_materialize(WorkspaceOperation *o, const uint8_t target[static WORKSPACE_OID_SIZE]) {
        o->keeps_note = true;
        return workspace_operation_materialize(o, target);
}

int workspace_materialize(WorkspaceManager *m,
                          uint64_t namespace_id,
                          const char *folder,
                          const uint8_t tree[static WORKSPACE_TREE_SIZE],
                          WorkspaceDoneFn done,
                          void *userdata) {
        return submit(m, namespace_id, folder, run_materialize, tree, done, userdata);
}

static int run_settle(WorkspaceOperation *o, const uint8_t target[static WORKSPACE_OID_SIZE]) {
        return workspace_operation_settle(o);
}

int workspace_settle(WorkspaceManager *m,
                     uint64_t namespace_id,
                     const char *folder,
                     WorkspaceDoneFn done,
                     void *userdata) {
        return submit(m, namespace_id, folder, run_settle, NULL, done, userdata);
}

static int run_take_back(WorkspaceOperation *o, const uint8_t target[static WORKSPACE_OID_SIZE]) {
        return workspace_operation_take_back(o);
}

int workspace_take_back(WorkspaceManager *m,
                        uint64_t namespace_id,
                        const char *folder,
                        WorkspaceDoneFn done,
                        void *userdata) {
        return submit(m, namespace_id, folder, run_take_back, NULL, done, userdata);
}

static int run_diff(WorkspaceOperation *o, const uint8_t target[static WORKSPACE_OID_SIZE]) {
        return workspace_operation_diff(o);
}

int workspace_diff(WorkspaceManager *m,
                   uint64_t namespace_id,
                   WorkspaceDiff *d,
                   WorkspaceDoneFn done,
                   void *userdata) {
        _cleanup_(workspace_job_freep) WorkspaceJob *j = NULL;

        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        int r = workspace_job_new(&j, m, namespace_id, NULL);
        if (r < 0)
                return r;
        j->run = run_diff;
        j->operation.diff = d;
        j->done = done;
        j->userdata = userdata;
        r = workspace_job_submit(j);
        if (r >= 0)
                j = NULL;
        return r;
}

int workspace_collect_living(WorkspaceManager *m,
                             uint64_t namespace_id,
                             const WorkspaceLiving *living,
                             WorkspaceDoneFn done,
                             void *userdata) {
        _cleanup_(workspace_job_freep) WorkspaceJob *j = NULL;

        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        int r = workspace_job_new(&j, m, namespace_id, NULL);
        if (r < 0)
                return r;
        if (access(j->repository->path, F_OK) < 0)
                return errno_neg();
        if (j->repository->n_active > 0 || j->repository->is_collecting)
                return -EBUSY;
        j->cap_trees = living->n_trees + 1;
        j->trees = calloc(j->cap_trees, sizeof(*j->trees));
        if (!j->trees)
                return -ENOMEM;
        if (living->n_trees > 0)
                memcpy(j->trees, living->trees, living->n_trees * sizeof(*j->trees));
        j->n_trees = living->n_trees;
        j->gather = living->gather;
        j->gather_userdata = living->userdata;
        j->done = done;
        j->userdata = userdata;
        r = workspace_job_submit(j);
        if (r >= 0)
                j = NULL;
        return r;
}

int workspace_collect(WorkspaceManager *m,
                      uint64_t namespace_id,
                      const uint8_t (*trees)[WORKSPACE_TREE_SIZE],
                      size_t n_trees,
                      WorkspaceDoneFn done,
                      void *userdata) {
        WorkspaceLiving living = { .trees = trees, .n_trees = n_trees };

        return workspace_collect_living(m, namespace_id, &living, done, userdata);
}
