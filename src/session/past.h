/* SPDX-License-Identifier: MIT */
#pragma once

/* Writing the past of sessions that lived in another program: rows as if they had been written here at
 * their own times. For an import into a fresh store: one thread, blocking, commits in batches of a few
 * MiB, no events. The manager is loaded, has no other sessions to serve and is freed afterwards: it does
 * not know the sessions that are written. Large bodies stay in the database if it has no data_dir.
 *
 * A session is begun, then its states are written in any order (a state is a node, variables and a
 * configuration; equal ones are stored once), then past_session_end() writes the row. */

#include "session/session.h"

typedef struct PastWriter PastWriter;
typedef struct PastSession PastSession;
typedef struct PastNode PastNode;

int past_writer_new(PastWriter **ret, SessionManager *m);
PastWriter *past_writer_free(PastWriter *w);
DEFINE_CLEANUP(PastWriter *, past_writer_free);
/* Everything is on disk, or the first error. An event may go along: data is a JSON object. */
int past_writer_finish(PastWriter *w, unsigned event_type, JsonSpan data);
/* id is known outside by that name: base/id.h. */
int past_alias(PastWriter *w, uint64_t id, uint64_t name);

int past_session_begin(PastWriter *w, uint64_t id, PastSession **ret);
PastSession *past_session_free(PastSession *s);
DEFINE_CLEANUP(PastSession *, past_session_free);

typedef struct PastMessage {
        const char *role;
        JsonSpan content; /* string, array or null */
        JsonSpan calls;   /* array, or absent */
        usec_t time;
} PastMessage;
/* The child of parent (NULL: the first message) with this message; it is made if it is not there. */
int past_message(PastSession *s, PastNode *parent, const PastMessage *m, PastNode **ret);
uint64_t past_node_tool_calls(const PastNode *n); /* NULL: 0 */
uint64_t past_node_depth(const PastNode *n);      /* NULL: 0 */

typedef struct PastState {
        PastNode *node;     /* NULL: no messages */
        JsonSpan variables; /* object; absent: none */
        ConfigInfo config;  /* not owned */
        usec_t time;
} PastState;

typedef struct PastCheckpoint {
        uint64_t id;
        CheckpointKind kind;
        const char *label;
        usec_t created_at;
        bool pinned;
} PastCheckpoint;
/* On the branch `main` if the node is on it, else on a branch of its own. After past_session_end(). */
int past_checkpoint(PastSession *s, const PastCheckpoint *c, const PastState *state);

typedef struct PastSessionRow {
        const char *name, *reason;
        SessionSubstate substate;
        JsonSpan labels;
        usec_t created_at, updated_at, stopped_at;
} PastSessionRow;
/* The row, and the branch `main` that ends at state's node. */
int past_session_end(PastSession *s, const PastSessionRow *row, const PastState *state);
