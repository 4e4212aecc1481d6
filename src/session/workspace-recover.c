/* SPDX-License-Identifier: MIT */

/* Finishing what a crash interrupted, from the notes that restores leave (workspace-intent.c).
 * Blocking and on the calling thread: nothing may run in a folder that is half restored. One note
 * that cannot be followed does not keep the others from it; it stays for the next start.
 *
 * A note may have outlived its restore, because the disk refused to remove it. Whoever keeps the
 * sessions knows, and is asked about each. */

#include <dirent.h>

#include "base/fs.h"
#include "base/log.h"
#include "session/workspace-manager-internal.h"

typedef struct Recovery {
        WorkspaceManager *manager;
        WorkspacePendingFn is_pending;
        void *userdata;
} Recovery;

static bool is_over(const Recovery *x, const WorkspaceIntent *i) {
        const uint8_t *tree = i->fresh ? NULL : i->undo ? i->before : i->target;

        return x->is_pending && !x->is_pending(i->namespace_id, i->folder, tree, x->userdata);
}

/* 0: finished. 1: nothing was to be done. */
static int recover_one(const Recovery *x, const char *path) {
        _cleanup_(workspace_intent_done) WorkspaceIntent intent = {};
        _cleanup_(workspace_job_freep) WorkspaceJob *j = NULL;
        WorkspaceManager *m = x->manager;
        int r = workspace_intent_read(path, &intent);

        if (r < 0)
                return log_warning(r, "Note of an interrupted restore %s is unreadable", path);
        if (is_over(x, &intent)) {
                log_notice("The restore of %s is long over; its note is removed, no file touched",
                           intent.folder);
                r = workspace_intent_remove(path);
                if (r < 0)
                        (void) log_warning(r, "Cannot remove %s", path);
                return 1;
        }
        r = workspace_job_new(&j, m, intent.namespace_id, intent.folder);
        if (r < 0)
                return r;
        r = workspace_manager_module(m, &j->operation.module, j->operation.result.message,
                                     sizeof(j->operation.result.message));
        if (r < 0)
                return log_warning(r, "%s", j->operation.result.message);
        r = workspace_operation_recover(&j->operation, &intent);
        if (r >= 0)
                return r;
        j->r = r;
        workspace_job_explain(j);
        (void) log_warning(0, "Interrupted restore: %s", j->operation.result.message);
        return r;
}

int workspace_recover(WorkspaceManager *m,
                      WorkspacePendingFn is_pending,
                      void *userdata,
                      unsigned *ret_n) {
        Recovery x = { m, is_pending, userdata };
        _cleanup_(dir_closep) DIR *dir = opendir(m->dir);
        unsigned n = 0;
        int error = 0;

        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        if (!dir)
                return errno_neg();
        for (const struct dirent *e; (e = readdir(dir));) {
                if (!str_startswith(e->d_name, WORKSPACE_INTENT_PREFIX))
                        continue;
                _cleanup_free_ char *path = path_join(m->dir, e->d_name);
                int r = path ? recover_one(&x, path) : -ENOMEM;
                n += r == 0;
                if (r < 0 && error == 0)
                        error = r;
        }
        *ret_n = n;
        return error;
}
