/* SPDX-License-Identifier: MIT */

/* What happens over time: answers that come later, streams, hang-ups, slow clients, many clients,
 * draining. */

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "net/test-http.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void reply(HttpRequest *req, const char *text) {
        http_reply_static(req, 200, "text/plain", text, strlen(text));
}

static unsigned connections(TestServer *t) {
        HttpStats stats;

        http_server_stats(t->server, &stats);
        return stats.connections_now;
}

static void test_answer_may_come_later_and_the_connection_is_kept(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        for (unsigned i = 0; i < 3; i++) {
                test_client_send(&c, GET("/hold"));
                TEST_UNTIL(&t, t.n_held == i + 1);
                reply(t.held[i], "later");
                assert_int_equal(t.n_destroyed, i + 1);
                _cleanup_free_ char *answer = test_client_answer(&t, &c);
                assert_string_equal(test_body(answer), "later");
        }
        assert_int_equal(t.n_gone, 0);
}

static void test_requests_behind_a_held_one_wait_for_it(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c, other;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_open(&t, &other);
        test_client_send(&c, GET("/hold") GET("/hello") GET("/hold"));
        TEST_UNTIL(&t, t.n_held == 1);
        free(test_ask(&t, &other, GET("/hello"), 200));
        assert_int_equal(t.n_requests, 2);

        reply(t.held[0], "one");
        _cleanup_free_ char *first = test_client_answer(&t, &c);
        _cleanup_free_ char *second = test_client_answer(&t, &c);
        assert_string_equal(test_body(first), "one");
        assert_string_equal(test_body(second), "hello");
        TEST_UNTIL(&t, t.n_held == 2);
        reply(t.held[1], "three");
        _cleanup_free_ char *third = test_client_answer(&t, &c);
        assert_string_equal(test_body(third), "three");
}

static void expect_gone_once(bool over_unix, bool reply_when_gone) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        t.reply_when_gone = reply_when_gone;
        if (over_unix)
                test_client_open_unix(&t, &c);
        else
                test_client_open(&t, &c);
        test_client_send(&c, GET("/hold"));
        TEST_UNTIL(&t, t.n_held == 1);
        c.fd = fd_close(c.fd);
        TEST_UNTIL(&t, t.n_gone == 1);

        if (!reply_when_gone) {
                /* Still the owner's, with everything in it. */
                assert_string_equal(http_path(t.held[0]), "/hold");
                assert_string_equal(http_header(t.held[0], "host"), "localhost");
                reply(t.held[0], "nobody reads this");
        }
        TEST_UNTIL(&t, connections(&t) == 0);
        assert_int_equal(t.n_gone, 1);
        assert_int_equal(t.n_destroyed, 1);
}

static void test_hang_up_of_a_held_request_is_told_once(void **state) {
        expect_gone_once(false, false);
        expect_gone_once(false, true);
        expect_gone_once(true, false);
        expect_gone_once(true, true);
}

