/* SPDX-License-Identifier: MIT */
#pragma once

/* Embedders: text in, vectors out. Three kinds behind one call:
 * - openai: any OpenAI-compatible `POST {url}/embeddings` (float and base64), batched, retried
 * - static: files the user has, in model2vec's layout (safetensors + tokenizer.json): token
 * look-up, mean, normalise
 * - hash: feature hashing of words and character n-grams: lexical, for tests and API compatibility
 *
 * An embedder keeps nothing: caching by content and storing are the memory's. Prefixes that some
 * models want before queries and documents are the caller's too. Loop thread only; heavy work
 * (static, hash, reading answers) goes to the pool in pieces. */

#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/pool.h"
#include "net/fetch.h"

#define EMBEDDER_DIMENSIONS_MAX 4096

typedef struct Embedder Embedder;

typedef enum EmbedderKind {
        EMBEDDER_NONE,
        EMBEDDER_OPENAI,
        EMBEDDER_STATIC,
        EMBEDDER_HASH,
} EmbedderKind;

typedef struct EmbedderOptions {
        EmbedderKind kind;
        const char *url; /* openai: base, e.g. "https://api.openai.com/v1"; with "/embeddings" behind it is fine too */
        const char *model;   /* openai: its name */
        const char *api_key; /* may be NULL; never logged; white space around it is dropped */
        const char *path;    /* static: folder with model.safetensors and tokenizer.json */
        unsigned dimensions; /* hash: default 1024. openai: sent only if not 0; other lengths are an error then */
        unsigned batch_max; /* inputs a request; 0: 128 */
        size_t text_max; /* bytes of a text in a request; 0: 1350, which is some 450 tokens in any script */
        unsigned parts_max;    /* of a text; 0: 64. What is behind them is not looked at */
        unsigned parallel_max; /* requests at a time; 0: 2 */
        unsigned tries_max;    /* of a request; 0: 5 */
        usec_t timeout_usec;   /* of a try; 0: 60 s */
        usec_t retry_usec;     /* the first pause, doubled every time, with jitter; 0: 500 ms */
        usec_t retry_max_usec; /* of a pause, and of a Retry-After: longer ones end the tries; 0: 60 s */
} EmbedderOptions;

/* A text above text_max is parted at the ends of sentences or at white space, and its vector is the
 * mean of its parts' vectors, weighted by their length, normalised: the usual way to give a long
 * text one direction. Parts that failed for good do not count as long as there is another. */

/* What came of one text. */
typedef struct EmbedResult {
        const float *vector; /* normalised; NULL: this one failed for good (message says why), or all did */
        const char *message;
} EmbedResult;

/* r: 0 (look at each result), or an error that hit everything. That may pass: -ECONNREFUSED,
 * -ECONNRESET, -EHOSTUNREACH, -ENETUNREACH, -ETIMEDOUT, -EAGAIN (429 or overload beyond the tries;
 * the pool is full), -ENOMEM. That needs somebody: -EACCES (401, 403), -ENOENT (404: no such path
 * or model), -EKEYREJECTED (TLS), -ELIBACC (no module), -EPROTO (what comes is no answer: wrong
 * count, other dimensions than before…). message is for people and names url and model, never the
 * key; NULL when r is 0. All of it lives until done() returns, which may free the embedder. */
typedef void (*EmbedDoneFn)(int r,
                            const char *message,
                            const EmbedResult *results,
                            size_t n,
                            unsigned dimensions,
                            void *userdata);

/* Checks the options and, for static, reads the files (which takes part of a second for a large one):
 * -EINVAL, -EUCLEAN (not such files, or damaged), -ENOENT and others of reading, with *ret_message.
 * pool: may be NULL for openai. fetcher: openai only. Both must outlive the embedder. */
int embedder_new(Embedder **ret,
                 sd_event *event,
                 Pool *pool,
                 Fetcher *fetcher,
                 const EmbedderOptions *options,
                 char **ret_message);
/* What is under way is given up without its done(). */
Embedder *embedder_free(Embedder *e);
DEFINE_CLEANUP(Embedder *, embedder_free);

/* Identity of what it makes, e.g. "openai:text-embedding-3-small", "openai:nomic-embed-text:512",
 * "static:potion-base-8M:0123456789abcdef" (of the files' SHA-256), "hash:1024". Vectors of
 * different keys are never compared. */
const char *embedder_model(const Embedder *e);
unsigned embedder_dimensions(const Embedder *e); /* 0: not known before the first answer */
bool embedder_is_semantic(const Embedder *e);    /* hash: false */

/* Texts are copied. done() comes once, later, never from within this call. -EAGAIN: too many wait. Order of
 * results = order of texts. A text without anything but white space: its result has no vector. */
int embedder_embed(Embedder *e,
                   const char *const *texts,
                   const size_t *sizes,
                   size_t n,
                   EmbedDoneFn done,
                   void *userdata);
