/* SPDX-License-Identifier: MIT */

/* Checkpoints: a row that names a node, a version of the variables, one of the configuration and a
 * tree of files, so it costs the same for ten messages and for a million. The session's row is not
 * written for it: the newest checkpoint of a session is the last entry of an index.
 *
 * With a workspace the files are recorded first, in the pool, and the row comes with the tree; the
 * conversation's end that it names is the one of that later moment. A checkpoint is not one of the
 * queued verbs: an agent that is being stopped may save itself while the stop waits for it. */

#include <stdio.h>

#include "session/session-internal.h"

typedef struct CheckpointJob {
        uint32_t magic;
        SessionManager *manager;
        uint64_t session, run;
        CheckpointKind kind;
        char *label;
        bool has_key;
        RequestKey key;
        SessionDoneFn done;
        void *userdata;
} CheckpointJob;

static void checkpoint_job_free(CheckpointJob *job) {
        free(job->label);
        job->magic = 0;
        free(job);
}

static void job_freep(CheckpointJob **job) {
        if (*job)
                checkpoint_job_free(*job);
}

const char *checkpoint_label(CheckpointKind kind) {
        static const char *const labels[_CHECKPOINT_KIND_MAX] = {
                [CHECKPOINT_AUTO] = "auto-checkpoint",
                [CHECKPOINT_PAUSE] = "pause-checkpoint",
                [CHECKPOINT_STOP] = "stop-checkpoint",
                [CHECKPOINT_SHUTDOWN] = "shutdown-checkpoint",
                [CHECKPOINT_PRE_RESTORE] = "pre-restore",
        };
        return labels[kind];
}

Files files_of_result(SessionManager *m, int r, const WorkspaceResult *result) {
        Files f = { .error = MIN(r, 0), .skipped = r < 0 ? 0 : result->skipped };

        memcpy(f.tree, result->tree, sizeof(f.tree));
        (void) snprintf(f.note, sizeof(f.note), "%s", result->message);
        if (r < 0)
                (void) snprintf(m->files_error, sizeof(m->files_error), "%s", result->message);
        return f;
}

const char *session_files_error(const SessionManager *m) {
        return m->files_error;
}

static void checkpoint_event(
        SessionTxn *t, uint64_t id, CheckpointKind kind, const char *label, const Files *files) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_id(&w, "checkpoint_id", id);
        json_w_kv_string(&w, "label", label);
        json_w_kv_string(&w, "kind", checkpoint_kind_to_string(kind));
        if (files && files->skipped > 0)
                json_w_kv_uint(&w, "files_skipped", files->skipped);
        if (files && files->note[0])
                json_w_kv_string(&w, "files_note", files->note);
        txn_event(t, EVENT_CHECKPOINT, &w);
}

uint64_t txn_checkpoint(SessionTxn *t, CheckpointKind kind, const char *label, const Files *files) {
        const SessionInfo *i = &t->next;
        const uint8_t *tree = files && files->error == 0 ? files->tree : NULL;
        uint64_t id = id_new();

        STORE_ADD(t->store, STATE_CHECKPOINT_INSERT, STORE_ID(id), STORE_ID(i->id),
                  STORE_ID(i->branch), STORE_ID(i->head), STORE_ID(i->vars), STORE_ID(i->config),
                  STORE_ID(i->run), STORE_BLOB(tree, WORKSPACE_TREE_SIZE), STORE_ID(0),
                  STORE_INT(kind), STORE_INT(0), STORE_TEXT(label), STORE_INT((int64_t) t->now),
                  STORE_INT(files ? (int64_t) files->skipped : 0),
                  STORE_TEXT(files && files->note[0] ? files->note : NULL));
        t->next.checkpoint = id;
        t->flags |= TXN_CHECKPOINTED | (tree ? TXN_TREE : 0);
        checkpoint_event(t, id, kind, label, files);
        return id;
}

bool session_has_files(const Session *s) {
        return s->info.workspace && s->manager->config.workspace && !s->manager->is_closing;
}

/* ---- taking one ---- */

static int take(Session *s, const CheckpointJob *job, const Files *files) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(s->manager, s, &t);

        if (r < 0)
                return r;
        uint64_t id = txn_checkpoint(t, job->kind, job->label, files);
        if (job->kind == CHECKPOINT_AUTO)
                r = txn_thin_automatic(t);
        if (job->has_key)
                request_key_add(t->store, &state_request_keys, &job->key, id);
        return r < 0 ? r : session_txn_submit(TAKE_PTR(t), id, job->done, job->userdata);
}

