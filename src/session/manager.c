/* SPDX-License-Identifier: MIT */

/* All sessions, in memory, as two indexes: a map by id and an array in ascending order of ids. Ids
 * ascend, so a new session goes to the array's end, a page of a list is a binary search and a walk,
 * and the array costs 8 bytes each. A balanced tree was rejected: its links cost 24 bytes and more,
 * and only deleting would be cheaper (here: moving the pointers behind, 0.1 ms for 100,000).
 *
 * What few sessions have (an open run, verbs under way, a jump path) hangs on pointers, so that an
 * idle session costs its object and its name. */

#include <sodium.h>

#include "session/session-internal.h"

#define EVENTS_MAX_DEFAULT   UINT64_C(1000000)
#define EVENTS_AGE_DEFAULT   (7 * USEC_PER_DAY)
#define SESSIONS_MAX_DEFAULT 1000000
#define MESSAGE_MAX_DEFAULT  ((size_t) 8 << 20)
#define AUTO_KEPT_DEFAULT    10

#define TOKENS_MAX_DEFAULT      1000
#define CHECKPOINTS_MAX_DEFAULT 10000
#define VARIABLES_MAX_DEFAULT   10000
#define VARIABLES_BYTES_DEFAULT ((size_t) 16 << 20)

#define APPEND_THREADS_DEFAULT 2
#define APPEND_QUEUE_DEFAULT   256

static void config_defaults(SessionConfig *c) {
        c->append_threads = c->append_threads ?: APPEND_THREADS_DEFAULT;
        c->append_queue = c->append_queue ?: APPEND_QUEUE_DEFAULT;
        c->auto_checkpoints_kept = c->auto_checkpoints_kept ?: AUTO_KEPT_DEFAULT;
        c->events_max = c->events_max ?: EVENTS_MAX_DEFAULT;
        c->events_age_usec = c->events_age_usec ?: EVENTS_AGE_DEFAULT;
        c->sessions_max = c->sessions_max ?: SESSIONS_MAX_DEFAULT;
        c->message_max = c->message_max ?: MESSAGE_MAX_DEFAULT;
        c->tokens_max = c->tokens_max ?: TOKENS_MAX_DEFAULT;
        c->checkpoints_max = c->checkpoints_max ?: CHECKPOINTS_MAX_DEFAULT;
        c->variables_max = c->variables_max ?: VARIABLES_MAX_DEFAULT;
        c->variables_bytes_max = c->variables_bytes_max ?: VARIABLES_BYTES_DEFAULT;
}

static int on_defer(sd_event_source *source, void *userdata) {
        (void) source;
        session_manager_reload(OBJ_CAST(SessionManager, userdata, SESSION_MANAGER_MAGIC));
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void) source;
        (void) usec;
        session_manager_tick(OBJ_CAST(SessionManager, userdata, SESSION_MANAGER_MAGIC));
        return 0;
}

static int manager_sources(SessionManager *m) {
        int r = sd_event_add_defer(m->event, &m->defer, on_defer, m);

        if (r >= 0)
                r = sd_event_source_set_enabled(m->defer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time(m->event, &m->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC,
                                      on_timer, m);
        if (r >= 0)
                r = sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);
        return r;
}