static void test_server_may_end_while_requests_are_held(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c, d;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_open(&t, &d);
        test_client_send(&c, "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        test_client_send(&d, GET("/stream"));
        TEST_UNTIL(&t, t.n_held == 1 && t.n_pulls == 1);
        t.server = http_server_free(t.server);
        assert_int_equal(t.n_gone, 1);
        assert_int_equal(t.n_streams_done, 1);

        assert_null(http_header(t.held[0], "Host"));
        assert_string_equal(http_path(t.held[0]), "");
        assert_int_equal(http_body(t.held[0]).n, 3);
        reply(t.held[0], "nobody");
        assert_int_equal(t.n_destroyed, 1);
}

/* ---- streams ---- */

static bool has_text(TestClient *c, const char *text) {
        test_client_poll(c);
        return c->in.len > 0 && strstr(c->in.data, text);
}

static void test_stream_sends_what_it_has_when_it_is_woken(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        (void) snprintf(t.stream_text, sizeof(t.stream_text), "data: one\n\n");
        test_client_send(&c, GET("/stream"));
        TEST_UNTIL(&t, has_text(&c, "data: one\n\n"));
        assert_non_null(strstr(c.in.data, "X-Accel-Buffering: no\r\n"));
        assert_non_null(strstr(c.in.data, "Cache-Control: no-store\r\n"));
        assert_non_null(strstr(c.in.data, "Transfer-Encoding: chunked\r\n"));

        TEST_UNTIL(&t, t.n_pulls == 2);
        (void) snprintf(t.stream_text, sizeof(t.stream_text), "data: two\n\n");
        http_stream_wake(t.stream);
        TEST_UNTIL(&t, has_text(&c, "data: two\n\n"));

        t.stream_end = true;
        http_stream_wake(t.stream);
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_string_equal(test_body(answer), "data: one\n\ndata: two\n\n");
        TEST_UNTIL(&t, t.n_streams_done == 1);
        free(test_ask(&t, &c, GET("/hello"), 200));
}

static void test_quiet_stream_is_not_asked_again_and_again(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c, other;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_open(&t, &other);
        test_client_send(&c, GET("/stream"));
        TEST_UNTIL(&t, t.n_pulls == 1);
        for (unsigned i = 0; i < 20; i++)
                free(test_ask(&t, &other, GET("/hello"), 200));
        assert_int_equal(t.n_pulls, 1);
        /* Nothing is pending: an idle server does not wake. */
        while (sd_event_run(t.event, 0) > 0)
                ;
        assert_int_equal(sd_event_run(t.event, 0), 0);
}

static void test_stream_that_fails_is_cut_short(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, GET("/stream"));
        TEST_UNTIL(&t, t.n_pulls == 1);
        t.stream_failed = true;
        http_stream_wake(t.stream);
        test_client_wait_eof(&t, &c);
        assert_null(strstr(c.in.data, "\r\n0\r\n\r\n"));
        assert_int_equal(t.n_streams_done, 1);
}

static void test_reader_of_a_quiet_stream_that_leaves_is_noticed(void **state) {
        for (unsigned over_unix = 0; over_unix < 2; over_unix++) {
                _cleanup_server_ TestServer t;
                _cleanup_client_ TestClient c;

                test_server_start(&t, NULL);
                if (over_unix)
                        test_client_open_unix(&t, &c);
                else
                        test_client_open(&t, &c);
                test_client_send(&c, GET("/stream"));
                TEST_UNTIL(&t, t.n_pulls == 1);
                c.fd = fd_close(c.fd);
                TEST_UNTIL(&t, t.n_streams_done == 1);
                TEST_UNTIL(&t, connections(&t) == 0);
        }
}

static void test_head_of_a_stream_has_no_body(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, "HEAD /stream HTTP/1.1\r\nHost: x\r\n\r\n");
        free(test_client_head(&t, &c));
        TEST_UNTIL(&t, t.n_streams_done == 1);
        assert_int_equal(t.n_pulls, 0);
        free(test_ask(&t, &c, GET("/hello"), 200));
}

static void test_stream_reaches_an_http_1_0_client(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        t.flood = 100000;
        test_client_send(&c, "GET /flood HTTP/1.0\r\n\r\n");
        test_client_wait_eof(&t, &c);
        assert_int_equal(strlen(test_body(c.in.data)), 100000);
}

static void test_slow_reader_holds_back_only_itself(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient slow, other;
        const size_t all = 64 * 1024 * 1024;

        test_server_start(&t, NULL);
        test_client_open(&t, &slow);
        test_client_open(&t, &other);
        t.flood = all;
        test_client_send(&slow, GET("/flood"));
        for (unsigned i = 0; i < 200; i++)
                free(test_ask(&t, &other, GET("/hello"), 200));
        /* The sockets' buffers are full, and nothing was pulled that they do not take. */
        while (sd_event_run(t.event, 0) > 0)
                ;
        assert_true(t.flood > all / 2);

        size_t left = t.flood;
        test_client_poll(&slow);
        TEST_UNTIL(&t, t.flood < left);
        assert_int_equal(t.n_streams_done, 0);
}

static bool has_bytes(TestClient *c, size_t n) {
        test_client_poll(c);
        return c->in.len >= n;
}

static void test_big_answer_arrives_whole(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, GET("/big"));
        TEST_UNTIL(&t, has_bytes(&c, 8 * 1024 * 1024));
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_int_equal(strlen(test_body(answer)), 8 * 1024 * 1024);
}

/* ---- slow clients ---- */

static const HttpConfig hasty = {
        .idle_timeout_usec = 150 * USEC_PER_MSEC,
        .request_timeout_usec = 150 * USEC_PER_MSEC,
};

