/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of this room share. The parts, from the bottom to the top:
 *   words, state      the table of transitions
 *   txn, row          a change of one session: memory, rows and events together
 *   event, token      what is published, who may speak
 *   body, node, jump, vars, config, checkpoint, branch, run     one kind of row each
 *   op, verb-*        what takes several commits: verbs, one at a time for each session
 *   timer, load, manager */

#include "base/heap.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "base/pool.h"
#include "session/session.h"
#include "session/workspace.h"
#include "store/schema-state.h"

#define SESSION_MANAGER_MAGIC      UINT32_C(0x73657373)
#define SESSION_MAGIC              UINT32_C(0x5e551017)
#define SESSION_TXN_MAGIC          UINT32_C(0x7a4e5ac7)
#define SESSION_OP_MAGIC           UINT32_C(0x0be7a710)
#define SESSION_JOB_MAGIC          UINT32_C(0xc4ec4b01)
#define SESSION_DIFF_MAGIC         UINT32_C(0x5e55d1ff)
#define SESSION_SUBSCRIPTION_MAGIC UINT32_C(0x5b5c21be)

#define HASH_SIZE      32
#define RUN_TOKEN_SIZE (sizeof("agd_") + 64)
/* Names, labels and values are checked at the edge; this keeps one text of ours bounded in any case. */
#define VARS_SNAPSHOT_EVERY 64
#define VARS_MAX_BYTES      ((size_t) 64 << 20)
#define STALE_TOKENS        256

typedef struct SessionTxn SessionTxn;
typedef struct SessionOp SessionOp;
typedef struct OpenRun OpenRun;
typedef struct JumpPath JumpPath;
typedef struct VarsPending VarsPending;
typedef struct Namespace Namespace;
typedef struct PendingEvent PendingEvent;

/* Files of a session that are half restored; see unfinished.c. */
typedef struct Unfinished {
        uint64_t intent;                   /* the row that says so */
        uint8_t tree[WORKSPACE_TREE_SIZE]; /* what they shall be */
        usec_t try_at;                     /* monotonic */
} Unfinished;

typedef struct IntentList {
        uint64_t *ids;
        size_t n;
} IntentList;

struct Session {
        uint32_t magic;
        uint32_t inflight; /* transactions submitted and not delivered */
        SessionManager *manager;
        SessionInfo info; /* strings and labels are owned */
        HeapItem timer;
        SessionOp *ops;            /* the first one runs, the others wait */
        ListLink appends;          /* messages that wait for their body, see append.c */
        OpenRun *open_run;         /* info.run, while that is open */
        JumpPath *jump;            /* of info.head; NULL: not known */
        Unfinished *unfinished;    /* its files are half restored, NULL: they are not */
        VarsPending *vars_pending; /* the newest of a ring, see vars.c */
        usec_t changed_since; /* monotonic, of the first change after the newest checkpoint; 0: none */
        uint8_t vars_since;  /* of info.vars: versions since the last snapshot */
        bool has_vars_bound; /* else nothing is known of these: */
        size_t vars_bound,
                vars_bytes_bound; /* it has no more variables, and no more bytes of them */
        bool is_tainted;          /* a transaction failed: memory must be read again */
        bool is_deleting;         /* its deletion is submitted: nobody sees it any more */
};

struct OpenRun {
        Session *session;
        uint64_t id;
        RunState state;
        uint8_t hash[HASH_SIZE];
        OpenRun *hash_next;
};

struct Namespace {
        uint64_t id;
        unsigned sessions;
        bool is_stored, is_submitted;
        bool is_littered, is_collecting; /* see collect.c */
        char name[];
};

#define CONFIG_CACHE_PLACES    64
#define CONFIG_CACHE_BYTES_MAX ((size_t) 4 << 10) /* of one */

typedef struct CachedConfig {
        uint64_t id; /* 0: none */
        ConfigInfo info;
} CachedConfig;

