/* SPDX-License-Identifier: MIT */

/* Variables: each change is a version, a row (parent, name, value as written); every 64th has a
 * snapshot of all, so that reading a version costs one snapshot and at most 63 rows whatever its
 * age, and a checkpoint holds one id. Values are spans of checked text and are never parsed.
 *
 * Setting a value reads nothing but for that 64th version. Changes that are submitted and not yet
 * committed hang on the session, so that a removal or a snapshot made meanwhile sees them: the
 * store's committed state with those laid over it in order is the present state, even if some of
 * them are committed already.
 *
 * A cache of all variables for each session was rejected: it would be as large as what clients
 * store. */

#include "session/session-internal.h"

struct VarsPending {
        VarsPending *next;
        uint64_t branch, base; /* the branch and the version it was made on */
        char *name;
        char *value; /* NULL: removed */
        size_t n_value;
};

VarsPending *vars_pending_free(VarsPending *p) {
        if (!p)
                return NULL;
        free(p->name);
        free(p->value);
        free(p);
        return NULL;
}

/* A ring: the session points to the newest, whose next is the oldest, so that adding takes one step
 * however many are on their way, and so does taking out, because commits come in order. */
void vars_pending_add(Session *s, VarsPending *p) {
        VarsPending *newest = s->vars_pending;

        p->next = newest ? newest->next : p;
        if (newest)
                newest->next = p;
        s->vars_pending = p;
}

void vars_pending_done(Session *s, VarsPending *p) {
        VarsPending *before = s->vars_pending;

        assert(before);
        while (before->next != p)
                before = before->next;
        if (before == p)
                s->vars_pending = NULL;
        else {
                before->next = p->next;
                if (s->vars_pending == p)
                        s->vars_pending = before;
        }
        vars_pending_free(p);
}

static int pending_new(const char *name, JsonSpan value, VarsPending **ret) {
        VarsPending *p = calloc(1, sizeof(VarsPending));

        if (!p)
                return -ENOMEM;
        p->name = strdup(name);
        p->value = value.p ? strndup(value.p, value.n) : NULL;
        p->n_value = value.n;
        if (!p->name || (value.p && !p->value)) {
                vars_pending_free(p);
                return -ENOMEM;
        }
        *ret = p;
        return 0;
}

/* ---- the state of a version ---- */

/* Changes by name, the newest of each; `list` owns them in the order of first appearance from the newest. */
typedef struct Changes {
        StrMap *by_name;
        VarsPending *list;
        char *snapshot; /* below them; NULL: nothing */
        size_t n_snapshot;
} Changes;

static void changes_done(Changes *c) {
        strmap_free(c->by_name);
        free(c->snapshot);
        while (c->list) {
                VarsPending *p = c->list;
                c->list = p->next;
                vars_pending_free(p);
        }
}

/* newer: replaces what is known of the name, else it is older and does not count if the name is known. */
static int changes_put(Changes *c, const char *name, JsonSpan value, bool newer) {
        VarsPending *known = strmap_get(c->by_name, name), *p;

        if (known && !newer)
                return 0;
        int r = pending_new(name, value, &p);
        if (r < 0)
                return r;
        if (known) {
                free(known->value);
                known->value = TAKE_PTR(p->value);
                known->n_value = p->n_value;
                vars_pending_free(p);
                return 0;
        }
        r = strmap_put(c->by_name, p->name, p);
        if (r < 0) {
                vars_pending_free(p);
                return r;
        }
        p->next = c->list;
        c->list = p;
        return 0;
}

static int changes_row(Changes *c, StoreCursor *row) {
        JsonSpan snapshot = store_span(row, 7);

        if (snapshot.p) {
                c->snapshot = strndup(snapshot.p, snapshot.n);
                c->n_snapshot = snapshot.n;
                return c->snapshot ? 0 : -ENOMEM;
        }
        return changes_put(c, store_text(row, 5, NULL), store_span(row, 6), false);
}

static int changes_load(SessionManager *m, uint64_t vars, Changes *c) {
        _cleanup_(store_cursor_freep) StoreCursor *rows = NULL;
        int r;

        c->by_name = strmap_new();
        if (!c->by_name)
                return -ENOMEM;
        if (vars == 0)
                return 0;
        r = STORE_QUERY(m->reader, &rows, STATE_VARS_CHAIN, STORE_ID(vars));
        while (r >= 0 && (r = store_next(rows)) > 0)
                r = changes_row(c, rows);
        return r;
}