/* Sends a byte every few milliseconds until it is cut off. */
static void expect_cut(const char *start, char drip) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        const char byte[] = { drip, '\0' };
        usec_t next = 0;

        test_server_start(&t, &hasty);
        test_client_open(&t, &c);
        test_client_send(&c, start);
        for (unsigned turns = 0; !c.eof; turns++) {
                assert_true(turns < 1000);
                if (drip && clock_monotonic() >= next) {
                        (void) send(c.fd, byte, 1, MSG_NOSIGNAL);
                        next = clock_monotonic() + 20 * USEC_PER_MSEC;
                }
                test_turn(&t);
                test_client_poll(&c);
        }
        assert_int_equal(t.n_requests, 0);
        TEST_UNTIL(&t, connections(&t) == 0);
}

static void test_slow_loris_is_cut(void **state) {
        expect_cut("GET /hel", 'l');
        expect_cut("GET /hello HTTP/1.1\r\nHost: x\r\nX-Slow: ", 'a');
        expect_cut("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", 'a');
        expect_cut("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n00000", '0');
}

static void test_silent_connection_is_closed(void **state) {
        expect_cut("", '\0');
}

static void test_held_request_is_not_timed_out(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient held, idle;

        test_server_start(&t, &hasty);
        test_client_open(&t, &held);
        test_client_send(&held, GET("/hold"));
        TEST_UNTIL(&t, t.n_held == 1);
        test_client_open(&t, &idle);
        /* When a connection that began to wait later is cut, this one would have been. */
        test_client_wait_eof(&t, &idle);
        reply(t.held[0], "in time");
        _cleanup_free_ char *answer = test_client_answer(&t, &held);
        assert_string_equal(test_body(answer), "in time");
}

static void test_reader_that_takes_nothing_is_cut(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, &hasty);
        test_client_open(&t, &c);
        t.flood = SIZE_MAX / 2;
        test_client_send(&c, GET("/flood"));
        TEST_UNTIL(&t, t.n_streams_done == 1);
        TEST_UNTIL(&t, connections(&t) == 0);
}

/* ---- many ---- */

#define MANY 300

static void test_three_hundred_at_once_are_all_served(void **state) {
        _cleanup_server_ TestServer t;
        TestClient clients[MANY];

        test_server_start(&t, NULL);
        for (unsigned i = 0; i < MANY; i++)
                test_client_open(&t, &clients[i]);
        for (unsigned i = 0; i < MANY; i++)
                test_client_send(&clients[i], i % 2 ? GET("/hello") : GET("/hold"));
        TEST_UNTIL(&t, t.n_requests == MANY);
        assert_int_equal(connections(&t), MANY);
        for (unsigned i = 0; i < t.n_held; i++)
                reply(t.held[i], "all together");
        for (unsigned i = 0; i < MANY; i++) {
                _cleanup_free_ char *answer = test_client_answer(&t, &clients[i]);
                assert_string_equal(test_body(answer), i % 2 ? "hello" : "all together");
        }
        for (unsigned i = 0; i < MANY; i++)
                test_client_done(&clients[i]);
        TEST_UNTIL(&t, connections(&t) == 0);
}

static void test_full_server_says_503(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient a, b, c;
        HttpStats stats;

        test_server_start(&t, &(HttpConfig){ .connections_max = 2 });
        test_client_open(&t, &a);
        test_client_open(&t, &b);
        test_client_open(&t, &c);
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_non_null(strstr(answer, "HTTP/1.1 503 "));
        assert_non_null(strstr(answer, "too_many_connections"));
        test_client_wait_eof(&t, &c);
        free(test_ask(&t, &a, GET("/hello"), 200));
        http_server_stats(t.server, &stats);
        assert_int_equal(stats.refused, 1);

        b.fd = fd_close(b.fd);
        TEST_UNTIL(&t, connections(&t) == 1);
        test_client_done(&c);
        test_client_open(&t, &c);
        free(test_ask(&t, &c, GET("/hello"), 200));
}

static void expect_recovery_without_file_descriptors(void) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        struct rlimit before, none;
        unsigned events = 0;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, GET("/hello"));

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        int next = dup(c.fd);
        assert_true(next >= 0);
        (void) close(next);
        none = (struct rlimit){ .rlim_cur = (rlim_t) next, .rlim_max = before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        while (sd_event_run(t.event, 0) > 0)
                assert_true(++events < 10);
        int r = setrlimit(RLIMIT_NOFILE, &before);
        assert_int_equal(r, 0);
        assert_int_equal(t.n_requests, 0);

        free(test_client_answer(&t, &c));
}