struct SessionManager {
        uint32_t magic;
        sd_event *event;
        Store *store;
        StoreReader *reader;
        SessionConfig config;
        char *data_dir;
        const SessionAgentOps *ops;
        void *ops_userdata;
        Pool *pool; /* for large bodies; NULL: without files, or closing */

        Map *by_id, *by_run;
        Session **sorted; /* ascending by id */
        size_t n_sorted, cap_sorted;
        size_t counts[_SUBSTATE_MAX];
        size_t inflight;

        Map *namespaces;       /* id → Namespace */
        StrMap *namespace_ids; /* name → Namespace */
        Map *tokens;           /* first bytes of the hash → Token, chained */
        unsigned n_pending_tokens;
        Map *run_tokens; /* first bytes of the hash → OpenRun, chained */
        uint8_t stale_tokens[STALE_TOKENS][HASH_SIZE];
        size_t n_stale_tokens;
        uint8_t body_key[HASH_SIZE];

        ListLink subscriptions;
        unsigned publishing;
        uint64_t last_event, events_floor, n_events;
        HeapItem events_timer;
        bool is_pruning_events;

        Heap heap;
        sd_event_source *timer, *defer;
        SessionTxn *failed, **failed_tail;
        HeapItem intents_timer;
        IntentList void_intents; /* of verbs that failed: removed by the next transaction */
        Session **tainted;
        size_t n_tainted, cap_tainted;
        CachedConfig config_cache[CONFIG_CACHE_PLACES]; /* see config.c */
        SessionStats stats;
        const RequestKey *request_key; /* of the call under way; see session_request_key() */
        char files_error[256];         /* of the last workspace that could not be recorded */
        Map *body_files;      /* first bytes of a key → how many are about to use that file */
        HeapItem sweep_timer; /* see sweep.c */
        uint64_t *dead;       /* branches that the sweep has to look at */
        size_t n_dead, cap_dead;
        bool is_sweeping, has_dead_bodies;
        HeapItem collect_timer; /* see collect.c */
        usec_t collect_not_before;
        unsigned n_tree_txns; /* under way, with a tree that no row has yet */
        bool is_shutting_down;
        bool is_closing; /* being freed: nobody is called but for completions */
        char boot_id[40];
};

/* ---- state.c ---- */

SessionStatus substate_status(SessionSubstate s);
bool substate_may_follow(SessionSubstate from, SessionSubstate to);
/* The table as a picture, in Graphviz's language. */
int session_states_dot(Buf *out);
/* The one place where status and substate change: in txn->next, with the event. reason may be NULL; it is copied. */
void session_set_state(SessionTxn *t, SessionSubstate to, const char *reason);

/* ---- txn.c: one transaction of one session (or of none) ---- */

typedef enum TxnFlags {
        TXN_CREATE = 1 << 0, /* the session is new */
        TXN_ROW = 1 << 1,    /* write the session's row */
        TXN_NAME = 1 << 2,
        TXN_BRANCH = 1 << 3, /* write head, vars and config of its branch */
        TXN_DELETE = 1 << 4,
        TXN_END_RUN = 1 << 5,
        TXN_CHANGED = 1 << 6,      /* a reason for an automatic checkpoint */
        TXN_CHECKPOINTED = 1 << 7, /* no reason any more */
        TXN_NEW_HEAD = 1 << 8,     /* the head is not a child of the old one */
        TXN_TREE = 1 << 9,         /* has a tree of files that no row has yet */
        TXN_LITTER = 1 << 10,      /* trees of files may have lost their last reference */
} TxnFlags;

