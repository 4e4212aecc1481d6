/* SPDX-License-Identifier: MIT */
#pragma once

/* Sessions: durable agents with a state, a tree of messages, versioned variables, checkpoints,
 * runs, events and tokens. This room owns all rows of state.db and every rule about them; it starts
 * no process (SessionAgentOps does) and speaks no HTTP.
 *
 * Everything runs on the loop thread. A mutating function checks first and returns at once with a
 * positive SESSION_E_* or a negative errno when it refuses (and nothing changed, done is not
 * called). Else it returns 0, and done() comes after the commit, later, never from inside the call.
 * A failed commit gives done(r < 0), and what was in memory is read again from the store before
 * that. done may be NULL; its Session is NULL when there is none (any more).
 *
 * The verbs of one session run one after the other. One that waited and then no longer fits the
 * state gives done(r > 0), a SESSION_E_* as if it had been refused; so do a checkpoint whose files
 * could not be recorded (NOT_DURABLE) and a fork whose folder was taken meanwhile (WORKSPACE_BUSY).
 *
 * Objects in memory may be ahead of the disk while commits are under way; whoever shows them to
 * somebody waits with session_settle() first. Rows read through the store's reader are committed by
 * nature. */

#include <systemd/sd-event.h>

#include "session/workspace.h"
#include "store/request-key.h"

typedef struct SessionManager SessionManager;
typedef struct Session Session;

/* ---- words ---- */

typedef enum SessionStatus {
        SESSION_CREATED,
        SESSION_RUNNING,
        SESSION_PAUSED,
        SESSION_STOPPED,
        SESSION_ERROR,
        _SESSION_STATUS_MAX,
        _SESSION_STATUS_INVALID = -EINVAL,
} SessionStatus;

typedef enum SessionSubstate {
        SUBSTATE_NEW, /* created */
        SUBSTATE_QUEUED,
        SUBSTATE_STARTING, /* running: intent written, exec not confirmed */
        SUBSTATE_ACTIVE,
        SUBSTATE_IDLE, /* running without a process: a record */
        SUBSTATE_WAITING,
        SUBSTATE_BACKOFF,
        SUBSTATE_STOPPING,
        SUBSTATE_FROZEN, /* paused, process kept */
        SUBSTATE_PARKED, /* paused, no process */
        SUBSTATE_BUDGET,
        SUBSTATE_CREDENTIALS,
        SUBSTATE_EXITED, /* stopped */
        SUBSTATE_ARCHIVED,
        SUBSTATE_FAILED, /* error */
        SUBSTATE_OOM,
        SUBSTATE_WATCHDOG,
        SUBSTATE_SANDBOX,
        SUBSTATE_LOST,
        SUBSTATE_QUARANTINED,
        _SUBSTATE_MAX,
        _SUBSTATE_INVALID = -EINVAL,
} SessionSubstate;

const char *session_status_to_string(SessionStatus s);
SessionStatus session_status_from_string(const char *s);
const char *session_substate_to_string(SessionSubstate s);

typedef enum CheckpointKind {
        CHECKPOINT_MANUAL,
        CHECKPOINT_AUTO,
        CHECKPOINT_PAUSE,
        CHECKPOINT_STOP,
        CHECKPOINT_SHUTDOWN,
        CHECKPOINT_PRE_RESTORE,
        _CHECKPOINT_KIND_MAX,
} CheckpointKind;
const char *checkpoint_kind_to_string(CheckpointKind k);

typedef enum NodeKind {
        NODE_MESSAGE,
        _NODE_KIND_MAX,
} NodeKind;

typedef enum RunState {
        RUN_INTENT, /* row written, process not confirmed */
        RUN_ALIVE,
        RUN_STOPPING, /* a stop was asked for and is durable */
        RUN_ENDED,    /* everything below this is "open" */
        _RUN_STATE_MAX,
} RunState;

