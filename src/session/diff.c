/* SPDX-License-Identifier: MIT */

/* What differs between two points of a session. The conversation is the two paths behind the last
 * common message, which jump pointers find; variables and configuration are two versions each,
 * which the caller reads and compares; only files need work, and that is done in the pool.
 *
 * The files of now are in no tree: the folder is recorded first, as for a checkpoint, so that they
 * are compared like any others; what nobody refers to afterwards is collected one day. Comparing a
 * tree with the living folder instead was rejected: it would need a second way to compare, and
 * patches of files that change while they are read.
 *
 * Files are the least of a comparison: if they cannot be compared (no workspace, not recorded,
 * folder gone) the rest is answered, with the reason in their place. */

#include <stdio.h>

#include "session/session-internal.h"

typedef struct DiffJob {
        uint32_t magic;
        SessionManager *manager;
        uint64_t namespace_id;
        SessionDiff *diff;
        SessionDiffFn done;
        void *userdata;
} DiffJob;

void session_diff_done(SessionDiff *d) {
        workspace_diff_done(&d->files);
}

static void no_files(SessionDiff *d, const char *why) {
        (void) snprintf(d->no_files, sizeof(d->no_files), "%s", why);
}

static void finish(DiffJob *job) {
        int r = job->manager->is_closing ? -ESHUTDOWN : 0;

        job->done(r, job->diff, job->userdata);
        job->magic = 0;
        free(job);
}

static void on_compared(int r, const WorkspaceResult *result, void *userdata) {
        DiffJob *job = OBJ_CAST(DiffJob, userdata, SESSION_DIFF_MAGIC);

        job->diff->has_files = r >= 0;
        if (r < 0)
                no_files(job->diff, result->message);
        finish(job);
}

/* Takes the job over if it returns 0. */
static int compare(DiffJob *job) {
        SessionDiff *d = job->diff;

        memcpy(d->files.from, d->from.tree, WORKSPACE_TREE_SIZE);
        memcpy(d->files.to, d->to.tree, WORKSPACE_TREE_SIZE);
        return workspace_diff(job->manager->config.workspace, job->namespace_id, &d->files,
                              on_compared, job);
}

static void take_tree(SessionSide *side, const WorkspaceResult *result) {
        if (!side->is_now)
                return;
        memcpy(side->tree, result->tree, WORKSPACE_TREE_SIZE);
        side->has_tree = true;
}

static void on_recorded(int r, const WorkspaceResult *result, void *userdata) {
        DiffJob *job = OBJ_CAST(DiffJob, userdata, SESSION_DIFF_MAGIC);

        if (r < 0)
                no_files(job->diff, result->message);
        else {
                take_tree(&job->diff->from, result);
                take_tree(&job->diff->to, result);
                r = job->manager->is_closing ? -ESHUTDOWN : compare(job);
                if (r < 0)
                        no_files(job->diff, strerror(-r));
        }
        if (r < 0)
                finish(job);
}

static int start(Session *s, DiffJob *job) {
        const SessionDiff *d = job->diff;

        if (d->from.is_now || d->to.is_now)
                return workspace_snapshot(s->manager->config.workspace, job->namespace_id,
                                          s->info.workspace, on_recorded, job);
        return compare(job);
}

static const char *why_no_files(const Session *s, const SessionDiff *d) {
        const SessionSide *sides[] = { &d->from, &d->to };

        if (!session_has_files(s))
                return "the session has no workspace";
        ARRAY_FOREACH(side, sides)
                if (!(*side)->is_now && !(*side)->has_tree)
                        return *side == &d->from ? "the first point has no recorded files"
                                                 : "the second point has no recorded files";
        return d->from.is_now && d->to.is_now ? "both are now" : NULL;
}

static int start_files(Session *s, SessionDiff *d, SessionDiffFn done, void *userdata) {
        DiffJob *job = calloc(1, sizeof(DiffJob));

        if (!job)
                return -ENOMEM;
        *job = (DiffJob){
                .magic = SESSION_DIFF_MAGIC,
                .manager = s->manager,
                .namespace_id = s->info.namespace_id,
                .diff = d,
                .done = done,
                .userdata = userdata,
        };
        int r = start(s, job);
        if (r < 0)
                free(job);
        return r;
}

int session_diff(Session *s, SessionDiff *d, SessionDiffFn done, void *userdata) {
        NodeLight common;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = node_common(s->manager, d->from.head, d->to.head, &common);
        if (r < 0)
                return r;
        d->ancestor = common.id;
        d->common = common.depth;
        const char *why = why_no_files(s, d);
        if (!why)
                return start_files(s, d, done, userdata);
        no_files(d, why);
        return 1;
}
