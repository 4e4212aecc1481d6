/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the front of the embedders and their kinds. A call of embedder_embed() is a job: the
 * front copies its texts, keeps it in order and hands its results out; a kind fills in the items
 * and says when it is finished. */

#include "base/list.h"
#include "base/obj.h"
#include "memory/embedder.h"
#include "memory/text.h"

#define EMBEDDER_MAGIC  0x456d4264u
#define EMBED_JOB_MAGIC 0x456d4a62u

typedef struct EmbedItem {
        char *text; /* without white space around it */
        size_t n;
        float *vector; /* owned */
        char *message; /* owned; set when there will be no vector */
} EmbedItem;

typedef struct EmbedJob {
        uint32_t magic;
        ListLink link;
        Embedder *embedder; /* NULL: given up while the pool was at it */
        EmbedDoneFn done;
        void *userdata;
        EmbedItem *items;
        size_t n, bytes;
        void *state; /* the kind's; NULL: not begun */
} EmbedJob;

typedef struct EmbedderOps {
        /* Frees e->impl; the jobs are gone then. */
        void (*free)(Embedder *e);
        /* Begins what can be begun, from the loop; called after jobs came and when it is asked for. */
        void (*pump)(Embedder *e);
        /* The job is being freed: its state too. What the pool still works on must not reach the job any more. */
        void (*drop)(EmbedJob *job);
} EmbedderOps;

struct Embedder {
        uint32_t magic;
        const EmbedderOps *ops;
        sd_event *event;
        sd_event_source *wake; /* calls pump() */
        Pool *pool;
        Fetcher *fetcher;
        char *model;
        unsigned dimensions;
        bool is_semantic;
        ListLink jobs;
        size_t n_jobs, n_bytes; /* waiting and under way */
        void *impl;
};

/* pump() will be called from the loop. */
void embedder_wake(Embedder *e);
/* Hands out what the items hold (r 0) or the error, and frees the job. The embedder may be gone afterwards. */
void embed_job_finish(EmbedJob *job, int r, const char *message);

int embedder_openai_init(Embedder *e, const EmbedderOptions *options, char **ret_message);
int embedder_static_init(Embedder *e, const EmbedderOptions *o, char **ret_message);
int embedder_hash_init(Embedder *e, const EmbedderOptions *o, char **ret_message);

/* ---- kinds that compute: text by text, in the pool ---- */

/* Fills item->vector or item->message. In a pool thread. -ENOMEM. */
typedef int (*EmbedTextFn)(const void *model, unsigned dimensions, EmbedItem *item);
/* What is computed with lives as long as the embedder or a piece of work needs it; free_model is
 * called on the loop thread. */
int embedder_compute_init(Embedder *e, EmbedTextFn fn, void *model, void (*free_model)(void *model));

/* dimensions numbers of the text; false: it has no feature at all. Any thread. */
int embed_hash_text(const void *model, unsigned dimensions, EmbedItem *item);

/* ---- an endpoint's answer ---- */

typedef struct EmbedVector {
        float *numbers; /* normalised; NULL: problem says why it is of no use */
        unsigned n;
        const char *problem; /* static text */
} EmbedVector;

/* Reads `{"data":[{"index":0,"embedding":[…] or "base64"},…]}` of n inputs: vectors by index. 0,
 * -ENOMEM, or -EPROTO with *ret_message (static text): then nothing of it is of use. Any thread. */
int embed_answer_read(
        const char *body, size_t size, size_t n, EmbedVector *ret, const char **ret_message);
void embed_vectors_done(EmbedVector *v, size_t n);
/* What an error's body says, for people, on one line; NULL: nothing (or no memory). */
char *embed_answer_error(const char *body, size_t size);
/* Does an error of this status mean that the input was too large? */
bool embed_answer_is_too_large(long status, const char *body, size_t size);