/* Conditions; the API turns each into its row of the error table. */
typedef enum SessionCondition {
        SESSION_E_NOT_FOUND = 1,
        SESSION_E_ALREADY_RUNNING,
        SESSION_E_NOT_RUNNING,
        SESSION_E_WRONG_STATE, /* the verb does not fit the state; see the table in design */
        SESSION_E_NO_CHECKPOINT,
        SESSION_E_NO_NODE,
        SESSION_E_CONFLICT,       /* If-Match failed */
        SESSION_E_STALE_RUN,      /* the writer's run is over: fenced off */
        SESSION_E_NO_WORKSPACE,   /* a fork must name a folder of its own */
        SESSION_E_WORKSPACE_BUSY, /* another session uses that folder */
        SESSION_E_RUNNING,        /* delete needs force; restore needs a pause */
        SESSION_E_NO_AGENT,       /* nothing to signal or restart: a record without a command */
        SESSION_E_LIMIT,          /* a configured limit is reached */
        SESSION_E_NOT_DURABLE,    /* workspace snapshot failed: session_files_error() */
        SESSION_E_NOT_FROZEN,     /* freezing is not possible here (no cgroup v2) */
        SESSION_E_TOKENS,         /* limits of their own: of a namespace's tokens, */
        SESSION_E_CHECKPOINTS,    /* a session's checkpoints */
        SESSION_E_VARIABLES,      /* and its variables, in number or bytes */
        SESSION_E_SHUTTING_DOWN,
        SESSION_E_UNFINISHED, /* its files are half restored and wait for their disk */
        _SESSION_E_MAX,
} SessionCondition;

/* ---- objects as others see them (read-only; valid until control returns to the event loop) ---- */

typedef struct SessionInfo {
        uint64_t id, namespace_id;
        const char *name;
        SessionStatus status;
        SessionSubstate substate;
        const char *reason; /* for people; NULL: nothing to say */
        usec_t created_at, updated_at, stopped_at, restart_at, heartbeat_at;
        uint64_t config, branch, head, vars, run, checkpoint; /* ids; 0: none */
        uint64_t message_count, tool_call_count;
        unsigned fence, restarts;
        usec_t start_window;
        unsigned start_count;
        const char *workspace; /* absolute path or NULL */
        JsonSpan labels;       /* absent: none */
        bool has_agent;        /* has a command */
        bool is_committed;     /* its row is on disk */
} SessionInfo;

typedef struct ConfigInfo { /* spans live until config_info_done() */
        char *model;
        JsonSpan system_prompt, tools, agent; /* absent: null / [] / none */
        JsonSpan history; /* tool calls in place of those of the first history_depth messages; absent: none */
        uint64_t history_depth;
        int64_t history_extra; /* to be added to a tool_call_count at or behind that depth */
        char *memory;          /* owns the spans */
} ConfigInfo;
void config_info_done(ConfigInfo *c);

typedef struct NodeInfo {
        uint64_t id, parent, session, run, depth, tool_calls;
        usec_t time;
        const char *role;
        NodeKind kind;
        JsonSpan content; /* as written: string, array or null */
        JsonSpan calls;   /* tool_calls array as written; absent: none */
} NodeInfo;

typedef struct CheckpointInfo {
        uint64_t id, session, branch, node, vars, config, run, memory_commit;
        CheckpointKind kind;
        bool pinned;
        const char *label; /* NULL: none */
        usec_t created_at;
        const uint8_t *tree;                     /* 20 bytes git object id, or NULL */
        uint64_t message_count, tool_call_count; /* of its node */
        uint64_t skipped;         /* files that it does not have though they were there */
        const char *skipped_note; /* which and why, or why it has none; NULL: nothing */
} CheckpointInfo;

typedef struct BranchInfo {
        uint64_t id, session, head, vars, config, origin_checkpoint, origin_node, origin_branch;
        const char *name;
        usec_t created_at;
        uint64_t message_count;
        uint64_t origin_message_count; /* of origin_node */
        uint64_t origin_session; /* of origin_branch: another one for a fork; 0: none, or deleted */
        bool is_current;
} BranchInfo;

