/* SPDX-License-Identifier: MIT */

/* The command line's HTTP client: libcurl's blocking interface with one handle that is used again, so
 * that the second request of a command finds the connection open.
 *
 * Proxies from the environment are not used: `http_proxy` in somebody's shell must not send the
 * control of a local daemon, with its token, through another machine. Redirects are not followed,
 * because the API has none and a token must not travel along.
 *
 * Both calls share one path: http_client_request() is a stream whose function appends to a buffer. */

#include <pthread.h>
#include <strings.h>

#include "base/obj.h"
#include "base/str.h"
#include "net/client-internal.h"

#define CLIENT_MAGIC         0x4e4c4348u
#define RESPONSE_MAX         ((size_t) 256 * 1024 * 1024)
#define CONNECT_TIMEOUT_MSEC 10000L
#define WAIT_MSEC            100

struct HttpClient {
        uint32_t magic;
        CURL *curl;
        char *base_url; /* without a slash at its end */
        char *authorization;
        void (*on_wait)(void *userdata); /* or NULL */
        void *on_wait_userdata;
        int (*on_second)(void *userdata); /* or NULL */
        void *on_second_userdata;
        int given_up;    /* what on_second returned */
        const char *key; /* of the request that follows */
};

/* One exchange under way. */
typedef struct Exchange {
        HttpClient *client;
        HttpResponse *response; /* or NULL: only fn wants it */
        int (*fn)(long status, const char *data, size_t n, void *userdata);
        void *userdata;
        int result; /* of fn, or our own error */
} Exchange;

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void) {
        (void) curl_global_init(CURL_GLOBAL_DEFAULT);
}

void http_response_done(HttpResponse *r) {
        buf_done(&r->body);
        free(TAKE_PTR(r->next_link));
        free(TAKE_PTR(r->content_type));
        r->status = 0;
}

HttpClient *http_client_free(HttpClient *c) {
        if (!c)
                return NULL;
        OBJ_CHECK(c, CLIENT_MAGIC);
        curl_easy_cleanup(c->curl);
        free(c->base_url);
        free(c->authorization);
        c->magic = 0;
        free(c);
        return NULL;
}

/* With a unix socket the host is only a name in the Host header. */
char *http_base_url(const HttpClientOptions *options) {
        const char *base = options->base_url ?: "http://localhost";
        char *copy = strdup(base);

        for (size_t n = copy ? strlen(copy) : 0; n > 0 && copy[n - 1] == '/'; n--)
                copy[n - 1] = '\0';
        return copy;
}

CURL *http_curl_new(const HttpClientOptions *options) {
        (void) pthread_once(&curl_once, curl_start);

        CURL *curl = curl_easy_init();
        if (!curl)
                return NULL;
        (void) curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(curl, CURLOPT_PROXY, "");
        (void) curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        (void) curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MSEC);
        (void) curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long) options->timeout_sec);
        (void) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, options->socket_path);
        return curl;
}

int http_client_new(HttpClient **ret, const HttpClientOptions *options) {
        assert(options->socket_path || options->base_url);

        _cleanup_(http_client_freep) HttpClient *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->magic = CLIENT_MAGIC;
        c->curl = http_curl_new(options);
        c->base_url = http_base_url(options);
        if (options->token)
                c->authorization = str_printf("Authorization: Bearer %s", options->token);
        if (!c->curl || !c->base_url || (options->token && !c->authorization))
                return -ENOMEM;

        *ret = TAKE_PTR(c);
        return 0;
}

int http_curl_error(CURL *curl, CURLcode code) {
        long os_error = 0;

        if (code == CURLE_OK)
                return 0;
        if (code == CURLE_COULDNT_CONNECT) {
                (void) curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
                /* Connected and hung up on before curl looked: there is no system error then. */
                return os_error > 0 ? (int) -os_error : -ECONNRESET;
        }
        if (code == CURLE_OPERATION_TIMEDOUT)
                return -ETIMEDOUT;
        if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
            code == CURLE_PARTIAL_FILE)
                return -ECONNRESET;
        if (code == CURLE_COULDNT_RESOLVE_HOST)
                return -EHOSTUNREACH;
        if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL)
                return -EINVAL;
        return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EIO;
}

