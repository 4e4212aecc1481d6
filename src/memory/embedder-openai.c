/* SPDX-License-Identifier: MIT */

/* The client of an OpenAI-compatible embeddings endpoint. A job's texts become parts of at most
 * text_max bytes, and the parts requests of at most batch_max; a few requests are under way at a
 * time, over all jobs, and one that waits before its next try keeps its place among them, so that a
 * server which asks for slowness gets it.
 *
 * What an answer means:
 *   429, 408, 5xx     again after a pause, doubled every time, with jitter, not shorter than
 * Retry-After 401, 403, 404     the whole job fails at once: nothing will be better until somebody
 * does something too large         (413; or 400, 422, 500 that say so) the request is halved, a
 * single text is parted: llama.cpp answers 500 for one long text in a batch, and token counts can
 * only be guessed from here 400, 422, or an answer that is none halved too, down to the text that
 * cannot be embedded, which fails alone; but if nothing of the job was ever answered well then the
 * endpoint is wrong, not the text Refused connections and unknown names fail the job at once:
 * whoever stores the texts asks again later, and a search must not wait for it. What was cut or
 * timed out is tried again.
 *
 * Answers are read in the pool: a hundred vectors as JSON are megabytes of decimal numbers. */

#include <math.h>
#include <sodium.h>

#include "base/json.h"
#include "base/str.h"
#include "memory/embedder-openai-internal.h"

#define REQUEST_MAGIC 0x456d5271u
#define READING_MAGIC 0x456d5264u
#define PART_BYTES    32 /* a text that is too large at that is not to be had */

/* An answer on its way through the pool. */
struct Reading {
        uint32_t magic;
        Request *request; /* NULL: given up */
        char *body;
        size_t size, n;
        EmbedVector *vectors;
        const char *message;
        int r;
};

struct Request {
        uint32_t magic;
        ListLink link; /* in the job's waiting or running */
        EmbedJob *job;
        uint32_t *parts; /* of the job */
        size_t n;
        unsigned tries;
        Fetch *fetch;
        sd_event_source *pause;
        Reading *reading;
};

static Openai *openai_of(const EmbedJob *job) {
        return job->embedder->impl;
}

/* ---- requests ---- */

static Request *request_free(Request *q) {
        if (!q)
                return NULL;
        OBJ_CHECK(q, REQUEST_MAGIC);
        list_remove(&q->link);
        (void) fetch_cancel(q->fetch);
        sd_event_source_disable_unref(q->pause);
        if (q->reading)
                q->reading->request = NULL;
        free(q->parts);
        q->magic = 0;
        free(q);
        return NULL;
}

/* Of n parts; they wait in front of all others, or behind. */
static int request_new(EmbedJob *job, const uint32_t *parts, size_t n, bool in_front) {
        OpenaiJob *s = job->state;
        Request *q = calloc(1, sizeof(*q));

        if (!q)
                return -ENOMEM;
        q->magic = REQUEST_MAGIC;
        q->job = job;
        q->n = n;
        q->parts = calloc(n, sizeof(*q->parts));
        if (!q->parts) {
                free(q);
                return -ENOMEM;
        }
        memcpy(q->parts, parts, n * sizeof(*parts));
        list_append(in_front ? s->waiting.next : &s->waiting, &q->link);
        return 0;
}

/* The request is over, well or not; the job may be too. */
static void request_over(Request *q) {
        EmbedJob *job = q->job;

        openai_of(job)->n_running--;
        (void) request_free(q);
        openai_go_on(job);
}

/* Everything of the job ends. */
static void fail_job(Request *q, int r, const char *what) {
        EmbedJob *job = q->job;
        _cleanup_free_ char *message = openai_message(job->embedder, what);

        embedder_wake(job->embedder);
        embed_job_finish(job, r, message ?: what);
}

