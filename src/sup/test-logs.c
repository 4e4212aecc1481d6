/* SPDX-License-Identifier: MIT */

/* Logs are read from files written here byte by byte as the keeper writes them. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "base/test.h"
#include "keeper/protocol.h"
#include "sup/logs.h"

#define SESSION UINT64_C(7)

typedef struct Writer {
        uint64_t run, end[2];
        int fd[3];
} Writer;

static char folder[64];

static int set_up(void **state) {
        (void) snprintf(folder, sizeof(folder), "/tmp/test-logs-XXXXXX");
        return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
        return fs_remove_tree(AT_FDCWD, folder);
}

static void writer_open(Writer *w, uint64_t run) {
        static const char *const suffix[] = { "out", "err", "idx" };
        char path[160], session[ID_STRING_SIZE], id[ID_STRING_SIZE];

        *w = (Writer){ .run = run };
        (void) snprintf(path, sizeof(path), "%s/%s", folder, id_format(SESSION, session));
        assert_int_equal(fs_mkdir_p(path, 0700), 0);
        for (unsigned i = 0; i < 3; i++) {
                (void) snprintf(path, sizeof(path), "%s/%s/%s.%s", folder, session,
                                id_format(run, id), suffix[i]);
                w->fd[i] = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
                assert_true(w->fd[i] >= 0);
        }
}

static void writer_close(Writer *w) {
        for (unsigned i = 0; i < 3; i++)
                w->fd[i] = fd_close(w->fd[i]);
}

/* Bytes without a record: the keeper died in between. */
static void write_bytes(Writer *w, unsigned stream, const char *text, size_t n) {
        assert_int_equal(fd_write_all(w->fd[stream], text, n), 0);
        w->end[stream] += n;
}

static void write_record(Writer *w, unsigned stream, usec_t time, uint64_t flags) {
        KeeperIndexRecord r = { .time_usec = time,
                                .end = w->end[stream] | (stream ? KEEPER_INDEX_STREAM_ERR : 0) |
                                       flags };
        assert_int_equal(fd_write_all(w->fd[2], &r, sizeof(r)), 0);
}

static void say(Writer *w, unsigned stream, usec_t time, const char *text) {
        write_bytes(w, stream, text, strlen(text));
        write_record(w, stream, time, 0);
}

static void gap(Writer *w, usec_t time, uint64_t bytes) {
        KeeperIndexRecord r = { .time_usec = time, .end = bytes | KEEPER_INDEX_GAP };
        assert_int_equal(fd_write_all(w->fd[2], &r, sizeof(r)), 0);
}

static SupLog *open_log(const SupLogOptions *options) {
        SupLog *l;
        assert_int_equal(sup_log_open(&l, folder, SESSION, options), 0);
        return l;
}

/* All lines as "STREAM:text|". */
static char *read_all(SupLog *l) {
        _cleanup_buf_ Buf b = BUF_INIT(1U << 20);
        SupLogLine line;
        int r;

        while ((r = sup_log_next(l, &line)) > 0) {
                assert_int_equal(buf_printf(&b, "%u:", line.stream), 0);
                assert_int_equal(buf_append(&b, line.text, line.n), 0);
                assert_int_equal(buf_puts(&b, "|"), 0);
        }
        assert_int_equal(r, 0);
        char *text = buf_take(&b, NULL);
        return text ? text : strdup("");
}

static void expect_lines(const SupLogOptions *options, const char *expected) {
        _cleanup_(sup_log_freep) SupLog *l = open_log(options);
        _cleanup_free_ char *text = read_all(l);
        assert_string_equal(text, expected);
}

static const SupLogOptions all = { .lines = -1 };

static void test_a_session_without_logs_is_empty(void **state) {
        expect_lines(&all, "");
        expect_lines(&(SupLogOptions){ .lines = 10 }, "");
}

static void test_streams_are_merged_in_the_order_of_newlines(void **state) {
        Writer w;
        writer_open(&w, 1);
        say(&w, 0, 10, "out one\nout tw");
        say(&w, 1, 11, "err one\n");
        say(&w, 0, 12, "o\n");
        say(&w, 1, 13, "err two\nerr three\n");
        writer_close(&w);
        expect_lines(&all, "1:out one|2:err one|1:out two|2:err two|2:err three|");
        expect_lines(&(SupLogOptions){ .lines = -1, .streams = 2 },
                     "2:err one|2:err two|2:err three|");
}