/* The target of `<target>; rel="next"` in a Link header's value, which may hold several links. */
static char *link_next(const char *value, size_t n) {
        _cleanup_free_ char *copy = strndup(value, n);
        char *rest = copy, *link;

        while (copy && (link = strsep(&rest, ","))) {
                char *from = strchr(link, '<'), *to = from ? strchr(from, '>') : NULL;

                if (!to || (!strstr(to, "rel=\"next\"") && !strstr(to, "rel=next")))
                        continue;
                return strndup(from + 1, (size_t) (to - from) - 1);
        }
        return NULL;
}

static size_t on_header(char *data, size_t size, size_t n, void *userdata) {
        Exchange *x = userdata;

        if (x->response && !x->response->next_link && n > 5 && strncasecmp(data, "Link:", 5) == 0)
                x->response->next_link = link_next(data + 5, n - 5);
        return n;
}

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        Exchange *x = userdata;
        long status = 0;

        (void) curl_easy_getinfo(x->client->curl, CURLINFO_RESPONSE_CODE, &status);
        x->result = x->fn(status, data, n, x->userdata);
        /* Anything but n ends the transfer. */
        return x->result == 0 ? n : CURL_WRITEFUNC_ERROR;
}

static int append_header(struct curl_slist **list, const char *line) {
        struct curl_slist *longer = curl_slist_append(*list, line);

        if (!longer)
                return -ENOMEM;
        *list = longer;
        return 0;
}

static int append_header_value(struct curl_slist **list, const char *name, const char *value) {
        if (!value)
                return 0;
        _cleanup_free_ char *line = str_printf("%s: %s", name, value);
        return line ? append_header(list, line) : -ENOMEM;
}

/* The method with its body. A GET handle that sent a body before must forget it. */
void http_curl_method(CURL *curl, const char *method, const char *body) {
        (void) curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
        (void) curl_easy_setopt(curl, CURLOPT_NOBODY, streq(method, "HEAD") ? 1L : 0L);
        if (body) {
                (void) curl_easy_setopt(curl, CURLOPT_POST, 1L);
                (void) curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
                (void) curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(body));
        }
        (void) curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
}

/* curl's own loop calls its progress function once a second only, so this is the same with a
 * shorter wait. */
static CURLcode perform_watched(HttpClient *c) {
        CURLM *multi = curl_multi_init();
        CURLcode code = CURLE_OUT_OF_MEMORY;
        const CURLMsg *msg;
        int running = 1, left;

        if (!multi || curl_multi_add_handle(multi, c->curl) != CURLM_OK)
                goto finish;
        while (running > 0 && curl_multi_perform(multi, &running) == CURLM_OK) {
                if (running == 0 || curl_multi_poll(multi, NULL, 0, WAIT_MSEC, NULL) != CURLM_OK)
                        break;
                c->on_wait(c->on_wait_userdata);
        }
        msg = curl_multi_info_read(multi, &left);
        if (msg && msg->msg == CURLMSG_DONE)
                code = msg->data.result;
        (void) curl_multi_remove_handle(multi, c->curl);
finish:
        if (multi)
                (void) curl_multi_cleanup(multi);
        return code;
}

static int perform(Exchange *x,
                   const char *method,
                   const char *path,
                   const char *body,
                   struct curl_slist *headers) {
        HttpClient *c = x->client;
        _cleanup_free_ char *url = str_printf("%s%s", c->base_url, path);

        if (!url)
                return -ENOMEM;
        http_curl_method(c->curl, method, body);
        (void) curl_easy_setopt(c->curl, CURLOPT_URL, url);
        (void) curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
        (void) curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, on_header);
        (void) curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, x);
        (void) curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_data);
        (void) curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, x);

        c->given_up = 0;
        CURLcode code = c->on_wait ? perform_watched(c) : curl_easy_perform(c->curl);
        if (c->given_up < 0)
                x->result = x->result ?: c->given_up;
        (void) curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
        if (x->result != 0)
                return x->result;
        return http_curl_error(c->curl, code);
}