static void fail_part(Request *q, const char *what) {
        OpenaiJob *s = q->job->state;
        Part *part = &s->parts[q->parts[0]];

        if (!part->message)
                part->message = openai_message(q->job->embedder, what);
        request_over(q);
}

/* ---- halving ---- */

static int halve_batch(Request *q) {
        size_t half = q->n / 2;
        int r = request_new(q->job, q->parts + half, q->n - half, true);

        return r < 0 ? r : request_new(q->job, q->parts, half, true);
}

static int halve_text(Request *q) {
        OpenaiJob *s = q->job->state;
        const Part whole = s->parts[q->parts[0]];
        size_t cut = text_cut_well(whole.p, whole.n, whole.n / 2);
        uint32_t second;

        int r = openai_add_part(s, whole.item, whole.p + cut, whole.n - cut, &second);
        if (r < 0)
                return r;
        s->parts[q->parts[0]].n = cut;
        const uint32_t both[] = { q->parts[0], second };
        return request_new(q->job, both, 2, true);
}

static void too_large(Request *q, const char *what) {
        const OpenaiJob *s = q->job->state;

        if (q->n == 1 && s->parts[q->parts[0]].n < (size_t) 2 * PART_BYTES) {
                fail_part(q, what);
                return;
        }
        if ((q->n > 1 ? halve_batch(q) : halve_text(q)) < 0)
                fail_job(q, -ENOMEM, "out of memory");
        else
                request_over(q);
}

/* One of its texts, or the endpoint as such. */
static void suspect(Request *q, const char *what) {
        const OpenaiJob *s = q->job->state;

        if (q->n > 1) {
                if (halve_batch(q) < 0)
                        fail_job(q, -ENOMEM, "out of memory");
                else
                        request_over(q);
        } else if (s->n_good > 0)
                fail_part(q, what);
        else
                fail_job(q, -EPROTO, what);
}

/* ---- answers ---- */

/* The numbers of vectors must be those that we know; the first vector of all says which. */
static bool has_dimensions(Embedder *e, const EmbedVector *v) {
        if (e->dimensions == 0)
                e->dimensions = v->n;
        return v->n == e->dimensions;
}

static bool all_of_another_dimension(const Embedder *e, const EmbedVector *v, size_t n) {
        size_t other = 0;

        for (size_t i = 0; i < n; i++)
                other += v[i].numbers && e->dimensions > 0 && v[i].n != e->dimensions;
        return other == n;
}

static void take_vectors(Request *q, EmbedVector *v) {
        OpenaiJob *s = q->job->state;
        Embedder *e = q->job->embedder;

        for (size_t i = 0; i < q->n; i++) {
                Part *part = &s->parts[q->parts[i]];
                if (v[i].numbers && has_dimensions(e, &v[i])) {
                        part->vector = TAKE_PTR(v[i].numbers);
                        s->n_good++;
                } else
                        part->message = openai_message(
                                e, v[i].problem ?: "its vector has another length than the others");
        }
}

static void on_read(Request *q, const Reading *d) {
        Embedder *e = q->job->embedder;

        if (d->r == -ENOMEM)
                fail_job(q, -ENOMEM, "out of memory");
        else if (d->r < 0)
                suspect(q, d->message);
        else if (all_of_another_dimension(e, d->vectors, q->n)) {
                _cleanup_free_ char *what =
                        str_printf("it gives vectors of %u numbers, where %u are expected",
                                   d->vectors[0].n, e->dimensions);
                fail_job(q, -EPROTO, what ?: "vectors of another length");
        } else {
                take_vectors(q, d->vectors);
                request_over(q);
        }
}

static void reading_free(Reading *d) {
        if (d->vectors)
                embed_vectors_done(d->vectors, d->n);
        free(d->vectors);
        free(d->body);
        d->magic = 0;
        free(d);
}

static void read_work(void *userdata) {
        Reading *d = OBJ_CAST(Reading, userdata, READING_MAGIC);

        d->r = embed_answer_read(d->body, d->size, d->n, d->vectors, &d->message);
}

