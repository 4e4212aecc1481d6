/* SPDX-License-Identifier: MIT */

/* What has expired leaves the live entries and becomes a version, like what is deleted; versions
 * that are too old go for good. One timer for both, armed for the next time that anything is due
 * and not at all when nothing is: an idle daemon does not wake up. Nobody waits for it: an expired
 * entry is not found from the moment on. Work comes in pieces of one transaction each, and a piece
 * that fails (full disk) is tried again a minute later. */

#include "memory/memory-internal.h"

#define EXPIRY_MAGIC  0x45585059U
#define PIECE         256
#define AGAIN_USEC    USEC_PER_MINUTE
#define ACCURACY_USEC USEC_PER_SEC
#define HISTORY_GRACE USEC_PER_HOUR /* versions need not go to the minute */

struct Expiry {
        uint32_t magic;
        MemoryManager *m;
        sd_event *event;
        sd_event_source *timer;
        usec_t due; /* realtime; USEC_INFINITY: nothing */
        bool is_writing;
        /* the keys that the transaction under way removes */
        size_t n_removals;
        struct {
                Flight *flight;
                uint64_t version;
        } removals[PIECE];
};

static usec_t number_of(MemoryManager *m, unsigned statement) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(store_reader(m->store), &c, statement, NULL, 0);

        if (r < 0 || store_next(c) <= 0 || store_is_null(c, 0))
                return USEC_INFINITY;
        return (usec_t) store_int(c, 0);
}

static usec_t next_due(const Expiry *e) {
        usec_t entry = number_of(e->m, MEMORY_NEXT_EXPIRY), age = e->m->limits.history_age_usec;
        usec_t version = age == USEC_INFINITY ? USEC_INFINITY : number_of(e->m, MEMORY_OLDEST_END);

        if (version != USEC_INFINITY)
                version += age + HISTORY_GRACE;
        return MIN(entry, version);
}

/* Without a loop (tests of other things) nothing is swept. */
static void arm(Expiry *e, usec_t due) {
        e->due = due;
        if (!e->event)
                return;
        usec_t now = clock_realtime(), wait = due > now ? due - now : 0;
        if (due == USEC_INFINITY)
                (void) sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        else if (sd_event_source_set_time_relative(e->timer, wait) >= 0)
                (void) sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT);
}

static void end_removals(Expiry *e) {
        for (size_t i = 0; i < e->n_removals; i++)
                flight_end(e->removals[i].flight);
        e->n_removals = 0;
}

static void on_swept(int r, uint64_t version, void *userdata) {
        Expiry *e = OBJ_CAST(Expiry, userdata, EXPIRY_MAGIC);

        end_removals(e);
        e->is_writing = false;
        arm(e, r < 0 ? clock_realtime() + AGAIN_USEC : next_due(e));
}

static int add_removal(Expiry *e, StoreTxn *txn, MemoryScope scope, const char *key) {
        KeyState state;

        /* Somebody writes it at this moment: its transaction deals with what is there. */
        if (flights_get(e->m->flights, scope, key, &state))
                return 0;
        int r = memory_key_state(e->m, scope, key, &state);
        if (r < 0)
                return r;
        Flight *flight = flights_begin(e->m->flights, scope, key);
        if (!flight)
                return -ENOMEM;
        e->removals[e->n_removals].flight = flight;
        e->removals[e->n_removals++].version = state.version;
        flight_set(flight, &state);
        memory_add_removal(e->m, txn, scope, key, &state);
        return 0;
}

static int add_expired(Expiry *e, StoreTxn *txn) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(store_reader(e->m->store), &c, MEMORY_EXPIRED_LIST,
                            STORE_INT((int64_t) clock_realtime()), STORE_INT(PIECE));

        while (r >= 0 && (r = store_next(c)) > 0)
                r = add_removal(e, txn,
                                (MemoryScope){ .namespace_id = store_id(c, 1), .id = store_id(c, 2) },
                                store_text(c, 3, NULL));
        return r;
}

static bool add_too_old(Expiry *e, StoreTxn *txn) {
        usec_t age = e->m->limits.history_age_usec, now = clock_realtime();

        if (age == USEC_INFINITY || now < age || number_of(e->m, MEMORY_OLDEST_END) >= now - age)
                return false;
        const StoreValue values[] = { STORE_INT((int64_t) (now - age)), STORE_INT(PIECE) };
        store_txn_add(txn, MEMORY_AGE_SEARCH, values, ELEMENTSOF(values));
        store_txn_add(txn, MEMORY_AGE_VECTORS, values, ELEMENTSOF(values));
        store_txn_add(txn, MEMORY_AGE_VERSIONS, values, ELEMENTSOF(values));
        return true;
}

/* 1: it is on its way; 0: there was nothing to do. */
static int sweep(Expiry *e) {
        StoreTxn *txn = store_txn_new(e->m->store);
        int r = add_expired(e, txn);
        bool is_work = r >= 0 && (add_too_old(e, txn) || e->n_removals > 0);

        if (is_work)
                r = memory_submit(e->m, txn,
                                  &(MemoryChange){ .done = on_swept, .userdata = e, .vectors = true });
        else
                store_txn_free(txn);
        if (r < 0 || !is_work) {
                end_removals(e);
                return r;
        }
        for (size_t i = 0; i < e->n_removals; i++)
                flight_set(e->removals[i].flight, &(KeyState){ .version = e->removals[i].version });
        e->is_writing = true;
        return 1;
}

static int on_due(sd_event_source *s, uint64_t usec, void *userdata) {
        Expiry *e = OBJ_CAST(Expiry, userdata, EXPIRY_MAGIC);
        int r = sweep(e);
        usec_t due = next_due(e);

        if (r < 0)
                arm(e, clock_realtime() + AGAIN_USEC);
        else if (r == 0)
                /* not yet, or it is being written right now */
                arm(e, due == USEC_INFINITY ? due : MAX(due, clock_realtime() + USEC_PER_SEC));
        return 0;
}

int expiry_new(Expiry **ret, MemoryManager *m, sd_event *event) {
        Expiry *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        *e = (Expiry){ .magic = EXPIRY_MAGIC, .m = m, .event = event, .due = USEC_INFINITY };
        int r = 0;
        if (event)
                r = sd_event_add_time_relative(event, &e->timer, CLOCK_MONOTONIC, 0, ACCURACY_USEC,
                                               on_due, e);
        if (r < 0) {
                expiry_free(e);
                return r;
        }
        arm(e, next_due(e));
        *ret = e;
        return 0;
}

/* A completion that is still to come needs the object: whoever frees the manager flushes the store. */
Expiry *expiry_free(Expiry *e) {
        if (!e)
                return NULL;
        if (e->is_writing)
                (void) store_flush(e->m->store);
        sd_event_source_disable_unref(e->timer);
        e->magic = 0;
        free(e);
        return NULL;
}

void expiry_at(Expiry *e, usec_t t) {
        if (!e->is_writing && t < e->due)
                arm(e, t);
}

void expiry_again(Expiry *e) {
        if (!e->is_writing)
                arm(e, next_due(e));
}