struct SessionTxn {
        uint32_t magic;
        unsigned flags;
        bool is_submitted;
        SessionManager *manager;
        Session *session; /* NULL: the manager's own */
        uint64_t session_id;
        StoreTxn *store;
        SessionInfo next; /* becomes session->info when it is submitted; strings that differ are owned */
        uint8_t next_vars_since;
        usec_t now;
        int error;
        Buf json;
        PendingEvent *events, **events_tail;
        Namespace *namespace;
        OpenRun *new_run;
        RunState run_state; /* of the open run, after this */
        JumpPath *jump;     /* of the new head */
        VarsPending *vars;
        CachedConfig config; /* a new one */
        char token[RUN_TOKEN_SIZE];
        uint64_t body_file;      /* begin of the key of a body in a file, 0: none */
        IntentList void_intents; /* that this transaction removes */
        SessionDoneFn done;
        void *userdata;
        uint64_t id;
        SessionTxn *next_failed;
};

/* Starts a change of s (NULL: none). 0 or a negative errno; -EAGAIN while s waits to be read again. */
int session_txn_new(SessionManager *m, Session *s, SessionTxn **ret);
SessionTxn *session_txn_free(SessionTxn *t);
DEFINE_CLEANUP(SessionTxn *, session_txn_free);
/* Replaces a string of t->next; old is what the session itself has there and keeps until the commit
 * is submitted. Takes value over. */
void txn_set_string(SessionTxn *t, const char **field, const char *old, char *value);
/* Takes t over in every case. 0: memory is changed and done(r, s, id) comes after the commit; else
 * nothing happened. done may be NULL. */
int session_txn_submit(SessionTxn *txn, uint64_t id, SessionDoneFn done, void *userdata);
/* done(r, s, id) later, after everything submitted so far. */
int session_txn_barrier(SessionManager *m, Session *s, uint64_t id, SessionDoneFn done, void *userdata);
/* Removes the intents of verbs that failed; if that fails too, again in a second. */
void void_intents_sweep(SessionManager *m);
/* The session must be read again from the store as soon as nothing of it is under way. */
void session_taint(Session *s);
/* Reads a tainted session again, so that what it holds can be asked. Errors: -EAGAIN while its
 * transactions are under way, those of reading. */
int session_make_true(Session *s);

/* ---- request-key.c ---- */

/* The row of the call under way, if it has a key, goes along with t; id: what t makes or changes. */
void txn_request_key(SessionTxn *t, uint64_t id);

/* ---- row.c ---- */

void txn_add_session_row(SessionTxn *t);
/* Fills a fresh or old session from a row of STATE_SESSION_LOAD_*. -EUCLEAN for values that cannot be. */
int session_from_row(Session *s, StoreCursor *c);
void info_strings_free(SessionInfo *i);

/* ---- event.c ---- */

/* Begins the data of an event in t->json; write members, then txn_event(). */
JsonWriter txn_event_data(SessionTxn *t);
void txn_event(SessionTxn *t, SessionEventType type, JsonWriter *w);
void events_publish(SessionManager *m, PendingEvent *list);
PendingEvent *events_free(PendingEvent *list);
void subscriptions_free(SessionManager *m);
int events_load(SessionManager *m);
void events_due(SessionManager *m);

/* ---- namespace.c, token.c, open-run.c ---- */

/* The key of a hash in a map; never 0. */
uint64_t hash_key(const uint8_t hash[static HASH_SIZE]);
int namespaces_load(SessionManager *m);
void namespaces_free(SessionManager *m);
int namespace_use(SessionTxn *t, uint64_t id);
int tokens_load(SessionManager *m);
void tokens_free(SessionManager *m);
void token_of_run_new(char ret[static RUN_TOKEN_SIZE], uint8_t ret_hash[static HASH_SIZE]);

/* ---- manager.c ---- */

int session_new(SessionManager *m, uint64_t id, Session **ret);
/* Out of all indexes and freed; verbs that wait for it fail with r. */
void session_forget(Session *s, int r);
/* A run can be found by its id and its token from here on. */
int open_run_index(SessionManager *m, OpenRun *run);
void open_run_unindex(SessionManager *m, OpenRun *run);
/* The session's run is over: its token is remembered as stale. */
void open_run_remove(Session *s);
void session_apply(Session *s, const SessionInfo *next);
bool session_find(SessionManager *m, uint64_t id, size_t *ret_index);

