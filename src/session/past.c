/* SPDX-License-Identifier: MIT */

/* The past of sessions, see past.h. The rows are written by the functions that write those of
 * living sessions, with a transaction that belongs to no session: then nothing of it is kept in
 * memory, and ten thousand sessions pass through with the memory of one.
 *
 * States of one session repeat most of each other: every checkpoint holds the whole conversation up
 * to it. So messages are found again by (parent, hash of the message) and a checkpoint costs what
 * is new in it; where two states differ the tree forks there, and both are exactly what they were.
 * Variables and configurations are found by their hash alone.
 *
 * Creating sessions by the verbs was rejected: they write the present time and the events of a life
 * that did not happen here. */

#include "session/past.h"

#include <sodium.h>

#include "session/session-internal.h"

#define PAST_WRITER_MAGIC  UINT32_C(0x9a570001)
#define PAST_SESSION_MAGIC UINT32_C(0x9a570002)
#define BATCH_BYTES        ((size_t) 4 << 20)
#define ROW_BYTES          ((size_t) 256) /* of one beside its texts, roughly */
#define NAMESPACE_DEFAULT  1

struct PastWriter {
        uint32_t magic;
        SessionManager *manager;
        SessionTxn *txn;
        size_t bytes;
};

struct PastNode {
        uint8_t hash[HASH_SIZE];
        uint64_t id, depth, tool_calls, branch;
        PastNode *parent, *jump;
        PastNode *next; /* all of the session, for freeing */
};

/* A row that is stored once. */
typedef struct PastRow {
        uint8_t hash[HASH_SIZE];
        uint64_t id;
        struct PastRow *next;
} PastRow;

struct PastSession {
        uint32_t magic;
        PastWriter *writer;
        uint64_t id, branch;
        PastNode root, *nodes;
        Map *by_hash; /* first bytes → PastNode */
        PastRow *rows;
};

/* ---- batches ---- */

int past_writer_new(PastWriter **ret, SessionManager *m) {
        PastWriter *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        *w = (PastWriter){ .magic = PAST_WRITER_MAGIC, .manager = m };
        *ret = w;
        return 0;
}

PastWriter *past_writer_free(PastWriter *w) {
        if (!w)
                return NULL;
        OBJ_CHECK(w, PAST_WRITER_MAGIC);
        session_txn_free(w->txn);
        w->magic = 0;
        free(w);
        return NULL;
}

static int batch_send(PastWriter *w) {
        SessionManager *m = w->manager;

        if (!w->txn)
                return 0;
        w->bytes = 0;
        int r = session_txn_submit(TAKE_PTR(w->txn), 0, NULL, NULL);
        if (r == 0)
                r = store_flush(m->store);
        return r == 0 && m->failed ? m->failed->error : r;
}

/* The transaction to write to, for one row of about n bytes of the session. */
static int batch(PastWriter *w, uint64_t session, usec_t now, size_t n, SessionTxn **ret) {
        int r = w->bytes >= BATCH_BYTES ? batch_send(w) : 0;

        if (r == 0 && !w->txn)
                r = session_txn_new(w->manager, NULL, &w->txn);
        if (r != 0)
                return r < 0 ? r : -EIO;
        w->bytes += n + ROW_BYTES;
        w->txn->next = (SessionInfo){ .id = session, .namespace_id = NAMESPACE_DEFAULT };
        w->txn->now = now;
        *ret = w->txn;
        return 0;
}

int past_writer_finish(PastWriter *w, unsigned event_type, JsonSpan data) {
        SessionTxn *t;

        OBJ_CHECK(w, PAST_WRITER_MAGIC);
        int r = batch(w, 0, clock_realtime(), data.n, &t);
        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_EVENT_INSERT, STORE_ID(id_new()), STORE_ID(NAMESPACE_DEFAULT),
                  STORE_ID(0), STORE_INT(event_type), STORE_INT((int64_t) t->now), STORE_SPAN(data));
        return batch_send(w);
}