typedef struct ForkInfo { /* another session that began at a point of this one */
        uint64_t session, branch, origin_branch, origin_checkpoint, origin_node;
        uint64_t origin_message_count;
        usec_t created_at;
} ForkInfo;

typedef struct RunInfo {
        uint64_t id, session;
        unsigned number; /* the fence */
        RunState state;
        pid_t pid;
        uint64_t pidfd_id, start_time, cgroup_id;
        const char *boot_id;
        usec_t created_at, started_at, ended_at;
        int result; /* SupResult, or -1 while open */
        int exit_code, exit_signal;
        unsigned leftovers;
        const char *reason;
} RunInfo;

typedef struct EventInfo {
        uint64_t id, namespace_id, session;
        unsigned type; /* SessionEventType */
        usec_t time;
        JsonSpan data; /* object, or absent */
} EventInfo;

typedef enum SessionEventType {
#define EVENT(id, word, doc) id,
#include "session/events.def"
#undef EVENT
        _SESSION_EVENT_MAX,
} SessionEventType;
const char *session_event_to_string(unsigned type); /* "session.state", … */
const char *session_event_doc(unsigned type);       /* which members its data has */

/* ---- manager ---- */

/* What the daemon does for sessions that have a command. Called on the loop thread after the commit
 * of the state that asks for it; the outcome comes back by session_run_*(). */
typedef struct SessionAgentOps {
        void (*start)(Session *s, uint64_t run, const char *token, void *userdata);
        void (*stop)(Session *s, uint64_t run, void *userdata);
        void (*freeze)(Session *s, uint64_t run, void *userdata);
        void (*thaw)(Session *s, uint64_t run, void *userdata);
        /* May freezing work at all (cgroup v2)? */
        bool (*can_freeze)(void *userdata);
} SessionAgentOps;

typedef struct SessionConfig {
        usec_t checkpoint_interval_usec; /* 0: no automatic checkpoints */
        usec_t session_timeout_usec;     /* stopped longer than this: archived; 0: never */
        unsigned auto_checkpoints_kept;  /* 0: 10 */
        uint64_t events_max;             /* 0: 1,000,000 */
        usec_t events_age_usec;          /* 0: 7 days */
        usec_t collect_interval_usec; /* files that nobody refers to any more are removed so long after; 0: never */
        unsigned sessions_max;      /* per namespace; 0: 1,000,000 */
        size_t message_max;         /* bytes; 0: 8 MiB */
        unsigned tokens_max;        /* per namespace; 0: 1000 */
        unsigned checkpoints_max;   /* per session, of those that are asked for; 0: 10,000 */
        unsigned variables_max;     /* per session; 0: 10,000 */
        size_t variables_bytes_max; /* per session, of all together; 0: 16 MiB, at most 64 MiB */
        unsigned append_threads;    /* that prepare large messages; 0: 2 */
        unsigned append_queue;      /* large messages that wait for them; 0: 256 */
        const char *data_dir;       /* for large bodies; NULL: they stay in the database */
        WorkspaceManager *workspace; /* see session_manager_close(); NULL: checkpoints have no files */
} SessionConfig;

/* Takes up the spans and limits of config while sessions run: deadlines are worked out again, what
 * is due by the new ones happens in the next turns of the loop. Its folders and counts of
 * checkpoints are not looked at. */
void session_manager_configure(SessionManager *m, const SessionConfig *config);

/* ops NULL: no session has a process, whatever its command says; else all functions are set. data
 * of ops lives as long as the manager. Free it before the store. */
int session_manager_new(SessionManager **ret,
                        sd_event *event,
                        Store *store,
                        const SessionConfig *config,
                        const SessionAgentOps *ops,
                        void *ops_userdata);
/* From here on the manager calls neither ops nor the workspace manager: those may be freed, in any
 * order, before the session manager. What waits for them is found again at the next start. */
void session_manager_close(SessionManager *m);
/* Commits what is under way (done() is called for it, with -ESHUTDOWN for what is not yet a commit). */
SessionManager *session_manager_free(SessionManager *m);
DEFINE_CLEANUP(SessionManager *, session_manager_free);
/* Reads everything that lives in memory. Afterwards, for each open run, found() is called so that
 * the daemon can look for its process; back-off timers and automatic checkpoints are armed. */