/* ---- load.c ---- */

/* Memory becomes what the store has. -ENOENT: there is no such session there. */
int session_reread(Session *s);

/* ---- timer.c ---- */

void session_rearm(Session *s);
/* Asks again in a second: what was due could not be done. */
void session_rearm_later(Session *s);
void session_retry(Session *s);
int manager_rearm(SessionManager *m);
/* When old events are looked for next; USEC_INFINITY: not at all. */
void events_arm(SessionManager *m, usec_t deadline);
/* void_intents_sweep() in a second, if nothing else is written before. */
void void_intents_arm(SessionManager *m);
/* When the sweep goes on. */
void sweep_arm(SessionManager *m, usec_t deadline);
/* When workspaces are looked through for garbage next. */
void collect_arm(SessionManager *m, usec_t deadline);
/* Does what is due now; called by the timer, and by tests on a fake clock. */
void session_manager_tick(SessionManager *m);
usec_t monotonic_of(usec_t realtime);

/* ---- unfinished.c ---- */

/* Finishes restores that a crash interrupted, as far as the intents, which are loaded, say so. */
int unfinished_load(SessionManager *m);
bool session_is_unfinished(const Session *s);
/* The verb's session waits for its disk: intent, which stays in the store, says for which tree. */
void unfinished_keep(SessionOp *op, uint64_t intent, const uint8_t tree[static WORKSPACE_TREE_SIZE]);
/* Adds to t that the session waits no more; unfinished_drop() when that is committed. */
void unfinished_replace(const Session *s, SessionTxn *t);
void unfinished_drop(Session *s);
/* When it is tried again; USEC_INFINITY: there is nothing to try. */
usec_t unfinished_deadline(const Session *s);
int unfinished_due(Session *s);

/* ---- append.c ---- */

int appends_open(SessionManager *m);
/* Tells those that wait r; the session is going away. */
void appends_abandon(Session *s, int r);

/* ---- body.c ---- */

/* A body as it is stored: kept in the node's row, or in `bodies` under a key. */
typedef struct Body {
        Buf raw;
        bool is_large, is_file;
        uint8_t key[HASH_SIZE];
        char *packed; /* compressed; NULL: as it is */
        size_t n_packed;
} Body;
void body_done(Body *b);
int body_keys_load(SessionManager *m);
/* Copies content and calls into *ret, which body_done() frees. */
int body_pack(JsonSpan content, JsonSpan calls, Body *ret);
/* Whether body_store() takes so long that it belongs in a pool. */
bool body_is_slow(const Body *b);
/* What comes before the transaction: the key, compressing, the file. On any thread, for as long as
 * the manager is there. */
int body_store(const SessionManager *m, uint64_t namespace_id, Body *b);
/* A large one's row, and a claim on its file for as long as the transaction lives. */
int body_add(SessionTxn *t, const Body *b);
/* From here until the claim is given back nobody removes that body's file. */
int body_claim(SessionManager *m, const uint8_t key[static HASH_SIZE], uint64_t *ret);
/* 0: there is none. */
void body_unclaim(SessionManager *m, uint64_t *claim);
bool body_file_is_there(const SessionManager *m, const Body *b);
/* The raw bytes of a node's row; *memory owns what is not in the cursor. namespace_id 0: not known. */
int body_load(SessionManager *m, uint64_t namespace_id, StoreCursor *node, char **memory, JsonSpan *ret);
/* Removes the file of a body that has no row any more. -EBUSY: a transaction is about to use it again. */
int body_file_remove(SessionManager *m, const uint8_t key[static HASH_SIZE]);
int body_unpack(JsonSpan raw, JsonSpan *ret_content, JsonSpan *ret_calls);

/* ---- append.c, past.c ---- */

/* The row of a node: session, parent, depth and tool calls are those of t->next (its head,
 * message_count and tool_call_count), the time is t->now. */
int node_add(SessionTxn *t, uint64_t id, uint64_t run, const char *role, const Body *b, uint64_t jump);

