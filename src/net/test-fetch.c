/* SPDX-License-Identifier: MIT */

/* Requests to others against a real server that does right and wrong: what comes back is said, once, with its
 * reason; nothing is followed or trusted that should not be; giving up is possible at any time. */

#include <stdio.h>

#include "base/test-program.h"
#include "net/fetch.h"

typedef struct Fixture {
        sd_event *event;
        Fetcher *fetcher;
        TestProgram server;
        unsigned plain, secure; /* ports */
} Fixture;

typedef struct Got {
        unsigned n;
        int r;
        long status;
        usec_t retry_after;
        char *body, *message;
        size_t size;
        void (*also)(struct Got *g);
        void *userdata;
} Got;

static void got_done(Got *g) {
        free(TAKE_PTR(g->body));
        free(TAKE_PTR(g->message));
        g->n = 0;
}

#define _cleanup_got_ _cleanup_(got_done)

static void on_done(const FetchAnswer *a, void *userdata) {
        Got *g = userdata;

        g->n++;
        g->r = a->r;
        g->status = a->status;
        g->retry_after = a->retry_after;
        g->size = a->body_size;
        assert_non_null(a->body);
        assert_int_equal(a->body[a->body_size], '\0');
        assert_int_equal(a->message != NULL, a->r < 0);
        g->body = strdup(a->body);
        g->message = a->message ? strdup(a->message) : NULL;
        if (g->also)
                g->also(g);
}

static void wait_for(Fixture *f, const Got *g, unsigned n) {
        while (g->n < n)
                assert_true(sd_event_run(f->event, 20 * USEC_PER_SEC) > 0);
}

static char *url_of(unsigned port, const char *scheme, const char *path) {
        char *url = str_printf("%s://127.0.0.1:%u/%s", scheme, port, path);

        assert_non_null(url);
        return url;
}

static int start(Fixture *f, const char *path, FetchRequest q, Got *g, Fetch **ret) {
        _cleanup_free_ char *url = url_of(f->plain, "http", path);

        q.url = url;
        q.method = q.method ?: "GET";
        return fetch_start(f->fetcher, &q, on_done, g, ret);
}

static void get(Fixture *f, const char *path, Got *g) {
        assert_int_equal(start(f, path, (FetchRequest){}, g, NULL), 0);
        assert_int_equal(g->n, 0);
        wait_for(f, g, 1);
}

/* ---- the server ---- */

static int begin(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        *state = f;
        test_program_begin(&f->server, getenv("AGENTD_FETCH_SERVER"));
        char *end = f->server.line;
        f->plain = (unsigned) strtoul(end, &end, 10);
        f->secure = (unsigned) strtoul(end, &end, 10);
        assert_true(f->plain > 0 && f->secure > 0);
        return 0;
}

static int end(void **state) {
        Fixture *f = *state;

        test_program_end(&f->server);
        free(f);
        return 0;
}

static int setup(void **state) {
        Fixture *f = *state;

        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(fetcher_new(&f->fetcher, f->event), 0);
        assert_int_equal(fetcher_set_module(f->fetcher, getenv("AGENTD_FETCH_MODULE")), 0);
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        f->fetcher = fetcher_free(f->fetcher);
        f->event = sd_event_unref(f->event);
        return 0;
}

/* ---- answers ---- */

static void any_status_is_an_answer(void **state) {
        static const struct {
                const char *path;
                long status;
                usec_t retry_after;
        } cases[] = {
                { "status/200", 200, 0 },
                { "status/401", 401, 0 },
                { "status/429?Retry-After=7", 429, 7 * USEC_PER_SEC },
                { "status/503?Retry-After=99999999", 503, USEC_PER_DAY },
                { "status/500?Retry-After=soon", 500, 0 },
                { "redirect", 302, 0 }, /* and it is not followed */
        };

        ARRAY_FOREACH(c, cases) {
                _cleanup_got_ Got g = {};
                get(*state, c->path, &g);
                assert_int_equal(g.r, 0);
                assert_int_equal(g.status, c->status);
                assert_int_equal(g.retry_after, c->retry_after);
        }
        _cleanup_got_ Got g = {};
        get(*state, "later/3600", &g);
        assert_in_range(g.retry_after, 3500 * USEC_PER_SEC, 3601 * USEC_PER_SEC);
}