int session_manager_load(SessionManager *m,
                         void (*found)(Session *s, const RunInfo *run, void *userdata),
                         void *userdata);
/* Gives ids the names that the store has for them (base/id.h). Before anything else reads or writes an id as text. */
int session_aliases_load(Store *store);
/* For the store options' on_failed: reads again what was touched, then tells the callers. */
void session_manager_reload(SessionManager *m);
/* A shutdown-checkpoint of each running session; from the call on mutations are refused with
 * SHUTTING_DOWN (but run starts and ends) and no timer fires. done's r is the first error of any of
 * them. */
int session_manager_shutdown(SessionManager *m, void (*done)(int r, void *userdata), void *userdata);

size_t session_count(const SessionManager *m, int status /* -1: all but archived */);
usec_t session_oldest_heartbeat(const SessionManager *m);

/* Since this manager began; committed. */
typedef struct SessionStats {
        uint64_t events[_SESSION_EVENT_MAX]; /* by type */
        uint64_t restarts;                   /* by the restart policy */
} SessionStats;
void session_stats(const SessionManager *m, SessionStats *ret);
size_t session_count_archived(const SessionManager *m);

Session *session_get(SessionManager *m, uint64_t id);
const SessionInfo *session_info(const Session *s);
/* Ascending by id: the first session with an id above `after`; NULL at the end. O(log n). */
Session *session_next(SessionManager *m, uint64_t after);
/* The run's session by the run's id while the run is open, or NULL. */
Session *session_of_run(SessionManager *m, uint64_t run);

typedef void (*SessionDoneFn)(int r, Session *s, uint64_t id, void *userdata);
/* done(0, s, 0) once all that was submitted for s (NULL: for anything) is committed; at once is later,
 * never inside. If nothing is under way it returns 1 and done is not called: go on synchronously. */
int session_settle(SessionManager *m, Session *s, SessionDoneFn done, void *userdata);

/* ---- Idempotency-Key ---- */

/* The mutating call that follows carries the key: its row commits with the first transaction of the
 * call (of session_create(), session_append(), session_checkpoint(), session_token_create() and the
 * verbs; a verb that finds nothing to do commits the row alone). Set it back to NULL right behind
 * that call, which copies it; key->answer is called, if at all, from within. */
void session_request_key(SessionManager *m, const RequestKey *key);
/* Commits the row alone: before what is no transaction of this room. s may be NULL. */
int session_request_key_commit(
        SessionManager *m, Session *s, const RequestKey *key, SessionDoneFn done, void *userdata);
/* The answer that is about to be given; see request_key_answer(). */
int session_request_key_answer(SessionManager *m,
                               const RequestKey *key,
                               unsigned status,
                               const Buf *answer,
                               SessionDoneFn done,
                               void *userdata);
int session_request_key_find(SessionManager *m, const RequestKey *key, RequestKeyRow *ret);

/* ---- namespaces and tokens ---- */

/* 0 and the id; creates it if asked (durable with the next commit that uses it). -ENOENT. */
int session_namespace(SessionManager *m, const char *name, bool create, uint64_t *ret);
const char *session_namespace_name(const SessionManager *m, uint64_t id);

typedef struct TokenInfo {
        uint64_t id, namespace_id;
        const char *scope; /* "admin", "write", "read" */
        const char *name;
        usec_t created_at, expires_at; /* 0: never */
} TokenInfo;
int session_token_create(SessionManager *m,
                         uint64_t namespace_id,
                         const char *scope,
                         const char *name,
                         usec_t expires_at,
                         const uint8_t hash[static 32],
                         SessionDoneFn done,
                         void *userdata);