/* ---- jump.c ---- */

typedef struct NodeLight {
        uint64_t id, parent, jump, depth, tool_calls, session;
} NodeLight;
JumpPath *jump_path_copy(const JumpPath *p);
/* The path of the head's jumps, from the store. head 0: the empty one. */
int jump_path_load(SessionManager *m, uint64_t head, JumpPath **ret);
/* The path for a new child of the head, and that child's jump. */
int jump_path_push(const JumpPath *p, uint64_t id, uint64_t depth, JumpPath **ret, uint64_t *ret_jump);
int node_light(SessionManager *m, uint64_t id, NodeLight *ret);
/* The ancestor of `from` (or itself) at that depth. -ENOENT: there is none. */
int node_ancestor(SessionManager *m, const NodeLight *from, uint64_t depth, NodeLight *ret);
/* 1: node is head or an ancestor of it. */
int node_is_on_path(SessionManager *m, uint64_t head, uint64_t node);
/* The last node on the paths to both, in O(log n); ret->id 0: there is none. */
int node_common(SessionManager *m, uint64_t a, uint64_t b, NodeLight *ret);

/* ---- vars.c ---- */

/* The first version of a new session, with everything in it. */
int vars_create(SessionTxn *t, JsonSpan variables);
int vars_since(SessionManager *m, uint64_t vars, uint8_t *ret);
/* The session's list of what is on its way; done() takes it out and frees it. */
void vars_pending_add(Session *s, VarsPending *p);
void vars_pending_done(Session *s, VarsPending *p);
VarsPending *vars_pending_free(VarsPending *p);

/* ---- config.c ---- */

bool config_has_command(JsonSpan agent);
/* Its new configuration is on disk: whoever made it looks at it next. */
void config_committed(SessionTxn *t);
void config_cache_done(SessionManager *m);
/* A new row like c; its memory is the caller's. */
uint64_t config_add(SessionTxn *t, uint64_t parent, const ConfigInfo *c);

/* ---- checkpoint.c, thin.c ---- */

/* Of a negative errno: there is no space, by whatever limit. */
static inline bool session_disk_is_full(int r) {
        return r == -ENOSPC || r == -EDQUOT || r == -EFBIG;
}

/* What became of recording a workspace. */
typedef struct Files {
        int error;
        uint8_t tree[WORKSPACE_TREE_SIZE]; /* unless there was an error */
        uint64_t skipped;
        char note[256]; /* what is missing and why; "": nothing */
} Files;
Files files_of_result(SessionManager *m, int r, const WorkspaceResult *result);

/* files NULL: it has none; with an error: it should have some. */
uint64_t txn_checkpoint(SessionTxn *t, CheckpointKind kind, const char *label, const Files *files);
const char *checkpoint_label(CheckpointKind kind);
/* Deletes in t the automatic ones that the rules no longer keep. */
int txn_thin_automatic(SessionTxn *t);
/* All but the pinned and the newest `keep`. */
int txn_thin_to(SessionTxn *t, size_t keep);
int session_checkpoint_auto(Session *s);
int session_checkpoint_shutdown(Session *s, SessionDoneFn done, void *userdata);
bool session_has_files(const Session *s);

/* A point to go to: of a checkpoint, a node or now. */
typedef struct Point {
        uint64_t checkpoint, node, vars, config;
        uint64_t message_count, tool_call_count;
        uint8_t vars_since;
        bool has_agent, has_tree;
        uint8_t tree[WORKSPACE_TREE_SIZE];
} Point;
/* 0, SESSION_E_NO_CHECKPOINT, SESSION_E_NO_NODE or a negative errno. Both 0: now. */
int point_find(Session *s, uint64_t checkpoint, uint64_t node, Point *ret);
/* The end of a branch as the store has it. */
int point_of_branch(Session *s, uint64_t branch, Point *ret);

/* ---- sweep.c ---- */

