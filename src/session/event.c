/* SPDX-License-Identifier: MIT */

/* Events. An event is a row in the same transaction as the change it tells of, so there is no
 * change without its event and no event of a change that did not happen. Ids are drawn when the
 * transaction is built and transactions are submitted in the order they are built, so ids ascend in
 * commit order; subscribers get them after the commit, from a copy in memory.
 *
 * Old events are deleted in small batches, by age and by number. The id below which events were
 * deleted is kept
 * ("events-floor"), so that a reader that was away too long is told, and one that missed nothing is
 * not, whatever the oldest row is. */

#include "session/session-internal.h"

#define PRUNE_BATCH      1000
#define PRUNE_CHECK_USEC USEC_PER_HOUR
#define ID_EPOCH_MSEC    UINT64_C(1577836800000) /* ids: base/id.h */
#define ID_TIME_SHIFT    22

struct PendingEvent {
        PendingEvent *next;
        uint64_t id, namespace_id, session;
        unsigned type;
        usec_t time;
        size_t n;
        char data[];
};

struct SessionSubscription {
        uint32_t magic;
        SessionManager *manager;
        ListLink link;
        uint64_t namespace_id, session;
        EventFn fn; /* NULL: cancelled while events were being published */
        void *userdata;
};

JsonWriter txn_event_data(SessionTxn *t) {
        t->json.len = 0;

        JsonWriter w = JSON_WRITER(&t->json);
        json_w_object_begin(&w);
        return w;
}

static PendingEvent *event_new(SessionTxn *t, SessionEventType type) {
        PendingEvent *e = malloc(sizeof(PendingEvent) + t->json.len);

        if (!e)
                return NULL;
        *e = (PendingEvent){
                .id = id_new(),
                .namespace_id = t->session ? t->next.namespace_id : 1,
                .session = t->session_id,
                .type = type,
                .time = t->now,
                .n = t->json.len,
        };
        memcpy(e->data, t->json.data, t->json.len);
        return e;
}

void txn_event(SessionTxn *t, SessionEventType type, JsonWriter *w) {
        json_w_object_end(w);

        PendingEvent *e = buf_error(&t->json) < 0 ? NULL : event_new(t, type);
        if (!e) {
                t->error = t->error ? t->error : -ENOMEM;
                return;
        }
        *t->events_tail = e;
        t->events_tail = &e->next;
        STORE_ADD(t->store, STATE_EVENT_INSERT, STORE_ID(e->id), STORE_ID(e->namespace_id),
                  STORE_ID(e->session), STORE_INT(e->type), STORE_INT((int64_t) e->time),
                  STORE_TEXT_N(e->data, e->n));
}

PendingEvent *events_free(PendingEvent *list) {
        while (list) {
                PendingEvent *e = list;
                list = e->next;
                free(e);
        }
        return NULL;
}

int session_daemon_started(SessionManager *m, const char *version, unsigned recovered) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        int r = session_txn_new(m, NULL, &t);
        if (r < 0)
                return r;
        JsonWriter w = txn_event_data(t);
        json_w_kv_string(&w, "version", version);
        json_w_kv_uint(&w, "recovered", recovered);
        txn_event(t, EVENT_DAEMON, &w);
        return session_txn_submit(TAKE_PTR(t), 0, NULL, NULL);
}

/* ---- subscribers ---- */

int session_subscribe(SessionManager *m,
                      uint64_t namespace_id,
                      uint64_t session,
                      EventFn fn,
                      void *userdata,
                      SessionSubscription **ret) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);

        SessionSubscription *s = calloc(1, sizeof(SessionSubscription));
        if (!s)
                return -ENOMEM;
        *s = (SessionSubscription){
                .magic = SESSION_SUBSCRIPTION_MAGIC,
                .manager = m,
                .namespace_id = namespace_id,
                .session = session,
                .fn = fn,
                .userdata = userdata,
        };
        list_append(&m->subscriptions, &s->link);
        *ret = s;
        return 0;
}

static void subscription_free(SessionSubscription *s) {
        list_remove(&s->link);
        s->magic = 0;
        free(s);
}

SessionSubscription *session_unsubscribe(SessionSubscription *s) {
        if (!s)
                return NULL;
        OBJ_CHECK(s, SESSION_SUBSCRIPTION_MAGIC);
        if (s->manager->publishing > 0)
                s->fn = NULL;
        else
                subscription_free(s);
        return NULL;
}

static void subscriptions_sweep(SessionManager *m) {
        LIST_FOREACH(l, &m->subscriptions) {
                SessionSubscription *s = LIST_ENTRY(l, SessionSubscription, link);
                if (!s->fn)
                        subscription_free(s);
        }
}

void subscriptions_free(SessionManager *m) {
        LIST_FOREACH(l, &m->subscriptions)
                subscription_free(LIST_ENTRY(l, SessionSubscription, link));
}

static void publish(SessionManager *m, const PendingEvent *e) {
        EventInfo info = {
                .id = e->id,
                .namespace_id = e->namespace_id,
                .session = e->session,
                .type = e->type,
                .time = e->time,
                .data = { e->data, e->n },
        };

        for (ListLink *l = m->subscriptions.next; l != &m->subscriptions; l = l->next) {
                SessionSubscription *s = LIST_ENTRY(l, SessionSubscription, link);
                bool wanted = (s->namespace_id == 0 || s->namespace_id == e->namespace_id) &&
                              (s->session == 0 || s->session == e->session);
                if (s->fn && wanted)
                        (void) s->fn(&info, s->userdata);
        }
}

