/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the room: a call, who makes it, and how it is answered.
 *
 *   api.c         server and router
 *   dispatch.c    from a request to its handler: host, origin, caller, permission, input, session
 *   hold.c        requests that come before the daemon is ready
 *   caller.c      who is asking
 *   keyed.c       Idempotency-Key
 *   input.c       fields into the input struct
 *   check.c       what a field table cannot say
 *   error.c       answers that are errors
 *   etag.c        ETag, If-None-Match, If-Match
 *   reply.c       other answers; pull.c: large ones, in bounded memory
 *   view*.c       objects as JSON
 *   handlers-*.c  one function per route, bound in handlers.c
 *   events.c, logs.c, wait.c   streams and long polls
 *   tool.c        answers that a process of its own makes
 *   metrics*.c    GET /metrics
 *   openapi*.c    the description */

#include "api/api.h"
#include "base/list.h"
#include "base/obj.h"
#include "contract/inputs.h"
#include "memory/search.h"

#define API_MAGIC      0x41504920U
#define API_CALL_MAGIC 0x43414c4cU

#define API_ALL_NAMESPACES "*" /* of a token that sees all */

#define API_REPLY_MAX ((size_t) 1 << 31) /* of one piece that must be whole */

typedef enum CallerKind {
        CALLER_LOCAL, /* the daemon's own user, or root, on this machine */
        CALLER_RUN,   /* a process of an agent's run */
        CALLER_TOKEN, /* an API token */
} CallerKind;

typedef struct MetricsRoute MetricsRoute;
typedef struct ApiTool ApiTool;

typedef struct ApiCaller {
        CallerKind kind;
        uint64_t session, run; /* CALLER_RUN */
        uint64_t namespace_id; /* the only one it sees; 0: all */
        RouteAccess scope;     /* the most it may do */
        uint64_t token;        /* CALLER_TOKEN */
        usec_t expires_at;     /* of the token; 0: never */
} ApiCaller;

struct Api {
        uint32_t magic;
        ApiConfig config;
        SessionManager *sessions;
        MemoryManager *memory;
        sd_event *event;
        HttpServer *server;
        HttpRouter *router;
        usec_t started_monotonic;
        ListLink streams; /* ApiStream: what has no end of its own */
        unsigned n_streams, streams_max;
        SessionSubscription *runs; /* tells which runs are over */
        bool is_quiescing;
        bool was_ready; /* see hold.c */
        ListLink held;
        sd_event_source *held_timer;
        ListLink keyed, keyed_again; /* ApiKeyed under way; calls that waited for one */
        sd_event_source *keyed_source;
        usec_t heartbeat, heartbeat_read_at; /* of the running sessions; the latter monotonic */
        Buf openapi, docs;                   /* made when first asked for */
        char docs_policy[256];               /* its Content-Security-Policy */
        ApiTool *tool;                       /* the one that runs */
        MetricsRoute *metrics;               /* by RouteId; the last is for what matched none */
};

typedef struct ApiKeyed ApiKeyed;

/* One request, from its route to its answer. Belongs to the request and is gone after it was answered. */
typedef struct ApiCall {
        uint32_t magic;
        Api *api;
        HttpRequest *req;
        const Route *route;
        ApiCaller caller;
        FieldArena *arena;
        void *in;            /* the route's input struct */
        JsonSpan body;       /* checked; absent: none, or it is no JSON */
        Session *session;    /* of the path; only until the handler returns */
        uint64_t session_id; /* of the path; 0: the route has none */
        SessionInfo info;    /* see api_settled() */
        const char *subject; /* what else an error may have to name: a checkpoint, node, key as given */
        uint64_t position;   /* of a request that waited: behind which message */
        ApiKeyed *keyed;     /* see keyed.c */
        ListLink keyed_link; /* waits for another call of the same key */
} ApiCall;

typedef void (*ApiHandler)(ApiCall *c);
extern const ApiHandler api_handlers[_ROUTE_MAX];

/* ---- dispatch.c ---- */
void api_request(HttpRequest *req, void *userdata);
/* The rest of it, from "who is asking" on. */
void api_dispatch(Api *a, HttpRequest *req);
extern const char api_preflight; /* route data of OPTIONS */