static void method_headers_and_body_arrive(void **state) {
        static const char *const headers[] = { "Authorization: Bearer top-secret",
                                               "Content-Type: application/json", NULL };
        _cleanup_buf_ Buf body = BUF_INIT(4u << 20);
        _cleanup_got_ Got g = {};

        while (body.len < 3u << 20)
                assert_int_equal(buf_puts(&body, "{\"a\":1} "), 0);
        const FetchRequest q = {
                .method = "POST", .headers = headers, .body = body.data, .body_size = body.len
        };
        assert_int_equal(start(*state, "echo?q=1", q, &g, NULL), 0);
        buf_clear(&body); /* it was copied */
        memset(body.data, 'x', 1000);
        wait_for(*state, &g, 1);
        assert_int_equal(g.status, 200);
        assert_true(g.size > 3u << 20);
        assert_non_null(strstr(g.body, "\"method\": \"POST\""));
        assert_non_null(strstr(g.body, "\"path\": \"/echo?q=1\""));
        assert_non_null(strstr(g.body, "\"Authorization\": \"Bearer top-secret\""));
        assert_non_null(strstr(g.body, "\"Content-Type\": \"application/json\""));
        assert_non_null(strstr(g.body, "\"User-Agent\": \"agentd/"));
        assert_null(strstr(g.body, "Expect"));
        assert_null(strstr(g.body, "xxx"));
}

static void connections_are_used_again(void **state) {
        _cleanup_got_ Got a = {}, b = {}, c = {};

        get(*state, "port", &a);
        get(*state, "status/404", &b);
        get(*state, "port", &c);
        assert_string_equal(a.body, c.body);
}

static void an_idle_connection_that_was_closed_does_no_harm(void **state) {
        _cleanup_got_ Got a = {}, b = {};

        get(*state, "hangup", &a);
        assert_int_equal(a.r, -ECONNRESET);
        get(*state, "status/200", &b);
        assert_int_equal(b.status, 200);
}

/* ---- failures ---- */

static void failures_say_what_and_where(void **state) {
        static const struct {
                const char *path;
                int r;
                FetchRequest q;
        } cases[] = {
                { "cut", -ECONNRESET, {} },
                { "hangup", -ECONNRESET, {} },
                { "garbage", -EPROTO, {} },
                { "size/1001", -EFBIG, { .body_max = 1000 } },
                { "stall", -ETIMEDOUT, { .timeout_usec = 50 * USEC_PER_MSEC } },
                { "stall/body", -ETIMEDOUT, { .timeout_usec = 50 * USEC_PER_MSEC } },
        };
        Fixture *f = *state;

        ARRAY_FOREACH(c, cases) {
                _cleanup_free_ char *where = url_of(f->plain, "http", c->path);
                _cleanup_got_ Got g = {};
                assert_int_equal(start(f, c->path, c->q, &g, NULL), 0);
                wait_for(f, &g, 1);
                assert_int_equal(g.r, c->r);
                assert_non_null(str_startswith(g.message, where));
                assert_int_equal(g.size, 0);
        }
        _cleanup_got_ Got fits = {};
        assert_int_equal(start(f, "size/1000", (FetchRequest){ .body_max = 1000 }, &fits, NULL), 0);
        wait_for(f, &fits, 1);
        assert_int_equal(fits.size, 1000);
}

static void nobody_listening_is_said(void **state) {
        _cleanup_got_ Got g = {};
        const FetchRequest q = { .method = "GET",
                                 .url = "http://me:password@127.0.0.1:1/v1?key=secret" };
        Fixture *f = *state;

        assert_int_equal(fetch_start(f->fetcher, &q, on_done, &g, NULL), 0);
        wait_for(f, &g, 1);
        assert_int_equal(g.r, -ECONNREFUSED);
        assert_non_null(str_startswith(g.message, "http://127.0.0.1:1/v1: "));
        assert_null(strstr(g.message, "secret"));
        assert_null(strstr(g.message, "password"));
}

static void a_name_that_is_none_is_said(void **state) {
        _cleanup_got_ Got g = {};
        /* a label of 64 letters, which needs no name server to be wrong */
        const FetchRequest q = {
                .method = "GET",
                .url = "http://abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl.example/v1",
        };
        Fixture *f = *state;

        assert_int_equal(fetch_start(f->fetcher, &q, on_done, &g, NULL), 0);
        wait_for(f, &g, 1);
        assert_int_equal(g.r, -EHOSTUNREACH);
        assert_non_null(strstr(g.message, ".example/v1"));
}