/* SESSION_E_NOT_FOUND. The token is dead at once. */
int session_token_revoke(SessionManager *m, uint64_t token, SessionDoneFn done, void *userdata);
/* An API token that is valid now. False: none. */
bool session_token_find(SessionManager *m, const uint8_t hash[static 32], TokenInfo *ret);
void session_token_foreach(SessionManager *m, void (*fn)(const TokenInfo *t, void *u), void *u);
/* A run's token: the session, its open run's id in *ret_run. NULL: no such token, or its run is
 * over (then *ret_stale = true if it was one of ours not long ago). */
Session *session_run_token_find(SessionManager *m,
                                const uint8_t hash[static 32],
                                uint64_t *ret_run,
                                bool *ret_stale);

/* ---- verbs; state table in design 10-sessions ---- */

typedef struct SessionCreate {
        uint64_t namespace_id;
        const char *name, *model; /* model may be NULL with an agent */
        JsonSpan system_prompt, tools, agent, labels, variables; /* absent: none */
        const char *workspace;                                   /* absolute, exists; or NULL */
        bool start;
} SessionCreate;
int session_create(SessionManager *m, const SessionCreate *c, SessionDoneFn done, void *userdata);

int session_start(Session *s, SessionDoneFn done, void *userdata);
/* Takes pause-checkpoint; with a process: freezes it; done when frozen. */
int session_pause(Session *s, SessionDoneFn done, void *userdata);
/* checkpoint 0: as it is. On a running one with a checkpoint: stops, restores, starts. */
int session_resume(Session *s, uint64_t checkpoint, SessionDoneFn done, void *userdata);
/* Takes stop-checkpoint; done when the process tree is dead and the state is stopped. On a stopped one: no change, done(0). */
int session_stop(Session *s, SessionDoneFn done, void *userdata);
/* Ends the process, if there is one, and starts a new one, from any state. NO_AGENT without a command. */
int session_restart(Session *s, SessionDoneFn done, void *userdata);
/* Keeps the newest five checkpoints and the pinned ones. */
int session_archive(Session *s, SessionDoneFn done, void *userdata);
/* force: stops a running one first. */
int session_delete(Session *s, bool force, SessionDoneFn done, void *userdata);
/* Exactly one of checkpoint and node is set. New branch from there; pre-restore checkpoint first;
 * workspace files too. A node has the variables, the configuration and the files of the newest
 * checkpoint of this session at or before it on its path; without such a checkpoint the present
 * ones stay. A frozen process is ended (parked). A positive condition or an error of the files
 * comes by done(); the conversation is then where it was. */
int session_restore(Session *s, uint64_t checkpoint, uint64_t node, SessionDoneFn done, void *userdata);
/* checkpoint, node, or both 0: now. name NULL: "NAME-fork". workspace NULL: none (refused with
 * NO_WORKSPACE if the source has one). id of done: the new session. */
int session_fork(Session *s,
                 uint64_t checkpoint,
                 uint64_t node,
                 const char *name,
                 const char *workspace,
                 SessionDoneFn done,
                 void *userdata);
typedef struct SessionPatch {
        const char *name, *model;
        JsonSpan system_prompt, tools, agent, labels; /* absent: unchanged */
} SessionPatch;
int session_patch(Session *s, const SessionPatch *p, SessionDoneFn done, void *userdata);
/* A sign of life; in memory, written with the next save. */
void session_heartbeat(Session *s);

/* ---- messages ---- */

/* run 0: not from a run; else it must be the open run of s (STALE_RUN). id of done: the node. */
int session_append(Session *s,
                   uint64_t run,
                   const char *role,
                   JsonSpan content,
                   JsonSpan tool_calls,
                   SessionDoneFn done,
                   void *userdata);
/* The same; *ret is what the node is once done says so, with the caller's role and spans. It spares
 * reading back what the caller still has. Filled before a key's answer is asked for, and also when
 * the store refuses. */
int session_append_node(Session *s,
                        uint64_t run,
                        const char *role,
                        JsonSpan content,
                        JsonSpan tool_calls,
                        NodeInfo *ret,
                        SessionDoneFn done,
                        void *userdata);