/* The call goes on to its session and its handler. */
void api_call_run(ApiCall *c);

/* ---- keyed.c ---- */

/* Faults of the key itself. */
int api_keyed_check(const ApiCall *c, FieldErrors *e);
/* Gives the answer that the request's Idempotency-Key has already, waits for the call that is about
 * to give it, or goes on with api_call_run(). Without a key just that. */
void api_keyed(ApiCall *c);
/* Around the handler: what it asks of the domain rooms carries the key. */
void api_keyed_enter(ApiCall *c);
void api_keyed_leave(Api *a);
/* For effects that are no transaction: writes the key down, then fn. Without a key at once. */
void api_keyed_first(ApiCall *c, ApiHandler fn);
/* What the answer will be: kept with the effect. write appends the body; before the domain function
 * is called. userdata lives as long as the call. */
void api_keyed_answer(ApiCall *c, void (*write)(uint64_t id, Buf *out, void *userdata), void *userdata);
/* An answer of a call with a key is ready. True: it will be given when it is on disk, and body was
 * taken over. */
bool api_keyed_store(ApiCall *c, unsigned status, const char *content_type, Buf *body);
/* The call is over: others that wait for its key go on. */
void api_keyed_done(ApiCall *c);
/* Those that wait are refused; with forget nothing of the Api is touched by calls that are still under way. */
void api_keyed_drop(Api *a, bool forget);

/* ---- hold.c ---- */

/* Keeps a request until the runs of earlier daemons are known, then dispatches it. */
void api_hold(Api *a, HttpRequest *req);
/* Answers all that are held with an error. */
void api_hold_drop(Api *a);

/* ---- caller.c ---- */

/* 0, or the error to answer with. */
int api_identify(Api *a, HttpRequest *req, ApiCaller *ret, ErrorId *ret_error);

/* ---- input.c, check.c ---- */

/* 0 (faults are in e), 1: the body is no JSON at all (which is in e), or -ENOMEM. */
int api_parse(ApiCall *c, FieldErrors *e);
/* Adds what the route's table cannot say. */
int api_check(ApiCall *c, FieldErrors *e);
/* The text as a JSON string in the arena, as it is shown in a fault; null if there is no room. */
JsonSpan api_quoted(ApiCall *c, const char *s);
/* A public id in text, or 0. */
uint64_t api_id(FieldStr s);
/* "all" (SIZE_MAX) or a number, or fallback if absent; -EINVAL. */
int api_message_limit(FieldStr s, size_t fallback, size_t *ret);
/* A name or number of a signal; -EINVAL. */
int api_signal(const char *s);
/* "KEY=VALUE" or "KEY" against labels. */
bool api_label_matches(JsonSpan labels, const char *label);
/* A span from now, or a time. -EINVAL. */
int api_expiry(const char *s, usec_t *ret);

/* ---- error.c ---- */

void api_error_body(Buf *out, unsigned status, const char *code, const char *sentence, void *userdata);
/* a and b fill the error's sentence. */
void api_fail_request(HttpRequest *req, ErrorId id, const char *a, const char *b);
void api_fail(ApiCall *c, ErrorId id);
/* r: a SessionCondition, MemoryCondition-free; or a negative errno. */
void api_fail_result(ApiCall *c, int r);
void api_fail_validation(ApiCall *c, const FieldErrors *e);

/* ---- reply.c ---- */

/* Every answer of a call goes through here: with a key it is kept first. */
void api_send(ApiCall *c, unsigned status, const char *content_type, Buf *body);
/* The body with the route's status; takes the buffer's memory over. */
void api_reply(ApiCall *c, Buf *body);
void api_reply_status(ApiCall *c, const char *status);
/* s NULL or id 0: there is none. */
void api_reply_checkpoint(ApiCall *c, Session *s, uint64_t id);
void api_reply_etag(ApiCall *c, uint64_t version);
/* Link rel="next" to this request with another value of `parameter`. */
void api_reply_next(ApiCall *c, const char *parameter, const char *value);
void api_reply_next_id(ApiCall *c, const char *parameter, uint64_t id);
/* What a mutating function returned: an error is answered, for 0 its completion will answer. */
void api_submitted(ApiCall *c, int r);

