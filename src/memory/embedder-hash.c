/* SPDX-License-Identifier: MIT */

/* The lexical vector: words and the 3 to 5 letters long pieces of them, counted sublinearly, each
 * added with a sign to one of the vector's numbers, both by its hash. Texts that share words, or
 * parts of words, are near each other; nothing else is. Words that say nothing count little.
 *
 * Measured on a public dialogue benchmark it finds half of what a good full-text index finds and
 * adds nothing to it, so it is for tests, for finding near-duplicates, and for clients that expect
 * an embedding of every entry. The hash is fixed: vectors are stored, and must mean the same in
 * another process. */

#include <math.h>

#include "base/str.h"
#include "memory/embedder-internal.h"
#include "memory/extract-internal.h"

#define DIMENSIONS   1024
#define TEXT_BYTES   ((size_t) 256 << 10) /* what is behind them is not looked at */
#define PIECE_SHORT  3
#define PIECE_LONG   5
#define WORD_WEIGHT  1.0
#define PIECE_WEIGHT 0.5
#define STOP_WEIGHT  0.2

typedef struct Feature {
        uint64_t hash;
        double weight;
} Feature;

typedef struct Features {
        Feature *list;
        size_t n, cap;
} Features;

static void features_done(Features *f) {
        free(f->list);
}

/* FNV-1a with a last mixing (as of MurmurHash3), because the low bits choose the place. */
static uint64_t hash_bytes(const char *s, size_t n) {
        uint64_t h = 0xcbf29ce484222325u;

        for (size_t i = 0; i < n; i++)
                h = (h ^ (uint8_t) s[i]) * 0x100000001b3u;
        h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
        h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
        return h ^ h >> 33;
}

static int add(Features *f, const char *s, size_t n, double weight) {
        if (f->n == f->cap) {
                size_t cap = MAX(f->cap * 2, (size_t) 256);
                Feature *grown = reallocarray(f->list, cap, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                f->list = grown;
                f->cap = cap;
        }
        f->list[f->n++] = (Feature){ hash_bytes(s, n), weight };
        return 0;
}

/* The pieces of "<word>", so that beginnings and ends differ from middles. */
static int add_pieces(Features *f, const TextWord *w) {
        char framed[2 * TEXT_WORD_MAX + 4];
        size_t at[2 * TEXT_WORD_MAX + 4], n = 0, size = w->n_term + 2;

        framed[0] = '<';
        memcpy(framed + 1, w->term, w->n_term);
        framed[size - 1] = '>';
        for (size_t i = 0; i < size; n++) {
                uint32_t c;
                at[n] = i;
                i += text_decode(framed + i, size - i, &c);
        }
        at[n] = size;
        for (size_t length = PIECE_SHORT; length <= PIECE_LONG; length++)
                for (size_t i = 0; i + length <= n; i++) {
                        int r = add(f, framed + at[i], at[i + length] - at[i], PIECE_WEIGHT);
                        if (r < 0)
                                return r;
                }
        return 0;
}

static int collect(Features *f, const char *text, size_t n) {
        TextWords words = text_words(text, n);
        TextWord w;

        while (text_words_next(&words, &w)) {
                bool is_stop = extract_word_kinds(w.term) & EXTRACT_WORD_STOP;
                int r = add(f, w.term, w.n_term, is_stop ? STOP_WEIGHT : WORD_WEIGHT);
                if (r >= 0 && !is_stop)
                        r = add_pieces(f, &w);
                if (r < 0)
                        return r;
        }
        /* nothing but signs: each is a feature then */
        const bool words_none = f->n == 0;
        for (size_t i = 0, k; words_none && i < n; i += k) {
                uint32_t c;
                k = text_decode(text + i, n - i, &c);
                int r = add(f, text + i, k, WORD_WEIGHT);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare(const void *a, const void *b) {
        const Feature *x = a, *y = b;

        return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void sum_up(const Features *f, unsigned dimensions, double *sum) {
        for (size_t i = 0, same; i < f->n; i += same) {
                uint64_t h = f->list[i].hash;

                for (same = 1; i + same < f->n && f->list[i + same].hash == h;)
                        same++;
                double value = f->list[i].weight * (1 + log((double) same));
                sum[(h >> 1) % dimensions] += h & 1 ? value : -value;
        }
}

int embed_hash_text(const void *model, unsigned dimensions, EmbedItem *item) {
        _cleanup_(features_done) Features f = {};
        _cleanup_free_ double *sum = calloc(dimensions, sizeof(*sum));
        _cleanup_free_ float *vector = calloc(dimensions, sizeof(*vector));
        double squares = 0;

        int r = collect(&f, item->text, text_cut(item->text, item->n, TEXT_BYTES));
        if (r < 0 || !sum || !vector)
                return -ENOMEM;
        qsort(f.list, f.n, sizeof(*f.list), compare);
        sum_up(&f, dimensions, sum);
        for (unsigned i = 0; i < dimensions; i++)
                squares += sum[i] * sum[i];
        if (squares < 1e-12) { /* features that took each other away */
                sum[0] = 1;
                squares = 1;
        }
        for (unsigned i = 0; i < dimensions; i++)
                vector[i] = (float) (sum[i] / sqrt(squares));
        item->vector = TAKE_PTR(vector);
        return 0;
}

int embedder_hash_init(Embedder *e, const EmbedderOptions *o, char **ret_message) {
        e->dimensions = o->dimensions ?: DIMENSIONS;
        if (e->dimensions > EMBEDDER_DIMENSIONS_MAX) {
                *ret_message = str_printf("%u dimensions are more than the %d that a vector may have",
                                          e->dimensions, EMBEDDER_DIMENSIONS_MAX);
                return -EINVAL;
        }
        e->model = str_printf("hash:%u", e->dimensions);
        return e->model ? embedder_compute_init(e, embed_hash_text, NULL, NULL) : -ENOMEM;
}
