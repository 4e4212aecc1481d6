/* SPDX-License-Identifier: MIT */

/* Reading a table back. The checksum finds what a disk did to it; everything is checked besides, since a
 * file that anybody could have written must not be able to make a search read beyond its memory. */

#include <math.h>

#include "memory/vectors-internal.h"

typedef struct Input {
        const uint8_t *p;
        size_t n;
} Input;

static const void *take(Input *in, size_t n) {
        const uint8_t *p = in->p;

        if (n > in->n)
                return NULL;
        in->p += n;
        in->n -= n;
        return p;
}

static int take_copy(Input *in, void *ret, size_t n) {
        const void *p = take(in, n);

        if (!p)
                return -EBADMSG;
        memcpy(ret, p, n);
        return 0;
}

static bool head_is_ours(const VectorIndex *v, const VectorTableHead *h) {
        return memcmp(h->magic, vector_table_magic, sizeof(h->magic)) == 0 &&
               h->version == VECTOR_FORMAT && h->byte_order == VECTOR_BYTE_ORDER &&
               h->dimensions == v->coder.dimensions && h->stamp == v->head.stamp &&
               h->seed == v->coder.seed;
}

/* A place that is free so far, of which the file has the first n rows. */
static int check_place(VectorIndex *v, uint32_t number, unsigned n) {
        uint64_t bytes;
        int r = vector_rows_size(&v->rows, &bytes);

        if (r < 0)
                return r;
        if (vector_rows_end(&v->rows, number, n) > bytes)
                return -EBADMSG;
        r = vector_places_reserve(v, (size_t) number + 1);
        if (r < 0)
                return r == -ENOSPC ? -EBADMSG : r;
        if (number < v->n_places && (v->places[number].block || v->places[number].unwiped != 0))
                return -EBADMSG;
        v->n_places = MAX(v->n_places, (size_t) number + 1);
        return 0;
}

static int read_codes(VectorIndex *v, Input *in, const VectorTableBlock *head, VectorBlock *b) {
        VectorCodes *codes = vector_codes_new(v, NULL, VECTOR_BLOCK);

        if (!codes)
                return -ENOMEM;
        atomic_init(&b->codes, codes);
        int r = take_copy(in, codes->scales, sizeof(codes->scales));
        return r < 0 ? r : take_copy(in, codes->rows, head->n * v->coder.width);
}

static int read_bits(VectorIndex *v, Input *in, const VectorTableBlock *head, VectorBlock *b) {
        if (head->n != VECTOR_BLOCK)
                return -EBADMSG;
        uint8_t *bits = vector_bits_new(v);
        if (!bits)
                return -ENOMEM;
        atomic_init(&b->bits, bits);
        return take_copy(in, bits, vector_bits_bytes(&v->coder));
}

/* A dead slot's code must not be found, whatever the file says. */
static void forget(const VectorIndex *v, VectorBlock *b, unsigned slot) {
        VectorCodes *codes = atomic_load(&b->codes);

        if (codes)
                codes->scales[slot] = NAN;
        else
                vector_bits_clear(&v->coder, atomic_load(&b->bits), slot);
}

static int fill_block(
        VectorIndex *v, Input *in, const VectorTableBlock *head, VectorBlock *b, size_t *n) {
        int r = take_copy(in, b->ids, head->n * sizeof(b->ids[0]));

        if (r < 0)
                return r;
        for (unsigned slot = 0; slot < head->n; slot++) {
                if (b->ids[slot] == 0)
                        return -EBADMSG;
                if (head->alive >> slot & 1)
                        b->n_alive++;
                else
                        atomic_init(&b->died[slot], 0);
        }
        *n += b->n_alive;
        r = head->is_bits ? read_bits(v, in, head, b) : read_codes(v, in, head, b);
        for (unsigned slot = 0; r == 0 && slot < head->n; slot++)
                if (!(head->alive >> slot & 1))
                        forget(v, b, slot);
        return r;
}

static int read_block(VectorIndex *v, Input *in, VectorSegment *s, unsigned n, size_t *n_alive) {
        VectorTableBlock head;
        VectorBlock *b;
        int r = take_copy(in, &head, sizeof(head));

        if (r < 0)
                return r;
        if (head.n != n || (n < VECTOR_BLOCK && head.alive >> n != 0))
                return -EBADMSG;
        r = check_place(v, head.number, n);
        if (r < 0)
                return r;
        r = vector_block_new(v, head.number, &b);
        if (r < 0)
                return r;
        r = fill_block(v, in, &head, b, n_alive);
        if (r < 0) {
                vector_block_free(v, b);
                return r;
        }
        r = vector_segment_reserve(v, s);
        if (r < 0) {
                vector_block_free(v, b);
                return r;
        }
        vector_segment_add(v, s, b);
        s->n_alive += b->n_alive;
        return 0;
}