/* The session's deletion is on disk. */
void sweep_session(SessionManager *m, uint64_t session);
/* After the start: what was not finished. */
int sweep_load(SessionManager *m);
void sweep_done(SessionManager *m);
void sweep_due(SessionManager *m);
/* Nothing is left that could be removed now; for tests. */
bool sweep_is_idle(const SessionManager *m);

/* ---- collect.c ---- */

/* Trees of the namespace may have lost their last reference. */
void collect_needed(SessionManager *m, uint64_t namespace_id);
/* After the start: whatever a dead daemon left. */
void collect_load(SessionManager *m);
/* Counts at once, for what waits already as well. */
void collect_set_interval(SessionManager *m, usec_t interval);
void collect_due(SessionManager *m);

/* ---- branch.c ---- */

uint64_t branch_add(
        SessionTxn *t, uint64_t id, const char *name, const Point *origin, uint64_t origin_branch);

/* ---- run.c ---- */

/* A new run and its token, in t: running/starting. */
void txn_run_new(SessionTxn *t, const char *reason);
/* 0, or SESSION_E_STALE_RUN: run is neither 0 nor the open run of s. */
int session_run_check(const Session *s, uint64_t run);
/* Starts the process if there is a command, else running/idle. */
void txn_start(SessionTxn *t, const char *reason);
/* The same because somebody asked for it: back-off and start limit begin anew. */
void txn_start_asked(SessionTxn *t);
int session_backoff_due(Session *s);
int boot_id_load(SessionManager *m);
RunInfo run_info_from_row(StoreCursor *c);
/* Makes the row's run the open one of s. */
int open_run_load(Session *s, StoreCursor *c);

/* ---- create.c ---- */

typedef struct Birth {
        uint64_t namespace_id;
        const char *name, *workspace;
        JsonSpan labels;
} Birth;
/* A new session and the transaction that will write it. On failure of anything before
 * session_txn_submit() free the transaction, then session_forget(). */
int session_born(SessionManager *m, const Birth *b, Session **ret, SessionTxn **ret_txn);
void created_event(SessionTxn *t, uint64_t forked_from);

/* ---- op.c: verbs, one at a time for each session ---- */

typedef enum OpKind {
        OP_START,
        OP_PAUSE,
        OP_RESUME,
        OP_STOP,
        OP_RESTART,
        OP_ARCHIVE,
        OP_DELETE,
        OP_RESTORE,
        OP_FORK,
        OP_FILES, /* nobody's: finishes a restore whose files were not brought back yet */
        _OP_KIND_MAX,
        _OP_KIND_INVALID = -EINVAL,
} OpKind;

typedef struct OpArgs {
        uint64_t checkpoint, node;
        const char *name, *workspace;
        bool force;
} OpArgs;

typedef void (*OpStep)(SessionOp *op, int r);

struct SessionOp {
        uint32_t magic;
        OpKind kind;
        SessionOp *next;
        Session *session;    /* NULL: it is gone, and only a callback is awaited */
        OpArgs args;         /* strings are owned */
        uint64_t intent;     /* row of intents; 0: none */
        uint64_t run;        /* the one it ends */
        uint64_t old_branch; /* where a restore goes back to if the files fail */
        Point point;
        bool is_busy; /* a commit or the workspace will call back */
        bool in_begin, is_finished;
        bool has_key; /* and no transaction has taken it along */
        RequestKey key;
        bool awaits_end, awaits_freeze;
        bool has_files, has_checkpoint, starts_after;
        bool is_materialized;                /* a fork's folder, and nobody's yet */
        bool is_again, is_half;              /* OP_FILES; the files are neither before nor after */
        uint8_t before[WORKSPACE_TREE_SIZE]; /* if is_half: to be put back */
        uint64_t old_intent; /* what was due before a failed restore was taken back */
        Files files;         /* if has_files: recorded, or why not */
        int snapshot_error;  /* why there are no files of it */
        int result_code;
        OpStep step;  /* what is_busy waits for */
        OpStep after; /* what awaits_end and awaits_freeze wait for */
        SessionDoneFn done;
        void *userdata;
        uint64_t result;
};

