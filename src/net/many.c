/* SPDX-License-Identifier: MIT */

/* libcurl's multi interface, with its own poll: it waits for our descriptors and its sockets
 * together, so that one thread sees a key, a signal, an event and an answer as they come.
 *
 * Rejected: a thread for the stream (the command line's objects are for one thread), and the multi
 * interface by sockets, which is for programs that have an event loop already.
 *
 * curl forbids to add and to remove a transfer from within its callbacks. So a new job waits in a
 * list until the next http_many_wait(), and a cancelled one is only marked. */

#include "net/many.h"

#include "base/list.h"
#include "base/obj.h"
#include "base/str.h"
#include "net/client-internal.h"

#define MANY_MAGIC      0x4e4d4e59u
#define JOB_MAGIC       0x4e4a4f42u
#define ANSWER_MAX      ((size_t) 256 * 1024 * 1024)
#define CONNECTIONS_MAX 16L
#define FDS_MAX         8

struct HttpJob {
        uint32_t magic;
        ListLink link; /* in queued or running */
        CURL *curl;
        struct curl_slist *headers;
        char *body;
        Buf answer;
        HttpJobOptions options; /* method, path and texts are not kept */
        int result;             /* of on_data */
        bool cancelled;
};

struct HttpMany {
        uint32_t magic;
        CURLM *multi;
        HttpClientOptions options;
        char *socket_path, *base_url, *authorization;
        ListLink queued, running;
        size_t n_jobs;
};

static void job_free(HttpMany *m, HttpJob *job) {
        OBJ_CHECK(job, JOB_MAGIC);
        list_remove(&job->link);
        curl_easy_cleanup(job->curl);
        curl_slist_free_all(job->headers);
        free(job->body);
        buf_done(&job->answer);
        job->magic = 0;
        free(job);
        m->n_jobs--;
}

HttpMany *http_many_free(HttpMany *m) {
        if (!m)
                return NULL;
        OBJ_CHECK(m, MANY_MAGIC);
        LIST_FOREACH(l, &m->running) {
                HttpJob *job = LIST_ENTRY(l, HttpJob, link);
                (void) curl_multi_remove_handle(m->multi, job->curl);
                job_free(m, job);
        }
        LIST_FOREACH(l, &m->queued)
                job_free(m, LIST_ENTRY(l, HttpJob, link));
        if (m->multi)
                (void) curl_multi_cleanup(m->multi);
        free(m->socket_path);
        free(m->base_url);
        free(m->authorization);
        m->magic = 0;
        free(m);
        return NULL;
}

