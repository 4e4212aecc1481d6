/* SPDX-License-Identifier: MIT */

/* Embedders that compute: one piece of a job at a time goes to the pool, at most PIECE_TEXTS texts
 * or PIECE_BYTES bytes, so that a large job leaves room for others between its pieces. A piece owns
 * nothing but borrows the job's items; when the job is given up meanwhile, the items go over to the
 * piece and are freed with it. The model is counted by the embedder and by every piece, on the loop
 * thread. */

#include "base/str.h"
#include "memory/embedder-internal.h"

#define PIECE_TEXTS 256
#define PIECE_BYTES ((size_t) 1 << 20)
#define PIECE_MAGIC 0x456d5063u
#define JOBS_BEGUN  2 /* more would only fill the pool's queue */

typedef struct Model {
        unsigned n_refs;
        EmbedTextFn fn;
        void *data;
        void (*free_data)(void *data);
} Model;

typedef struct Piece {
        uint32_t magic;
        EmbedJob *job; /* NULL: given up */
        Model *model;
        unsigned dimensions;
        EmbedItem *items; /* of the job */
        size_t from, to, n;
        int r;
} Piece;

static void model_unref(Model *m) {
        if (--m->n_refs > 0)
                return;
        if (m->free_data)
                m->free_data(m->data);
        free(m);
}

static void piece_free(Piece *p) {
        /* given up: nobody else has them any more */
        for (size_t i = 0; !p->job && p->items && i < p->n; i++) {
                free(p->items[i].text);
                free(p->items[i].vector);
                free(p->items[i].message);
        }
        if (!p->job)
                free(p->items);
        model_unref(p->model);
        p->magic = 0;
        free(p);
}

static void compute(void *userdata) {
        Piece *p = OBJ_CAST(Piece, userdata, PIECE_MAGIC);

        for (size_t i = p->from; i < p->to && p->r >= 0; i++)
                if (!p->items[i].message)
                        p->r = p->model->fn(p->model->data, p->dimensions, &p->items[i]);
}

static void compute_next(Piece *p);

static void computed(void *userdata) {
        Piece *p = OBJ_CAST(Piece, userdata, PIECE_MAGIC);
        EmbedJob *job = p->job;
        int r = p->r;

        if (!job) {
                piece_free(p);
                return;
        }
        if (r >= 0 && p->to < p->n) {
                compute_next(p);
                return;
        }
        job->state = NULL;
        piece_free(p);
        embedder_wake(job->embedder);
        embed_job_finish(job, r, r < 0 ? "out of memory" : NULL);
}

static void compute_next(Piece *p) {
        EmbedJob *job = p->job;
        size_t bytes = 0;

        p->from = p->to;
        while (p->to < p->n && p->to - p->from < PIECE_TEXTS && bytes < PIECE_BYTES)
                bytes += p->items[p->to++].n;
        int r = pool_submit(job->embedder->pool, 0, compute, computed, p);
        if (r >= 0)
                return;
        job->state = NULL;
        piece_free(p);
        embed_job_finish(job, r, "no thread of the pool is free for embedding");
}

static int begin(Embedder *e, EmbedJob *job) {
        Piece *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        *p = (Piece){
                .magic = PIECE_MAGIC,
                .job = job,
                .model = e->impl,
                .dimensions = e->dimensions,
                .items = job->items,
                .n = job->n,
        };
        p->model->n_refs++;
        job->state = p;
        return 0;
}

/* One at a time, the first that is not begun: a done() that is called from here may free the embedder. */
static void compute_pump(Embedder *e) {
        unsigned n_begun = 0;

        LIST_FOREACH(l, &e->jobs) {
                EmbedJob *job = LIST_ENTRY(l, EmbedJob, link);

                n_begun += job->state != NULL;
                if (job->state)
                        continue;
                if (n_begun >= JOBS_BEGUN)
                        return;
                embedder_wake(e);
                if (begin(e, job) < 0)
                        embed_job_finish(job, -ENOMEM, "out of memory");
                else
                        compute_next(job->state);
                return;
        }
}

static void compute_drop(EmbedJob *job) {
        Piece *p = job->state;

        p->job = NULL;
        job->items = NULL; /* they are the piece's now */
        job->state = NULL;
}

static void compute_free(Embedder *e) {
        model_unref(e->impl);
        e->impl = NULL;
}

int embedder_compute_init(Embedder *e, EmbedTextFn fn, void *model, void (*free_model)(void *model)) {
        static const EmbedderOps ops = { .free = compute_free,
                                         .pump = compute_pump,
                                         .drop = compute_drop };
        Model *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        *m = (Model){ .n_refs = 1, .fn = fn, .data = model, .free_data = free_model };
        e->impl = m;
        e->ops = &ops;
        return 0;
}
