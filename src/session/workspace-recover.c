/* SPDX-License-Identifier: MIT */

/* Finishing what a crash interrupted, from the notes that restores leave (workspace-intent.c).
 * Blocking and on the calling thread: nothing may run in a folder that is half restored. One note
 * that cannot be followed does not keep the others from it; it stays for the next start. */

#include <dirent.h>

#include "base/fs.h"
#include "base/log.h"
#include "session/workspace-manager-internal.h"

static int recover_one(WorkspaceManager *m, const char *path) {
        _cleanup_(workspace_intent_done) WorkspaceIntent intent = {};
        _cleanup_(workspace_job_freep) WorkspaceJob *j = NULL;
        int r = workspace_intent_read(path, &intent);

        if (r < 0)
                return log_warning(r, "Note of an interrupted restore %s is unreadable", path);
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

int workspace_recover(WorkspaceManager *m, unsigned *ret_n) {
        DIR *dir = opendir(m->dir);
        unsigned n = 0;
        int error = 0;

        OBJ_CHECK(m, WORKSPACE_MANAGER_MAGIC);
        if (!dir)
                return errno_neg();
        for (const struct dirent *e; (e = readdir(dir));) {
                if (!str_startswith(e->d_name, WORKSPACE_INTENT_PREFIX))
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
