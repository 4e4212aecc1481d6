/* SPDX-License-Identifier: MIT */

/* One request after another on real sockets: what is served, what is refused, and how. */

#include "net/test-http.h"

#include <stdio.h>
#include <sys/socket.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void test_connection_is_kept_for_the_next_request(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        HttpStats stats;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        for (unsigned i = 0; i < 3; i++) {
                _cleanup_free_ char *answer = test_ask(&t, &c, GET("/hello"), 200);
                assert_string_equal(test_body(answer), "hello");
                assert_null(strstr(answer, "Connection: close"));
        }
        http_server_stats(t.server, &stats);
        assert_int_equal(stats.connections, 1);
        assert_int_equal(stats.requests, 3);
        assert_int_equal(stats.requests_now, 0);
}

static void test_pipelined_requests_are_answered_in_order(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, GET("/things/1/parts/a") GET("/things/2/parts/b") GET("/hello"));
        _cleanup_free_ char *first = test_client_answer(&t, &c);
        _cleanup_free_ char *second = test_client_answer(&t, &c);
        _cleanup_free_ char *third = test_client_answer(&t, &c);
        assert_string_equal(test_body(first), "/things/1/parts/a|1|a|(none)");
        assert_string_equal(test_body(second), "/things/2/parts/b|2|b|(none)");
        assert_string_equal(test_body(third), "hello");
}

static void test_request_may_come_byte_by_byte(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        const char request[] = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd";

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        for (const char *p = request; *p; p++) {
                test_client_send(&c, (char[]){ *p, '\0' });
                test_turn(&t);
        }
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_string_equal(test_body(answer), "abcd");
}

static void test_head_is_get_without_its_body(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n");
        _cleanup_free_ char *head = test_client_head(&t, &c);
        assert_non_null(strstr(head, "Content-Length: 5\r\n"));
        _cleanup_free_ char *next = test_ask(&t, &c, GET("/hello"), 200);
        assert_string_equal(test_body(next), "hello");
}

static void test_unknown_path_is_404_and_wrong_method_405_with_allow(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *unknown = test_ask(&t, &c, GET("/nothing"), 404);
        assert_non_null(strstr(unknown, "Content-Type: application/json\r\n"));
        assert_string_equal(test_body(unknown), "{\"detail\":\"Not Found\",\"code\":\"not_found\"}");
        free(test_ask(&t, &c, GET("/hello/"), 404));

        _cleanup_free_ char *wrong = test_ask(
                &t, &c, "POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 405);
        assert_non_null(strstr(wrong, "Allow: GET, HEAD, DELETE\r\n"));
        free(test_ask(&t, &c, "BREW /hello HTTP/1.1\r\nHost: x\r\n\r\n", 405));
        /* All on one connection: a refusal does not cost it. */
        free(test_ask(&t, &c, "DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n", 204));
        assert_int_equal(t.n_requests, 1);
}

static void error_with_prefix(
        Buf *out, unsigned status, const char *code, const char *sentence, void *userdata) {
        (void) buf_printf(out, "{\"mine\":\"%u %s\"}", status, code);
}

static void test_errors_have_the_shape_that_was_configured(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, &(HttpConfig){ .error_body = error_with_prefix });
        test_client_open(&t, &c);
        _cleanup_free_ char *answer = test_ask(&t, &c, GET("/nothing"), 404);
        assert_string_equal(test_body(answer), "{\"mine\":\"404 not_found\"}");
}