int http_curl_headers(const char *authorization,
                      const char *accept,
                      const char *last_event_id,
                      bool has_body,
                      struct curl_slist **ret) {
        _cleanup_slist_ struct curl_slist *headers = NULL;

        int r = append_header_value(&headers, "Accept", accept ?: "application/json");
        if (r >= 0)
                r = append_header_value(&headers, "Last-Event-ID", last_event_id);
        if (r >= 0 && authorization)
                r = append_header(&headers, authorization);
        /* Waiting for "100 Continue" from a daemon on this machine costs a round trip. */
        if (r >= 0 && has_body)
                r = append_header(&headers, "Content-Type: application/json");
        if (r >= 0 && has_body)
                r = append_header(&headers, "Expect:");
        if (r >= 0)
                *ret = TAKE_PTR(headers);
        return r;
}

static int exchange(Exchange *x,
                    const char *method,
                    const char *path,
                    const char *accept,
                    const char *last_event_id,
                    const char *body) {
        _cleanup_slist_ struct curl_slist *headers = NULL;

        int r = http_curl_headers(x->client->authorization, accept, last_event_id, body != NULL,
                                  &headers);
        if (r >= 0)
                r = append_header_value(&headers, "Idempotency-Key", x->client->key);
        return r < 0 ? r : perform(x, method, path, body, headers);
}

static int append_body(long status, const char *data, size_t n, void *userdata) {
        HttpResponse *response = userdata;

        return buf_append(&response->body, data, n);
}

static int on_progress(
        void *userdata, curl_off_t all_in, curl_off_t in, curl_off_t all_out, curl_off_t out) {
        HttpClient *c = userdata;
        int r = c->on_second ? c->on_second(c->on_second_userdata) : 0;

        c->given_up = MIN(r, 0);
        return c->given_up < 0;
}

void http_client_on_second(HttpClient *c, int (*fn)(void *userdata), void *userdata) {
        c->on_second = fn;
        c->on_second_userdata = userdata;
        (void) curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
        (void) curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
        (void) curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, fn ? 0L : 1L);
}

void http_client_on_wait(HttpClient *c, void (*fn)(void *userdata), void *userdata) {
        OBJ_CHECK(c, CLIENT_MAGIC);
        c->on_wait = fn;
        c->on_wait_userdata = userdata;
}

void http_client_set_key(HttpClient *c, const char *key) {
        OBJ_CHECK(c, CLIENT_MAGIC);
        c->key = key;
}

int http_client_request(HttpClient *c,
                        const char *method,
                        const char *path,
                        const char *accept,
                        const char *body,
                        HttpResponse *ret) {
        HttpResponse response = { .body = BUF_INIT(RESPONSE_MAX) };
        Exchange x = { .client = c, .response = &response, .fn = append_body, .userdata = &response };
        char *type = NULL;

        OBJ_CHECK(c, CLIENT_MAGIC);
        int r = exchange(&x, method, path, accept, NULL, body);
        if (r >= 0) {
                (void) curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &response.status);
                (void) curl_easy_getinfo(c->curl, CURLINFO_CONTENT_TYPE, &type);
                response.content_type = type ? strdup(type) : NULL;
                if (type && !response.content_type)
                        r = -ENOMEM;
        }
        /* So that body.data is a string even if nothing came. */
        if (r >= 0 && !buf_reserve(&response.body, 0))
                r = -ENOMEM;
        if (r < 0) {
                http_response_done(&response);
                return r;
        }
        *ret = response;
        return 0;
}

int http_client_stream(HttpClient *c,
                       const char *method,
                       const char *path,
                       const char *accept,
                       const char *last_event_id,
                       int (*fn)(long status, const char *data, size_t n, void *userdata),
                       void *userdata) {
        Exchange x = { .client = c, .fn = fn, .userdata = userdata };

        OBJ_CHECK(c, CLIENT_MAGIC);
        return exchange(&x, method, path, accept, last_event_id, NULL);
}

char *http_url_escape(const char *s) {
        _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);

        (void) buf_puts(&b, "");
        (void) str_put_percent(&b, s, uri_is_unreserved);
        return buf_take(&b, NULL);
}
