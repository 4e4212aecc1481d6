/* SPDX-License-Identifier: MIT */

/* A search: note what there is, scan its codes, rank the candidates by their float32 rows.
 *
 * Threads of its own for a long scan, made for it and gone after it: making one takes some 20 µs, a
 * scan that is split takes milliseconds. The daemon's pool was rejected, because a search is itself
 * a job of the pool, and jobs that wait for jobs of the same pool can wait for ever.
 *
 * A filter of few ids needs no scan: each is looked up and ranked exactly. */

#include <signal.h>
#include <sodium.h>

#include "memory/vector-scan-internal.h"

enum {
        OVERSAMPLE8 = 4, /* candidates of int8 codes for each hit */
        CANDIDATES_MIN = 32,
        THREADS_MAX = 64,
        LOOK_UP_SHARE = 16,   /* a filter below this share of what is scanned is looked up */
        LOOK_UP_AT_ONCE = 64, /* under the lock */
};

/* Bytes of codes below which another thread gains nothing. */
#define THREAD_BYTES ((size_t) 4 << 20)

static int prepare_query(VectorScan *s) {
        const VectorCoder *c = &s->index->coder;

        s->unit = vector_alloc(c->row * sizeof(float));
        s->rotated = vector_alloc(c->width * sizeof(float));
        s->code = vector_alloc(c->width);
        s->tables = vector_alloc(c->width * 4);
        if (!s->unit || !s->rotated || !s->code || !s->tables)
                return -ENOMEM;
        memcpy(s->unit, s->query->vector, c->dimensions * sizeof(float));
        vector_normalise(s->unit, c->dimensions);
        vector_rotate(c, s->unit, s->rotated);
        s->code_scale = vector_code8(c, s->rotated, s->code);
        vector_tables_make(c, s->rotated, s->tables, &s->estimate);
        return 0;
}

/* What was found to be enough, and more as the segment has grown since. */
static size_t candidates_of(const VectorSegment *s) {
        size_t n = s->candidates;

        if (s->tuned_at == 0 || s->n_alive <= s->tuned_at)
                return n;
        return MIN(n * s->n_alive / s->tuned_at, (size_t) VECTOR_CANDIDATES_MAX);
}

static void note_segments(VectorScan *s) {
        VectorIndex *v = s->index;

        (void) pthread_mutex_lock(&v->lock);
        vector_reader_begin(v, &s->reader);
        for (size_t i = 0; i < s->query->n_scopes; i++) {
                uint64_t scope = s->query->scopes[i];
                const VectorSegment *segment = scope != 0 ? map_get(v->segments, scope) : NULL;

                if (!segment || segment->n_blocks == 0)
                        continue;
                s->parts[s->n_parts++] = (VectorPart){
                        .list = segment->list,
                        .n_blocks = segment->n_blocks,
                        .tail = segment->tail,
                };
                s->n_blocks += segment->n_blocks;
                if (segment->is_large)
                        s->keep1 = MAX(s->keep1, candidates_of(segment));
        }
        (void) pthread_mutex_unlock(&v->lock);
}

int vector_scan_init(VectorScan *s, VectorIndex *v, const VectorQuery *q) {
        *s = (VectorScan){
                .index = v,
                .query = q,
                .keep8 = MAX(q->limit * OVERSAMPLE8, (size_t) CANDIDATES_MIN),
        };
        s->parts = calloc(MAX(q->n_scopes, (size_t) 1), sizeof(*s->parts));
        if (!s->parts)
                return -ENOMEM;
        int r = prepare_query(s);
        if (r < 0)
                return r;
        note_segments(s);
        s->keep8 = MIN(s->keep8, s->n_blocks * VECTOR_BLOCK);
        /* a small one may become large while it is searched */
        if (s->keep1 == 0)
                s->keep1 = VECTOR_CANDIDATES;
        s->keep1 = MAX(s->keep1, s->keep1 * q->limit / 10);
        s->keep1 = MIN(s->keep1, s->n_blocks * VECTOR_BLOCK);
        return 0;
}