static void test_a_requests_id_comes_back_whoever_answers(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *served =
                test_ask(&t, &c, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: a 1\r\n\r\n", 200);
        assert_non_null(strstr(served, "X-Request-Id: a 1\r\n"));
        _cleanup_free_ char *refused =
                test_ask(&t, &c, "GET /nothing HTTP/1.1\r\nHost: x\r\nx-request-id: a2\r\n\r\n", 404);
        assert_non_null(strstr(refused, "X-Request-Id: a2\r\n"));
        _cleanup_free_ char *no_text =
                test_ask(&t, &c, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: \377\r\n\r\n", 200);
        assert_null(strstr(no_text, "X-Request-Id"));
        _cleanup_free_ char *none = test_ask(&t, &c, GET("/hello"), 200);
        assert_null(strstr(none, "X-Request-Id"));
}

static void test_escaped_slash_stays_inside_its_value(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *answer =
                test_ask(&t, &c, GET("/things/a%2Fb/parts/%C3%A9%20+%zz?x=1&q=c%2Fd+%26%3D"), 200);
        assert_string_equal(test_body(answer),
                            "/things/a/b/parts/\303\251 +%zz|a/b|\303\251 +%zz|c/d &=");
        free(test_ask(&t, &c, GET("/things/a%2Fparts/b"), 404));
}

static void test_query_values_can_be_empty_or_absent(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *bare = test_ask(&t, &c, GET("/things/1/parts/2?q"), 200);
        assert_string_equal(test_body(bare), "/things/1/parts/2|1|2|");
        _cleanup_free_ char *empty = test_ask(&t, &c, GET("/things/1/parts/2?a=b&q="), 200);
        assert_string_equal(test_body(empty), "/things/1/parts/2|1|2|");
        _cleanup_free_ char *escaped_key = test_ask(&t, &c, GET("/things/1/parts/2?%71=7"), 200);
        assert_string_equal(test_body(escaped_key), "/things/1/parts/2|1|2|7");
}

static void test_url_that_is_not_text_is_422(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        free(test_ask(&t, &c, GET("/things/a%00b/parts/x"), 422));
        free(test_ask(&t, &c, GET("/things/%ff/parts/x"), 422));
        free(test_ask(&t, &c, GET("/things/1/parts/x?q=a%00b"), 422));
        free(test_ask(&t, &c, GET("/things/1/parts/x?%C3=1"), 422));
        assert_int_equal(t.n_requests, 0);
}

static void test_absolute_form_is_served(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        free(test_ask(&t, &c, GET("http://localhost:1/hello"), 200));
}

static void test_chunked_body_arrives_whole(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *answer = test_ask(&t, &c,
                                               "POST /echo HTTP/1.1\r\nHost: x\r\nX-Mark: m\r\n"
                                               "Transfer-Encoding: chunked\r\n\r\n"
                                               "3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\n\r\n",
                                               200);
        assert_string_equal(test_body(answer), "abcdefgh");
        assert_non_null(strstr(answer, "X-Seen: m\r\n"));
        free(test_ask(&t, &c, GET("/hello"), 200));
}

static void test_expect_100_continue_is_asked_for_the_body(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(
                &c,
                "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        _cleanup_free_ char *go_on = test_client_head(&t, &c);
        assert_string_equal(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
        _cleanup_free_ char *answer = test_ask(&t, &c, "abc", 200);
        assert_string_equal(test_body(answer), "abc");
}

static void test_too_large_body_is_413_before_it_is_read(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c, d;

        test_server_start(&t, &(HttpConfig){ .body_max = 1000 });
        test_client_open(&t, &c);
        _cleanup_free_ char *answer = test_ask(
                &t, &c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413);
        assert_non_null(strstr(answer, "Connection: close\r\n"));
        assert_non_null(strstr(answer, "body_too_large"));
        test_client_wait_eof(&t, &c);

        /* Nobody is told to continue. */
        test_client_open(&t, &d);
        free(test_ask(
                &t, &d,
                "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n",
                413));
        assert_int_equal(t.n_requests, 0);
}

static void test_client_that_is_still_sending_gets_the_413(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        size_t n = 8 * 1024 * 1024;
        _cleanup_free_ char *body = calloc(1, n);

        test_server_start(&t, &(HttpConfig){ .body_max = 1000 });
        test_client_open(&t, &c);
        test_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
        assert_int_equal(test_client_send_all(&t, &c, body, n), n);
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_non_null(strstr(answer, "HTTP/1.1 413 "));
}

static void test_small_refused_body_keeps_the_connection(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, &(HttpConfig){ .body_max = 4 });
        test_client_open(&t, &c);
        free(test_ask(&t, &c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345",
                      413));
        free(test_ask(&t, &c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n1234", 200));
}

static void test_chunked_body_is_counted(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, &(HttpConfig){ .body_max = 6 });
        test_client_open(&t, &c);
        _cleanup_free_ char *answer =
                test_ask(&t, &c,
                         "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "4\r\nabcd\r\n4\r\nefgh\r\n0\r\n\r\n",
                         413);
        assert_non_null(strstr(answer, "body_too_large"));
        assert_int_equal(t.n_requests, 0);
        free(test_ask(&t, &c, GET("/hello"), 200));
}

static void test_bodies_share_one_budget(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient holder, c;

        test_server_start(&t, &(HttpConfig){ .body_max = 1000, .body_memory_max = 1500 });
        _cleanup_free_ char *body = malloc(1001);
        memset(body, 'b', 1000);
        body[1000] = '\0';

        test_client_open(&t, &holder);
        test_client_send(&holder, "POST /hold HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        test_client_send(&holder, body);
        TEST_UNTIL(&t, t.n_held == 1);

        test_client_open(&t, &c);
        test_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        _cleanup_free_ char *busy = test_ask(&t, &c, body, 503);
        assert_non_null(strstr(busy, "\"busy\""));

        http_reply_static(t.held[0], 200, NULL, "", 0);
        free(test_client_answer(&t, &holder));
        test_client_send(&c, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n");
        free(test_ask(&t, &c, body, 200));
}

static void test_ambiguous_framing_is_refused(void **state) {
        static const char *const heads[] = {
                "Content-Length: 3\r\nContent-Length: 4\r\n",
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                "Transfer-Encoding: gzip, chunked\r\n",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                "Host: evil.example\r\n",
        };

        ARRAY_FOREACH(head, heads) {
                _cleanup_server_ TestServer t;
                _cleanup_client_ TestClient c;
                char request[256];

                test_server_start(&t, NULL);
                test_client_open(&t, &c);
                (void) snprintf(request, sizeof(request),
                                "POST /echo HTTP/1.1\r\nHost: x\r\n%s\r\n", *head);
                free(test_ask(&t, &c, request, 400));
                assert_int_equal(t.n_requests, 0);
        }
}

static void test_too_large_head_is_431(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        _cleanup_buf_ Buf request = BUF_INIT(1024 * 1024);

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        assert_int_equal(buf_puts(&request, "GET /hello HTTP/1.1\r\nHost: x\r\nX-Long: "), 0);
        for (unsigned i = 0; i < 40000; i++)
                assert_int_equal(buf_putc(&request, 'a'), 0);
        assert_int_equal(buf_puts(&request, "\r\n\r\n"), 0);
        (void) test_client_send_all(&t, &c, request.data, request.len);
        _cleanup_free_ char *answer = test_client_head(&t, &c);
        assert_non_null(strstr(answer, "HTTP/1.1 431 "));
        test_client_wait_eof(&t, &c);
}

static void test_too_many_headers_are_431(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;
        _cleanup_buf_ Buf request = BUF_INIT(1024 * 1024);

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        assert_int_equal(buf_puts(&request, "GET /hello HTTP/1.1\r\nHost: x\r\n"), 0);
        for (unsigned i = 0; i < 101; i++)
                assert_int_equal(buf_puts(&request, "a: b\r\n"), 0);
        assert_int_equal(buf_puts(&request, "\r\n"), 0);
        free(test_ask(&t, &c, request.data, 431));
}

static void test_unix_socket_serves_too(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open_unix(&t, &c);
        free(test_ask(&t, &c, GET("/hello"), 200));
        free(test_ask(&t, &c, GET("/hello"), 200));
        assert_int_equal(t.peer.kind, PEER_UNIX);
}

static void test_http_1_0_client_gets_its_answer_and_the_end(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *answer = test_ask(&t, &c, "GET /hello HTTP/1.0\r\n\r\n", 200);
        assert_string_equal(test_body(answer), "hello");
        test_client_wait_eof(&t, &c);
}

static void test_client_that_has_said_all_gets_its_answer(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        test_client_send(&c, GET("/hello"));
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        _cleanup_free_ char *answer = test_client_answer(&t, &c);
        assert_string_equal(test_body(answer), "hello");
}

static void test_reply_header_cannot_smuggle_a_line(void **state) {
        _cleanup_server_ TestServer t;
        _cleanup_client_ TestClient c;

        test_server_start(&t, NULL);
        test_client_open(&t, &c);
        _cleanup_free_ char *answer = test_ask(&t, &c, GET("/smuggle"), 200);
        assert_null(strstr(answer, "Set-Cookie"));
        assert_non_null(strstr(answer, "X-Good: 1\r\n"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connection_is_kept_for_the_next_request),
                cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
                cmocka_unit_test(test_request_may_come_byte_by_byte),
                cmocka_unit_test(test_head_is_get_without_its_body),
                cmocka_unit_test(test_unknown_path_is_404_and_wrong_method_405_with_allow),
                cmocka_unit_test(test_errors_have_the_shape_that_was_configured),
                cmocka_unit_test(test_a_requests_id_comes_back_whoever_answers),
                cmocka_unit_test(test_escaped_slash_stays_inside_its_value),
                cmocka_unit_test(test_query_values_can_be_empty_or_absent),
                cmocka_unit_test(test_url_that_is_not_text_is_422),
                cmocka_unit_test(test_absolute_form_is_served),
                cmocka_unit_test(test_chunked_body_arrives_whole),
                cmocka_unit_test(test_expect_100_continue_is_asked_for_the_body),
                cmocka_unit_test(test_too_large_body_is_413_before_it_is_read),
                cmocka_unit_test(test_client_that_is_still_sending_gets_the_413),
                cmocka_unit_test(test_small_refused_body_keeps_the_connection),
                cmocka_unit_test(test_chunked_body_is_counted),
                cmocka_unit_test(test_bodies_share_one_budget),
                cmocka_unit_test(test_ambiguous_framing_is_refused),
                cmocka_unit_test(test_too_large_head_is_431),
                cmocka_unit_test(test_too_many_headers_are_431),
                cmocka_unit_test(test_unix_socket_serves_too),
                cmocka_unit_test(test_client_that_has_said_all_gets_its_answer),
                cmocka_unit_test(test_reply_header_cannot_smuggle_a_line),
                cmocka_unit_test(test_http_1_0_client_gets_its_answer_and_the_end),
        };
        return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
