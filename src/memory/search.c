/* SPDX-License-Identifier: MIT */

/* A search is one job of a small pool of threads. A job takes a reader from a list of idle ones,
 * which the loop thread keeps (a reader belongs to one thread at a time, opening one costs a
 * millisecond), and reads everything in one snapshot: the words' rows and the entries they belong
 * to are of one moment.
 *
 * Filters come before ranking: with one, all that match the words are looked at in their order
 * until enough have passed; without one the index is asked for the best only. Every row that an
 * index names is read again from the table with namespace, scope and time, so an index can be
 * behind or wrong and still show nobody what is not theirs. */

#include "memory/search.h"

#include "base/map.h"
#include "base/pool.h"
#include "memory/memory-internal.h"
#include "memory/query.h"

#define SEARCHER_MAGIC 0x53524348U
#define JOB_MAGIC      0x534a4f42U
#define THREADS_MAX    4
#define JOBS_MAX       4096
#define FUSION_K       10 /* small lists: the first places count */
#define FUSION_DEPTH   100
#define MATCH_MAX      ((size_t) 64 * 1024)
#define COLUMN_SCOPE   18

struct Searcher {
        uint32_t magic;
        Store *store;
        Pool *pool;
        StoreReader *idle[THREADS_MAX];
        size_t n_idle;
};

typedef struct SearchJob {
        uint32_t magic;
        MemoryManager *m;
        MemorySearch search;
        SearchMode mode;
        MeaningModel *model; /* of the vector */
        bool exact;          /* its index is not whole yet */
        StoreReader *reader; /* NULL: to be opened */
        size_t depth;        /* how many each way finds */
        SearchHit *hits;     /* room for both ways */
        void **blocks;       /* what the hits point into */
        size_t n, n_ranked;  /* hits; those of the answer, which come first */
        Map *by_row;         /* hit by row, to find what both ways found */
        int r;
        SearchDoneFn done;
        void *userdata;
} SearchJob;

int searcher_new(Searcher **ret, sd_event *event, Store *store) {
        Searcher *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        *s = (Searcher){ .magic = SEARCHER_MAGIC, .store = store };
        int r = pool_new(&s->pool, event, THREADS_MAX, JOBS_MAX);
        if (r < 0) {
                free(s);
                return r;
        }
        *ret = s;
        return 0;
}

Searcher *searcher_free(Searcher *s) {
        if (!s)
                return NULL;
        pool_free(s->pool); /* ends what is under way; its readers come back */
        while (s->n_idle > 0)
                store_reader_free(s->idle[--s->n_idle]);
        s->magic = 0;
        free(s);
        return NULL;
}

/* ---- in the pool ---- */

/* Which of the search's scopes; n_scopes: none of them. */
static unsigned scope_index(const MemorySearch *s, uint64_t scope) {
        unsigned i = 0;

        while (i < s->n_scopes && s->scopes[i].id != scope)
                i++;
        return i;
}

/* The row's hit, which may be there already; NULL in *ret: it is none. */
static int take_row(SearchJob *j, uint64_t row, SearchHit **ret) {
        const MemorySearch *s = &j->search;
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        SearchHit *hit = map_get(j->by_row, row);

        *ret = hit;
        if (hit)
                return 0;
        int r = STORE_QUERY(j->reader, &c, MEMORY_ROW, STORE_ID(row),
                            STORE_ID(s->scopes[0].namespace_id),
                            STORE_INT((int64_t) (s->as_of ?: clock_realtime())));
        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r;
        hit = &j->hits[j->n];
        *hit = (SearchHit){ .scope = scope_index(s, store_id(c, COLUMN_SCOPE)) };
        memory_read_entry(NULL, c, &hit->entry);
        if (hit->scope == s->n_scopes || (s->has_filter && !filter_holds(&s->filter, &hit->entry)))
                return 0;
        r = memory_entry_copy(&hit->entry, &j->blocks[j->n]);
        if (r >= 0)
                r = map_put(j->by_row, row, hit);
        if (r < 0)
                return r;
        j->n++;
        *ret = hit;
        return 0;
}

