/* SPDX-License-Identifier: MIT */
#pragma once

/* Asking the daemon. */

#include "cli/cli.h"

#define ANSWER_SEC 60 /* for an answer that needs no agent's end */

typedef struct Reply {
        HttpResponse http;
        JsonSpan json; /* the checked body; absent if it is no JSON */
} Reply;
void reply_done(Reply *r);
#define _cleanup_reply_ _cleanup_(reply_done)

/* How the daemon is reached, as ask_client() does it. */
HttpClientOptions ask_options(const Cli *c);
/* The client, made when it is first needed. Does not connect yet. */
int ask_client(Cli *c, HttpClient **ret);
/* One exchange. 0 if the answer is a success (2xx, JSON); else what the daemon said was printed. A GET whose
 * connection breaks is asked again a few times, since the keeper starts a daemon that died at once. */
int ask(Cli *c, const char *method, const char *path, const char *body, Reply *ret);
/* All pages of a list as one array, kept in *buf. */
int ask_list(Cli *c, const char *path, Buf *buf, JsonSpan *ret);

/* Prints why there is no answer (error: of http_client_request()); CLI_FAILURE or
 * CLI_NOT_PERMITTED. */
int ask_no_answer(Cli *c, int error);
/* Prints what an unsuccessful answer says and returns its exit status. */
int ask_refused(Cli *c, long status, const char *body, size_t n);
/* The same without printing it. */
char *refusal_text(Cli *c, long status, const char *body, size_t n, int *ret_exit);

/* Appends ?name=value or &name=value, escaped; nothing if value is NULL. */
void query_add(Buf *path, const char *name, const char *value);

/* A line on a terminal while an answer takes its time; of verbs that may. */
typedef struct Progress {
        Cli *cli;
        HttpClient *client;
        usec_t from;               /* monotonic */
        usec_t looked_at, seen_at; /* for a daemon; it was there */
        bool drawn;
} Progress;
void progress_begin(Progress *p, Cli *c, HttpClient *client);
void progress_draw(void *userdata); /* a Progress */
void progress_end(Progress *p);

typedef struct SessionRef {
        char *id, *name, *status;
} SessionRef;
/* A session by id, name or unique prefix of its id. */
int ask_session(Cli *c, const char *ref, SessionRef *ret);

/* A point of a session as the daemon takes it: `now` or an id, from `now`, an id or its unique
 * begin, a checkpoint's label or a branch's name. */
int ask_point(Cli *c, const SessionRef *session, const char *ref, char **ret);
/* The same for checkpoints only: by id, the begin of one, or label. */
int ask_checkpoint(Cli *c, const SessionRef *session, const char *ref, char **ret);

/* POST /sessions/{id}/VERB for each argument, and a line that says what the session is now. */
int ask_session_verb(Cli *c, const char *verb, const char *body);
/* The same for a verb that starts the session. */
int ask_session_start(Cli *c, const char *verb, const char *body);
/* Waits until a session that was told to start has executed its program or could not, and says
 * which: what ended at once is CLI_FAILURE, with the reason. */
int ask_started(Cli *c, const char *id, bool is_new);
/* After a request that answered with a SessionState: the JSON, the id (--quiet) if it is new, or "NAME (ID) is …". */
void say_session(Cli *c, JsonSpan session, bool is_new);
/* "running (active)", "stopped". */
char *session_state_text(Cli *c, JsonSpan session);
/* The same, with a substate only where it says something that the status does not. */
char *session_state_brief(Cli *c, JsonSpan s);
/* The colour of that: yellow for what should run and does not. */
const char *session_colour(Cli *c, JsonSpan session);
/* The command line of a session's agent, "" if it has none. brief: at most 40 columns, absolute
 * paths by their last part only. */
char *session_command(Cli *c, JsonSpan session, bool brief);
/* What `agentd status SESSION` says above the log. run and checkpoint may be absent. */
void session_status_text(Cli *c, JsonSpan s, JsonSpan run, JsonSpan checkpoint, Buf *out);