static VarsPending *pending_oldest(const Session *s) {
        return s->vars_pending ? s->vars_pending->next : NULL;
}

static VarsPending *pending_newer(const Session *s, const VarsPending *p) {
        return p == s->vars_pending ? NULL : p->next;
}

/* The session's variables now, with what is on its way on the present branch. */
static int changes_now(Session *s, Changes *c) {
        VarsPending *first = pending_oldest(s);

        while (first && first->branch != s->info.branch)
                first = pending_newer(s, first);
        int r = changes_load(s->manager, first ? first->base : s->info.vars, c);
        for (VarsPending *p = first; r >= 0 && p; p = pending_newer(s, p))
                r = changes_put(c, p->name, (JsonSpan){ p->value, p->n_value }, true);
        return r;
}

/* The member's name as a C string; a name with a NUL escape cannot be one of ours. */
static int member_change(const Changes *c, JsonSpan key, VarsPending **ret) {
        _cleanup_free_ char *name = NULL;
        int r = json_string_dup(key, &name, NULL);

        if (r == -ENOMEM)
                return r;
        *ret = r < 0 ? NULL : strmap_get(c->by_name, name);
        return 0;
}

static void write_colon(JsonWriter *w) {
        buf_putc(w->buf, ':');
        w->comma = false;
}

static int changes_write(const Changes *c, Buf *out) {
        JsonWriter w = JSON_WRITER(out);
        JsonSpan key, value;

        json_w_object_begin(&w);
        JsonIter it = json_iter(c->snapshot ? (JsonSpan){ c->snapshot, c->n_snapshot }
                                            : JSON_LITERAL("{}"));
        while (json_next(&it, &key, &value)) {
                VarsPending *p;
                int r = member_change(c, key, &p);
                if (r < 0)
                        return r;
                if (p)
                        continue;
                json_w_raw(&w, key);
                write_colon(&w);
                json_w_raw(&w, value);
        }
        for (const VarsPending *p = c->list; p; p = p->next) {
                if (!p->value)
                        continue;
                json_w_string(&w, p->name);
                write_colon(&w);
                json_w_raw(&w, (JsonSpan){ p->value, p->n_value });
        }
        json_w_object_end(&w);
        return buf_error(out);
}

int session_vars(SessionManager *m, uint64_t vars, Buf *out) {
        _cleanup_(changes_done) Changes c = {};

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        int r = changes_load(m, vars, &c);
        return r < 0 ? r : changes_write(&c, out);
}

static JsonSpan changes_get(const Changes *c, const char *name) {
        const VarsPending *p = strmap_get(c->by_name, name);

        if (p)
                return (JsonSpan){ p->value, p->n_value };
        return c->snapshot ? json_get((JsonSpan){ c->snapshot, c->n_snapshot }, name) : (JsonSpan){};
}

int session_var(SessionManager *m, uint64_t vars, const char *name, Buf *out) {
        _cleanup_(changes_done) Changes c = {};

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        int r = changes_load(m, vars, &c);
        if (r < 0)
                return r;
        JsonSpan value = changes_get(&c, name);
        return value.p ? buf_append(out, value.p, value.n) : -ENOENT;
}

int vars_since(SessionManager *m, uint64_t vars, uint8_t *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        *ret = 0;
        if (vars == 0)
                return 0;
        int r = STORE_QUERY(m->reader, &c, STATE_VARS_ONE, STORE_ID(vars));
        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r < 0 ? r : -EUCLEAN;
        *ret = (uint8_t) store_int(c, 3);
        return 0;
}

/* ---- changing ---- */

static void vars_row(SessionTxn *t, uint64_t id, const char *name, JsonSpan value, JsonSpan snapshot) {
        STORE_ADD(t->store, STATE_VARS_INSERT, STORE_ID(id), STORE_ID(t->next.id),
                  STORE_ID(t->next.vars), STORE_INT(t->next_vars_since), STORE_INT((int64_t) t->now),
                  STORE_TEXT(name), STORE_SPAN(value), STORE_SPAN(snapshot));
        t->next.vars = id;
        t->next.updated_at = t->now;
}

static void vars_event(SessionTxn *t, const char *name, uint64_t id, bool removed) {
        JsonWriter w = txn_event_data(t);

        json_w_kv_string(&w, "name", name);
        json_w_kv_id(&w, "version", id);
        if (removed)
                json_w_kv_bool(&w, "removed", true);
        txn_event(t, EVENT_VARIABLE, &w);
}