/* Overwritten: who searches by a vector that is stored must not leave it behind. */
static void release(void *p, size_t n) {
        if (p)
                sodium_memzero(p, n);
        free(p);
}

void vector_scan_done(VectorScan *s) {
        const VectorCoder *c = s->index ? &s->index->coder : NULL;

        vector_reader_end(s->index, &s->reader);
        free(s->parts);
        release(s->unit, c ? c->row * sizeof(float) : 0);
        release(s->rotated, c ? c->width * sizeof(float) : 0);
        release(s->code, c ? c->width : 0);
        release(s->tables, c ? c->width * 4 : 0);
}

typedef struct Worker {
        const VectorScan *scan;
        size_t from, to;
        VectorFound found;
        pthread_t thread;
        bool is_started;
} Worker;

static void *worker_main(void *userdata) {
        Worker *w = userdata;

        vector_scan_blocks(w->scan, w->from, w->to, &w->found);
        return NULL;
}

static void worker_start(Worker *w) {
        sigset_t all, before;

        /* signals belong to the loop thread */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        w->is_started = pthread_create(&w->thread, NULL, worker_main, w) == 0;
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!w->is_started)
                (void) worker_main(w);
}

static void merge(VectorFound *to, const VectorFound *from, bool is_exact) {
        to->n_scanned += from->n_scanned;
        if (is_exact) {
                vector_top_merge(&to->exact, &from->exact);
                return;
        }
        vector_top_merge(&to->codes8, &from->codes8);
        vector_top_merge(&to->codes1, &from->codes1);
}

static size_t threads_for(const VectorScan *s) {
        size_t each =
                s->query->exact ? s->index->rows.block_bytes : vector_bits_bytes(&s->index->coder);
        size_t wanted = MIN((size_t) s->query->threads, (size_t) THREADS_MAX);

        return MAX((size_t) 1, MIN(wanted, s->n_blocks * each / THREAD_BYTES));
}

static int scan_all(const VectorScan *s, VectorFound *f) {
        size_t n = threads_for(s), n_ready = 1;
        _cleanup_free_ Worker *workers = calloc(n, sizeof(*workers));
        int r = 0;

        if (!workers)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                workers[i] = (Worker){ .scan = s,
                                       .from = s->n_blocks * i / n,
                                       .to = s->n_blocks * (i + 1) / n };
        for (; n_ready < n && r == 0; n_ready++) {
                r = vector_found_init(&workers[n_ready].found, s);
                if (r == 0)
                        worker_start(&workers[n_ready]);
        }
        if (r == 0)
                vector_scan_blocks(s, workers[0].from, workers[0].to, f);
        for (size_t i = 1; i < n_ready; i++) {
                if (workers[i].is_started)
                        (void) pthread_join(workers[i].thread, NULL);
                if (r == 0)
                        merge(f, &workers[i].found, s->query->exact);
                vector_found_done(&workers[i].found);
        }
        return r;
}

/* The next candidate's row is on its way from memory while this one's is multiplied. */
static void rank(const VectorScan *s, const VectorTop *candidates, VectorTop *ret) {
        const VectorIndex *v = s->index;

        for (size_t i = 0; i < candidates->n; i++) {
                const VectorCandidate *c = &candidates->items[i];

                for (size_t ahead = i + 1; ahead < MIN(i + 3, candidates->n); ahead++) {
                        const VectorCandidate *next = &candidates->items[ahead];
                        const char *row = (const char *) vector_row(v, next->block, next->slot);
                        for (size_t at = 0; at < v->rows.row_bytes; at += 64)
                                __builtin_prefetch(row + at);
                }
                VectorCandidate exact = *c;
                exact.score =
                        v->kernels->dot(vector_row(v, c->block, c->slot), s->unit, v->coder.row);
                vector_top_push(ret, &exact);
        }
}