static int find_text(SearchJob *j) {
        const MemorySearch *s = &j->search;
        _cleanup_buf_ Buf match = BUF_INIT(MATCH_MAX * 4);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        unsigned rank = 0;

        int r = query_match(&match, s->text, s->scopes, s->n_scopes, s->as_of != 0);
        if (r <= 0)
                return r;
        bool all = s->has_filter || s->as_of;
        r = STORE_QUERY(j->reader, &c, MEMORY_MATCH, STORE_TEXT(match.data),
                        all ? STORE_INT(-1) : STORE_INT((int64_t) j->depth * 2 + 16));
        while (r >= 0 && rank < j->depth && (r = store_next(c)) > 0) {
                SearchHit *hit;
                r = take_row(j, store_id(c, 0), &hit);
                if (r < 0 || !hit)
                        continue;
                hit->bm25 = -store_real(c, 1);
                hit->text_rank = ++rank;
        }
        return MIN(r, 0);
}

static int compare_ids(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return (x > y) - (x < y);
}

/* The ids of all entries that the filter lets through, ascending. */
static int filtered_ids(SearchJob *j, Buf *ids) {
        const MemorySearch *s = &j->search;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_scopes; i++) {
                _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
                r = STORE_QUERY(j->reader, &c, MEMORY_ENTRY_LIST_RANGE,
                                STORE_ID(s->scopes[i].namespace_id),
                                STORE_INT((int64_t) s->scopes[i].id), STORE_TEXT(s->filter.prefix),
                                STORE_BLOB("", 0), STORE_TEXT(NULL), STORE_INT(-1),
                                STORE_INT((int64_t) clock_realtime()));
                while (r >= 0 && (r = store_next(c)) > 0) {
                        MemoryEntry e;
                        memory_read_entry(NULL, c, &e);
                        if (filter_holds(&s->filter, &e))
                                r = buf_append(ids, &e.id, sizeof(e.id));
                }
        }
        if (r >= 0 && ids->len > 0)
                qsort(ids->data, ids->len / sizeof(uint64_t), sizeof(uint64_t), compare_ids);
        return r;
}

/* What was may have to be left out row by row: the past is asked for more. */
static int find_vector(SearchJob *j) {
        const MemorySearch *s = &j->search;
        _cleanup_buf_ Buf ids = BUF_INIT(SIZE_MAX);
        size_t n = 0, limit = MIN(j->depth * 2 + 16, (size_t) VECTOR_LIMIT_MAX);
        VectorHit *found = NULL;
        unsigned rank = 0;
        bool is_filtered = s->has_filter && !s->as_of;

        int r = is_filtered ? filtered_ids(j, &ids) : 0;
        if (r < 0 || (is_filtered && ids.len == 0))
                return r;
        if (s->has_filter && s->as_of)
                limit = VECTOR_LIMIT_MAX;
        found = calloc(limit, sizeof(*found));
        MeaningQuery q = {
                .model = j->model,
                .vector = s->vector,
                .scopes = s->scopes,
                .n_scopes = s->n_scopes,
                .only = (const uint64_t *) (const void *) ids.data,
                .n_only = ids.len / sizeof(uint64_t),
                .limit = limit,
                .as_of = s->as_of,
                .exact = j->exact,
        };
        r = found ? meaning_search(j->reader, &q, found, &n) : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < n && rank < j->depth; i++) {
                SearchHit *hit;
                r = take_row(j, found[i].id, &hit);
                if (r < 0 || !hit)
                        continue;
                hit->cosine = (double) found[i].score;
                hit->vector_rank = ++rank;
        }
        free(found);
        return r;
}

/* ---- ranking ---- */

static double reciprocal(unsigned rank) {
        return rank == 0 ? 0 : 1.0 / (FUSION_K + rank);
}

static double score_of(const SearchJob *j, const SearchHit *hit) {
        if (j->mode == SEARCH_TEXT)
                return hit->bm25 / (1 + hit->bm25);
        if (j->mode == SEARCH_VECTOR)
                return hit->cosine;
        return (reciprocal(hit->text_rank) + reciprocal(hit->vector_rank)) / (2 * reciprocal(1));
}

