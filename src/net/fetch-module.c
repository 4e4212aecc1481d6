/* SPDX-License-Identifier: MIT */

/* libcurl's multi interface by sockets, driven by the daemon's sd-event loop. curl says which
 * descriptors it waits for and until when; both become event sources, and what they bring goes back
 * to curl.
 *
 * curl forbids to add or remove a transfer from within its callbacks, and ours could do anything in
 * a done(): so what has ended is first taken out of curl into a list, and the done() functions are
 * called when curl is not on the stack. A done() may cancel what waits in that list, and may free
 * the engine; who walks over the list is told through a flag on its stack.
 *
 * Names are resolved by curl in a thread. Giving up while that thread waits for a dead name server
 * would wait along; CURLOPT_QUICK_EXIT makes curl leave it alone, which is right here as this
 * module is never unloaded. Answers are not asked for in compressed form: a small one could unpack
 * to anything.
 *
 * Rejected: a thread for each request (their number is the peer's choice then), curl's own poll (a
 * second loop). */

#include "net/fetch-module.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/obj.h"
#include "base/str.h"

#define ENGINE_MAGIC     0x46456e67u
#define FETCH_MAGIC      0x46466368u
#define BODY_MAX         ((size_t) 64 << 20)
#define CONNECT_USEC     (10 * USEC_PER_SEC)
#define TIMER_ACCURACY   USEC_PER_MSEC
#define RETRY_AFTER_MAX  (USEC_PER_DAY)
#define CONNECTIONS_KEPT 8L

struct FetchEngine {
        uint32_t magic;
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        ListLink running, ended; /* of Fetch */
        bool *gone;              /* set when freed while the ended are walked over */
};