/* Copies the session as it is now into c->info, with everything submitted so far, and calls fn when
 * that much is on disk (at once if it is): c->info is then what is on disk, whatever was submitted
 * meanwhile. Or answers with the error. */
void api_settled(ApiCall *c, Session *s, ApiHandler fn);
/* SessionDoneFn, userdata an ApiCall: answers with the session's state, or with the error. */
void api_done_session(int r, Session *s, uint64_t id, void *userdata);

/* The namespace that the request names, or the caller's. 0, or answered and 1. */
int api_namespace(ApiCall *c, FieldStr name, bool create, uint64_t *ret);
/* The same for a filter: 0 means all. */
int api_namespace_filter(ApiCall *c, FieldStr name, uint64_t *ret);

/* Answers without an end of their own: event streams, followed logs, long polls. They are counted,
 * and ended when the daemon stops or their token is revoked. Embedded in what makes them. */
typedef struct ApiStream ApiStream;
struct ApiStream {
        ListLink link;
        Api *api;
        void (*end)(ApiStream *s); /* come to an end soon */
        uint64_t token;            /* 0: was not asked for with one */
        uint64_t run;              /* of the agent that asked for it; 0: somebody else */
        usec_t expires_at;
};
/* False: there are too many, and that was answered. */
bool api_stream_begin(ApiCall *c, ApiStream *s, void (*end)(ApiStream *s));
/* Nothing happens if it was not begun. */
void api_stream_done(ApiStream *s);
/* Whoever asked for it may not have more: to be looked at before each piece. */
bool api_stream_has_expired(const ApiStream *s);
void api_streams_end_of_token(Api *a, uint64_t token);
/* Ends the streams of runs that are over, from now on, as long as a->runs is there. */
int api_streams_watch_runs(Api *a);

/* ---- pull.c ---- */

enum {
        API_PULL_END = 0,
        API_PULL_MORE = 1,
        API_PULL_WAIT = 2, /* nothing now; api_pull_wake() will come */
};

/* A large answer in pieces. Embedded in what makes them. */
typedef struct ApiPull ApiPull;
struct ApiPull {
        /* Appends a piece to out; stops by itself at about API_PIECE bytes. API_PULL_*, or negative errno. */
        int (*next)(ApiPull *p, Buf *out);
        ApiPull *(*destroy)(ApiPull *p);
        ApiCall *call;      /* until it is answered */
        HttpStream *stream; /* from then on, if it did not fit into one piece */
        Buf staged;
        size_t sent; /* of staged */
        int state;
};
#define API_PIECE ((size_t) 256 * 1024)

/* Takes p over. What fits into one piece is answered with its length, the rest is streamed. */
void api_reply_pull(ApiCall *c, ApiPull *p, const char *content_type);
void api_pull_wake(ApiPull *p);

/* ---- etag.c ---- */

#define ETAG_SIZE sizeof("\"0123456789abcdef\"")
void api_etag_session(const SessionInfo *i, char ret[static ETAG_SIZE]);
void api_etag_checkpoint(const CheckpointInfo *i, char ret[static ETAG_SIZE]);
void api_etag_version(uint64_t version, char ret[static ETAG_SIZE]);
/* The same in the call's arena, for a message. */
const char *api_etag_text(ApiCall *c, uint64_t version);
/* Sets the ETag. True: the client has that one, and 304 was answered. */
bool api_not_modified(ApiCall *c, const char *etag);
/* False: the request is meant for another state, and 412 was answered. */
bool api_if_match(ApiCall *c, const char *etag);

/* ---- list.c ---- */

/* Lists of a session's checkpoints, branches and runs. page() calls list->item() for each row. */
typedef struct ApiList ApiList;
typedef int (*ApiListPage)(ApiList *l, Session *s, size_t limit);
struct ApiList {
        ApiPull pull;
        SessionManager *sessions;
        SupManager *sup;
        uint64_t session, after;
        ApiListPage page;
        size_t remaining; /* SIZE_MAX: no limit */
        size_t n;         /* in the page */
        bool is_begun, has_items, more;
        JsonWriter w;
};
/* Before an item: false if the page is full and it must not be written (then stop). */
bool api_list_item(ApiList *l, uint64_t id);
void api_reply_list(ApiCall *c, FieldInt limit, size_t fallback, FieldId after, ApiListPage page);