/* For all readers with a function: a result of fn other than 0 ends the reading and is returned.
 *
 * Calls fn for nodes on the path root … head, in that order (oldest first).
 * after: only nodes behind that one; before: only nodes ahead of it (0: open). limit: at most so
 * many: the FIRST ones behind `after` if after is set, else the LAST ones. head 0: nothing.
 * -ENOENT: after/before is not on the path. O(limit + log n). */
typedef int (*NodeFn)(const NodeInfo *n, void *userdata);
int session_nodes(SessionManager *m,
                  uint64_t head,
                  uint64_t after,
                  uint64_t before,
                  size_t limit,
                  NodeFn fn,
                  void *userdata);
int session_node(SessionManager *m, uint64_t id, NodeFn fn, void *userdata);

/* ---- variables ---- */

/* if_match: the version (vars id) it must still have; 0: any. value absent: remove (-ENOENT if it
 * is not there). id of done: the new version. */
int session_var_set(Session *s,
                    uint64_t run,
                    const char *name,
                    JsonSpan value,
                    uint64_t if_match,
                    SessionDoneFn done,
                    void *userdata);
/* All variables of a version as one JSON object, appended. vars 0: "{}". */
int session_vars(SessionManager *m, uint64_t vars, Buf *out);
/* One variable: appended as written; -ENOENT. */
int session_var(SessionManager *m, uint64_t vars, const char *name, Buf *out);

/* ---- configuration ---- */
int session_config(SessionManager *m, uint64_t config, ConfigInfo *ret);

/* ---- checkpoints, branches, runs ---- */

/* id of done: the checkpoint. run: as in session_append. */
int session_checkpoint(Session *s,
                       uint64_t run,
                       CheckpointKind kind,
                       const char *label,
                       SessionDoneFn done,
                       void *userdata);
/* expected (of the next, too): label and pin that it must still have, or done(-ESTALE); NULL: any. */
int session_checkpoint_patch(Session *s,
                             uint64_t checkpoint,
                             const char *label,
                             const bool *pinned,
                             const CheckpointInfo *expected,
                             SessionDoneFn done,
                             void *userdata);
int session_checkpoint_delete(Session *s,
                              uint64_t checkpoint,
                              const CheckpointInfo *expected,
                              SessionDoneFn done,
                              void *userdata);
/* Why the last workspace could not be recorded, for people; to be asked in the done() of NOT_DURABLE. */
const char *session_files_error(const SessionManager *m);
typedef int (*CheckpointFn)(const CheckpointInfo *c, void *userdata);
int session_checkpoints(Session *s, uint64_t after, size_t limit, CheckpointFn fn, void *userdata);
/* SESSION_E_NO_CHECKPOINT if it is not one of s. */
int session_checkpoint_get(Session *s, uint64_t checkpoint, CheckpointFn fn, void *userdata);

typedef int (*BranchFn)(const BranchInfo *b, void *userdata);
int session_branches(Session *s, uint64_t after, size_t limit, BranchFn fn, void *userdata);
typedef int (*ForkFn)(const ForkInfo *f, void *userdata);
int session_forks(Session *s, uint64_t after, size_t limit, ForkFn fn, void *userdata);
/* ---- differences ---- */

typedef struct SessionSide {
        uint64_t checkpoint, branch, node; /* what it is, one of them; all 0: now */
        bool is_now;
        uint64_t head, vars, config, message_count;
        bool has_tree;
        uint8_t tree[WORKSPACE_TREE_SIZE];
} SessionSide;
/* The point that an id names: one of the session's checkpoints, the end of one of its branches or
 * one of its messages; 0 and the current branch: now, as `now` has it. What a message has beside
 * the conversation is what session_restore() would bring. SESSION_E_NO_NODE: it names none. */
int session_point(Session *s, const SessionInfo *now, uint64_t id, SessionSide *ret);

typedef struct SessionDiff {
        SessionSide from, to;
        uint64_t ancestor, common; /* the last message of both, 0: none; and how many both have */
        bool has_files;            /* `files` has its answer */
        char no_files[256];        /* why not, for people */
        WorkspaceDiff files;       /* skip, limit and with_patches are the caller's */
} SessionDiff;
void session_diff_done(SessionDiff *d);