/* One that nobody asked for is taken without its files: better the conversation than nothing. */
static int on_files(CheckpointJob *job, const Files *files) {
        Session *s = session_get(job->manager, job->session);

        if (!s)
                return SESSION_E_NOT_FOUND;
        if (files->error < 0 && job->kind == CHECKPOINT_MANUAL)
                return session_disk_is_full(files->error) ? files->error : SESSION_E_NOT_DURABLE;
        int r = files->error < 0 ? 0 : session_run_check(s, job->run);
        return r != 0 ? r : take(s, job, files);
}

static void on_snapshot(int r, const WorkspaceResult *result, void *userdata) {
        CheckpointJob *job = OBJ_CAST(CheckpointJob, userdata, SESSION_JOB_MAGIC);

        Files files = files_of_result(job->manager, r, result);
        r = on_files(job, &files);
        if (r != 0 && job->done)
                job->done(r, session_get(job->manager, job->session), 0, job->userdata);
        checkpoint_job_free(job);
}

static int checkpoint_start(Session *s, CheckpointJob *job) {
        int r;

        if (!session_has_files(s)) {
                r = take(s, job, NULL);
                checkpoint_job_free(job);
                return r;
        }
        r = workspace_snapshot(s->manager->config.workspace, s->info.namespace_id,
                               s->info.workspace, on_snapshot, job);
        if (r < 0)
                checkpoint_job_free(job);
        else
                s->changed_since = 0; /* what changes from here on is for the next one */
        return r;
}

static int checkpoint_any(Session *s,
                          uint64_t run,
                          CheckpointKind kind,
                          const char *label,
                          SessionDoneFn done,
                          void *userdata) {
        _cleanup_(job_freep) CheckpointJob *job = calloc(1, sizeof(CheckpointJob));

        if (!job)
                return -ENOMEM;
        *job = (CheckpointJob){
                .magic = SESSION_JOB_MAGIC,
                .manager = s->manager,
                .session = s->info.id,
                .run = run,
                .kind = kind,
                .label = label ? strdup(label) : NULL,
                .done = done,
                .userdata = userdata,
        };
        if (label && !job->label)
                return -ENOMEM;
        job->has_key = kind == CHECKPOINT_MANUAL && s->manager->request_key;
        if (job->has_key)
                job->key = *s->manager->request_key;
        return checkpoint_start(s, TAKE_PTR(job));
}

static int check_number(const Session *s) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(s->manager->reader, &c, STATE_CHECKPOINT_COUNT, STORE_ID(s->info.id));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r;
        return store_id(c, 0) >= s->manager->config.checkpoints_max ? SESSION_E_CHECKPOINTS : 0;
}

int session_checkpoint(Session *s,
                       uint64_t run,
                       CheckpointKind kind,
                       const char *label,
                       SessionDoneFn done,
                       void *userdata) {
        OBJ_CHECK(s, SESSION_MAGIC);
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        int r = session_run_check(s, run);
        if (r == 0 && kind == CHECKPOINT_MANUAL)
                r = check_number(s);
        return r != 0 ? r
                      : checkpoint_any(s, run, kind, label ? label : checkpoint_label(kind), done,
                                       userdata);
}

int session_checkpoint_auto(Session *s) {
        return checkpoint_any(s, 0, CHECKPOINT_AUTO, checkpoint_label(CHECKPOINT_AUTO), NULL, NULL);
}

int session_checkpoint_shutdown(Session *s, SessionDoneFn done, void *userdata) {
        return checkpoint_any(s, 0, CHECKPOINT_SHUTDOWN, checkpoint_label(CHECKPOINT_SHUTDOWN),
                              done, userdata);
}

/* ---- editing ---- */

typedef struct Found {
        bool pinned;
        char *label;
} Found;

static int keep_found(const CheckpointInfo *c, void *userdata) {
        Found *f = userdata;

        f->pinned = c->pinned;
        f->label = c->label ? strdup(c->label) : NULL;
        return c->label && !f->label ? -ENOMEM : 0;
}

/* Others' changes of it may be under way: the database compares. */
static void expect(SessionTxn *t, uint64_t checkpoint, const CheckpointInfo *expected) {
        if (expected)
                STORE_ADD(t->store, STATE_CHECKPOINT_EXPECT, STORE_ID(checkpoint),
                          STORE_ID(t->next.id), STORE_TEXT(expected->label),
                          STORE_INT(expected->pinned));
}