int http_many_new(HttpMany **ret, const HttpClientOptions *options) {
        _cleanup_(http_many_freep) HttpMany *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        m->magic = MANY_MAGIC;
        list_init(&m->queued);
        list_init(&m->running);
        m->socket_path = options->socket_path ? strdup(options->socket_path) : NULL;
        m->base_url = http_base_url(options);
        if (options->token)
                m->authorization = str_printf("Authorization: Bearer %s", options->token);
        if ((options->socket_path && !m->socket_path) || !m->base_url ||
            (options->token && !m->authorization))
                return -ENOMEM;
        m->options = (HttpClientOptions){ .socket_path = m->socket_path };
        m->multi = curl_multi_init();
        if (!m->multi)
                return -ENOMEM;
        (void) curl_multi_setopt(m->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
        *ret = TAKE_PTR(m);
        return 0;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        HttpJob *job = OBJ_CAST(HttpJob, userdata, JOB_MAGIC);
        long status = 0;

        if (job->cancelled)
                return CURL_WRITEFUNC_ERROR;
        (void) curl_easy_getinfo(job->curl, CURLINFO_RESPONSE_CODE, &status);
        job->result = job->options.on_data
                              ? job->options.on_data(status, data, n, job->options.userdata)
                              : buf_append(&job->answer, data, n);
        return job->result == 0 ? n : CURL_WRITEFUNC_ERROR;
}

static int job_prepare(HttpMany *m, HttpJob *job, const HttpJobOptions *o) {
        _cleanup_free_ char *url = str_printf("%s%s", m->base_url, o->path);
        HttpClientOptions options = m->options;

        options.timeout_sec = o->timeout_sec;
        job->curl = http_curl_new(&options);
        job->body = o->body ? strdup(o->body) : NULL;
        if (!url || !job->curl || (o->body && !job->body))
                return -ENOMEM;
        int r = http_curl_headers(m->authorization, o->accept, o->last_event_id, o->body != NULL,
                                  &job->headers);
        if (r < 0)
                return r;
        http_curl_method(job->curl, o->method ?: "GET", job->body);
        (void) curl_easy_setopt(job->curl, CURLOPT_URL, url);
        (void) curl_easy_setopt(job->curl, CURLOPT_HTTPHEADER, job->headers);
        (void) curl_easy_setopt(job->curl, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(job->curl, CURLOPT_WRITEDATA, job);
        (void) curl_easy_setopt(job->curl, CURLOPT_PRIVATE, job);
        return 0;
}

int http_many_start(HttpMany *m, const HttpJobOptions *options, HttpJob **ret) {
        OBJ_CHECK(m, MANY_MAGIC);

        HttpJob *job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        *job = (HttpJob){ .magic = JOB_MAGIC, .options = *options, .answer = BUF_INIT(ANSWER_MAX) };
        list_append(&m->queued, &job->link);
        m->n_jobs++;
        int r = job_prepare(m, job, options);
        if (r < 0) {
                job_free(m, job);
                return r;
        }
        if (ret)
                *ret = job;
        return 0;
}

void http_many_cancel(HttpMany *m, HttpJob *job) {
        OBJ_CHECK(job, JOB_MAGIC);
        job->cancelled = true;
}

size_t http_many_count(const HttpMany *m) {
        return m->n_jobs;
}

static int send_queued(HttpMany *m) {
        LIST_FOREACH(l, &m->queued) {
                HttpJob *job = LIST_ENTRY(l, HttpJob, link);

                list_remove(&job->link);
                list_append(&m->running, &job->link);
                if (curl_multi_add_handle(m->multi, job->curl) != CURLM_OK)
                        return -ENOMEM;
        }
        return 0;
}

static void drop_cancelled(HttpMany *m) {
        ListLink *lists[] = { &m->queued, &m->running };

        ARRAY_FOREACH(list, lists)
                LIST_FOREACH(l, *list) {
                        HttpJob *job = LIST_ENTRY(l, HttpJob, link);

                        if (!job->cancelled)
                                continue;
                        (void) curl_multi_remove_handle(m->multi, job->curl);
                        job_free(m, job);
                }
}

static void job_done(HttpMany *m, HttpJob *job, CURLcode code) {
        long status = 0;

        (void) curl_multi_remove_handle(m->multi, job->curl);
        (void) curl_easy_getinfo(job->curl, CURLINFO_RESPONSE_CODE, &status);
        int r = job->result != 0 ? job->result : http_curl_error(job->curl, code);
        if (r >= 0 && !buf_reserve(&job->answer, 0))
                r = -ENOMEM;
        if (!job->cancelled)
                job->options.on_done(r, status, &job->answer, job->options.userdata);
        job_free(m, job);
}

/* How many. */
static size_t finish_done(HttpMany *m) {
        const CURLMsg *msg;
        size_t n = 0;
        int left;

        while ((msg = curl_multi_info_read(m->multi, &left))) {
                void *private = NULL;

                if (msg->msg != CURLMSG_DONE)
                        continue;
                CURLcode code = msg->data.result;
                (void) curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
                job_done(m, OBJ_CAST(HttpJob, private, JOB_MAGIC), code);
                n++;
        }
        return n;
}

int http_many_wait(HttpMany *m, struct pollfd *fds, size_t n, int timeout_msec) {
        struct curl_waitfd extra[FDS_MAX] = {};
        int running = 0;

        OBJ_CHECK(m, MANY_MAGIC);
        assert(n <= FDS_MAX);
        drop_cancelled(m);
        int r = send_queued(m);
        if (r < 0)
                return r;
        (void) curl_multi_perform(m->multi, &running);
        /* What came already is told at once. */
        if (finish_done(m) > 0)
                timeout_msec = 0;
        for (size_t i = 0; i < n; i++)
                extra[i] = (struct curl_waitfd){ .fd = fds[i].fd, .events = CURL_WAIT_POLLIN };
        if (curl_multi_poll(m->multi, extra, (unsigned) n, timeout_msec, NULL) != CURLM_OK)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                fds[i].revents = extra[i].revents;
        (void) curl_multi_perform(m->multi, &running);
        (void) finish_done(m);
        return 0;
}
