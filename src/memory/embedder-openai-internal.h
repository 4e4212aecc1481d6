/* SPDX-License-Identifier: MIT */
#pragma once

/* Between the two files of the OpenAI client: options and parts of texts, and the requests. */

#include "memory/embedder-internal.h"

typedef struct Request Request;
typedef struct Reading Reading;

typedef struct Openai {
        char *url, *model, *api_key;
        char **headers;
        unsigned dimensions, batch_max, parts_max, parallel_max, tries_max;
        size_t text_max;
        usec_t timeout_usec, retry_usec, retry_max_usec;
        unsigned n_running; /* requests, with those that pause */
} Openai;

typedef struct Part {
        size_t item;
        const char *p; /* of the item's text */
        size_t n;
        float *vector;
        char *message;
} Part;

typedef struct OpenaiJob {
        ListLink waiting, running; /* of Request */
        Part *parts;
        size_t n, cap;
        size_t n_good; /* parts that have a vector */
} OpenaiJob;

/* Parts the job's texts. -ENOMEM. */
int openai_begin(EmbedJob *job);
int openai_add_part(OpenaiJob *s, size_t item, const char *p, size_t n, uint32_t *ret);
/* The parts' vectors become the items'. -ENOMEM. */
int openai_gather(EmbedJob *job);
OpenaiJob *openai_job_free(OpenaiJob *s);
/* For people: url and model before what happened, and no key in it. NULL: no memory. */
char *openai_message(const Embedder *e, const char *what);

void openai_send(Request *q);
/* A request of the job is over: the next, or the end. */
void openai_go_on(EmbedJob *job);
void openai_pump(Embedder *e);
void openai_drop(EmbedJob *job);
