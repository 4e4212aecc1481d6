/* SPDX-License-Identifier: MIT */

/* One operation from its call to its done(): what it needs, in which order it may run, and what is
 * said when it fails. The loop thread makes jobs and ends them; a pool thread works on them in
 * between and touches nothing else of the manager but the module and the repository's lock. */

#include <dirent.h>
#include <sodium.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "session/workspace-manager-internal.h"

#define JOB_MAGIC UINT32_C(0x57734a62)
#define HASH_SIZE 16

WorkspaceJob *workspace_job_free(WorkspaceJob *j) {
        if (!j)
                return NULL;
        free(j->trees);
        free(j->folder);
        free(j->cache_path);
        free(j->intent_path);
        free(j->temporary);
        free(j);
        return NULL;
}

void workspace_job_explain(WorkspaceJob *j) {
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
static void tidy(const WorkspaceJob *j) {
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

static int add_living(const uint8_t tree[static WORKSPACE_TREE_SIZE], void *list) {
        WorkspaceJob *j = list;

        if (j->n_trees == j->cap_trees) {
                size_t cap = 2 * j->cap_trees + 64;
                void *grown = reallocarray(j->trees, cap, sizeof(*j->trees));
                if (!grown)
                        return -ENOMEM;
                j->trees = grown;
                j->cap_trees = cap;
        }
        memcpy(j->trees[j->n_trees++], tree, WORKSPACE_TREE_SIZE);
        return 0;
}

/* What an unfinished restore needs is named in its note only. */
static int check_notes(const WorkspaceJob *j) {
        _cleanup_(dir_closep) DIR *dir = opendir(j->manager->dir);
        int r = 0;

        if (!dir)
                return errno_neg();
        for (const struct dirent *e; r == 0 && (e = readdir(dir));)
                if (str_startswith(e->d_name, WORKSPACE_INTENT_PREFIX))
                        r = -EBUSY;
        return r;
}

static int collect(WorkspaceJob *j) {
        WorkspaceOperation *o = &j->operation;
        WorkspaceStore *store = NULL;

        o->step = "collecting garbage";
        (void) pthread_rwlock_wrlock(&j->repository->lock);
        int r = j->gather ? check_notes(j) : 0;
        if (r >= 0 && j->gather)
                r = j->gather(add_living, j, j->gather_userdata);
        if (r >= 0)
                r = o->module->open(&store, j->repository->path);
        if (r >= 0) {
                r = o->module->collect(store, j->trees, j->n_trees, &o->result.changed);
                (void) o->module->close(store);
        }
        (void) pthread_rwlock_unlock(&j->repository->lock);
        return r;
}

static int operate(WorkspaceJob *j) {
        (void) pthread_rwlock_rdlock(&j->repository->lock);
        int r = j->run(&j->operation, j->target);
        (void) pthread_rwlock_unlock(&j->repository->lock);
        return r;
}

static void job_work(void *userdata) {
        WorkspaceJob *j = OBJ_CAST(WorkspaceJob, userdata, JOB_MAGIC);
        WorkspaceOperation *o = &j->operation;

        j->r = workspace_manager_module(j->manager, &o->module, o->result.message,
                                        sizeof(o->result.message));
        if (j->r < 0)
                return;
        o->result.message[0] = '\0';
        j->r = j->run ? operate(j) : collect(j);
        if (j->r < 0)
                workspace_job_explain(j);
        if (o->store_grew)
                tidy(j);
}

static void job_done(void *userdata);

static int hand_to_pool(WorkspaceJob *j) {
        int r = pool_submit(j->manager->pool, j->key, job_work, job_done, j);

        if (r < 0)
                return r;
        j->repository->n_active++;
        j->repository->is_collecting |= !j->run;
        return 0;
}

static void release_held(WorkspaceRepository *repository) {
        LIST_FOREACH(l, &repository->held) {
                WorkspaceJob *j = LIST_ENTRY(l, WorkspaceJob, link);
                list_remove(l);
                repository->n_held--;
                int r = hand_to_pool(j); /* from here on the job is the pool's, its result too */
                if (r >= 0)
                        continue;
                (void) snprintf(j->operation.result.message, sizeof(j->operation.result.message),
                                "%s", strerror(-r));
                j->done(r, &j->operation.result, j->userdata);
                (void) workspace_job_free(j);
        }
}

/* Whoever asked may have nobody to tell: a checkpoint that the clock wanted, a restore that goes on
 * after a restart. So it stands in the log in any case. */
static void say(const WorkspaceJob *j) {
        const char *message = j->operation.result.message;

        if (j->r < 0 && j->r != -EBUSY)
                (void) log_warning(0, "Workspace: %s", *message ? message : strerror(-j->r));
        else if (j->r >= 0 && j->run && *message)
                log_info("Workspace %s: %s", j->folder, message);
}

static void job_done(void *userdata) {
        _cleanup_(workspace_job_freep) WorkspaceJob *j = OBJ_CAST(WorkspaceJob, userdata, JOB_MAGIC);

        say(j);
        j->repository->n_active--;
        if (!j->run) {
                j->repository->is_collecting = false;
                release_held(j->repository);
        }
        j->done(j->r, &j->operation.result, j->userdata);
}

int workspace_job_submit(WorkspaceJob *j) {
        if (!j->repository->is_collecting)
                return hand_to_pool(j);
        if (j->repository->n_held == WORKSPACE_JOBS_MAX)
                return -EAGAIN;
        list_append(&j->repository->held, &j->link);
        j->repository->n_held++;
        return 0;
}

static void hash_folder(uint64_t namespace_id, const char *folder, uint8_t hash[static HASH_SIZE]) {
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
        (void) crypto_generichash_update(&state, (const uint8_t *) &namespace_id,
                                         sizeof(namespace_id));
        (void) crypto_generichash_update(&state, (const uint8_t *) folder, strlen(folder));
        (void) crypto_generichash_final(&state, hash, HASH_SIZE);
}

static int name_files(WorkspaceJob *j, const WorkspaceManager *m, const char *folder) {
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
        j->intent_path = str_printf("%s/" WORKSPACE_INTENT_PREFIX "%s", m->dir, hex);
        j->temporary = str_printf(WORKSPACE_TEMPORARY "%s", hex);
        return j->cache_path && j->intent_path && j->temporary ? 0 : -ENOMEM;
}

static int name_repository(WorkspaceJob *j) {
        j->folder = strdup(j->repository->path);
        return j->folder ? 0 : -ENOMEM;
}

int workspace_job_new(WorkspaceJob **ret,
                      WorkspaceManager *m,
                      uint64_t namespace_id,
                      const char *folder) {
        _cleanup_(workspace_job_freep) WorkspaceJob *j = calloc(1, sizeof(WorkspaceJob));

        if (!j)
                return -ENOMEM;
        j->magic = JOB_MAGIC;
        j->manager = m;
        int r = workspace_repository_get(m, namespace_id, &j->repository);
        if (r >= 0)
                r = folder ? name_files(j, m, folder) : name_repository(j);
        if (r < 0)
                return r;
        j->operation = (WorkspaceOperation){
                .namespace_id = namespace_id,
                .repository = j->repository->path,
                .folder = j->folder,
                .data_dir = m->data_dir,
                .cache_path = j->cache_path,
                .intent_path = j->intent_path,
                .temporary = j->temporary,
                .file_size_max = m->file_size_max,
        };
        *ret = TAKE_PTR(j);
        return 0;
}
