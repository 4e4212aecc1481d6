/* SPDX-License-Identifier: MIT */

/* Scopes of sessions that are no more. Deleting a session takes its memory along, but the two are in two
 * databases, and who dies between the commits leaves entries that nobody can name any more. So a start
 * goes once through the scopes that have entries, in the order of the index, some at a time with the
 * loop in between, and removes those whose session is unknown. Scopes of agents are names and stay. */

#include "base/log.h"
#include "memory/memory-internal.h"

#define COLLECTOR_MAGIC 0x434f4c4cU
#define PIECE           64
#define AGENT_BIT       (UINT64_C(1) << 62) /* see memory_agent_scope() */
#define AGAIN_USEC      USEC_PER_MINUTE

struct Collector {
        uint32_t magic;
        MemoryManager *m;
        bool (*is_there)(uint64_t session, void *userdata);
        void *userdata;
        sd_event_source *timer; /* the next piece */
        MemoryScope last;
        bool is_writing;
};

Collector *collector_free(Collector *c) {
        if (!c)
                return NULL;
        if (c->is_writing)
                (void) store_flush(c->m->store);
        sd_event_source_disable_unref(c->timer);
        c->magic = 0;
        free(c);
        return NULL;
}

static void again(Collector *c, usec_t after) {
        if (sd_event_source_set_time_relative(c->timer, after) >= 0)
                (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static void on_removed(int r, uint64_t version, void *userdata) {
        Collector *c = OBJ_CAST(Collector, userdata, COLLECTOR_MAGIC);

        c->is_writing = false;
        if (r < 0)
                c->last = (MemoryScope){};
        again(c, r < 0 ? AGAIN_USEC : 0);
}

/* 1 and the next scope of the table, 0: there is none behind the last. */
static int next_scope(const Collector *c, unsigned statement, MemoryScope *ret) {
        _cleanup_(store_cursor_freep) StoreCursor *row = NULL;
        int r = STORE_QUERY(store_reader(c->m->store), &row, statement,
                            STORE_INT((int64_t) c->last.namespace_id),
                            STORE_INT((int64_t) c->last.id));

        if (r >= 0)
                r = store_next(row);
        if (r > 0)
                *ret = (MemoryScope){ .namespace_id = store_id(row, 0), .id = store_id(row, 1) };
        return r;
}

/* The lesser of both tables' next. */
static int go_on(Collector *c) {
        MemoryScope live = {}, past = {};
        int r = next_scope(c, MEMORY_SCOPE_OF_ENTRIES, &live);

        if (r < 0)
                return r;
        bool has_live = r > 0;
        r = next_scope(c, MEMORY_SCOPE_OF_VERSIONS, &past);
        if (r < 0 || (r == 0 && !has_live))
                return r;
        bool live_first = live.namespace_id != past.namespace_id
                                  ? live.namespace_id < past.namespace_id
                                  : live.id < past.id;
        c->last = r == 0 || (has_live && live_first) ? live : past;
        return 1;
}

/* 1: go on later; 0: that was all. */
static int piece(Collector *c) {
        for (unsigned i = 0; i < PIECE; i++) {
                int r = go_on(c);
                if (r <= 0)
                        return r;
                if (c->last.id == 0 || c->last.id & AGENT_BIT || c->is_there(c->last.id, c->userdata))
                        continue;
                log_notice("Removing the memory of a session that was deleted");
                c->is_writing = true;
                r = memory_scope_delete(c->m, c->last, on_removed, c);
                if (r < 0)
                        on_removed(r, 0, c);
                return 1;
        }
        again(c, 0);
        return 1;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Collector *c = OBJ_CAST(Collector, userdata, COLLECTOR_MAGIC);
        int r = piece(c);

        if (r < 0)
                again(c, AGAIN_USEC);
        else if (r == 0)
                c->m->collector = collector_free(c);
        return 0;
}

int memory_collect(MemoryManager *m,
                   bool (*is_there)(uint64_t session, void *userdata),
                   void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        assert(m->event && !m->collector);
        _cleanup_free_ Collector *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (Collector){ .magic = COLLECTOR_MAGIC, .m = m, .is_there = is_there, .userdata = userdata };
        int r = sd_event_add_time_relative(m->event, &c->timer, CLOCK_MONOTONIC, 0, 0, on_timer, c);
        if (r >= 0)
                m->collector = TAKE_PTR(c);
        return MIN(r, 0);
}