int vars_create(SessionTxn *t, JsonSpan variables) {
        const SessionConfig *c = &t->manager->config;

        t->next_vars_since = 0;
        if (!variables.p || json_count(variables) == 0)
                return 0;
        if (variables.n > c->variables_bytes_max || json_count(variables) > c->variables_max)
                return SESSION_E_VARIABLES;
        vars_row(t, id_new(), "", (JsonSpan){}, variables);
        return 0;
}

/* Everything, this change included, as the 64th version holds it. */
static int snapshot_write(Session *s, const char *name, JsonSpan value, Buf *out) {
        _cleanup_(changes_done) Changes c = {};
        int r = changes_now(s, &c);

        if (r >= 0)
                r = changes_put(&c, name, value, true);
        if (r >= 0)
                r = changes_write(&c, out);
        return r == -E2BIG ? SESSION_E_LIMIT : r;
}

static int set_txn(SessionTxn *t, uint64_t id, const char *name, JsonSpan value) {
        _cleanup_buf_ Buf snapshot = BUF_INIT(VARS_MAX_BYTES);
        int r = pending_new(name, value, &t->vars);

        if (r < 0)
                return r;
        t->vars->branch = t->next.branch;
        t->vars->base = t->next.vars;
        t->next_vars_since++;
        if (t->next_vars_since >= VARS_SNAPSHOT_EVERY) {
                r = snapshot_write(t->session, name, value, &snapshot);
                if (r != 0)
                        return r;
                t->next_vars_since = 0;
        }
        vars_row(t, id, name, value,
                 snapshot.len > 0 ? (JsonSpan){ snapshot.data, snapshot.len } : (JsonSpan){});
        t->flags |= TXN_BRANCH | TXN_CHANGED;
        vars_event(t, name, id, !value.p);
        return 0;
}

/* ---- limits ---- */

/* Reads all of them, as they will be with the change. */
static int count_exactly(Session *s, const char *name, JsonSpan value) {
        _cleanup_(changes_done) Changes c = {};
        _cleanup_buf_ Buf all = BUF_INIT(VARS_MAX_BYTES);
        int r = changes_now(s, &c);

        if (r >= 0)
                r = changes_put(&c, name, value, true);
        if (r >= 0)
                r = changes_write(&c, &all);
        if (r < 0)
                return r == -E2BIG ? SESSION_E_VARIABLES : r;
        s->vars_bound = json_count((JsonSpan){ all.data, all.len });
        s->vars_bytes_bound = all.len;
        return 0;
}

/* Setting reads nothing, so what is kept is a bound that only grows; when it comes to the limit,
 * all are counted, and it is exact again. */
static int check_limits(Session *s, const char *name, JsonSpan value) {
        const SessionConfig *c = &s->manager->config;
        size_t more = value.n + 6 * strlen(name) + 4;

        if (s->has_vars_bound && s->vars_bound < c->variables_max &&
            s->vars_bytes_bound + more <= c->variables_bytes_max) {
                s->vars_bound++;
                s->vars_bytes_bound += more;
                return 0;
        }
        int r = count_exactly(s, name, value);
        if (r != 0)
                return r;
        s->has_vars_bound =
                s->vars_bound <= c->variables_max && s->vars_bytes_bound <= c->variables_bytes_max;
        return s->has_vars_bound ? 0 : SESSION_E_VARIABLES;
}

static int must_exist(Session *s, const char *name) {
        _cleanup_(changes_done) Changes c = {};
        int r = changes_now(s, &c);

        if (r < 0)
                return r;
        return changes_get(&c, name).p ? 0 : -ENOENT;
}

int session_var_set(Session *s,
                    uint64_t run,
                    const char *name,
                    JsonSpan value,
                    uint64_t if_match,
                    SessionDoneFn done,
                    void *userdata) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;

        OBJ_CHECK(s, SESSION_MAGIC);
        if (s->manager->is_shutting_down)
                return SESSION_E_SHUTTING_DOWN;
        int r = session_run_check(s, run);
        if (r != 0)
                return r;
        if (if_match && if_match != s->info.vars)
                return SESSION_E_CONFLICT;
        if (value.n > s->manager->config.message_max)
                return SESSION_E_LIMIT;
        r = session_txn_new(s->manager, s, &t);
        if (r >= 0)
                r = value.p ? check_limits(s, name, value) : must_exist(s, name);
        if (r != 0)
                return r;
        uint64_t id = id_new();
        r = set_txn(t, id, name, value);
        return r != 0 ? r : session_txn_submit(TAKE_PTR(t), id, done, userdata);
}