static bool never(uint64_t run, void *userdata) {
        return false;
}

static void test_an_unfinished_line_comes_when_the_run_is_complete(void **state) {
        _cleanup_(sup_log_freep) SupLog *l = NULL;
        _cleanup_free_ char *before = NULL, *after = NULL;
        Writer w;

        writer_open(&w, 1);
        say(&w, 0, 10, "whole\nhalf");
        l = open_log(&all);
        sup_log_set_ended(l, never, NULL);
        before = read_all(l);
        assert_string_equal(before, "1:whole|");
        sup_log_set_ended(l, NULL, NULL);
        after = read_all(l);
        assert_string_equal(after, "1:half|");
        writer_close(&w);
}

static void test_bytes_without_a_record_come_last(void **state) {
        Writer w;
        writer_open(&w, 1);
        say(&w, 1, 10, "first\n");
        write_bytes(&w, 0, "spliced and never recorded\n", 27);
        write_record(&w, 1, 11, 0);
        writer_close(&w);
        expect_lines(&all, "2:first|1:spliced and never recorded|");
}

static void test_a_new_keeper_covers_bytes_without_a_record(void **state) {
        Writer w;
        writer_open(&w, 1);
        write_bytes(&w, 0, "lost record\n", 12);
        say(&w, 0, 11, "next\n");
        writer_close(&w);
        expect_lines(&all, "1:lost record|1:next|");
}

static void test_a_record_that_was_cut_off_is_ignored(void **state) {
        Writer w;
        writer_open(&w, 1);
        say(&w, 0, 10, "good\n");
        assert_int_equal(fd_write_all(w.fd[2], "1234567", 7), 0);
        writer_close(&w);
        expect_lines(&all, "1:good|");
        expect_lines(&(SupLogOptions){ .lines = 5 }, "1:good|");
}

static void test_a_record_beyond_the_file_is_cut_to_it(void **state) {
        Writer w;
        writer_open(&w, 1);
        say(&w, 0, 10, "good\nha");
        w.end[0] += 1000;
        write_record(&w, 0, 11, 0);
        writer_close(&w);
        expect_lines(&all, "1:good|1:ha|");
}

static void test_a_gap_is_shown_with_its_size(void **state) {
        Writer w;
        writer_open(&w, 1);
        say(&w, 0, 10, "before\n");
        gap(&w, 11, 12345);
        say(&w, 0, 12, "after\n");
        writer_close(&w);
        expect_lines(&all, "1:before|0:12345 bytes of stdout were lost|1:after|");
}

static void test_runs_follow_each_other(void **state) {
        Writer w;
        for (uint64_t run = 3; run > 0; run--) {
                char text[32];
                (void) snprintf(text, sizeof(text), "run %u", (unsigned) run);
                writer_open(&w, run);
                say(&w, 0, 10 * run, text);
                writer_close(&w);
        }
        expect_lines(&all, "1:run 1|1:run 2|1:run 3|");
        expect_lines(&(SupLogOptions){ .lines = -1, .run = 2 }, "1:run 2|");
        expect_lines(&(SupLogOptions){ .lines = 2 }, "1:run 2|1:run 3|");
}

static void test_the_last_lines_are_the_last_lines(void **state) {
        Writer w;
        char text[64];

        /* Far more than one window, in two streams, with windows that begin in the middle of lines. */
        writer_open(&w, 1);
        for (unsigned i = 0; i < 30000; i++) {
                (void) snprintf(text, sizeof(text), "line %u of many\n", i);
                unsigned stream = i % 3 == 0;
                size_t half = strlen(text) / 2;
                write_bytes(&w, stream, text, half);
                write_record(&w, stream, i, 0);
                write_bytes(&w, stream, text + half, strlen(text) - half);
                write_record(&w, stream, i, 0);
        }
        writer_close(&w);
        expect_lines(&(SupLogOptions){ .lines = 3 },
                     "2:line 29997 of many|1:line 29998 of many|1:line 29999 of many|");
        expect_lines(&(SupLogOptions){ .lines = 0 }, "");
        for (int64_t n = 1; n <= 30001; n += 4999) {
                _cleanup_(sup_log_freep) SupLog *l = open_log(&(SupLogOptions){ .lines = n });
                SupLogLine line;
                int64_t count = 0;
                while (sup_log_next(l, &line) > 0) {
                        (void) snprintf(text, sizeof(text), "line %u of many",
                                        (unsigned) (30000 - MIN(n, 30000) + count));
                        assert_true(line.n == strlen(text));
                        assert_memory_equal(line.text, text, line.n);
                        count++;
                }
                assert_int_equal(count, MIN(n, 30000));
        }
        expect_lines(&(SupLogOptions){ .lines = 2, .grep = "line 7" },
                     "2:line 7998 of many|1:line 7999 of many|");
}