/* ---- view.c, view-session.c ---- */

/* The member workspace_tree: 40 hex digits, or null. */
void view_tree(JsonWriter *w, const uint8_t *tree);

void view_message(JsonWriter *w, const NodeInfo *n);
void view_checkpoint(JsonWriter *w, const CheckpointInfo *i);
void view_branch(JsonWriter *w, const BranchInfo *i);
void view_fork(JsonWriter *w, const ForkInfo *f, const SessionInfo *i);
/* usage NULL: not known, or the run is over. */
void view_run(JsonWriter *w, const RunInfo *i, const SupUsage *usage, const SupRun *run);
void view_event(JsonWriter *w, const SessionManager *m, const EventInfo *e);
/* The scope of that name that the call's session sees, or the namespace's without a session; 0, or
 * answered and 1. A name inside lives as long as the call's turn of the loop. */
int api_memory_scope(ApiCall *c, FieldStr namespace, const char *scope, MemoryScope *ret);
/* The numbers of a checked embedding, in the call's arena; NULL: out of memory. */
float *api_embedding(ApiCall *c, JsonSpan numbers, size_t *ret_n);
/* memory-list.c: answers with the keys or entries of a scope, as the request wants them. */
void api_memory_list(ApiCall *c, MemoryScope scope);
void view_memory_entry(JsonWriter *w, const MemoryEntry *e);
void view_memory_hit(JsonWriter *w, const SearchHit *hit, const char *scope, bool explain);
void view_memory_version(JsonWriter *w, const MemoryEntry *e);
void view_token(JsonWriter *w, const SessionManager *m, const TokenInfo *t);
/* The members of a SessionState but for messages and tool_history; the object stays open. */
int view_session_head(JsonWriter *w, SessionManager *m, const SessionInfo *i);

/* Messages of a conversation from old to new, in pieces. */
typedef struct MessageWalk {
        SessionManager *sessions;
        uint64_t head, after, before;
        size_t limit;    /* SIZE_MAX: all */
        bool from_start; /* the first ones, not the last */
        uint64_t last;   /* the last that was given out; 0: none */
} MessageWalk;
/* Calls fn until it stops with 1, which is taken as "for now". 1: there may be more, 0: complete, or negative. */
int message_walk(MessageWalk *walk, NodeFn fn, void *userdata);

/* A whole SessionState in pieces. */
typedef struct SessionView SessionView;
int session_view_new(SessionView **ret, SessionManager *m, const SessionInfo *i, size_t messages);
SessionView *session_view_free(SessionView *v);
DEFINE_CLEANUP(SessionView *, session_view_free);
/* API_PULL_END, API_PULL_MORE, or negative errno. */
int session_view_next(SessionView *v, Buf *out);
void api_reply_session(ApiCall *c, size_t messages);

/* ---- view-diff.c ---- */

/* Members of both versions that differ: {"added", "removed", "changed"}. The texts are checked objects. */
int view_diff_values(JsonWriter *w, JsonSpan from, JsonSpan to);
void view_diff_point(JsonWriter *w, const SessionSide *side);
/* What changed of the configuration, as an object. */
void view_diff_config(JsonWriter *w, const ConfigInfo *from, const ConfigInfo *to);
void view_diff_files(JsonWriter *w, const SessionDiff *d);

/* ---- docs.c ---- */
int docs_write(Buf *out, char *ret_policy, size_t policy_size);

/* ---- metrics.c, metrics-text.c ---- */

MetricsRoute *metrics_new(void);
/* HttpRepliedFn, userdata an Api. */
void metrics_replied(
        const void *route_data, HttpMethod method, unsigned status, usec_t duration, void *userdata);
void metrics_write_http(const Api *a, Buf *out);
/* A family's HELP and TYPE, then its samples. labels: `name="value",…` or NULL. */
void metrics_family(Buf *out, const char *name, const char *type, const char *help);
void metrics_sample(Buf *out, const char *name, const char *labels, double value);
/* A family with one sample. */
void metrics_one(Buf *out, const char *name, const char *type, const char *help, double value);

/* ---- openapi.c ---- */
int openapi_write(Buf *out);