static void an_unknown_certificate_is_refused(void **state) {
        _cleanup_got_ Got g = {}, plain = {};
        Fixture *f = *state;
        _cleanup_free_ char *url = url_of(f->secure, "https", "echo"),
                            *wrong = url_of(f->plain, "https", "echo");
        FetchRequest q = { .method = "GET", .url = url };

        assert_int_equal(fetch_start(f->fetcher, &q, on_done, &g, NULL), 0);
        wait_for(f, &g, 1);
        assert_int_equal(g.r, -EKEYREJECTED);
        assert_non_null(strstr(g.message, "certificate"));
        /* and a server that does not speak TLS is no server at all */
        q.url = wrong;
        assert_int_equal(fetch_start(f->fetcher, &q, on_done, &plain, NULL), 0);
        wait_for(f, &plain, 1);
        assert_int_equal(plain.r, -EPROTO);
}

static void what_is_no_request_is_refused_at_once(void **state) {
        static const char *const urls[] = {
                "", "nonsense", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://", "http://a b/"
        };
        static const char *const two[] = { "X: 1\r\nY: 2", NULL };
        Fixture *f = *state;
        Got g = {};

        ARRAY_FOREACH(url, urls) {
                const FetchRequest q = { .method = "GET", .url = *url };
                assert_int_equal(fetch_start(f->fetcher, &q, on_done, &g, NULL), -EINVAL);
        }
        assert_int_equal(start(f, "echo", (FetchRequest){ .headers = two }, &g, NULL), -EINVAL);
        assert_int_equal(g.n, 0);
}

static void a_missing_module_is_said_and_looked_for_again(void **state) {
        Fixture *f = *state;
        _cleanup_got_ Got g = {};

        assert_int_equal(fetcher_set_module(f->fetcher, "/nonexistent/agentd-fetch.so"), 0);
        assert_int_equal(start(f, "echo", (FetchRequest){}, &g, NULL), -ELIBACC);
        assert_string_equal(fetcher_error(f->fetcher),
                            "/nonexistent/agentd-fetch.so is not installed");
        assert_int_equal(fetcher_set_module(f->fetcher, getenv("AGENTD_FETCH_MODULE")), 0);
        get(f, "echo", &g);
        assert_int_equal(g.status, 200);
}

/* ---- giving up ---- */

static void cancelled_before_during_and_between(void **state) {
        Fixture *f = *state;
        _cleanup_got_ Got none = {}, other = {};
        Fetch *fetch;

        /* before the loop has seen it */
        assert_int_equal(start(f, "echo", (FetchRequest){}, &none, &fetch), 0);
        assert_null(fetch_cancel(fetch));
        /* while it waits for the answer, after k turns of the loop */
        for (unsigned k = 1; k < 8; k++) {
                assert_int_equal(start(f, "stall/body", (FetchRequest){}, &none, &fetch), 0);
                for (unsigned i = 0; i < k; i++)
                        assert_true(sd_event_run(f->event, 2 * USEC_PER_MSEC) >= 0);
                assert_null(fetch_cancel(fetch));
        }
        /* while its name is being resolved */
        const FetchRequest q = { .method = "GET", .url = "http://no-such-host.invalid/" };
        assert_int_equal(fetch_start(f->fetcher, &q, on_done, &none, &fetch), 0);
        assert_true(sd_event_run(f->event, 0) >= 0);
        assert_null(fetch_cancel(fetch));
        assert_null(fetch_cancel(NULL));
        get(f, "echo", &other);
        assert_int_equal(other.status, 200);
        assert_int_equal(none.n, 0);
}

static void cancel_the_other(Got *g) {
        Fetch **both = g->userdata;

        /* whoever comes first cancels the other, which may have ended in the same turn */
        if (both[0]) {
                Fetch *other = g->n == 1 && g->status == 200 ? both[1] : both[0];
                both[0] = both[1] = NULL;
                assert_null(fetch_cancel(other));
        }
}

