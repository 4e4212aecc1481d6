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

#include "base/pool.h"
#include "memory/memory-internal.h"
#include "memory/query.h"

#define SEARCHER_MAGIC 0x53524348U
#define JOB_MAGIC      0x534a4f42U
#define THREADS_MAX    4
#define JOBS_MAX       4096
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
        StoreReader *reader; /* NULL: to be opened */
        SearchHit *hits;     /* room for the limit */
        void **blocks;       /* what the hits point into */
        size_t n;
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

/* 1: the row is a hit and was added; 0: it is none. */
static int take_row(SearchJob *j, uint64_t row, double bm25) {
        const MemorySearch *s = &j->search;
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        SearchHit *hit = &j->hits[j->n];
        int r = STORE_QUERY(j->reader, &c, MEMORY_ROW, STORE_ID(row),
                            STORE_ID(s->scopes[0].namespace_id),
                            STORE_INT((int64_t) (s->as_of ?: clock_realtime())));

        if (r >= 0)
                r = store_next(c);
        if (r <= 0)
                return r;
        *hit = (SearchHit){ .scope = scope_index(s, store_id(c, COLUMN_SCOPE)), .bm25 = bm25 };
        memory_read_entry(NULL, c, &hit->entry);
        hit->score = bm25 / (1 + bm25);
        if (hit->scope == s->n_scopes || hit->score < s->min_score ||
            (s->has_filter && !filter_holds(&s->filter, &hit->entry)))
                return 0;
        hit->text_rank = (unsigned) j->n + 1;
        r = memory_entry_copy(&hit->entry, &j->blocks[j->n]);
        if (r < 0)
                return r;
        j->n++;
        return 1;
}

static int find_text(SearchJob *j) {
        const MemorySearch *s = &j->search;
        _cleanup_buf_ Buf match = BUF_INIT(MATCH_MAX * 4);
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;

        int r = query_match(&match, s->text, s->scopes, s->n_scopes, s->as_of != 0);
        if (r <= 0)
                return r;
        bool all = s->has_filter || s->as_of;
        r = STORE_QUERY(j->reader, &c, MEMORY_MATCH, STORE_TEXT(match.data),
                        all ? STORE_INT(-1) : STORE_INT((int64_t) s->limit * 2 + 16));
        while (r >= 0 && j->n < s->limit && (r = store_next(c)) > 0)
                r = take_row(j, store_id(c, 0), -store_real(c, 1));
        return MIN(r, 0);
}

static void job_work(void *userdata) {
        SearchJob *j = OBJ_CAST(SearchJob, userdata, JOB_MAGIC);

        j->r = j->reader ? 0 : store_reader_open(&j->reader, j->m->store);
        if (j->r >= 0)
                j->r = store_read_begin(j->reader);
        if (j->r < 0)
                return;
        j->r = find_text(j);
        store_read_end(j->reader);
}

/* ---- on the loop ---- */

static SearchJob *job_free(SearchJob *j) {
        if (!j)
                return NULL;
        while (j->n > 0)
                free(j->blocks[--j->n]);
        free(j->blocks);
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
        j->done(j->r, &(SearchResult){ j->hits, j->n, SEARCH_TEXT }, j->userdata);
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
                .magic = JOB_MAGIC, .m = m, .search = *search, .done = done, .userdata = userdata
        };
        j->hits = calloc(search->limit, sizeof(SearchHit));
        j->blocks = calloc(search->limit, sizeof(void *));
        if (!j->hits || !j->blocks)
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