int session_manager_new(SessionManager **ret,
                        sd_event *event,
                        Store *store,
                        const SessionConfig *config,
                        const SessionAgentOps *ops,
                        void *ops_userdata) {
        _cleanup_(session_manager_freep) SessionManager *m = calloc(1, sizeof(SessionManager));

        if (!m || sodium_init() < 0)
                return -ENOMEM;
        m->magic = SESSION_MANAGER_MAGIC;
        m->event = sd_event_ref(event);
        m->store = store;
        m->reader = store_reader(store);
        m->config = *config;
        m->ops = ops;
        m->ops_userdata = ops_userdata;
        m->failed_tail = &m->failed;
        list_init(&m->subscriptions);
        config_defaults(&m->config);
        m->data_dir = config->data_dir ? strdup(config->data_dir) : NULL;
        m->config.data_dir = m->data_dir;
        m->by_id = map_new();
        m->by_run = map_new();
        m->body_files = map_new();
        m->namespaces = map_new();
        m->namespace_ids = strmap_new();
        m->tokens = map_new();
        m->run_tokens = map_new();
        if (!m->by_id || !m->by_run || !m->body_files || !m->namespaces || !m->namespace_ids ||
            !m->tokens || !m->run_tokens || (config->data_dir && !m->data_dir))
                return -ENOMEM;
        int r = manager_sources(m);
        if (r >= 0)
                r = appends_open(m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static void session_destroy(Session *s) {
        open_run_remove(s);
        heap_remove(&s->manager->heap, &s->timer);
        info_strings_free(&s->info);
        free(s->jump);
        free(s->unfinished);
        s->magic = 0;
        free(s);
}

/* What failed and was not told yet is told now; nothing is read again. */
static void failed_free(SessionManager *m) {
        while (m->failed) {
                SessionTxn *t = m->failed;
                m->failed = t->next_failed;
                if (t->done)
                        t->done(t->error, NULL, t->id, t->userdata);
                session_txn_free(t);
        }
}

void session_manager_close(SessionManager *m) {
        if (!m)
                return;
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        m->pool = pool_free(m->pool); /* its messages are submitted by that */
        if (!m->is_closing)
                void_intents_sweep(m);
        m->is_shutting_down = m->is_closing = true;
}

SessionManager *session_manager_free(SessionManager *m) {
        if (!m)
                return NULL;
        session_manager_close(m);
        while (m->inflight > 0 && store_flush(m->store) >= 0)
                ;
        failed_free(m);
        for (size_t i = 0; i < m->n_sorted; i++) {
                ops_abandon(m->sorted[i], -ESHUTDOWN);
                session_destroy(m->sorted[i]);
        }
        sd_event_source_disable_unref(m->timer);
        sd_event_source_disable_unref(m->defer);
        tokens_free(m);
        namespaces_free(m);
        subscriptions_free(m);
        config_cache_done(m);
        map_free(m->by_id);
        map_free(m->by_run);
        map_free(m->body_files);
        sweep_done(m);
        map_free(m->run_tokens);
        heap_done(&m->heap);
        free(m->sorted);
        free(m->tainted);
        free(m->void_intents.ids);
        free(m->data_dir);
        explicit_bzero(m->body_key, sizeof(m->body_key));
        sd_event_unref(m->event);
        m->magic = 0;
        free(m);
        return NULL;
}

/* ---- indexes ---- */

/* The place of the first session whose id is at least `id`; true if it is that one. */
bool session_find(SessionManager *m, uint64_t id, size_t *ret_index) {
        size_t low = 0, high = m->n_sorted;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (m->sorted[middle]->info.id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_index = low;
        return low < m->n_sorted && m->sorted[low]->info.id == id;
}

static int sorted_make_room(SessionManager *m) {
        if (m->n_sorted < m->cap_sorted)
                return 0;

        size_t cap = m->cap_sorted ? m->cap_sorted + m->cap_sorted / 2 : 64;
        Session **list = reallocarray(m->sorted, cap, sizeof(Session *));
        if (!list)
                return -ENOMEM;
        m->sorted = list;
        m->cap_sorted = cap;
        return 0;
}

int session_new(SessionManager *m, uint64_t id, Session **ret) {
        size_t at;
        int r = sorted_make_room(m);

        if (r < 0)
                return r;
        _cleanup_free_ Session *s = calloc(1, sizeof(Session));
        if (!s)
                return -ENOMEM;
        s->magic = SESSION_MAGIC;
        s->manager = m;
        s->info.id = id;
        list_init(&s->appends);
        r = map_put(m->by_id, id, s);
        if (r < 0)
                return r;
        bool found = session_find(m, id, &at);
        assert(!found && r == 0);
        memmove(m->sorted + at + 1, m->sorted + at, (m->n_sorted - at) * sizeof(Session *));
        m->sorted[at] = s;
        m->n_sorted++;
        *ret = TAKE_PTR(s);
        return 0;
}

static void count_session(SessionManager *m, const SessionInfo *i, int by) {
        Namespace *n = map_get(m->namespaces, i->namespace_id);

        if (i->namespace_id == 0) /* fresh: not counted yet */
                return;
        m->counts[i->substate] += (size_t) by;
        if (n)
                n->sessions += (unsigned) by;
}

void session_apply(Session *s, const SessionInfo *next) {
        count_session(s->manager, &s->info, -1);
        s->info = *next;
        count_session(s->manager, &s->info, 1);
}

static void tainted_remove(SessionManager *m, const Session *s) {
        for (size_t i = 0; i < m->n_tainted;)
                if (m->tainted[i] == s)
                        m->tainted[i] = m->tainted[--m->n_tainted];
                else
                        i++;
}

void session_forget(Session *s, int r) {
        SessionManager *m = s->manager;
        size_t at;

        assert(s->inflight == 0);
        s->is_deleting = true;
        ops_abandon(s, r);
        appends_abandon(s, r);
        tainted_remove(m, s); /* the list may name one that was read again since */
        count_session(m, &s->info, -1);
        map_remove(m->by_id, s->info.id);
        if (session_find(m, s->info.id, &at)) {
                m->n_sorted--;
                memmove(m->sorted + at, m->sorted + at + 1, (m->n_sorted - at) * sizeof(Session *));
        }
        session_destroy(s);
}

Session *session_get(SessionManager *m, uint64_t id) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);

        Session *s = map_get(m->by_id, id);
        return s && !s->is_deleting ? s : NULL;
}

const SessionInfo *session_info(const Session *s) {
        OBJ_CHECK(s, SESSION_MAGIC);
        return &s->info;
}

Session *session_next(SessionManager *m, uint64_t after) {
        size_t at;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        for (session_find(m, after + 1, &at); at < m->n_sorted; at++)
                if (!m->sorted[at]->is_deleting)
                        return m->sorted[at];
        return NULL;
}

size_t session_count(const SessionManager *m, int status) {
        size_t n = 0;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        for (size_t i = 0; i < _SUBSTATE_MAX; i++)
                if (status < 0 ? i != SUBSTATE_ARCHIVED
                               : substate_status((SessionSubstate) i) == (SessionStatus) status)
                        n += m->counts[i];
        return n;
}

size_t session_count_archived(const SessionManager *m) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        return m->counts[SUBSTATE_ARCHIVED];
}