static int read_segment(VectorIndex *v, Input *in, size_t *n_alive) {
        VectorTableSegment head;
        VectorSegment *s;
        int r = take_copy(in, &head, sizeof(head));

        if (r < 0)
                return r;
        if (head.scope == 0 || map_get(v->segments, head.scope) || head.n_blocks == 0 ||
            head.tail == 0 || head.tail > VECTOR_BLOCK)
                return -EBADMSG;
        r = vector_segment_get(v, head.scope, &s);
        for (uint64_t i = 0; i < head.n_blocks && r == 0; i++)
                r = read_block(v, in, s, i == head.n_blocks - 1 ? head.tail : VECTOR_BLOCK, n_alive);
        if (r < 0)
                return r;
        s->tail = head.tail;
        s->is_large = head.is_large != 0;
        s->tuned_at = head.tuned_at;
        s->candidates = MIN(MAX(head.candidates, (uint32_t) VECTOR_CANDIDATES_MIN),
                            (uint32_t) VECTOR_CANDIDATES_MAX);
        return s->n_alive > 0 ? 0 : -EBADMSG;
}

static int read_unwiped(VectorIndex *v, Input *in) {
        VectorTableUnwiped u;
        int r = take_copy(in, &u, sizeof(u));

        if (r < 0)
                return r;
        /* it may lie behind all that is in use: then the place is free once it is wiped */
        uint64_t bytes;
        r = vector_rows_size(&v->rows, &bytes);
        if (r < 0)
                return r;
        if (u.mask == 0 || vector_rows_end(&v->rows, u.number, 1) > bytes)
                return -EBADMSG;
        r = vector_places_reserve(v, (size_t) u.number + 1);
        if (r < 0)
                return r == -ENOSPC ? -EBADMSG : r;
        v->n_places = MAX(v->n_places, (size_t) u.number + 1);
        if (v->places[u.number].unwiped != 0)
                return -EBADMSG;
        v->places[u.number].unwiped = u.mask;
        return 0;
}

/* Wiped rows are no secret any more, and no slot that lives may be among them. */
static int check_unwiped(const VectorIndex *v) {
        for (size_t p = 0; p < v->n_places; p++) {
                const VectorBlock *b = v->places[p].block;

                for (unsigned slot = 0; b && slot < VECTOR_BLOCK; slot++)
                        if (v->places[p].unwiped >> slot & 1 && vector_sees(b, slot, 0))
                                return -EBADMSG;
        }
        return 0;
}

int vector_table_read(VectorIndex *v, const void *data, size_t n, uint64_t *ret_sequence) {
        Input in = { .p = data, .n = n };
        VectorTableHead head;
        uint64_t checksum;
        size_t n_alive = 0;

        if (n < sizeof(head) + sizeof(checksum) || n % sizeof(checksum) != 0)
                return -EBADMSG;
        in.n -= sizeof(checksum);
        memcpy(&checksum, in.p + in.n, sizeof(checksum));
        if (vector_checksum(0, data, in.n) != checksum)
                return -EBADMSG;
        int r = take_copy(&in, &head, sizeof(head));
        if (r < 0)
                return r;
        if (!head_is_ours(v, &head))
                return -EBADMSG;
        const uint8_t *unwiped = in.p;
        if (head.n_unwiped > in.n / sizeof(VectorTableUnwiped))
                return -EBADMSG;
        (void) take(&in, head.n_unwiped * sizeof(VectorTableUnwiped));
        for (uint64_t i = 0; i < head.n_segments && r == 0; i++)
                r = read_segment(v, &in, &n_alive);
        if (r == 0 && in.n != 0)
                r = -EBADMSG;
        in = (Input){ .p = unwiped, .n = head.n_unwiped * sizeof(VectorTableUnwiped) };
        for (uint64_t i = 0; i < head.n_unwiped && r == 0; i++)
                r = read_unwiped(v, &in);
        if (r == 0)
                r = check_unwiped(v);
        if (r == 0)
                r = vector_ids_reserve(v, n_alive);
        if (r < 0)
                return r;
        vector_ids_rebuild(v, n_alive);
        *ret_sequence = head.sequence;
        return 0;
}