int past_alias(PastWriter *w, uint64_t id, uint64_t name) {
        SessionTxn *t;
        int r = batch(w, 0, 0, 0, &t);

        if (r >= 0)
                STORE_ADD(t->store, STATE_ALIAS_INSERT, STORE_ID(id), STORE_ID(name));
        return r;
}

/* ---- a session ---- */

int past_session_begin(PastWriter *w, uint64_t id, PastSession **ret) {
        _cleanup_(past_session_freep) PastSession *s = calloc(1, sizeof(*s));

        OBJ_CHECK(w, PAST_WRITER_MAGIC);
        if (!s)
                return -ENOMEM;
        s->magic = PAST_SESSION_MAGIC;
        s->writer = w;
        s->id = id;
        s->by_hash = map_new();
        if (!s->by_hash)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

PastSession *past_session_free(PastSession *s) {
        if (!s)
                return NULL;
        OBJ_CHECK(s, PAST_SESSION_MAGIC);
        while (s->nodes) {
                PastNode *n = s->nodes;
                s->nodes = n->next;
                free(n);
        }
        while (s->rows) {
                PastRow *row = s->rows;
                s->rows = row->next;
                free(row);
        }
        map_free(s->by_hash);
        s->magic = 0;
        free(s);
        return NULL;
}

typedef struct Piece {
        const void *p;
        size_t n;
} Piece;

/* Of the pieces with their lengths, so that no two lists of pieces look alike. */
static void hash_pieces(const Piece *pieces, size_t n, uint8_t ret[static HASH_SIZE]) {
        crypto_generichash_state state;

        crypto_generichash_init(&state, NULL, 0, HASH_SIZE);
        for (size_t i = 0; i < n; i++) {
                crypto_generichash_update(&state, (const uint8_t *) &pieces[i].n,
                                          sizeof(pieces[i].n));
                if (pieces[i].n > 0)
                        crypto_generichash_update(&state, pieces[i].p, pieces[i].n);
        }
        crypto_generichash_final(&state, ret, HASH_SIZE);
}

/* ---- messages ---- */

uint64_t past_node_tool_calls(const PastNode *n) {
        return n ? n->tool_calls : 0;
}

uint64_t past_node_depth(const PastNode *n) {
        return n ? n->depth : 0;
}

/* The rule of jump.c: over both when the parent's jump and the one after it span the same. */
static PastNode *jump_of_child(PastNode *parent) {
        PastNode *jump = parent->jump, *far = jump ? jump->jump : NULL;

        return far && parent->depth - jump->depth == jump->depth - far->depth ? far : parent;
}

static int message_rows(PastSession *s, PastNode *n, const PastMessage *m) {
        _cleanup_(body_done) Body body = {};
        SessionTxn *t;
        int r = batch(s->writer, s->id, m->time, m->content.n + m->calls.n, &t);

        if (r >= 0)
                r = body_pack(m->content, m->calls, &body);
        if (r >= 0)
                r = body_store(t->manager, t->next.namespace_id, &body);
        if (r >= 0)
                r = body_add(t, &body);
        if (r < 0)
                return r;
        t->next.head = n->parent->id;
        t->next.message_count = n->depth;
        t->next.tool_call_count = n->tool_calls;
        return node_add(t, n->id, 0, m->role, &body, n->jump->id);
}

static int message_new(PastSession *s,
                       PastNode *parent,
                       const PastMessage *m,
                       const uint8_t hash[static HASH_SIZE],
                       PastNode **ret) {
        PastNode *n = calloc(1, sizeof(*n));

        if (!n)
                return -ENOMEM;
        n->next = s->nodes;
        s->nodes = n;
        memcpy(n->hash, hash, HASH_SIZE);
        n->id = id_new();
        n->parent = parent;
        n->jump = jump_of_child(parent);
        n->depth = parent->depth + 1;
        n->tool_calls = parent->tool_calls + (m->calls.p ? json_count(m->calls) : 0);
        int r = message_rows(s, n, m);
        if (r >= 0)
                r = map_put(s->by_hash, hash_key(hash), n);
        if (r >= 0)
                *ret = n;
        return MIN(r, 0);
}

int past_message(PastSession *s, PastNode *parent, const PastMessage *m, PastNode **ret) {
        uint8_t hash[HASH_SIZE];

        OBJ_CHECK(s, PAST_SESSION_MAGIC);
        PastNode *on = parent ? parent : &s->root;
        const Piece pieces[] = {
                { &on->id, sizeof(on->id) },    { m->role, strlen(m->role) },
                { m->content.p, m->content.n }, { m->calls.p, m->calls.n },
                { &m->time, sizeof(m->time) },
        };
        hash_pieces(pieces, ELEMENTSOF(pieces), hash);
        PastNode *known = map_get(s->by_hash, hash_key(hash));
        if (!known || memcmp(known->hash, hash, HASH_SIZE) != 0)
                return message_new(s, on, m, hash, ret);
        *ret = known;
        return 0;
}

/* ---- variables and configurations ---- */

/* Few: looked through. *ret is their place if it is not there. */
static int row_find(PastSession *s, const uint8_t hash[static HASH_SIZE], PastRow **ret) {
        for (PastRow *row = s->rows; row; row = row->next)
                if (memcmp(row->hash, hash, HASH_SIZE) == 0) {
                        *ret = row;
                        return 1;
                }
        PastRow *row = calloc(1, sizeof(*row));
        if (!row)
                return -ENOMEM;
        memcpy(row->hash, hash, HASH_SIZE);
        row->next = s->rows;
        s->rows = row;
        *ret = row;
        return 0;
}

static int variables_row(PastSession *s, const PastState *state, uint64_t *ret) {
        const Piece pieces[] = { { "v", 1 }, { state->variables.p, state->variables.n } };
        uint8_t hash[HASH_SIZE];
        SessionTxn *t;
        PastRow *row;

        hash_pieces(pieces, ELEMENTSOF(pieces), hash);
        int r = row_find(s, hash, &row);
        if (r < 0)
                return r;
        if (r == 0) {
                r = batch(s->writer, s->id, state->time, state->variables.n, &t);
                if (r >= 0)
                        r = vars_create(t, state->variables);
                if (r >= 0)
                        row->id = t->next.vars;
        }
        *ret = row->id;
        return r == SESSION_E_LIMIT && row->id == 0 && state->variables.n > VARS_MAX_BYTES
                       ? -E2BIG
                       : MIN(r, 0);
}

static int config_row(PastSession *s, const PastState *state, uint64_t *ret) {
        const ConfigInfo *c = &state->config;
        const Piece pieces[] = {
                { "c", 1 },
                { c->model, c->model ? strlen(c->model) : 0 },
                { c->system_prompt.p, c->system_prompt.n },
                { c->tools.p, c->tools.n },
                { c->history.p, c->history.n },
                { &c->history_depth, sizeof(c->history_depth) },
                { &c->history_extra, sizeof(c->history_extra) },
        };
        uint8_t hash[HASH_SIZE];
        SessionTxn *t;
        PastRow *row;

        hash_pieces(pieces, ELEMENTSOF(pieces), hash);
        int r = row_find(s, hash, &row);
        if (r < 0)
                return r;
        if (r == 0) {
                r = batch(s->writer, s->id, state->time,
                          c->system_prompt.n + c->tools.n + c->history.n, &t);
                if (r >= 0)
                        row->id = config_add(t, 0, c);
        }
        *ret = row->id;
        return MIN(r, 0);
}

/* ---- the rows that name a state ---- */

typedef struct Ids {
        uint64_t node, vars, config;
} Ids;

static int state_rows(PastSession *s, const PastState *state, Ids *ret) {
        int r = variables_row(s, state, &ret->vars);

        if (r >= 0)
                r = config_row(s, state, &ret->config);
        ret->node = state->node ? state->node->id : 0;
        return r;
}

/* Where a branch leaves another: none, if it begins with the conversation. */
typedef struct Fork {
        uint64_t node, branch;
} Fork;

static int branch_row(PastSession *s,
                      const char *name,
                      const PastState *state,
                      const Ids *ids,
                      const Fork *fork,
                      uint64_t *ret) {
        Point origin = { .node = fork->node };
        SessionTxn *t;
        int r = batch(s->writer, s->id, state->time, strlen(name), &t);

        if (r < 0)
                return r;
        t->next.head = ids->node;
        t->next.vars = ids->vars;
        t->next.config = ids->config;
        *ret = branch_add(t, id_new(), name, &origin, fork->branch);
        return 0;
}

int past_session_end(PastSession *s, const PastSessionRow *row, const PastState *state) {
        Ids ids = {};
        SessionTxn *t;

        OBJ_CHECK(s, PAST_SESSION_MAGIC);
        int r = state_rows(s, state, &ids);
        if (r >= 0)
                r = branch_row(s, "main", state, &ids, &(Fork){}, &s->branch);
        if (r >= 0)
                r = batch(s->writer, s->id, state->time, strlen(row->name), &t);
        if (r < 0)
                return r;
        t->next.name = row->name;
        t->next.reason = row->reason;
        t->next.substate = row->substate;
        t->next.status = substate_status(row->substate);
        t->next.labels = row->labels;
        t->next.created_at = row->created_at;
        t->next.updated_at = row->updated_at;
        t->next.stopped_at = row->stopped_at;
        t->next.config = ids.config;
        t->next.vars = ids.vars;
        t->next.branch = s->branch;
        t->flags = TXN_CREATE;
        txn_add_session_row(t);
        t->flags = 0;
        t->next = (SessionInfo){};
        for (PastNode *n = state->node; n && n != &s->root; n = n->parent)
                n->branch = s->branch;
        return 0;
}

/* A node that no branch leads to yet gets one that ends there. */
static int checkpoint_branch(PastSession *s,
                             const PastCheckpoint *c,
                             const PastState *state,
                             const Ids *ids,
                             uint64_t *ret) {
        char name[sizeof("checkpoint-") + ID_STRING_SIZE] = "checkpoint-";
        PastNode *node = state->node;

        if (!node || node->branch) {
                *ret = node ? node->branch : s->branch;
                return 0;
        }
        Fork fork = { .branch = s->branch };
        for (PastNode *n = node; n != &s->root; n = n->parent)
                if (n->branch) {
                        fork = (Fork){ n->id, n->branch };
                        break;
                }
        id_format(c->id, name + strlen(name));
        int r = branch_row(s, name, state, ids, &fork, ret);
        for (; r >= 0 && node != &s->root && !node->branch; node = node->parent)
                node->branch = *ret;
        return r;
}

int past_checkpoint(PastSession *s, const PastCheckpoint *c, const PastState *state) {
        uint64_t branch;
        Ids ids = {};
        SessionTxn *t;

        OBJ_CHECK(s, PAST_SESSION_MAGIC);
        assert(s->branch);
        int r = state_rows(s, state, &ids);
        if (r >= 0)
                r = checkpoint_branch(s, c, state, &ids, &branch);
        if (r >= 0)
                r = batch(s->writer, s->id, c->created_at, 0, &t);
        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_CHECKPOINT_INSERT, STORE_ID(c->id), STORE_ID(s->id),
                  STORE_ID(branch), STORE_ID(ids.node), STORE_ID(ids.vars), STORE_ID(ids.config),
                  STORE_ID(0), (StoreValue){}, STORE_ID(0), STORE_INT(c->kind),
                  STORE_INT(c->pinned), STORE_TEXT(c->label), STORE_INT((int64_t) c->created_at),
                  STORE_INT(0), (StoreValue){});
        return 0;
}