static void one_may_cancel_another_that_has_ended_too(void **state) {
        Fixture *f = *state;

        for (unsigned i = 0; i < 20; i++) {
                Fetch *both[2];
                _cleanup_got_ Got a = { .also = cancel_the_other, .userdata = both },
                                  b = { .also = cancel_the_other, .userdata = both };
                assert_int_equal(start(f, "status/200", (FetchRequest){}, &a, &both[0]), 0);
                assert_int_equal(start(f, "status/404", (FetchRequest){}, &b, &both[1]), 0);
                while (a.n + b.n == 0)
                        assert_true(sd_event_run(f->event, 20 * USEC_PER_SEC) > 0);
                for (unsigned k = 0; k < 3; k++)
                        assert_true(sd_event_run(f->event, USEC_PER_MSEC) >= 0);
                assert_int_equal(a.n + b.n, 1);
        }
}

static void free_the_fetcher(Got *g) {
        Fixture *f = g->userdata;

        f->fetcher = fetcher_free(f->fetcher);
}

static void the_fetcher_may_be_freed_with_requests_under_way(void **state) {
        Fixture *f = *state;
        _cleanup_got_ Got none = {}, first = { .also = free_the_fetcher, .userdata = f };

        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(
                        start(f, i % 2 ? "stall" : "status/200", (FetchRequest){}, &none, NULL), 0);
        f->fetcher = fetcher_free(f->fetcher);
        /* and from within a done(), while others have ended and others have not */
        (void) teardown(state);
        (void) setup(state);
        assert_int_equal(start(f, "status/200", (FetchRequest){}, &first, NULL), 0);
        assert_int_equal(start(f, "stall", (FetchRequest){}, &none, NULL), 0);
        wait_for(f, &first, 1);
        assert_null(f->fetcher);
        assert_int_equal(none.n, 0);
}

static void start_one_more(Got *g) {
        if (g->n < 5)
                assert_int_equal(start(g->userdata, "status/200", (FetchRequest){}, g, NULL), 0);
        if (g->n < 5)
                got_done(&(Got){ .body = TAKE_PTR(g->body), .message = TAKE_PTR(g->message) });
}

static void an_answer_may_start_the_next_request(void **state) {
        _cleanup_got_ Got g = { .also = start_one_more, .userdata = *state };

        assert_int_equal(start(*state, "status/200", (FetchRequest){}, &g, NULL), 0);
        wait_for(*state, &g, 5);
        assert_int_equal(g.status, 200);
}

static void many_at_a_time_all_come_back(void **state) {
        Got g[50] = {};
        Fixture *f = *state;

        ARRAY_FOREACH(i, g)
                assert_int_equal(
                        start(f, (i - g) % 2 ? "size/200000" : "cut", (FetchRequest){}, i, NULL), 0);
        ARRAY_FOREACH(i, g) {
                wait_for(f, i, 1);
                assert_int_equal(i->r, (i - g) % 2 ? 0 : -ECONNRESET);
                assert_int_equal(i->size, (i - g) % 2 ? 200000 : 0);
        }
        ARRAY_FOREACH(i, g) {
                assert_int_equal(i->n, 1);
                got_done(i);
        }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(any_status_is_an_answer),
                TEST(method_headers_and_body_arrive),
                TEST(connections_are_used_again),
                TEST(an_idle_connection_that_was_closed_does_no_harm),
                TEST(failures_say_what_and_where),
                TEST(nobody_listening_is_said),
                TEST(a_name_that_is_none_is_said),
                TEST(an_unknown_certificate_is_refused),
                TEST(what_is_no_request_is_refused_at_once),
                TEST(a_missing_module_is_said_and_looked_for_again),
                TEST(cancelled_before_during_and_between),
                TEST(one_may_cancel_another_that_has_ended_too),
                TEST(the_fetcher_may_be_freed_with_requests_under_way),
                TEST(an_answer_may_start_the_next_request),
                TEST(many_at_a_time_all_come_back),
        };

        /* the machine's proxies have no business here */
        if (getenv("http_proxy") || getenv("https_proxy") || getenv("all_proxy")) {
                assert_int_equal(unsetenv("http_proxy"), 0);
                assert_int_equal(unsetenv("https_proxy"), 0);
                assert_int_equal(unsetenv("all_proxy"), 0);
        }
        return cmocka_run_group_tests(tests, begin, end);
}
