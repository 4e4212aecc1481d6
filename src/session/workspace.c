/* SPDX-License-Identifier: MIT */

/* Who may do what when: the manager turns calls on the loop thread into jobs for a pool of its own,
 * keyed by folder, so that operations on one workspace never overlap and different ones do. The
 * work itself is in workspace-operation.c and blocks.
 *
 * A repository serves all workspaces of a namespace at once; only tidying (merging packs) needs it
 * alone. So operations hold a read lock, and the operation that added something tries for the write
 * lock when it is finished: tidying waits for nobody and nobody waits for it to begin.
 *
 * Rejected: a process per snapshot (the daemon starts none), one repository per session (forks
 * would share nothing). */

#include "session/workspace.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/list.h"
#include "base/log.h"
#include "base/obj.h"
#include "base/pool.h"
#include "base/str.h"
#include "session/workspace-internal.h"

#define MANAGER_MAGIC UINT32_C(0x57734d67)
#define JOB_MAGIC     UINT32_C(0x57734a62)
#define THREADS_MAX   2
#define JOBS_MAX      4096
#define FILE_SIZE_MAX ((uint64_t) 64 << 20)
#define INTENT_PREFIX "restore-"
#define HASH_SIZE     16

static_assert(WORKSPACE_TREE_SIZE == WORKSPACE_OID_SIZE, "a tree is named by its id");

typedef struct Repository {
        ListLink link;
        uint64_t namespace_id;
        char *path;
        pthread_rwlock_t lock;
} Repository;

struct WorkspaceManager {
        uint32_t magic;
        char *dir; /* DATA/workspaces */
        char *module_path;
        uint64_t file_size_max;
        Pool *pool;
        ListLink repositories; /* loop thread */
        pthread_mutex_t module_lock;
        const WorkspaceModule *module; /* NULL until loaded */
};

typedef int (*OperationFn)(WorkspaceOperation *o, const uint8_t target[static WORKSPACE_OID_SIZE]);

typedef struct Job {
        uint32_t magic;
        WorkspaceManager *manager;
        Repository *repository;
        OperationFn run;
        WorkspaceOperation operation;
        uint8_t target[WORKSPACE_OID_SIZE];
        uint64_t key;
        char *folder, *cache_path, *intent_path, *temporary;
        int r;
        WorkspaceDoneFn done;
        void *userdata;
} Job;

static Repository *repository_free(Repository *r) {
        if (!r)
                return NULL;
        list_remove(&r->link);
        (void) pthread_rwlock_destroy(&r->lock);
        free(r->path);
        free(r);
        return NULL;
}

static Job *job_free(Job *j) {
        if (!j)
                return NULL;
        free(j->folder);
        free(j->cache_path);
        free(j->intent_path);
        free(j->temporary);
        free(j);
        return NULL;
}
DEFINE_CLEANUP(Job *, job_free);

/* ---- manager ---- */

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
        m->magic = MANAGER_MAGIC;
        m->file_size_max = file_size_max > 0 ? file_size_max : FILE_SIZE_MAX;
        list_init(&m->repositories);
        (void) pthread_mutex_init(&m->module_lock, NULL);
        m->dir = path_join(data_dir, "workspaces");
        m->module_path = module_path ? strdup(module_path) : NULL;
        cache = m->dir ? path_join(m->dir, "cache") : NULL;
        if (!cache || (module_path && !m->module_path))
                return -ENOMEM;
        int r = fs_mkdir_p(cache, 0700);
        if (r >= 0)
                r = pool_new(&m->pool, event, THREADS_MAX, JOBS_MAX);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

WorkspaceManager *workspace_manager_free(WorkspaceManager *m) {
        if (!m)
                return NULL;
        OBJ_CHECK(m, MANAGER_MAGIC);
        m->pool = pool_free(m->pool);
        LIST_FOREACH(l, &m->repositories)
                (void) repository_free(LIST_ENTRY(l, Repository, link));
        if (m->module)
                m->module->stop();
        (void) pthread_mutex_destroy(&m->module_lock);
        free(m->module_path);
        free(m->dir);
        m->magic = 0;
        free(m);
        return NULL;
}

