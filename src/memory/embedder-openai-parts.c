/* SPDX-License-Identifier: MIT */

/* The OpenAI client apart from its requests: its options, texts and their parts, messages.
 *
 * A long text's vector is the mean of its parts' vectors, weighted by their bytes. Keeping a vector
 * for each part and letting the best one count finds details in long texts better, but costs a row,
 * a vector and a scan for each; texts of memory are mostly shorter than one part, and long ones are
 * found by their words. */

#include <math.h>

#include "base/str.h"
#include "memory/embedder-openai-internal.h"

#define BATCH_MAX      128
#define TEXT_MAX       1350
#define PARTS_MAX      64
#define PARALLEL_MAX   2
#define TRIES_MAX      5
#define TIMEOUT_USEC   USEC_PER_MINUTE
#define RETRY_USEC     (500 * USEC_PER_MSEC)
#define RETRY_MAX_USEC USEC_PER_MINUTE
#define TEXT_MIN       64 /* of text_max */

/* ---- parts ---- */

int openai_add_part(OpenaiJob *s, size_t item, const char *p, size_t n, uint32_t *ret) {
        if (s->n == s->cap) {
                size_t cap = MAX(s->cap * 2, (size_t) 16);
                Part *grown = reallocarray(s->parts, cap, sizeof(*grown));
                if (!grown)
                        return -ENOMEM;
                s->parts = grown;
                s->cap = cap;
        }
        s->parts[s->n] = (Part){ .item = item, .p = p, .n = n };
        if (ret)
                *ret = (uint32_t) s->n;
        s->n++;
        return 0;
}