struct Fetch {
        FetchHead head;
        uint32_t magic;
        ListLink link;
        FetchEngine *engine;
        CURL *curl;
        struct curl_slist *headers;
        Buf answer;
        char *name; /* the URL as messages show it */
        char error[CURL_ERROR_SIZE];
        CURLcode code;
        FetchDoneFn done;
        void *userdata;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_begin(void) {
        (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- one request ---- */

static Fetch *fetch_free(Fetch *f) {
        if (!f)
                return NULL;
        OBJ_CHECK(f, FETCH_MAGIC);
        list_remove(&f->link);
        curl_easy_cleanup(f->curl);
        curl_slist_free_all(f->headers);
        buf_done(&f->answer);
        free(f->name);
        f->magic = 0;
        free(f);
        return NULL;
}
DEFINE_CLEANUP(Fetch *, fetch_free);

static Fetch *module_cancel(Fetch *f) {
        OBJ_CHECK(f, FETCH_MAGIC);
        /* those that have ended are out of curl already, which takes that for a mistake without harm */
        (void) curl_multi_remove_handle(f->engine->multi, f->curl);
        return fetch_free(f);
}

static int error_of(const Fetch *f) {
        long os_error = 0;

        switch ((int) f->code) {
        case CURLE_OK:
                return 0;
        case CURLE_COULDNT_CONNECT:
                (void) curl_easy_getinfo(f->curl, CURLINFO_OS_ERRNO, &os_error);
                return os_error > 0 ? (int) -os_error : -ECONNREFUSED;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
                return -EHOSTUNREACH;
        case CURLE_OPERATION_TIMEDOUT:
                return -ETIMEDOUT;
        case CURLE_GOT_NOTHING:
        case CURLE_SEND_ERROR:
        case CURLE_RECV_ERROR:
        case CURLE_PARTIAL_FILE:
                return -ECONNRESET;
        case CURLE_WRITE_ERROR:
                return buf_error(&f->answer) == -E2BIG ? -EFBIG : -ENOMEM;
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
                return -EKEYREJECTED;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_WEIRD_SERVER_REPLY:
        case CURLE_HTTP2:
        case CURLE_HTTP2_STREAM:
        case CURLE_BAD_CONTENT_ENCODING:
                return -EPROTO;
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

static char *message_of(const Fetch *f, int r) {
        if (r == -EFBIG)
                return str_printf("%s: the answer is larger than %zu bytes", f->name, f->answer.max);
        return str_printf("%s: %s", f->name, f->error[0] ? f->error : curl_easy_strerror(f->code));
}

static usec_t retry_after(const Fetch *f) {
        curl_off_t seconds = 0;

        (void) curl_easy_getinfo(f->curl, CURLINFO_RETRY_AFTER, &seconds);
        return seconds > 0 ? MIN((usec_t) seconds, RETRY_AFTER_MAX / USEC_PER_SEC) * USEC_PER_SEC : 0;
}

/* Calls done() and frees. */
static void finish(Fetch *f) {
        _cleanup_free_ char *message = NULL;
        FetchAnswer a = { .r = error_of(f), .body = "" };

        if (a.r < 0) {
                message = message_of(f, a.r);
                a.message = message ?: f->name;
        } else {
                (void) curl_easy_getinfo(f->curl, CURLINFO_RESPONSE_CODE, &a.status);
                a.retry_after = retry_after(f);
                a.body_size = f->answer.len;
                a.body = f->answer.data ?: "";
        }
        list_remove(&f->link);
        f->done(&a, f->userdata);
        (void) fetch_free(f);
}

/* ---- the loop ---- */

static void take_ended(FetchEngine *e) {
        int left;

        for (CURLMsg *m = curl_multi_info_read(e->multi, &left); m;
             m = curl_multi_info_read(e->multi, &left)) {
                void *userdata = NULL;

                if (m->msg != CURLMSG_DONE)
                        continue;
                CURLcode code = m->data.result;
                (void) curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &userdata);
                Fetch *f = OBJ_CAST(Fetch, userdata, FETCH_MAGIC);
                f->code = code;
                (void) curl_multi_remove_handle(e->multi, f->curl);
                list_remove(&f->link);
                list_append(&e->ended, &f->link);
        }
}

static void act(FetchEngine *e, curl_socket_t fd, int what) {
        bool gone = false, *outer = e->gone; /* a done() may run the loop and come here again */
        int running;

        (void) curl_multi_socket_action(e->multi, fd, what, &running);
        take_ended(e);
        e->gone = &gone;
        while (!gone && !list_is_empty(&e->ended))
                finish(LIST_ENTRY(e->ended.next, Fetch, link));
        if (!gone)
                e->gone = outer;
        else if (outer)
                *outer = true;
}

static int on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        FetchEngine *e = OBJ_CAST(FetchEngine, userdata, ENGINE_MAGIC);
        int what = 0;

        what |= events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0;
        what |= events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
        what |= events & EPOLLERR ? CURL_CSELECT_ERR : 0;
        act(e, fd, what);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        FetchEngine *e = OBJ_CAST(FetchEngine, userdata, ENGINE_MAGIC);

        act(e, CURL_SOCKET_TIMEOUT, 0);
        return 0;
}

/* curl's: what it wants to know of a descriptor. per_socket is the source that was made for it. */
static int want_socket(CURL *curl, curl_socket_t fd, int what, void *userdata, void *per_socket) {
        FetchEngine *e = OBJ_CAST(FetchEngine, userdata, ENGINE_MAGIC);
        sd_event_source *source = per_socket;
        uint32_t events =
                (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);

        if (what == CURL_POLL_REMOVE) {
                (void) curl_multi_assign(e->multi, fd, NULL);
                sd_event_source_disable_unref(source);
                return 0;
        }
        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;
        if (sd_event_add_io(e->event, &source, fd, events, on_socket, e) < 0)
                return -1;
        (void) curl_multi_assign(e->multi, fd, source);
        return 0;
}

static int want_timer(CURLM *multi, long msec, void *userdata) {
        FetchEngine *e = OBJ_CAST(FetchEngine, userdata, ENGINE_MAGIC);

        if (msec < 0)
                return sd_event_source_set_enabled(e->timer, SD_EVENT_OFF) < 0 ? -1 : 0;
        if (sd_event_source_set_time_relative(e->timer, (usec_t) msec * USEC_PER_MSEC) < 0 ||
            sd_event_source_set_enabled(e->timer, SD_EVENT_ONESHOT) < 0)
                return -1;
        return 0;
}

/* ---- the engine ---- */

static FetchEngine *engine_free(FetchEngine *e) {
        if (!e)
                return NULL;
        OBJ_CHECK(e, ENGINE_MAGIC);
        if (e->gone)
                *e->gone = true;
        while (!list_is_empty(&e->running))
                (void) module_cancel(LIST_ENTRY(e->running.next, Fetch, link));
        while (!list_is_empty(&e->ended))
                (void) fetch_free(LIST_ENTRY(e->ended.next, Fetch, link));
        if (e->multi)
                (void) curl_multi_cleanup(e->multi);
        sd_event_source_disable_unref(e->timer);
        sd_event_unref(e->event);
        e->magic = 0;
        free(e);
        return NULL;
}
DEFINE_CLEANUP(FetchEngine *, engine_free);

static int engine_new(FetchEngine **ret, sd_event *event) {
        _cleanup_(engine_freep) FetchEngine *e = calloc(1, sizeof(*e));

        (void) pthread_once(&curl_once, curl_begin);
        if (!e)
                return -ENOMEM;
        e->magic = ENGINE_MAGIC;
        e->event = sd_event_ref(event);
        list_init(&e->running);
        list_init(&e->ended);
        int r = sd_event_add_time(event, &e->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY, on_timer, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        e->multi = curl_multi_init();
        if (!e->multi)
                return -ENOMEM;
        (void) curl_multi_setopt(e->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
        (void) curl_multi_setopt(e->multi, CURLMOPT_SOCKETDATA, e);
        (void) curl_multi_setopt(e->multi, CURLMOPT_TIMERFUNCTION, want_timer);
        (void) curl_multi_setopt(e->multi, CURLMOPT_TIMERDATA, e);
        (void) curl_multi_setopt(e->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
        *ret = TAKE_PTR(e);
        return 0;
}

/* ---- starting ---- */

/* The URL without user, password, query and fragment, which may hold secrets. -EINVAL if it is none of ours. */
static int name_of_url(const char *url, char **ret) {
        static const CURLUPart secrets[] = { CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS,
                                             CURLUPART_QUERY, CURLUPART_FRAGMENT };
        _cleanup_free_ char *name = NULL;
        char *scheme = NULL, *shown = NULL;
        CURLU *u = curl_url();

        if (!u)
                return -ENOMEM;
        CURLUcode code = curl_url_set(u, CURLUPART_URL, url, 0);
        ARRAY_FOREACH(part, secrets)
                if (code == CURLUE_OK)
                        code = curl_url_set(u, *part, NULL, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
        if (code == CURLUE_OK)
                code = curl_url_get(u, CURLUPART_URL, &shown, 0);
        int r = code == CURLUE_OK ? 0 : code == CURLUE_OUT_OF_MEMORY ? -ENOMEM : -EINVAL;
        if (r >= 0 && !streq(scheme, "http") && !streq(scheme, "https"))
                r = -EINVAL;
        if (r >= 0 && !(name = strdup(shown)))
                r = -ENOMEM;
        curl_free(scheme);
        curl_free(shown);
        curl_url_cleanup(u);
        if (r >= 0)
                *ret = TAKE_PTR(name);
        return r;
}

static int add_header(Fetch *f, const char *header) {
        if (strpbrk(header, "\r\n"))
                return -EINVAL;
        struct curl_slist *longer = curl_slist_append(f->headers, header);
        if (!longer)
                return -ENOMEM;
        f->headers = longer;
        return 0;
}

static int add_headers(Fetch *f, const FetchRequest *request) {
        /* a large body would wait a second for a server that does not know this */
        int r = add_header(f, "Expect:");

        for (const char *const *h = request->headers; r >= 0 && h && *h; h++)
                r = add_header(f, *h);
        return r;
}

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Fetch *f = OBJ_CAST(Fetch, userdata, FETCH_MAGIC);

        return buf_append(&f->answer, data, size * n) < 0 ? 0 : size * n;
}

/* curl's own sockets would not be closed at exec. */
static curl_socket_t on_open(void *userdata, curlsocktype purpose, struct curl_sockaddr *a) {
        int fd = socket(a->family, a->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->protocol);

        return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static long msec(usec_t span) {
        return (long) MIN((span + USEC_PER_MSEC - 1) / USEC_PER_MSEC, (usec_t) INT_MAX);
}

static CURLcode set_request(Fetch *f, const FetchRequest *q) {
        CURLcode code = curl_easy_setopt(f->curl, CURLOPT_URL, q->url);

        if (code == CURLE_OK && (q->body || streq(q->method, "POST"))) {
                code = curl_easy_setopt(f->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                                        (curl_off_t) q->body_size);
                if (code == CURLE_OK)
                        code = curl_easy_setopt(f->curl, CURLOPT_COPYPOSTFIELDS, q->body ?: "");
        }
        if (code == CURLE_OK && streq(q->method, "HEAD"))
                code = curl_easy_setopt(f->curl, CURLOPT_NOBODY, 1L);
        if (code == CURLE_OK)
                code = curl_easy_setopt(f->curl, CURLOPT_CUSTOMREQUEST, q->method);
        if (code == CURLE_OK)
                code = curl_easy_setopt(f->curl, CURLOPT_HTTPHEADER, f->headers);
        return code;
}

static void set_rest(Fetch *f, const FetchRequest *q) {
        (void) curl_easy_setopt(f->curl, CURLOPT_PRIVATE, f);
        (void) curl_easy_setopt(f->curl, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(f->curl, CURLOPT_QUICK_EXIT, 1L);
        (void) curl_easy_setopt(f->curl, CURLOPT_PROTOCOLS_STR, "http,https");
        (void) curl_easy_setopt(f->curl, CURLOPT_USERAGENT, "agentd/" AGENTD_VERSION);
        (void) curl_easy_setopt(f->curl, CURLOPT_ERRORBUFFER, f->error);
        (void) curl_easy_setopt(f->curl, CURLOPT_WRITEFUNCTION, on_body);
        (void) curl_easy_setopt(f->curl, CURLOPT_WRITEDATA, f);
        (void) curl_easy_setopt(f->curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
        (void) curl_easy_setopt(f->curl, CURLOPT_TIMEOUT_MS, msec(q->timeout_usec));
        (void) curl_easy_setopt(f->curl, CURLOPT_CONNECTTIMEOUT_MS,
                                msec(q->connect_usec ?: CONNECT_USEC));
}

static int module_start(
        FetchEngine *e, const FetchRequest *q, FetchDoneFn done, void *userdata, Fetch **ret);

extern _public_ const FetchModule fetch_module;
const FetchModule fetch_module = {
        .version = FETCH_MODULE_VERSION,
        .engine_new = engine_new,
        .engine_free = engine_free,
        .start = module_start,
        .cancel = module_cancel,
};

static int module_start(
        FetchEngine *e, const FetchRequest *q, FetchDoneFn done, void *userdata, Fetch **ret) {
        _cleanup_(fetch_freep) Fetch *f = calloc(1, sizeof(*f));

        if (!f)
                return -ENOMEM;
        *f = (Fetch){
                .head.module = &fetch_module,
                .magic = FETCH_MAGIC,
                .engine = e,
                .answer = BUF_INIT(q->body_max ?: BODY_MAX),
                .done = done,
                .userdata = userdata,
        };
        int r = name_of_url(q->url, &f->name);
        if (r >= 0)
                r = add_headers(f, q);
        if (r < 0)
                return r;
        f->curl = curl_easy_init();
        if (!f->curl || set_request(f, q) != CURLE_OK)
                return -ENOMEM;
        set_rest(f, q);
        if (curl_multi_add_handle(e->multi, f->curl) != CURLM_OK)
                return -ENOMEM;
        list_append(&e->running, &f->link);
        Fetch *started = TAKE_PTR(f);
        if (ret)
                *ret = started;
        return 0;
}