typedef void (*SessionDiffFn)(int r, SessionDiff *d, void *userdata);
/* Compares d->from and d->to, points of s. The files of now are those of the folder: they are
 * recorded for it, but no checkpoint names them. That files cannot be compared is no error. *d
 * lives until done. 1: it is complete and done is not called; 0: done comes later, with -ESHUTDOWN
 * if nobody may be asked for anything any more. */
int session_diff(Session *s, SessionDiff *d, SessionDiffFn done, void *userdata);

typedef int (*RunFn)(const RunInfo *r, void *userdata);
int session_runs(Session *s, uint64_t after, size_t limit, RunFn fn, void *userdata); /* oldest first */
int session_run_get(SessionManager *m, uint64_t run, RunFn fn, void *userdata);

/* ---- what became of a run: called by the daemon ---- */

typedef struct RunIdentity {
        pid_t pid;
        uint64_t pidfd_id, start_time, cgroup_id;
        const char *boot_id;
} RunIdentity;
/* exec succeeded: running/active. STALE_RUN (also of the next) if the run is not the open one.
 * boot_id is not used: the intent has it. */
int session_run_started(
        Session *s, uint64_t run, const RunIdentity *id, SessionDoneFn done, void *userdata);

typedef enum RunNext {
        RUN_NEXT_STOPPED, /* stopped/exited */
        RUN_NEXT_FAILED,  /* error/failed */
        RUN_NEXT_LOST,    /* error/lost */
        RUN_NEXT_BACKOFF, /* running/backoff until restart_at; the room starts it then */
} RunNext;
typedef struct RunEnd {
        int result;              /* SupResult */
        const char *result_word; /* the same for the event; NULL: unknown */
        int exit_code, exit_signal;
        unsigned leftovers;
        usec_t time;
        const char *reason;
        RunNext next; /* ignored when a stop, pause or restart that somebody asked for decides */
        usec_t restart_at;
        unsigned restarts;
        usec_t start_window;
        unsigned start_count;
} RunEnd;
/* The whole tree is dead. done() after the commit: only then may the keeper's slot be freed. After done(r < 0)
 * the run is open as before: tell it again. ops->start() of a next run comes after done(). */
int session_run_ended(Session *s, uint64_t run, const RunEnd *end, SessionDoneFn done, void *userdata);
/* An event: its output waits since then because no file takes it (reason: why), or, with NULL, no
 * longer. SESSION_E_STALE_RUN: it is not the open run any more. */
int session_run_output(Session *s, uint64_t run, const char *reason, usec_t since);
/* Freezing (or thawing) came to its end; error: negative errno if it failed. */
void session_run_frozen(Session *s, uint64_t run, bool frozen, int error);

/* ---- events ---- */

typedef int (*EventFn)(const EventInfo *e, void *userdata);
/* Stored events with id > after, ascending; session 0: all; namespace 0: all. 1 in *ret_reset if
 * `after` is older than what is kept (events are missing). */
int session_events(SessionManager *m,
                   uint64_t namespace_id,
                   uint64_t session,
                   uint64_t after,
                   size_t limit,
                   EventFn fn,
                   void *userdata,
                   bool *ret_reset);
/* Writes daemon.started; recovered: runs that were open. It is in the default namespace. */
int session_daemon_started(SessionManager *m, const char *version, unsigned recovered);
uint64_t session_last_event(const SessionManager *m); /* newest committed */
/* fn is called for each event right after its commit, in order; its result is ignored. Rows are readable a
 * moment before: who reads stored events and then live ones drops those with ids it has seen. */
typedef struct SessionSubscription SessionSubscription;
int session_subscribe(SessionManager *m,
                      uint64_t namespace_id,
                      uint64_t session,
                      EventFn fn,
                      void *userdata,
                      SessionSubscription **ret);
SessionSubscription *session_unsubscribe(SessionSubscription *s);
