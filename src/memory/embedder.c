/* SPDX-License-Identifier: MIT */

/* The front of the embedders. Jobs wait in one list, and the kind is asked from the loop to go on, never
 * from within embedder_embed(): so done() cannot come before the caller knows that there will be one.
 *
 * Texts that wait are bounded by number and by bytes; who has more than that gets -EAGAIN and keeps them where
 * they are stored anyway. Texts are copied into one piece of memory per job: items point into it. */

#include "base/str.h"
#include "memory/embedder-internal.h"

#define JOBS_MAX  1024
#define BYTES_MAX ((size_t) 256 << 20)

/* ---- jobs ---- */

static EmbedJob *job_free(EmbedJob *job) {
        if (!job)
                return NULL;
        OBJ_CHECK(job, EMBED_JOB_MAGIC);
        list_remove(&job->link);
        for (size_t i = 0; job->items && i < job->n; i++) {
                free(job->items[i].text);
                free(job->items[i].vector);
                free(job->items[i].message);
        }
        free(job->items);
        job->magic = 0;
        free(job);
        return NULL;
}
DEFINE_CLEANUP(EmbedJob *, job_free);

static void detach(EmbedJob *job) {
        Embedder *e = job->embedder;

        list_remove(&job->link);
        e->n_jobs--;
        e->n_bytes -= job->bytes;
        if (job->state)
                e->ops->drop(job);
}

void embed_job_finish(EmbedJob *job, int r, const char *message) {
        OBJ_CHECK(job, EMBED_JOB_MAGIC);
        _cleanup_free_ EmbedResult *results = calloc(MAX(job->n, (size_t) 1), sizeof(*results));
        unsigned dimensions = job->embedder->dimensions;

        detach(job);
        if (!results) {
                job->done(-ENOMEM, "out of memory", NULL, 0, dimensions, job->userdata);
                (void) job_free(job);
                return;
        }
        for (size_t i = 0; i < job->n; i++)
                results[i] = (EmbedResult){
                        .vector = r < 0 ? NULL : job->items[i].vector,
                        .message = r < 0 ? message : job->items[i].message,
                };
        job->done(r, r < 0 ? message : NULL, results, job->n, dimensions, job->userdata);
        (void) job_free(job);
}

/* Copies what is between the white space at both ends; nothing left: a message. */
static int fill(EmbedItem *item, const char *text, size_t n) {
        while (n > 0 && strchr(" \t\r\n", *text) && *text != '\0')
                text++, n--;
        while (n > 0 && strchr(" \t\r\n", text[n - 1]) && text[n - 1] != '\0')
                n--;
        item->text = malloc(n + 1);
        if (!item->text)
                return -ENOMEM;
        if (n > 0)
                memcpy(item->text, text, n);
        item->text[n] = '\0';
        item->n = n;
        if (n == 0)
                item->message = strdup("the text is empty");
        return n > 0 || item->message ? 0 : -ENOMEM;
}

static int job_new(EmbedJob **ret, const char *const *texts, const size_t *sizes, size_t n) {
        _cleanup_(job_freep) EmbedJob *job = calloc(1, sizeof(*job));

        if (!job)
                return -ENOMEM;
        job->magic = EMBED_JOB_MAGIC;
        job->n = n;
        job->items = calloc(MAX(n, (size_t) 1), sizeof(*job->items));
        if (!job->items)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                int r = fill(&job->items[i], texts[i], sizes[i]);
                if (r < 0)
                        return r;
                job->bytes += job->items[i].n;
        }
        *ret = TAKE_PTR(job);
        return 0;
}

int embedder_embed(Embedder *e,
                   const char *const *texts,
                   const size_t *sizes,
                   size_t n,
                   EmbedDoneFn done,
                   void *userdata) {
        EmbedJob *job;

        OBJ_CHECK(e, EMBEDDER_MAGIC);
        /* one job always has its chance, whatever its size */
        if (e->n_jobs >= JOBS_MAX || (e->n_jobs > 0 && e->n_bytes > BYTES_MAX))
                return -EAGAIN;
        int r = job_new(&job, texts, sizes, n);
        if (r < 0)
                return r;
        job->embedder = e;
        job->done = done;
        job->userdata = userdata;
        list_append(&e->jobs, &job->link);
        e->n_jobs++;
        e->n_bytes += job->bytes;
        embedder_wake(e);
        return 0;
}

/* ---- the embedder ---- */

static int on_wake(sd_event_source *source, void *userdata) {
        Embedder *e = OBJ_CAST(Embedder, userdata, EMBEDDER_MAGIC);

        e->ops->pump(e);
        return 0;
}

void embedder_wake(Embedder *e) {
        /* a source that exists can always be switched on */
        (void) sd_event_source_set_enabled(e->wake, SD_EVENT_ONESHOT);
}

Embedder *embedder_free(Embedder *e) {
        if (!e)
                return NULL;
        OBJ_CHECK(e, EMBEDDER_MAGIC);
        while (!list_is_empty(&e->jobs)) {
                EmbedJob *job = LIST_ENTRY(e->jobs.next, EmbedJob, link);
                detach(job);
                (void) job_free(job);
        }
        if (e->impl)
                e->ops->free(e);
        sd_event_source_disable_unref(e->wake);
        sd_event_unref(e->event);
        free(e->model);
        e->magic = 0;
        free(e);
        return NULL;
}

static int init_kind(Embedder *e, const EmbedderOptions *o, char **ret_message) {
        switch (o->kind) {
        case EMBEDDER_OPENAI:
                return embedder_openai_init(e, o, ret_message);
        case EMBEDDER_STATIC:
                return embedder_static_init(e, o, ret_message);
        case EMBEDDER_HASH:
                return embedder_hash_init(e, o, ret_message);
        case EMBEDDER_NONE:
        default:
                *ret_message = strdup("there is no kind of embedder chosen");
                return *ret_message ? -EINVAL : -ENOMEM;
        }
}

int embedder_new(Embedder **ret,
                 sd_event *event,
                 Pool *pool,
                 Fetcher *fetcher,
                 const EmbedderOptions *options,
                 char **ret_message) {
        _cleanup_(embedder_freep) Embedder *e = calloc(1, sizeof(*e));
        _cleanup_free_ char *message = NULL;

        if (!e)
                return -ENOMEM;
        e->magic = EMBEDDER_MAGIC;
        e->event = sd_event_ref(event);
        e->pool = pool;
        e->fetcher = fetcher;
        list_init(&e->jobs);
        int r = sd_event_add_defer(event, &e->wake, on_wake, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->wake, SD_EVENT_OFF);
        if (r < 0)
                return r;
        r = init_kind(e, options, &message);
        if (r >= 0) {
                *ret = TAKE_PTR(e);
                return 0;
        }
        if (!message && !(message = strdup(strerrordesc_np(-r))))
                return -ENOMEM;
        *ret_message = TAKE_PTR(message);
        return r;
}

const char *embedder_model(const Embedder *e) {
        return e->model;
}

unsigned embedder_dimensions(const Embedder *e) {
        return e->dimensions;
}

bool embedder_is_semantic(const Embedder *e) {
        return e->is_semantic;
}
