/* SPDX-License-Identifier: MIT */

/* Files that are neither what they were nor what they shall be, because the disk failed in the
 * middle of a restore, or was still failing when the daemon that came after a crash wanted to
 * finish it.
 *
 * Such a session keeps the intent in the store that says which tree its folder shall be made like:
 * that of before, when the restore was refused and its files could not be put back; that of the
 * restore, when a crash came between. It is tried again every few seconds, and at every start,
 * until the disk is back. Meanwhile it can be read, written, stopped, deleted, and restored to
 * anything else (which takes the place of what is due), but no agent begins in a folder that is
 * half one thing and half another.
 *
 * The store's row decides, not the note in the workspaces folder: a note that could not be removed
 * is still there when its restore is long over, and following it would write over all that was done
 * since. So the notes are compared with the intents first. A note of a fork that never was
 * committed has no intent; it counts as long as no session has the folder.
 *
 * Rejected: a state of its own (everything but a start is as before), and giving up after some
 * time (who repairs a disk may need a day). */

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "session/session-internal.h"

#define TRY_AGAIN_USEC (3 * USEC_PER_SEC)

/* ---- notes ---- */

static bool is_folder_of(const Session *s, const char *folder) {
        _cleanup_free_ char *own = NULL;

        return s->info.workspace && path_absolute(s->info.workspace, &own) >= 0 && streq(own, folder);
}

static bool awaits_files(const Session *s, const uint8_t *tree) {
        for (const SessionOp *op = s->ops; op; op = op->next)
                if (op->kind == OP_FILES && op->point.has_tree &&
                    memcmp(op->point.tree, tree, WORKSPACE_TREE_SIZE) == 0)
                        return true;
        return false;
}

static bool note_is_pending(uint64_t namespace_id,
                            const char *folder,
                            const uint8_t *tree,
                            void *userdata) {
        SessionManager *m = OBJ_CAST(SessionManager, userdata, SESSION_MANAGER_MAGIC);

        for (size_t i = 0; i < m->n_sorted; i++) {
                const Session *s = m->sorted[i];
                if (!is_folder_of(s, folder))
                        continue;
                if (!tree)
                        return false;
                if (s->info.namespace_id == namespace_id && awaits_files(s, tree))
                        return true;
        }
        return !tree;
}

int unfinished_load(SessionManager *m) {
        unsigned n = 0;

        if (!m->config.workspace)
                return 0;
        int r = workspace_recover(m->config.workspace, note_is_pending, m, &n);
        if (r == -ENOMEM)
                return r;
        if (n > 0)
                log_notice("Finished %u interrupted restore%s of a workspace", n, n == 1 ? "" : "s");
        return 0; /* the others are tried again, each by its session */
}

/* ---- sessions ---- */

bool session_is_unfinished(const Session *s) {
        return s->unfinished != NULL;
}

usec_t unfinished_deadline(const Session *s) {
        return s->unfinished ? s->unfinished->try_at : USEC_INFINITY;
}

void unfinished_keep(SessionOp *op, uint64_t intent, const uint8_t tree[static WORKSPACE_TREE_SIZE]) {
        Session *s = op->session;

        op->intent = 0; /* it stays */
        free(s->unfinished);
        s->unfinished = malloc(sizeof(Unfinished));
        if (!s->unfinished) {
                (void) log_error(-ENOMEM, "The files of %s are not tried again before the next start",
                                 s->info.name);
                return;
        }
        *s->unfinished =
                (Unfinished){ .intent = intent, .try_at = clock_monotonic() + TRY_AGAIN_USEC };
        memcpy(s->unfinished->tree, tree, WORKSPACE_TREE_SIZE);
        session_rearm(s);
}

void unfinished_drop(Session *s) {
        free(s->unfinished);
        s->unfinished = NULL;
}

void unfinished_replace(const Session *s, SessionTxn *t) {
        if (s->unfinished)
                STORE_ADD(t->store, STATE_INTENT_DELETE, STORE_ID(s->unfinished->intent));
}

int unfinished_due(Session *s) {
        Unfinished u = *s->unfinished;

        if (s->ops) { /* perhaps one that takes its place */
                s->unfinished->try_at = clock_monotonic() + TRY_AGAIN_USEC;
                return 0;
        }
        int r = op_files_again(s, u.intent, u.tree);
        if (r < 0)
                return r;
        ops_resume(s);
        return 0;
}