static void test_server_without_file_descriptors_recovers(void **state) {
        const char *preload = getenv("LD_PRELOAD");

        /* Valgrind lets accept4() take the connection and then reports EMFILE. */
        if (preload && strstr(preload, "vgpreload")) {
                print_message("valgrind emulates the limit, skipped\n");
                skip();
        }
        expect_recovery_without_file_descriptors();
}

/* ---- draining ---- */

static void on_idle(void *userdata) {
        TestServer *t = userdata;

        t->is_idle = true;
}

static void test_drain_ends_idle_connections_and_waits_for_the_rest(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient idle, fresh, busy;

        test_server_start(&t, NULL);
        test_client_open(&t, &idle);
        test_client_open(&t, &fresh);
        test_client_open(&t, &busy);
        free(test_ask(&t, &idle, GET("/hello"), 200));
        test_client_send(&busy, GET("/hold"));
        TEST_UNTIL(&t, t.n_held == 1 && connections(&t) == 3);

        http_server_drain(t.server, on_idle, &t);
        test_client_wait_eof(&t, &idle);
        test_client_wait_eof(&t, &fresh);
        TEST_UNTIL(&t, connections(&t) == 1);
        assert_false(t.is_idle);

        reply(t.held[0], "last");
        _cleanup_free_ char *answer = test_client_answer(&t, &busy);
        assert_non_null(strstr(answer, "Connection: close\r\n"));
        test_client_wait_eof(&t, &busy);
        TEST_UNTIL(&t, t.is_idle);
}

static void test_drain_serves_what_has_already_arrived(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        free(test_ask(&t, &c, GET("/hello"), 200));
        test_client_send(&c, GET("/hello"));
        http_server_drain(t.server, on_idle, &t);
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_string_equal(test_body(answer), "hello");
        TEST_UNTIL(&t, t.is_idle);
}

static void test_drain_of_an_empty_server_is_idle_at_once(void **state) {
        _cleanup_server_ TestServer t;

        test_server_start(&t, NULL);
        http_server_drain(t.server, on_idle, &t);
        assert_true(t.is_idle);
}

static void free_when_idle(void *userdata) {
        TestServer *t = userdata;

        t->server = http_server_free(t->server);
}

static void test_server_may_be_freed_when_it_is_idle(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        free(test_ask(&t, &c, GET("/hello"), 200));
        http_server_drain(t.server, free_when_idle, &t);
        TEST_UNTIL(&t, !t.server);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answer_may_come_later_and_the_connection_is_kept),
                cmocka_unit_test(test_requests_behind_a_held_one_wait_for_it),
                cmocka_unit_test(test_hang_up_of_a_held_request_is_told_once),
                cmocka_unit_test(test_server_may_end_while_requests_are_held),
                cmocka_unit_test(test_stream_sends_what_it_has_when_it_is_woken),
                cmocka_unit_test(test_quiet_stream_is_not_asked_again_and_again),
                cmocka_unit_test(test_stream_that_fails_is_cut_short),
                cmocka_unit_test(test_reader_of_a_quiet_stream_that_leaves_is_noticed),
                cmocka_unit_test(test_head_of_a_stream_has_no_body),
                cmocka_unit_test(test_stream_reaches_an_http_1_0_client),
                cmocka_unit_test(test_slow_reader_holds_back_only_itself),
                cmocka_unit_test(test_big_answer_arrives_whole),
                cmocka_unit_test(test_slow_loris_is_cut),
                cmocka_unit_test(test_silent_connection_is_closed),
                cmocka_unit_test(test_held_request_is_not_timed_out),
                cmocka_unit_test(test_reader_that_takes_nothing_is_cut),
                cmocka_unit_test(test_three_hundred_at_once_are_all_served),
                cmocka_unit_test(test_full_server_says_503),
                cmocka_unit_test(test_server_without_file_descriptors_recovers),
                cmocka_unit_test(test_drain_ends_idle_connections_and_waits_for_the_rest),
                cmocka_unit_test(test_drain_serves_what_has_already_arrived),
                cmocka_unit_test(test_drain_of_an_empty_server_is_idle_at_once),
                cmocka_unit_test(test_server_may_be_freed_when_it_is_idle),
        };
        return cmocka_run_group_tests_name("http-wait", tests, NULL, NULL);
}