static int compare_hits(const void *a, const void *b) {
        const SearchHit *x = a, *y = b;

        if (x->score > y->score || x->score < y->score)
                return x->score > y->score ? -1 : 1;
        return compare_ids(&x->entry.id, &y->entry.id);
}

/* The blocks stay where they are: hits point into them, and all are freed together. */
static void rank(SearchJob *j, size_t *ret_n) {
        size_t n = 0;

        for (size_t i = 0; i < j->n; i++)
                j->hits[i].score = score_of(j, &j->hits[i]);
        qsort(j->hits, j->n, sizeof(*j->hits), compare_hits);
        while (n < MIN(j->n, j->search.limit) && j->hits[n].score >= j->search.min_score)
                n++;
        *ret_n = n;
}

static void job_work(void *userdata) {
        SearchJob *j = OBJ_CAST(SearchJob, userdata, JOB_MAGIC);

        j->r = j->reader ? 0 : store_reader_open(&j->reader, j->m->store);
        if (j->r >= 0)
                j->r = store_read_begin(j->reader);
        if (j->r < 0)
                return;
        if (j->mode != SEARCH_VECTOR)
                j->r = find_text(j);
        if (j->r >= 0 && j->mode != SEARCH_TEXT)
                j->r = find_vector(j);
        store_read_end(j->reader);
        if (j->r >= 0)
                rank(j, &j->n_ranked);
}

/* ---- on the loop ---- */

static SearchJob *job_free(SearchJob *j) {
        if (!j)
                return NULL;
        while (j->n > 0)
                free(j->blocks[--j->n]);
        free(j->blocks);
        map_free(j->by_row);
        free(j->hits);
        j->magic = 0;
        free(j);
        return NULL;
}
DEFINE_CLEANUP(SearchJob *, job_free);

static void job_done(void *userdata) {
        _cleanup_(job_freep) SearchJob *j = OBJ_CAST(SearchJob, userdata, JOB_MAGIC);
        Searcher *s = j->m->searcher;
        StoreReader *reader = j->reader;

        for (size_t i = 0; i < j->n; i++)
                j->hits[i].entry.access_count += access_counts_get(j->m->counts, j->hits[i].entry.id);
        j->done(j->r, &(SearchResult){ j->hits, j->n_ranked, j->mode }, j->userdata);
        if (reader && s->n_idle < THREADS_MAX)
                s->idle[s->n_idle++] = reader;
        else
                store_reader_free(reader);
}

int memory_search(MemoryManager *m, const MemorySearch *search, SearchDoneFn done, void *userdata) {
        OBJ_CHECK(m, MEMORY_MAGIC);
        assert(search->n_scopes > 0 && search->limit > 0 && search->limit <= SEARCH_LIMIT_MAX);
        _cleanup_(job_freep) SearchJob *j = calloc(1, sizeof(*j));
        Searcher *s = m->searcher;

        if (!j)
                return -ENOMEM;
        *j = (SearchJob){
                .magic = JOB_MAGIC,
                .m = m,
                .search = *search,
                .mode = !search->vector ? SEARCH_TEXT
                        : search->text  ? SEARCH_HYBRID
                                        : SEARCH_VECTOR,
                .done = done,
                .userdata = userdata,
        };
        if (search->vector) {
                j->model = meaning_model(m->meaning, search->model, search->n_vector);
                if (!j->model)
                        return MEMORY_E_MODEL;
                j->exact = !meaning_is_ready(j->model);
        }
        j->depth = j->mode == SEARCH_HYBRID ? MAX(search->limit, (size_t) FUSION_DEPTH)
                                            : search->limit;
        j->by_row = map_new();
        j->hits = calloc(2 * j->depth + 1, sizeof(SearchHit));
        j->blocks = calloc(2 * j->depth + 1, sizeof(void *));
        if (!j->by_row || !j->hits || !j->blocks)
                return -ENOMEM;
        if (s->n_idle > 0)
                j->reader = s->idle[--s->n_idle];
        int r = pool_submit(s->pool, 0, job_work, job_done, j);
        if (r >= 0)
                (void) TAKE_PTR(j);
        else if (j->reader)
                s->idle[s->n_idle++] = j->reader;
        return r;
}
