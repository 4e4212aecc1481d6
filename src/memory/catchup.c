/* SPDX-License-Identifier: MIT */

/* Entries that search does not know: those that were written before there was a search, and
 * imported ones. They are marked in their rows, so a crash loses nothing and an empty list costs
 * one look at start. A piece at a time: one transaction, whose completion begins the next; in
 * between the loop serves others. Rejected: doing it in the migration (SQL has no words.h, and a
 * large database would not start for minutes). */

#include "memory/memory-internal.h"

#define CATCHUP_MAGIC 0x43415443U
#define PIECE         128
#define AGAIN_USEC    USEC_PER_MINUTE

struct Catchup {
        uint32_t magic;
        MemoryManager *m;
        sd_event_source *timer; /* the next piece; NULL: there is no loop */
        uint64_t last;          /* the last entry that was looked at */
        bool is_writing;
};

static void again(Catchup *c, usec_t after) {
        if (c->timer && sd_event_source_set_time_relative(c->timer, after) >= 0)
                (void) sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static void on_written(int r, uint64_t version, void *userdata) {
        Catchup *c = OBJ_CAST(Catchup, userdata, CATCHUP_MAGIC);

        c->is_writing = false;
        if (r != 0)
                c->last = 0; /* from the start: what was done is not marked any more */
        again(c, r == 0 ? 0 : AGAIN_USEC);
}

static void add_one(Catchup *c, StoreTxn *txn, StoreCursor *row) {
        MemoryEntry e;
        KeyState state;

        memory_read_entry(c->m, row, &e);
        c->last = e.id;
        MemorySet set = {
                .scope = { .namespace_id = store_id(row, 18), .id = store_id(row, 19) },
                .key = e.key,
                .value = e.value,
                .text = e.text,
                .context = e.context,
                .tags = e.tags,
        };
        /* A write of it that is under way makes it findable by itself. */
        if (flights_get(c->m->flights, set.scope, set.key, &state))
                return;
        STORE_ADD(txn, MEMORY_SEARCH_DROP, STORE_ID(e.id));
        memory_add_search(c->m, txn, &set, e.id);
        STORE_ADD(txn, MEMORY_SEARCHED, STORE_ID(e.id));
}

static int next_piece(Catchup *c) {
        _cleanup_(store_cursor_freep) StoreCursor *row = NULL;
        StoreTxn *txn = store_txn_new(c->m->store);
        size_t n = 0;
        int r = STORE_QUERY(store_reader(c->m->store), &row, MEMORY_UNSEARCHED, STORE_ID(c->last),
                            STORE_INT(PIECE));

        for (; r >= 0 && (r = store_next(row)) > 0; n++)
                add_one(c, txn, row);
        if (r < 0 || n == 0) {
                store_txn_free(txn);
                return r;
        }
        r = memory_submit(c->m, txn, &(MemoryChange){ .done = on_written, .userdata = c });
        c->is_writing = r >= 0;
        return r;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        Catchup *c = OBJ_CAST(Catchup, userdata, CATCHUP_MAGIC);

        if (next_piece(c) < 0) {
                c->last = 0;
                again(c, AGAIN_USEC);
        }
        return 0;
}

int catchup_new(Catchup **ret, MemoryManager *m, sd_event *event) {
        Catchup *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (Catchup){ .magic = CATCHUP_MAGIC, .m = m };
        int r = 0;
        if (event)
                r = sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, 0, 0, on_timer, c);
        if (r < 0) {
                catchup_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

Catchup *catchup_free(Catchup *c) {
        if (!c)
                return NULL;
        if (c->is_writing)
                (void) store_flush(c->m->store);
        sd_event_source_disable_unref(c->timer);
        c->magic = 0;
        free(c);
        return NULL;
}
