/* SPDX-License-Identifier: MIT */

/* The table: ids, scopes, codes and which slots live, written whole by each save. It is some 5 % of
 * the rows' bytes. Changing it in place was rejected: a whole new file and a rename are the last
 * save or this one at any instant, with nothing to repair.
 *
 * It is written from a picture while the writer goes on, as a search would look at it. A slot that
 * lived in the picture may be erased meanwhile, from the codes too; since it may also just have
 * been moved, which no owner of rows knows of, its code is made again of its row, which stays until
 * the save after. */

#include <math.h>
#include <sodium.h>

#include "base/fs.h"
#include "memory/vectors-internal.h"

#define CHUNK_BYTES ((size_t) 1 << 20)

const char vector_rows_magic[16] = "agentd vectors\n", vector_table_magic[16] = "agentd vec tab\n";

uint64_t vector_checksum(uint64_t before, const void *data, size_t n) {
        const uint8_t *p = data;
        uint64_t x = before, word;

        for (size_t i = 0; i + sizeof(word) <= n; i += sizeof(word)) {
                memcpy(&word, p + i, sizeof(word));
                x = (x ^ word) * UINT64_C(0x9e3779b97f4a7c15);
                x ^= x >> 29;
        }
        return x;
}

typedef struct Writer {
        int fd;
        uint8_t *chunk;
        size_t n;
        uint64_t checksum;
        int error;
        size_t width, bits_bytes;
        /* of one block */
        uint8_t *bits;
        float *rotated;
        int8_t *code;
} Writer;

/* Overwritten: the codes may be of what is erased next. */
static void release(void *p, size_t n) {
        if (p)
                sodium_memzero(p, n);
        free(p);
}

static void writer_done(Writer *w) {
        release(w->chunk, CHUNK_BYTES);
        release(w->bits, w->bits_bytes);
        release(w->rotated, w->width * sizeof(float));
        release(w->code, w->width);
}

static int writer_init(Writer *w, const VectorIndex *v, int fd) {
        *w = (Writer){ .fd = fd, .width = v->coder.width, .bits_bytes = vector_bits_bytes(&v->coder) };
        w->chunk = malloc(CHUNK_BYTES);
        w->bits = vector_alloc(vector_bits_bytes(&v->coder));
        w->rotated = vector_alloc(v->coder.width * sizeof(float));
        w->code = vector_alloc(v->coder.width);
        return w->chunk && w->bits && w->rotated && w->code ? 0 : -ENOMEM;
}

static void flush(Writer *w) {
        if (w->error == 0)
                w->error = fd_write_all(w->fd, w->chunk, w->n);
        w->n = 0;
}

static void put(Writer *w, const void *data, size_t n) {
        const uint8_t *p = data;

        w->checksum = vector_checksum(w->checksum, data, n);
        while (n > 0) {
                size_t k = MIN(n, CHUNK_BYTES - w->n);
                memcpy(w->chunk + w->n, p, k);
                w->n += k;
                p += k;
                n -= k;
                if (w->n == CHUNK_BYTES)
                        flush(w);
        }
}

/* The code of a slot from its row: a slot that was erased from the codes since. */
static float code_again(const VectorIndex *v, Writer *w, const VectorBlock *b, unsigned slot) {
        vector_rotate(&v->coder, vector_row(v, b, slot), w->rotated);
        return vector_code8(&v->coder, w->rotated, w->code);
}

static bool lives_no_more(const VectorBlock *b, unsigned slot) {
        return atomic_load_explicit(&b->died[slot], memory_order_acquire) != UINT64_MAX;
}

/* codes NULL: the block was filled, and coded otherwise, since the picture was taken. */
static void put_codes8(const VectorIndex *v,
                       Writer *w,
                       const VectorBlock *b,
                       const VectorCodes *codes,
                       const VectorTableBlock *head) {
        float scales[VECTOR_BLOCK];

        for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++)
                if (slot >= head->n || !(head->alive >> slot & 1))
                        scales[slot] = NAN;
                else if (!codes || lives_no_more(b, slot))
                        scales[slot] = code_again(v, w, b, slot);
                else
                        scales[slot] = codes->scales[slot];
        put(w, scales, sizeof(scales));
        for (unsigned slot = 0; slot < head->n; slot++) {
                if (!(head->alive >> slot & 1))
                        memset(w->code, 0, v->coder.width);
                else if (!codes || lives_no_more(b, slot))
                        (void) code_again(v, w, b, slot);
                else
                        memcpy(w->code, codes->rows + slot * v->coder.width, v->coder.width);
                put(w, w->code, v->coder.width);
        }
}

static void put_bits(const VectorIndex *v,
                     Writer *w,
                     const VectorBlock *b,
                     const uint8_t *bits,
                     const VectorTableBlock *head) {
        memcpy(w->bits, bits, vector_bits_bytes(&v->coder));
        for (unsigned slot = 0; slot < VECTOR_BLOCK; slot++) {
                if (!(head->alive >> slot & 1)) {
                        vector_bits_clear(&v->coder, w->bits, slot);
                } else if (lives_no_more(b, slot)) {
                        float scale = code_again(v, w, b, slot);
                        vector_bits_set(&v->coder, w->bits, slot, w->code, scale);
                }
        }
        put(w, w->bits, vector_bits_bytes(&v->coder));
}

static void put_block(
        const VectorIndex *v, Writer *w, const VectorEntry *entry, unsigned n, uint64_t clock) {
        const VectorBlock *b = entry->block;
        /* in this order: see vector-scan.c */
        const uint8_t *bits = atomic_load_explicit(&entry->bits, memory_order_acquire);
        const VectorCodes *codes =
                bits ? NULL : atomic_load_explicit(&b->codes, memory_order_acquire);
        VectorTableBlock head = { .number = b->number, .n = n, .is_bits = !codes && n == VECTOR_BLOCK };

        if (!bits && !codes)
                bits = atomic_load_explicit(&b->bits, memory_order_acquire);
        for (unsigned slot = 0; slot < n; slot++)
                head.alive |= (uint32_t) vector_sees(b, slot, clock) << slot;
        put(w, &head, sizeof(head));
        put(w, b->ids, n * sizeof(b->ids[0]));
        if (head.is_bits)
                put_bits(v, w, b, bits, &head);
        else
                put_codes8(v, w, b, codes, &head);
}

int vector_table_write(VectorIndex *v, const VectorPicture *p, int fd) {
        _cleanup_(writer_done) Writer w = {};
        int r = writer_init(&w, v, fd);

        if (r < 0)
                return r;
        put(&w, &p->head, sizeof(p->head));
        put(&w, p->unwiped, p->head.n_unwiped * sizeof(*p->unwiped));
        for (size_t i = 0; i < p->head.n_segments && w.error == 0; i++) {
                const struct VectorPictureSegment *s = &p->segments[i];

                put(&w, &s->head, sizeof(s->head));
                for (size_t b = 0; b < s->head.n_blocks && w.error == 0; b++)
                        put_block(v, &w, &s->list->entries[b],
                                  b == s->head.n_blocks - 1 ? s->head.tail : VECTOR_BLOCK,
                                  p->reader.clock);
        }
        uint64_t checksum = w.checksum;
        put(&w, &checksum, sizeof(checksum));
        flush(&w);
        return w.error;
}