int session_checkpoint_patch(Session *s,
                             uint64_t checkpoint,
                             const char *label,
                             const bool *pinned,
                             const CheckpointInfo *expected,
                             SessionDoneFn done,
                             void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        Found found = {};
        int r = session_checkpoint_get(s, checkpoint, keep_found, &found);
        _cleanup_free_ char *old = found.label;

        if (r != 0)
                return r;
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        r = session_txn_new(s->manager, s, &t);
        if (r < 0)
                return r;
        expect(t, checkpoint, expected);
        STORE_ADD(t->store, STATE_CHECKPOINT_UPDATE, STORE_ID(checkpoint), STORE_ID(s->info.id),
                  STORE_TEXT(label ? label : old), STORE_INT(pinned ? *pinned : found.pinned));
        JsonWriter w = txn_event_data(t);
        json_w_key(&w, "fields");
        json_w_array_begin(&w);
        json_w_string(&w, "checkpoints");
        json_w_array_end(&w);
        json_w_kv_id(&w, "checkpoint_id", checkpoint);
        txn_event(t, EVENT_SESSION_CHANGED, &w);
        return session_txn_submit(TAKE_PTR(t), checkpoint, done, userdata);
}

static int ignore_checkpoint(const CheckpointInfo *c, void *userdata) {
        (void) c;
        (void) userdata;
        return 0;
}

static int newest_but(Session *s, uint64_t checkpoint, uint64_t *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(s->manager->reader, &c, STATE_CHECKPOINT_LIST_NEWEST,
                            STORE_ID(s->info.id), STORE_ID(0), STORE_INT(2));

        *ret = 0;
        while (r >= 0 && (r = store_next(c)) > 0)
                if (store_id(c, 0) != checkpoint) {
                        *ret = store_id(c, 0);
                        return 0;
                }
        return r;
}

int session_checkpoint_delete(Session *s,
                              uint64_t checkpoint,
                              const CheckpointInfo *expected,
                              SessionDoneFn done,
                              void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_checkpoint_get(s, checkpoint, ignore_checkpoint, NULL);

        if (r != 0)
                return r;
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        r = session_txn_new(s->manager, s, &t);
        if (r >= 0 && t->next.checkpoint == checkpoint)
                r = newest_but(s, checkpoint, &t->next.checkpoint);
        if (r < 0)
                return r;
        expect(t, checkpoint, expected);
        STORE_ADD(t->store, STATE_CHECKPOINT_DELETE, STORE_ID(checkpoint), STORE_ID(s->info.id));
        t->flags |= TXN_LITTER;
        JsonWriter w = txn_event_data(t);
        json_w_kv_id(&w, "checkpoint_id", checkpoint);
        txn_event(t, EVENT_CHECKPOINT_DELETED, &w);
        return session_txn_submit(TAKE_PTR(t), checkpoint, done, userdata);
}

/* ---- reading ---- */

static int emit(SessionManager *m, StoreCursor *c, CheckpointFn fn, void *userdata) {
        NodeLight node = {};
        size_t n_tree = 0;
        CheckpointInfo i = {
                .id = store_id(c, 0),
                .session = store_id(c, 1),
                .branch = store_id(c, 2),
                .node = store_id(c, 3),
                .vars = store_id(c, 4),
                .config = store_id(c, 5),
                .run = store_id(c, 6),
                .tree = store_blob(c, 7, &n_tree),
                .memory_commit = store_id(c, 8),
                .kind = (CheckpointKind) store_int(c, 9),
                .pinned = store_int(c, 10) != 0,
                .label = store_text(c, 11, NULL),
                .created_at = store_id(c, 12),
                .skipped = store_id(c, 13),
                .skipped_note = store_text(c, 14, NULL),
        };
        int r = i.node ? node_light(m, i.node, &node) : 0;

        if (r < 0)
                return r == -ENOENT ? -EUCLEAN : r;
        if (i.kind >= _CHECKPOINT_KIND_MAX || (i.tree && n_tree != WORKSPACE_TREE_SIZE))
                return -EUCLEAN;
        i.message_count = node.depth;
        i.tool_call_count = node.tool_calls;
        return fn(&i, userdata);
}

int session_checkpoints(Session *s, uint64_t after, size_t limit, CheckpointFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = STORE_QUERY(s->manager->reader, &c, STATE_CHECKPOINT_LIST, STORE_ID(s->info.id),
                            STORE_ID(after), STORE_INT((int64_t) MIN(limit, (size_t) INT64_MAX)));
        while (r >= 0 && (r = store_next(c)) > 0) {
                r = emit(s->manager, c, fn, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

int session_checkpoint_get(Session *s, uint64_t checkpoint, CheckpointFn fn, void *userdata) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        int r = STORE_QUERY(s->manager->reader, &c, STATE_CHECKPOINT_ONE, STORE_ID(checkpoint));
        if (r >= 0)
                r = store_next(c);
        if (r < 0)
                return r;
        if (r == 0 || store_id(c, 1) != s->info.id)
                return SESSION_E_NO_CHECKPOINT;
        return emit(s->manager, c, fn, userdata);
}