static int find_repository(WorkspaceManager *m, uint64_t namespace_id, Repository **ret) {
        LIST_FOREACH(l, &m->repositories) {
                Repository *r = LIST_ENTRY(l, Repository, link);
                if (r->namespace_id == namespace_id) {
                        *ret = r;
                        return 0;
                }
        }
        Repository *r = calloc(1, sizeof(Repository));
        if (!r)
                return -ENOMEM;
        r->namespace_id = namespace_id;
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

/* From pool threads; the first one loads. */
static int get_module(WorkspaceManager *m, const WorkspaceModule **ret, char *error, size_t error_size) {
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

/* ---- jobs ---- */

static void explain_failure(Job *j) {
        const WorkspaceOperation *o = &j->operation;
        char *message = j->operation.result.message;
        size_t size = sizeof(j->operation.result.message);
        const char *details = "";

        if (j->r == -EIO || j->r == -EBADMSG)
                details = o->module->error_text();
        (void) snprintf(message, size, "%s of %.100s: %s%s%s", o->step ? o->step : "preparing",
                        j->folder, strerror(-j->r), *details != '\0' ? ": " : "", details);
}

/* For one who held the read lock and gave it back: nobody else may be in the repository. */
static void tidy(const Job *j) {
        WorkspaceStore *store;

        if (pthread_rwlock_trywrlock(&j->repository->lock) != 0)
                return;
        int r = j->operation.module->open(&store, j->repository->path);
        if (r >= 0) {
                r = j->operation.module->tidy(store);
                (void) j->operation.module->close(store);
        }
        (void) pthread_rwlock_unlock(&j->repository->lock);
        if (r < 0)
                log_debug("Tidying %s: %s", j->repository->path, strerror(-r));
}

static void job_work(void *userdata) {
        Job *j = OBJ_CAST(Job, userdata, JOB_MAGIC);
        WorkspaceOperation *o = &j->operation;

        j->r = get_module(j->manager, &o->module, o->result.message, sizeof(o->result.message));
        if (j->r < 0)
                return;
        o->result.message[0] = '\0';
        (void) pthread_rwlock_rdlock(&j->repository->lock);
        j->r = j->run(o, j->target);
        (void) pthread_rwlock_unlock(&j->repository->lock);
        if (j->r < 0)
                explain_failure(j);
        if (o->store_grew)
                tidy(j);
}

static void job_done(void *userdata) {
        _cleanup_(job_freep) Job *j = OBJ_CAST(Job, userdata, JOB_MAGIC);

        j->done(j->r, &j->operation.result, j->userdata);
}

static void hash_folder(uint64_t namespace_id, const char *folder, uint8_t hash[static HASH_SIZE]) {
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
        (void) crypto_generichash_update(&state, (const uint8_t *) &namespace_id,
                                         sizeof(namespace_id));
        (void) crypto_generichash_update(&state, (const uint8_t *) folder, strlen(folder));
        (void) crypto_generichash_final(&state, hash, HASH_SIZE);
}

static int name_files(Job *j, const WorkspaceManager *m, const char *folder) {
        uint8_t hash[HASH_SIZE];
        char hex[2 * HASH_SIZE + 1];
        int r = path_absolute(folder, &j->folder);

        if (r < 0)
                return r;
        /* the key leaves the namespace out: one folder is one folder, whoever asks */
        hash_folder(0, j->folder, hash);
        memcpy(&j->key, hash, sizeof(j->key));
        j->key |= 1;
        hash_folder(j->repository->namespace_id, j->folder, hash);
        hex_encode(hash, sizeof(hash), hex);
        j->cache_path = str_printf("%s/cache/%s", m->dir, hex);
        j->intent_path = str_printf("%s/" INTENT_PREFIX "%s", m->dir, hex);
        j->temporary = str_printf(WORKSPACE_TEMPORARY "%s", hex);
        return j->cache_path && j->intent_path && j->temporary ? 0 : -ENOMEM;
}

static int job_new(Job **ret, WorkspaceManager *m, uint64_t namespace_id, const char *folder) {
        _cleanup_(job_freep) Job *j = calloc(1, sizeof(Job));

        if (!j)
                return -ENOMEM;
        j->magic = JOB_MAGIC;
        j->manager = m;
        int r = find_repository(m, namespace_id, &j->repository);
        if (r >= 0)
                r = name_files(j, m, folder);
        if (r < 0)
                return r;
        j->operation = (WorkspaceOperation){
                .namespace_id = namespace_id,
                .repository = j->repository->path,
                .folder = j->folder,
                .cache_path = j->cache_path,
                .intent_path = j->intent_path,
                .temporary = j->temporary,
                .file_size_max = m->file_size_max,
        };
        *ret = TAKE_PTR(j);
        return 0;
}

static int submit(WorkspaceManager *m,
                  uint64_t namespace_id,
                  const char *folder,
                  OperationFn run,
                  const uint8_t *target,
                  WorkspaceDoneFn done,
                  void *userdata) {
        _cleanup_(job_freep) Job *j = NULL;

        OBJ_CHECK(m, MANAGER_MAGIC);
        int r = job_new(&j, m, namespace_id, folder);
        if (r < 0)
                return r;
        j->run = run;
        j->done = done;
        j->userdata = userdata;
        if (target)
                memcpy(j->target, target, WORKSPACE_OID_SIZE);
        r = pool_submit(m->pool, j->key, job_work, job_done, j);
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

int workspace_materialize(WorkspaceManager *m,
                          uint64_t namespace_id,
                          const char *folder,
                          const uint8_t tree[static WORKSPACE_TREE_SIZE],
                          WorkspaceDoneFn done,
                          void *userdata) {
        return submit(m, namespace_id, folder, workspace_operation_materialize, tree, done, userdata);
}

/* ---- recovery ---- */

static int recover_one(WorkspaceManager *m, const char *path) {
        _cleanup_(workspace_intent_done) WorkspaceIntent intent = {};
        _cleanup_(job_freep) Job *j = NULL;
        int r = workspace_intent_read(path, &intent);

        if (r < 0)
                return log_warning(r, "Note of an interrupted restore %s is unreadable", path);
        r = job_new(&j, m, intent.namespace_id, intent.folder);
        if (r < 0)
                return r;
        r = get_module(m, &j->operation.module, j->operation.result.message,
                       sizeof(j->operation.result.message));
        if (r < 0)
                return log_warning(r, "%s", j->operation.result.message);
        r = workspace_operation_recover(&j->operation, &intent);
        if (r >= 0)
                return r;
        j->r = r;
        explain_failure(j);
        (void) log_warning(0, "Interrupted restore: %s", j->operation.result.message);
        return r;
}

int workspace_recover(WorkspaceManager *m, unsigned *ret_n) {
        DIR *dir = opendir(m->dir);
        unsigned n = 0;
        int error = 0;

        OBJ_CHECK(m, MANAGER_MAGIC);
        if (!dir)
                return errno_neg();
        for (const struct dirent *e; (e = readdir(dir));) {
                if (!str_startswith(e->d_name, INTENT_PREFIX))
                        continue;
                _cleanup_free_ char *path = path_join(m->dir, e->d_name);
                int r = path ? recover_one(m, path) : -ENOMEM;
                n += r == 0;
                if (r < 0 && error == 0)
                        error = r;
        }
        (void) closedir(dir);
        *ret_n = n;
        return error;
}