/* The state table of the verbs: 0 go on, VERB_NOTHING no change is needed, or a SessionCondition. */
#define VERB_NOTHING (-1)
int verb_check(const Session *s, OpKind kind, const OpArgs *args);
/* Checks, then runs or queues it. */
int op_submit(Session *s, OpKind kind, const OpArgs *args, SessionDoneFn done, void *userdata);
/* What the store says was under way (of a kind that is not ours: nothing): queued without checks; begins with ops_resume(). */
int op_recover(Session *s, uint64_t intent, const char *kind, JsonSpan data);
void ops_resume(Session *s);
/* Queues OP_FILES for an intent that is in the store; the session has no other verb. */
int op_files_again(Session *s, uint64_t intent, const uint8_t tree[static WORKSPACE_TREE_SIZE]);
/* Ends the first verb, tells its caller and starts the next one. */
void op_finish(SessionOp *op, int r);
/* Takes t over and submits it; step(op, r) after the commit, or at once if there will be none. */
void op_commit(SessionOp *op, SessionTxn *t, OpStep step);
/* step(op, r) when all that was submitted is committed, or has failed and memory was read again. */
void op_settle(SessionOp *op, OpStep step);
/* Starts a transaction of the verb's session, or fails the verb and returns NULL. */
SessionTxn *op_txn(SessionOp *op);
/* The durable note of what is done after the run's end (kind: by which verb), and its removal. */
void op_intent_add(SessionOp *op, SessionTxn *t, OpKind kind);
void op_intent_remove(SessionOp *op, SessionTxn *t);
/* The verb has failed and must not be made again at the next start. */
void op_intent_void(SessionOp *op);
void op_free(SessionOp *op);
/* Tells the callers of all verbs r; the session is going away. */
void ops_abandon(Session *s, int r);

/* ---- op-step.c: what several verbs do ---- */

/* The last step of many: the verb ends with r. */
void op_step_finish(SessionOp *op, int r);
/* Records the files in op->files if there are any. Then step(op, 0), at once or later. */
void op_snapshot(SessionOp *op, OpStep step);
/* Brings a folder to a tree; step(op, r) later. */
void op_restore_files(SessionOp *op, const uint8_t *tree, OpStep step);
void op_materialize(SessionOp *op, const uint8_t *tree, OpStep step);
/* What op_materialize() wrote is nobody's: it goes. step(op, r) later; r < 0: at the next start. */
void op_take_back(SessionOp *op, OpStep step);
/* It is somebody's now. */
void op_settle_files(const SessionOp *op);
/* Adds op's checkpoint to t unless it was taken before. */
void op_checkpoint(SessionOp *op, SessionTxn *t, CheckpointKind kind);
/* Stops the process with a checkpoint, then after(op, 0). At once if there is none. */
void op_end_run(SessionOp *op, OpStep after);
/* What becomes of a session whose run ends now, if the verb that runs decides it; else _SUBSTATE_INVALID. */
SessionSubstate op_end_target(const Session *s);
/* The run has ended (committed): the verb that waits for it goes on. */
void op_run_ended(Session *s);

/* ---- verb-*.c: the first step of each ---- */

void op_begin_start(SessionOp *op);
void op_begin_pause(SessionOp *op);
void op_begin_resume(SessionOp *op);
void op_begin_stop(SessionOp *op);
void op_begin_restart(SessionOp *op);
void op_begin_archive(SessionOp *op);
void op_begin_delete(SessionOp *op);
void op_begin_restore(SessionOp *op);
void op_begin_fork(SessionOp *op);
void op_begin_files(SessionOp *op);
/* Freezing came to its end. */
void op_frozen(SessionOp *op, int error);
/* Does another running session work in the same folder? */
bool workspace_is_shared(const Session *s);
/* Goes to the verb's point; with start, runs afterwards. */
void op_go_to_point(SessionOp *op, bool start);