static void read_done(void *userdata) {
        Reading *d = OBJ_CAST(Reading, userdata, READING_MAGIC);
        Request *q = d->request;

        if (q) {
                q->reading = NULL;
                on_read(q, d);
        }
        reading_free(d);
}

static void begin_reading(Request *q, const FetchAnswer *a) {
        Embedder *e = q->job->embedder;
        Reading *d = calloc(1, sizeof(*d));

        if (d) {
                d->magic = READING_MAGIC;
                d->n = q->n;
                d->size = a->body_size;
                d->body = malloc(a->body_size + 1);
                d->vectors = calloc(q->n, sizeof(*d->vectors));
        }
        if (!d || !d->body || !d->vectors) {
                if (d)
                        reading_free(d);
                fail_job(q, -ENOMEM, "out of memory");
                return;
        }
        memcpy(d->body, a->body, a->body_size + 1);
        d->request = q;
        q->reading = d;
        if (e->pool && pool_submit(e->pool, 0, read_work, read_done, d) >= 0)
                return;
        /* the pool is full: then here */
        read_work(d);
        read_done(d);
}

/* ---- trying again ---- */

static int on_pause_over(sd_event_source *source, uint64_t usec, void *userdata) {
        Request *q = OBJ_CAST(Request, userdata, REQUEST_MAGIC);

        q->pause = sd_event_source_disable_unref(q->pause);
        openai_send(q);
        return 0;
}

/* Between half of it and all of it, so that many clients do not come back in the same instant. */
static usec_t with_jitter(usec_t span) {
        return span / 2 + randombytes_uniform((uint32_t) MIN(span / 2 + 1, (usec_t) UINT32_MAX));
}

static void again(Request *q, usec_t retry_after, int r, const char *what) {
        const Openai *o = openai_of(q->job);
        usec_t pause = o->retry_usec;

        for (unsigned i = 1; i < q->tries && pause < o->retry_max_usec; i++)
                pause *= 2;
        pause = MAX(with_jitter(MIN(pause, o->retry_max_usec)), retry_after);
        if (q->tries >= o->tries_max || retry_after > o->retry_max_usec) {
                fail_job(q, r, what);
                return;
        }
        if (sd_event_add_time_relative(q->job->embedder->event, &q->pause, CLOCK_MONOTONIC, pause,
                                       USEC_PER_MSEC, on_pause_over, q) < 0)
                fail_job(q, -ENOMEM, "out of memory");
}

static bool passes(int r) {
        return r == -ECONNRESET || r == -ETIMEDOUT || r == -EIO;
}

static void on_status(Request *q, const FetchAnswer *a) {
        _cleanup_free_ char *said = embed_answer_error(a->body, a->body_size);
        _cleanup_free_ char *text =
                str_printf("it answered %ld%s%s", a->status, said ? ": " : "", said ?: "");
        const char *what = text ?: "it answered with an error";
        long status = a->status;

        if (embed_answer_is_too_large(status, a->body, a->body_size))
                too_large(q, what);
        else if (status == 401 || status == 403)
                fail_job(q, -EACCES, what);
        else if (status == 404)
                fail_job(q, -ENOENT, what);
        else if (status == 429 || status == 408 || status >= 500)
                again(q, a->retry_after, -EAGAIN, what);
        else if (status == 400 || status == 422)
                suspect(q, what);
        else
                fail_job(q, -EPROTO, what);
}

static void on_answer(const FetchAnswer *a, void *userdata) {
        Request *q = OBJ_CAST(Request, userdata, REQUEST_MAGIC);

        q->fetch = NULL;
        if (passes(a->r))
                again(q, 0, a->r, a->message);
        else if (a->r < 0)
                fail_job(q, a->r, a->message);
        else if (a->status == 200)
                begin_reading(q, a);
        else
                on_status(q, a);
}

/* ---- sending ---- */

