/* SPDX-License-Identifier: MIT */

/* Server-sent events in pieces of any size. */

#include "base/test.h"
#include "cli/sse.h"

static int note(const SseEvent *e, void *userdata) {
        Buf *b = userdata;

        return buf_printf(b, "[%s|%s|%.*s]", e->id, e->event, (int) e->n, e->data);
}

static char *read_in_pieces(const char *text, size_t piece) {
        Buf b = BUF_INIT(1 << 16);
        Sse s;

        sse_init(&s);
        for (size_t at = 0, n = strlen(text); at < n; at += piece)
                assert_int_equal(sse_feed(&s, text + at, MIN(piece, n - at), note, &b), 0);
        sse_done(&s);
        return buf_take(&b, NULL);
}

static void assert_read(const char *text, const char *expected) {
        for (size_t piece = 1; piece <= strlen(text); piece++) {
                _cleanup_free_ char *got = read_in_pieces(text, piece);
                assert_string_equal(got, expected);
        }
}

static void test_events_are_the_same_in_any_pieces(void **state) {
        assert_read("retry: 1000\n\nid: 1\nevent: a\ndata: x\n\nid: 2\ndata: y\n\n",
                    "[1|a|x][2|message|y]");
}

static void test_all_line_ends_are_understood(void **state) {
        assert_read("data: a\r\n\r\ndata: b\r\rdata: c\n\n", "[|message|a][|message|b][|message|c]");
}

static void test_data_of_several_lines_is_joined(void **state) {
        assert_read("data: a\ndata:b\ndata\ndata: \n\n", "[|message|a\nb\n\n]");
}

static void test_comments_and_unknown_fields_say_nothing(void **state) {
        assert_read(":\n\n: hi\nfoo: bar\n\ndata: x\n\n", "[|message|x]");
}

static void test_an_incomplete_event_is_not_given_out(void **state) {
        assert_read("id: 1\ndata: x\n\nid: 2\ndata: half", "[1|message|x]");
}

static void test_what_a_broken_connection_left_is_forgotten_but_not_the_id(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1024);
        const char *first = "id: 1\ndata: x\n\nevent: odd\ndata: ha", *second = "data: y\n\n";
        Sse s;

        sse_init(&s);
        assert_int_equal(sse_feed(&s, first, strlen(first), note, &b), 0);
        sse_reset(&s);
        assert_int_equal(sse_feed(&s, second, strlen(second), note, &b), 0);
        assert_string_equal(b.data, "[1|message|x][1|message|y]");
        sse_done(&s);
}

static void test_the_id_of_an_event_that_did_not_arrive_whole_does_not_count(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(1024);
        const char *text = "id: 1\ndata: x\n\nid: 2\nda";
        Sse s;

        sse_init(&s);
        assert_int_equal(sse_feed(&s, text, strlen(text), note, &b), 0);
        sse_reset(&s);
        assert_string_equal(s.id, "1");
        sse_done(&s);
}

static int stop(const SseEvent *e, void *userdata) {
        return 7;
}

static void test_a_reader_can_end_it(void **state) {
        Sse s;

        sse_init(&s);
        assert_int_equal(sse_feed(&s, "data: x\n\ndata: y\n\n", 18, stop, NULL), 7);
        sse_done(&s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events_are_the_same_in_any_pieces),
                cmocka_unit_test(test_all_line_ends_are_understood),
                cmocka_unit_test(test_data_of_several_lines_is_joined),
                cmocka_unit_test(test_comments_and_unknown_fields_say_nothing),
                cmocka_unit_test(test_an_incomplete_event_is_not_given_out),
                cmocka_unit_test(test_what_a_broken_connection_left_is_forgotten_but_not_the_id),
                cmocka_unit_test(test_the_id_of_an_event_that_did_not_arrive_whole_does_not_count),
                cmocka_unit_test(test_a_reader_can_end_it),
        };

        return cmocka_run_group_tests_name("cli-sse", tests, NULL, NULL);
}