static void test_since_and_until_bound_the_lines(void **state) {
        Writer w;
        writer_open(&w, 1);
        for (unsigned i = 1; i <= 9; i++)
                say(&w, i % 2, i * 100, (char[]){ (char) ('0' + i), '\n', '\0' });
        writer_close(&w);
        expect_lines(&(SupLogOptions){ .lines = -1, .since = 700 }, "2:7|1:8|2:9|");
        expect_lines(&(SupLogOptions){ .lines = -1, .since = 301, .until = 500 }, "1:4|2:5|");
        expect_lines(&(SupLogOptions){ .lines = 1, .until = 500 }, "2:5|");
}

static void test_long_lines_come_in_pieces(void **state) {
        _cleanup_free_ char *text = malloc(3 * SUP_LOG_LINE_MAX);
        SupLogLine line;
        Writer w;

        memset(text, 'x', 3 * SUP_LOG_LINE_MAX);
        writer_open(&w, 1);
        write_bytes(&w, 0, text, 2 * SUP_LOG_LINE_MAX + 5);
        write_bytes(&w, 0, "\nshort\n", 7);
        write_record(&w, 0, 1, 0);
        writer_close(&w);

        _cleanup_(sup_log_freep) SupLog *l = open_log(&all);
        static const size_t sizes[] = { SUP_LOG_LINE_MAX, SUP_LOG_LINE_MAX, 5, 5 };
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                assert_int_equal(sup_log_next(l, &line), 1);
                assert_int_equal(line.n, sizes[i]);
                assert_int_equal(line.cut, i < 2);
        }
        assert_memory_equal(line.text, "short", 5);
        assert_int_equal(sup_log_next(l, &line), 0);
}

/* Reads line by line with a new reader each time, from the cursor of the one before. */
static void test_a_cursor_goes_on_without_loss_or_repetition(void **state) {
        _cleanup_buf_ Buf cursor = BUF_INIT(256), seen = BUF_INIT(4096);
        SupLogLine line;
        Writer w;

        writer_open(&w, 1);
        say(&w, 0, 10, "a\nb\nc");
        say(&w, 1, 11, "d\ne");
        gap(&w, 12, 5);
        say(&w, 0, 13, "c\nf\n");
        say(&w, 1, 14, "e\n");
        writer_close(&w);
        writer_open(&w, 2);
        say(&w, 0, 20, "g\nend");
        writer_close(&w);
        for (;;) {
                SupLogOptions o = { .lines = -1, .cursor = cursor.len ? cursor.data : NULL };
                _cleanup_(sup_log_freep) SupLog *l = open_log(&o);
                if (sup_log_next(l, &line) == 0)
                        break;
                assert_int_equal(buf_append(&seen, line.text, line.n), 0);
                assert_int_equal(buf_puts(&seen, "|"), 0);
                buf_clear(&cursor);
                assert_int_equal(sup_log_cursor(l, &cursor), 0);
        }
        assert_string_equal(seen.data, "a|b|d|5 bytes of stdout were lost|cc|f|ee|g|end|");
}

static void test_wrong_cursors_are_refused(void **state) {
        static const char *const wrong[] = {
                "",
                "1:2:3:4",
                "000000000000000g:0:0:0",
                "0000000000000001:0:0",
                "hello",
                "0000000000000001:0:0:0:0",
                "0000000000000001:-1:0:0",
                "0000000000000000:0:0:0",
        };
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                SupLog *l = NULL;
                SupLogOptions o = { .lines = -1, .cursor = wrong[i] };
                assert_int_equal(sup_log_open(&l, folder, SESSION, &o), -EINVAL);
                assert_null(l);
        }
}

