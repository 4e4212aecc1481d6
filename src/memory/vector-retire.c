/* SPDX-License-Identifier: MIT */

/* When may what readers looked at be freed? A clock counts every change; a reader notes it when it
 * begins. What is taken out of sight gets the clock of that moment, and is freed when the oldest
 * reader began later. Readers are few and begin and end under the lock, in the order of their
 * clocks, so the first of their list is the oldest; the retired queue is in order too.
 *
 * A lock for readers and writers was rejected: a scan takes milliseconds, and the loop thread would
 * wait for it with every session's requests behind it. */

#include "memory/vectors-internal.h"

static const VectorReader *oldest(const VectorIndex *v) {
        return list_is_empty(&v->readers) ? NULL : container_of(v->readers.next, VectorReader, link);
}

void vector_reader_begin(VectorIndex *v, VectorReader *r) {
        *r = (VectorReader){ .clock = v->clock, .is_reading = true };
        list_append(&v->readers, &r->link);
}

void vector_reader_end(VectorIndex *v, VectorReader *r) {
        if (!r->is_reading)
                return;
        r->is_reading = false;
        (void) pthread_mutex_lock(&v->lock);
        list_remove(&r->link);
        bool is_more = v->retired != NULL;
        (void) pthread_cond_broadcast(&v->reader_left);
        (void) pthread_mutex_unlock(&v->lock);
        if (is_more)
                vector_reclaim(v);
}

void vector_readers_wait(VectorIndex *v, uint64_t clock) {
        (void) pthread_mutex_lock(&v->lock);
        while (oldest(v) && oldest(v)->clock < clock)
                (void) pthread_cond_wait(&v->reader_left, &v->lock);
        (void) pthread_mutex_unlock(&v->lock);
}

void vector_retire(VectorIndex *v, VectorRetired *r, void (*done)(VectorIndex *v, VectorRetired *r)) {
        *r = (VectorRetired){ .clock = ++v->clock, .done = done };
        if (v->retired_last)
                v->retired_last->next = r;
        else
                v->retired = r;
        v->retired_last = r;
}

/* Takes from the queue what the oldest reader cannot see. */
static VectorRetired *take_invisible(VectorIndex *v) {
        const VectorReader *reader = oldest(v);
        VectorRetired *first = v->retired, *last = NULL;

        for (VectorRetired *r = first; r; r = r->next) {
                if (reader && reader->clock < r->clock)
                        break;
                last = r;
        }
        if (!last)
                return NULL;
        v->retired = TAKE_PTR(last->next);
        if (!v->retired)
                v->retired_last = NULL;
        return first;
}

void vector_reclaim(VectorIndex *v) {
        (void) pthread_mutex_lock(&v->lock);
        VectorRetired *r = take_invisible(v);
        (void) pthread_mutex_unlock(&v->lock);

        while (r) {
                VectorRetired *next = r->next;
                r->done(v, r);
                r = next;
        }
}