void session_stats(const SessionManager *m, SessionStats *ret) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        *ret = m->stats;
}

usec_t session_oldest_heartbeat(const SessionManager *m) {
        usec_t oldest = 0;
        uint64_t id;
        void *value;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        for (size_t cursor = 0; map_next(m->by_run, &cursor, &id, &value);) {
                const SessionInfo *i = &((OpenRun *) value)->session->info;
                if (i->status == SESSION_RUNNING && i->heartbeat_at > 0 &&
                    (oldest == 0 || i->heartbeat_at < oldest))
                        oldest = i->heartbeat_at;
        }
        return oldest;
}

void session_heartbeat(Session *s) {
        OBJ_CHECK(s, SESSION_MAGIC);
        s->info.heartbeat_at = clock_realtime();
        /* Files change without a word to us: who is alive in a folder may have changed it. */
        if (s->info.workspace && s->changed_since == 0 && s->info.status == SESSION_RUNNING) {
                s->changed_since = MAX(clock_monotonic(), (usec_t) 1);
                session_rearm(s);
        }
}

int session_settle(SessionManager *m, Session *s, SessionDoneFn done, void *userdata) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        if (s ? s->inflight == 0 && !s->is_tainted : m->inflight == 0 && m->n_tainted == 0)
                return 1;
        return session_txn_barrier(m, s, 0, done, userdata);
}