static bool has_scope(const VectorQuery *q, uint64_t scope) {
        for (size_t i = 0; i < q->n_scopes; i++)
                if (q->scopes[i] == scope)
                        return true;
        return false;
}

/* Up to LOOK_UP_AT_ONCE ids of the filter, from `at` on, that are there and in the query's scopes. */
static size_t look_up(const VectorScan *s, size_t at, VectorCandidate *ret) {
        VectorIndex *v = s->index;
        size_t end = MIN(at + LOOK_UP_AT_ONCE, s->query->n_only), n = 0;

        (void) pthread_mutex_lock(&v->lock);
        for (; at < end; at++) {
                VectorBlock *b;
                unsigned slot;

                if (!vector_ids_find(v, s->query->only[at], &b, &slot) ||
                    !has_scope(s->query, b->segment->scope))
                        continue;
                ret[n++] = (VectorCandidate){ .slot = slot, .block = b };
        }
        (void) pthread_mutex_unlock(&v->lock);
        return n;
}

/* What is looked up is newer than the reader's clock, or as old; it lives until the reader ends. */
static size_t rank_only(const VectorScan *s, VectorTop *ret) {
        VectorCandidate items[LOOK_UP_AT_ONCE];
        size_t n_ranked = 0;

        for (size_t at = 0; at < s->query->n_only; at += LOOK_UP_AT_ONCE) {
                VectorTop found = { .items = items, .n = look_up(s, at, items) };
                rank(s, &found, ret);
                n_ranked += found.n;
        }
        return n_ranked;
}

static void write_hits(const VectorQuery *q, VectorTop *best, VectorHit *hits, size_t *ret_n) {
        size_t n = 0;

        vector_top_finish(best);
        for (size_t i = 0; i < best->n; i++) {
                const VectorCandidate *c = &best->items[i];
                if (c->score >= q->min_score)
                        hits[n++] = (VectorHit){ .id = vector_candidate_id(c), .score = c->score };
        }
        *ret_n = n;
}

static int scan_and_rank(const VectorScan *s, VectorTop *best, VectorSearchStats *stats) {
        _cleanup_(vector_found_done) VectorFound found = {};
        int r = vector_found_init(&found, s);

        if (r == 0)
                r = scan_all(s, &found);
        if (r < 0)
                return r;
        *stats = (VectorSearchStats){ .scanned = found.n_scanned, .tier = "float32" };
        if (s->query->exact) {
                vector_top_merge(best, &found.exact);
                return 0;
        }
        vector_top_finish(&found.codes8);
        vector_top_finish(&found.codes1);
        stats->tier = found.codes1.n > 0 ? "1-bit" : "int8";
        stats->candidates = found.codes8.n + found.codes1.n;
        rank(s, &found.codes8, best);
        rank(s, &found.codes1, best);
        return 0;
}

int vector_index_search(VectorIndex *v,
                        const VectorQuery *q,
                        VectorHit *hits,
                        size_t *ret_n,
                        VectorSearchStats *ret_stats) {
        _cleanup_(vector_scan_done) VectorScan scan = {};
        _cleanup_(vector_top_done) VectorTop best = {};
        VectorSearchStats stats = { .tier = "float32" };
        size_t at;

        if (q->n != v->coder.dimensions || q->limit == 0 || q->limit > VECTOR_LIMIT_MAX ||
            vector_check(q->vector, q->n, &at) != 0)
                return -EINVAL;
        int r = vector_scan_init(&scan, v, q);
        if (r == 0)
                r = vector_top_init(&best, q->limit);
        if (r < 0)
                return r;
        if (q->only && q->n_only <= scan.n_blocks * VECTOR_BLOCK / LOOK_UP_SHARE)
                stats.candidates = rank_only(&scan, &best);
        else
                r = scan_and_rank(&scan, &best, &stats);
        if (r < 0)
                return r;
        write_hits(q, &best, hits, ret_n);
        if (ret_stats)
                *ret_stats = stats;
        return 0;
}