void events_publish(SessionManager *m, PendingEvent *list) {
        m->publishing++;
        for (PendingEvent *e = list; e; e = e->next) {
                assert(e->id > m->last_event);
                m->last_event = e->id;
                m->n_events++;
                m->stats.events[e->type]++;
                publish(m, e);
        }
        if (--m->publishing == 0)
                subscriptions_sweep(m);
        if (m->n_events > m->config.events_max + PRUNE_BATCH && !m->is_pruning_events)
                events_due(m);
        else if (list && m->events_timer.index == 0)
                events_arm(m, clock_monotonic() + PRUNE_CHECK_USEC);
}

/* ---- reading ---- */

uint64_t session_last_event(const SessionManager *m) {
        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        return m->last_event;
}

static EventInfo event_from_row(StoreCursor *c) {
        return (EventInfo){
                .id = store_id(c, 0),
                .namespace_id = store_id(c, 1),
                .session = store_id(c, 2),
                .type = (unsigned) store_int(c, 3),
                .time = store_id(c, 4),
                .data = store_span(c, 5),
        };
}

int session_events(SessionManager *m,
                   uint64_t namespace_id,
                   uint64_t session,
                   uint64_t after,
                   size_t limit,
                   EventFn fn,
                   void *userdata,
                   bool *ret_reset) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        StoreValue n = STORE_INT((int64_t) MIN(limit, (size_t) INT64_MAX));
        int r;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        r = session ? STORE_QUERY(m->reader, &c, STATE_EVENT_LIST_SESSION, STORE_ID(session),
                                  STORE_ID(after), n)
                    : STORE_QUERY(m->reader, &c, STATE_EVENT_LIST, STORE_ID(after), n,
                                  STORE_ID(namespace_id));
        if (r < 0)
                return r;
        *ret_reset = after > 0 && after < m->events_floor;
        while ((r = store_next(c)) > 0) {
                EventInfo e = event_from_row(c);
                if (e.type >= _SESSION_EVENT_MAX ||
                    (namespace_id > 0 && e.namespace_id != namespace_id))
                        continue;
                r = fn(&e, userdata);
                if (r != 0)
                        return r;
        }
        return r;
}

/* ---- keeping few ---- */

static int load_one_id(SessionManager *m,
                       StateStatement what,
                       StoreValue v,
                       bool has_value,
                       unsigned col,
                       uint64_t *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(m->reader, &c, what, &v, has_value);

        if (r < 0)
                return r;
        r = store_next(c);
        if (r <= 0)
                return r;
        *ret = store_id(c, col);
        return 1;
}

static int load_floor(SessionManager *m) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(m->reader, &c, STATE_PROPERTY_GET, STORE_TEXT("events-floor"));

        if (r >= 0)
                r = store_next(c);
        if (r > 0)
                m->events_floor = store_id(c, 0);
        return r;
}

int events_load(SessionManager *m) {
        int r = load_one_id(m, STATE_EVENT_RANGE, (StoreValue){}, false, 1, &m->last_event);

        if (r >= 0)
                r = load_one_id(m, STATE_EVENT_COUNT, (StoreValue){}, false, 0, &m->n_events);
        if (r >= 0)
                r = load_floor(m);
        if (r < 0)
                return r;
        if (m->n_events > 0)
                events_arm(m, clock_monotonic() + USEC_PER_MINUTE);
        return 0;
}

/* The id below which events are too old. */
static uint64_t floor_by_age(const SessionManager *m) {
        usec_t now = clock_realtime(), age = m->config.events_age_usec;
        uint64_t msec = now > age ? (now - age) / USEC_PER_MSEC : 0;

        return msec > ID_EPOCH_MSEC ? (msec - ID_EPOCH_MSEC) << ID_TIME_SHIFT : 0;
}

static void on_pruned(int r, Session *s, uint64_t id, void *userdata) {
        SessionManager *m = OBJ_CAST(SessionManager, userdata, SESSION_MANAGER_MAGIC);
        uint64_t oldest = 0, n = m->n_events;

        (void) s;
        m->is_pruning_events = false;
        if (r < 0 || m->is_shutting_down)
                return;
        (void) load_one_id(m, STATE_EVENT_RANGE, (StoreValue){}, false, 0, &oldest);
        (void) load_one_id(m, STATE_EVENT_COUNT, (StoreValue){}, false, 0, &n);
        m->n_events = n;
        if (oldest > 0 && oldest < id)
                events_due(m); /* the next batch */
}

static int prune_below(SessionManager *m, uint64_t floor) {
        _cleanup_(session_txn_freep) SessionTxn *t = NULL;
        int r = session_txn_new(m, NULL, &t);

        if (r < 0)
                return r;
        STORE_ADD(t->store, STATE_EVENT_DELETE_BELOW, STORE_ID(floor), STORE_INT(PRUNE_BATCH));
        STORE_ADD(t->store, STATE_PROPERTY_SET, STORE_TEXT("events-floor"), STORE_ID(floor));
        r = session_txn_submit(TAKE_PTR(t), floor, on_pruned, m);
        if (r < 0)
                return r;
        m->is_pruning_events = true;
        m->events_floor = MAX(m->events_floor, floor);
        return 0;
}

void events_due(SessionManager *m) {
        uint64_t floor = floor_by_age(m), oldest = 0, by_number = 0;

        if (m->is_pruning_events || m->is_shutting_down)
                return;
        if (m->n_events > m->config.events_max)
                (void) load_one_id(m, STATE_EVENT_NEWEST_BUT,
                                   STORE_INT((int64_t) m->config.events_max - 1), true, 0,
                                   &by_number);
        floor = MAX(floor, by_number);
        (void) load_one_id(m, STATE_EVENT_RANGE, (StoreValue){}, false, 0, &oldest);
        if (oldest > 0 && oldest < floor)
                (void) prune_below(m, floor);
        if (oldest > 0)
                events_arm(m, clock_monotonic() + PRUNE_CHECK_USEC);
}