static int write_body(const Request *q, Buf *body) {
        const OpenaiJob *s = q->job->state;
        const Openai *o = openai_of(q->job);
        JsonWriter w = JSON_WRITER(body);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "model", o->model);
        json_w_key(&w, "input");
        json_w_array_begin(&w);
        for (size_t i = 0; i < q->n; i++) {
                const Part *part = &s->parts[q->parts[i]];
                json_w_string_n(&w, part->p, part->n);
        }
        json_w_array_end(&w);
        json_w_kv_string(&w, "encoding_format", "float");
        if (o->dimensions > 0)
                json_w_kv_uint(&w, "dimensions", o->dimensions);
        json_w_object_end(&w);
        return buf_error(body);
}

void openai_send(Request *q) {
        _cleanup_buf_ Buf body = BUF_INIT(SIZE_MAX);
        Embedder *e = q->job->embedder;
        const Openai *o = e->impl;

        q->tries++;
        int r = write_body(q, &body);
        if (r >= 0) {
                const FetchRequest request = {
                        .method = "POST",
                        .url = o->url,
                        .headers = (const char *const *) o->headers,
                        .body = body.data,
                        .body_size = body.len,
                        .timeout_usec = o->timeout_usec,
                };
                r = fetch_start(e->fetcher, &request, on_answer, q, &q->fetch);
        }
        if (r < 0)
                fail_job(q, r, r == -ELIBACC ? fetcher_error(e->fetcher) : strerrordesc_np(-r));
}

/* ---- jobs ---- */

void openai_go_on(EmbedJob *job) {
        const OpenaiJob *s = job->state;

        embedder_wake(job->embedder);
        if (list_is_empty(&s->waiting) && list_is_empty(&s->running)) {
                int r = openai_gather(job);
                embed_job_finish(job, r, r < 0 ? "out of memory" : NULL);
        }
}

static int queue_all(EmbedJob *job) {
        const Openai *o = openai_of(job);
        const OpenaiJob *s = job->state;
        _cleanup_free_ uint32_t *parts = calloc(MAX(s->n, (size_t) 1), sizeof(*parts));

        if (!parts)
                return -ENOMEM;
        for (uint32_t i = 0; i < s->n; i++)
                parts[i] = i;
        for (size_t i = 0; i < s->n; i += o->batch_max) {
                int r = request_new(job, parts + i, MIN(s->n - i, (size_t) o->batch_max), false);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The next request of the job is sent. False: the job has ended by that, or the embedder. */
static bool send_next(EmbedJob *job) {
        OpenaiJob *s = job->state;

        if (!s) {
                int r = openai_begin(job);
                if (r >= 0)
                        r = queue_all(job);
                if (r < 0) {
                        embed_job_finish(job, r, "out of memory");
                        return false;
                }
                s = job->state;
                if (list_is_empty(&s->waiting)) {
                        openai_go_on(job);
                        return false;
                }
        }
        if (list_is_empty(&s->waiting))
                return true;
        Request *q = LIST_ENTRY(s->waiting.next, Request, link);
        list_remove(&q->link);
        list_append(&s->running, &q->link);
        openai_of(job)->n_running++;
        embedder_wake(job->embedder);
        openai_send(q);
        return false;
}

void openai_pump(Embedder *e) {
        const Openai *o = e->impl;

        if (o->n_running >= o->parallel_max)
                return;
        LIST_FOREACH(l, &e->jobs)
                if (!send_next(LIST_ENTRY(l, EmbedJob, link)))
                        return; /* what comes next is for the next turn of the loop */
}

void openai_drop(EmbedJob *job) {
        OpenaiJob *s = job->state;
        Openai *o = openai_of(job);

        while (!list_is_empty(&s->waiting))
                (void) request_free(LIST_ENTRY(s->waiting.next, Request, link));
        for (; !list_is_empty(&s->running); o->n_running--)
                (void) request_free(LIST_ENTRY(s->running.next, Request, link));
        job->state = NULL;
        openai_job_free(s);
}
