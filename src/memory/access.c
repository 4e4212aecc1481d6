/* SPDX-License-Identifier: MIT */

/* Counts of reads per entry: one small object per entry that was read since the last write. A count
 * on its way to the disk stays visible until its commit, and comes back when the commit fails, so
 * that a reader never sees it go down. Bounded: at ACCESS_MAX entries the owner is told to write.
 * One batch is on its way at a time; what is read meanwhile goes with the next. */

#include "memory/access.h"

#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"
#include "store/schema-memory.h"

#define ACCESS_MAGIC 0x41434353U
#define ACCESS_MAX   1024

typedef struct Access {
        uint64_t entry;
        unsigned waiting; /* to be written */
        unsigned flying;  /* on their way */
        ListLink link;    /* in AccessCounts.flying */
} Access;

struct AccessCounts {
        uint32_t magic;
        unsigned refs;
        size_t n_waiting; /* entries whose waiting is above 0 */
        ListLink flying;
        Map *map;
};

int access_counts_new(AccessCounts **ret) {
        AccessCounts *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        *a = (AccessCounts){ .magic = ACCESS_MAGIC, .refs = 1, .map = map_new() };
        list_init(&a->flying);
        if (!a->map)
                return access_counts_unref(a), -ENOMEM;
        *ret = a;
        return 0;
}

AccessCounts *access_counts_ref(AccessCounts *a) {
        OBJ_CHECK(a, ACCESS_MAGIC);
        a->refs++;
        return a;
}

AccessCounts *access_counts_unref(AccessCounts *a) {
        size_t cursor = 0;
        void *value;

        if (!a || --a->refs > 0)
                return NULL;
        while (a->map && map_next(a->map, &cursor, NULL, &value))
                free(value);
        map_free(a->map);
        a->magic = 0;
        free(a);
        return NULL;
}

static Access *access_new(AccessCounts *a, uint64_t entry) {
        Access *e = calloc(1, sizeof(Access));

        if (!e)
                return NULL;
        e->entry = entry;
        if (map_put(a->map, entry, e) >= 0)
                return e;
        free(e);
        return NULL;
}

int access_counts_bump(AccessCounts *a, uint64_t entry) {
        Access *e = map_get(a->map, entry);

        if (!e && map_size(a->map) < 2 * (size_t) ACCESS_MAX)
                e = access_new(a, entry);
        if (!e)
                return -ENOMEM;
        if (e->waiting++ == 0)
                a->n_waiting++;
        return a->n_waiting >= ACCESS_MAX;
}

uint64_t access_counts_get(const AccessCounts *a, uint64_t entry) {
        const Access *e = map_get(a->map, entry);

        return e ? (uint64_t) e->waiting + e->flying : 0;
}

size_t access_counts_pending(const AccessCounts *a) {
        return a->n_waiting;
}

bool access_counts_add_to(AccessCounts *a, StoreTxn *txn) {
        size_t cursor = 0;
        void *value;

        if (a->n_waiting == 0 || !list_is_empty(&a->flying))
                return false;
        while (map_next(a->map, &cursor, NULL, &value)) {
                Access *e = value;

                STORE_ADD(txn, MEMORY_ENTRY_TOUCH, STORE_ID(e->entry), STORE_INT(e->waiting));
                e->flying = e->waiting;
                e->waiting = 0;
                list_append(&a->flying, &e->link);
        }
        a->n_waiting = 0;
        return true;
}

void access_counts_written(AccessCounts *a, int r) {
        OBJ_CHECK(a, ACCESS_MAGIC);

        LIST_FOREACH(l, &a->flying) {
                Access *e = LIST_ENTRY(l, Access, link);

                list_remove(l);
                if (r != 0) {
                        a->n_waiting += e->waiting == 0;
                        e->waiting += e->flying;
                }
                e->flying = 0;
                if (e->waiting == 0) {
                        (void) map_remove(a->map, e->entry);
                        free(e);
                }
        }
        access_counts_unref(a);
}