static void on_wake(void *userdata) {
        (*(unsigned *) userdata)++;
}

static void test_following_wakes_for_new_lines_and_new_runs(void **state) {
        _cleanup_(sup_log_freep) SupLog *l = open_log(&(SupLogOptions){ .lines = 0 });
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_free_ char *first = NULL, *second = NULL;
        unsigned wakes = 0;
        Writer w;

        assert_int_equal(sd_event_new(&event), 0);
        assert_int_equal(sup_log_follow(l, event, on_wake, &wakes), 0);
        SupLogLine line;
        assert_int_equal(sup_log_next(l, &line), 0);
        writer_open(&w, 1);
        say(&w, 0, 10, "hello\n");
        while (wakes == 0)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
        first = read_all(l);
        assert_string_equal(first, "1:hello|");
        writer_close(&w);
        while (sd_event_run(event, 0) > 0)
                ;
        wakes = 0;
        writer_open(&w, 2);
        say(&w, 1, 10, "again\n");
        while (wakes == 0)
                assert_true(sd_event_run(event, UINT64_MAX) >= 0);
        second = read_all(l);
        assert_string_equal(second, "2:again|");
        writer_close(&w);
}

static void expect_sanitized(const char *text, size_t n, bool colour, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(4096);
        assert_int_equal(sup_log_sanitize(text, n, colour, &b), 0);
        assert_string_equal(b.data ? b.data : "", expected);
}
#define EXPECT_SANITIZED(text, colour, expected) \
        expect_sanitized((text), sizeof(text) - 1, (colour), (expected))

static void test_terminals_get_nothing_that_they_act_upon(void **state) {
        EXPECT_SANITIZED("", false, "");
        EXPECT_SANITIZED("plain\ttext é 漢 🎉", false, "plain\ttext é 漢 🎉");
        EXPECT_SANITIZED("\x1b]0;title\x07", true, "\\x1b]0;title\\x07");
        EXPECT_SANITIZED("\x1b[31mred", true, "\x1b[31mred\x1b[0m");
        EXPECT_SANITIZED("\x1b[31mred", false, "\\x1b[31mred");
        EXPECT_SANITIZED("\x1b[2J", true, "\\x1b[2J");
        EXPECT_SANITIZED("\x1b[3", true, "\\x1b[3");
        EXPECT_SANITIZED("a\rb\bc\x7f", true, "a\\x0db\\x08c\\x7f");
        EXPECT_SANITIZED("\xc2\x9b"
                         "2J",
                         true, "\\xc2\\x9b2J");
        EXPECT_SANITIZED("\xff\xc3", false, "\\xff\\xc3");
        EXPECT_SANITIZED("nul\0nul", false, "nul\\x00nul");
}

static void test_deleting_removes_the_files_of_one_session(void **state) {
        struct stat st;
        Writer w;
        writer_open(&w, 1);
        writer_close(&w);
        assert_int_equal(sup_log_delete(folder, SESSION), 0);
        assert_int_equal(sup_log_delete(folder, SESSION), 0);
        assert_int_equal(stat(folder, &st), 0);
        expect_lines(&all, "");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_session_without_logs_is_empty),
                TEST(test_streams_are_merged_in_the_order_of_newlines),
                TEST(test_an_unfinished_line_comes_when_the_run_is_complete),
                TEST(test_bytes_without_a_record_come_last),
                TEST(test_a_new_keeper_covers_bytes_without_a_record),
                TEST(test_a_record_that_was_cut_off_is_ignored),
                TEST(test_a_record_beyond_the_file_is_cut_to_it),
                TEST(test_a_gap_is_shown_with_its_size),
                TEST(test_runs_follow_each_other),
                TEST(test_the_last_lines_are_the_last_lines),
                TEST(test_since_and_until_bound_the_lines),
                TEST(test_long_lines_come_in_pieces),
                TEST(test_a_cursor_goes_on_without_loss_or_repetition),
                TEST(test_wrong_cursors_are_refused),
                TEST(test_following_wakes_for_new_lines_and_new_runs),
                TEST(test_terminals_get_nothing_that_they_act_upon),
                TEST(test_deleting_removes_the_files_of_one_session),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