static int part_item(const Openai *o, OpenaiJob *s, size_t item, const EmbedItem *i) {
        size_t at = 0;

        for (unsigned k = 0; k < o->parts_max && at < i->n && !i->message; k++) {
                size_t n = text_cut_well(i->text + at, i->n - at, o->text_max);
                int r = openai_add_part(s, item, i->text + at, n, NULL);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

OpenaiJob *openai_job_free(OpenaiJob *s) {
        for (size_t i = 0; i < s->n; i++) {
                free(s->parts[i].vector);
                free(s->parts[i].message);
        }
        free(s->parts);
        free(s);
        return NULL;
}

int openai_begin(EmbedJob *job) {
        OpenaiJob *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        list_init(&s->waiting);
        list_init(&s->running);
        job->state = s;
        for (size_t i = 0; i < job->n; i++) {
                int r = part_item(job->embedder->impl, s, i, &job->items[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- vectors ---- */

static int add_weighted(EmbedItem *item, const Part *part, unsigned dimensions) {
        if (!item->vector)
                item->vector = calloc(dimensions, sizeof(*item->vector));
        if (!item->vector)
                return -ENOMEM;
        for (unsigned i = 0; i < dimensions; i++)
                item->vector[i] += part->vector[i] * (float) part->n;
        return 0;
}

static int normalise(EmbedItem *item, unsigned dimensions) {
        double squares = 0;

        for (unsigned i = 0; i < dimensions; i++)
                squares += (double) item->vector[i] * (double) item->vector[i];
        for (unsigned i = 0; squares >= 1e-12 && i < dimensions; i++)
                item->vector[i] = (float) (item->vector[i] / sqrt(squares));
        if (squares >= 1e-12)
                return 0;
        free(TAKE_PTR(item->vector));
        item->message = strdup("the vectors of its parts take each other away");
        return item->message ? 0 : -ENOMEM;
}

int openai_gather(EmbedJob *job) {
        unsigned dimensions = job->embedder->dimensions;
        OpenaiJob *s = job->state;

        for (size_t i = 0; i < s->n; i++) {
                const Part *part = &s->parts[i];
                int r = part->vector ? add_weighted(&job->items[part->item], part, dimensions) : 0;
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < job->n; i++) {
                int r = job->items[i].vector ? normalise(&job->items[i], dimensions) : 0;
                if (r < 0)
                        return r;
        }
        /* those that nothing came of */
        for (size_t i = 0; i < s->n; i++) {
                EmbedItem *item = &job->items[s->parts[i].item];
                if (!item->vector && !item->message)
                        item->message = TAKE_PTR(s->parts[i].message);
        }
        return 0;
}

/* ---- messages ---- */

/* Some servers repeat the key that they refuse. */
static void hide(char *text, const char *secret) {
        size_t n = secret ? strlen(secret) : 0;

        for (char *at = text; n > 0 && (at = strstr(at, secret)); at += n)
                memset(at, '*', n);
}

char *openai_message(const Embedder *e, const char *what) {
        const Openai *o = e->impl;
        const char *rest = str_startswith(what, o->url); /* the fetcher's messages begin with it */
        char *s = str_printf("%s, model \"%s\": %s", o->url, o->model,
                             rest && rest[0] == ':' ? rest + 2 : what);

        if (s)
                hide(s, o->api_key);
        return s;
}

/* ---- options ---- */

static char *trimmed(const char *s) {
        static const char space[] = " \t\r\n";

        s += strspn(s, space);
        size_t n = strlen(s);
        while (n > 0 && strchr(space, s[n - 1]))
                n--;
        return strndup(s, n);
}

static char *url_of(const char *base) {
        _cleanup_free_ char *url = trimmed(base);
        static const char path[] = "/embeddings";

        if (!url)
                return NULL;
        size_t n = strlen(url);
        while (n > 0 && url[n - 1] == '/')
                url[--n] = '\0';
        bool has_path = n >= strlen(path) && streq(url + n - strlen(path), path);
        return str_printf("%s%s", url, has_path ? "" : path);
}

static int add_headers(Openai *o) {
        int r = strv_extend(&o->headers, "Content-Type: application/json");

        if (r >= 0 && !str_isempty(o->api_key))
                r = strv_extendf(&o->headers, "Authorization: Bearer %s", o->api_key);
        return r;
}

/* What is wrong with them, or NULL. */
static const char *complaint(const Embedder *e, const EmbedderOptions *o, const Openai *made) {
        if (!e->fetcher)
                return "nothing is there to make requests with";
        if (str_isempty(o->url))
                return "an embedding endpoint needs its URL, like https://api.openai.com/v1";
        if (!str_startswith(made->url, "http://") && !str_startswith(made->url, "https://"))
                return "the embedding endpoint's URL must begin with http:// or https://";
        if (strpbrk(made->url, "?#@"))
                return "the embedding endpoint's URL may have no user, query or fragment: a key has a setting of its own";
        if (str_isempty(o->model))
                return "an embedding endpoint needs the name of its model";
        if (!utf8_is_valid(o->model, strlen(o->model)) || str_has_control(o->model, strlen(o->model)))
                return "the embedding model's name has a character that no name has";
        for (const char *c = made->api_key; c && *c; c++)
                if (*c <= ' ' || *c > '~')
                        return "the embedding endpoint's key has a character that no key has";
        if (o->dimensions > EMBEDDER_DIMENSIONS_MAX)
                return "an embedding may have at most 4096 dimensions";
        return NULL;
}

static void openai_free(Embedder *e) {
        Openai *o = e->impl;

        free(o->url);
        free(o->model);
        free(o->api_key);
        strv_free(o->headers);
        free(o);
        e->impl = NULL;
}

static int set_options(Openai *o, const EmbedderOptions *q) {
        *o = (Openai){
                .url = url_of(q->url ?: ""),
                .model = strdup(q->model ?: ""),
                .api_key = trimmed(q->api_key ?: ""),
                .dimensions = q->dimensions,
                .batch_max = q->batch_max ?: BATCH_MAX,
                .parts_max = q->parts_max ?: PARTS_MAX,
                .parallel_max = q->parallel_max ?: PARALLEL_MAX,
                .tries_max = q->tries_max ?: TRIES_MAX,
                .text_max = MAX(q->text_max ?: TEXT_MAX, (size_t) TEXT_MIN),
                .timeout_usec = q->timeout_usec ?: TIMEOUT_USEC,
                .retry_usec = q->retry_usec ?: RETRY_USEC,
                .retry_max_usec = q->retry_max_usec ?: RETRY_MAX_USEC,
        };
        return o->url && o->model && o->api_key ? add_headers(o) : -ENOMEM;
}

int embedder_openai_init(Embedder *e, const EmbedderOptions *options, char **ret_message) {
        static const EmbedderOps ops = { .free = openai_free,
                                         .pump = openai_pump,
                                         .drop = openai_drop };
        Openai *o = calloc(1, sizeof(*o));

        if (!o)
                return -ENOMEM;
        e->impl = o;
        e->ops = &ops;
        e->is_semantic = true;
        e->dimensions = options->dimensions;
        int r = set_options(o, options);
        if (r < 0)
                return r;
        const char *wrong = complaint(e, options, o);
        if (wrong) {
                *ret_message = strdup(wrong);
                return -EINVAL;
        }
        e->model = o->dimensions > 0 ? str_printf("openai:%s:%u", o->model, o->dimensions)
                                     : str_printf("openai:%s", o->model);
        return e->model ? 0 : -ENOMEM;
}
