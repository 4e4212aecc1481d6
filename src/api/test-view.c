/* SPDX-License-Identifier: MIT */

/* What is written is what the tables say: every required member, no other, of the right kind; and a
 * session's state is the same whether it is made in one piece or in many. On a real store. */

#include "api/api-internal.h"
#include "base/test.h"
#include "store/schema-state.h"

/* ---- replies against their tables ---- */

static bool fits(const FieldDef *f, JsonSpan v) {
        if (json_is(v, JSON_KIND_NULL))
                return f->flags & FIELD_NULLABLE || f->type == FIELD_JSON;
        switch (f->type) {
        case FIELD_STRING:
        case FIELD_JSON_STRING:
        case FIELD_ID:
        case FIELD_TIME:
                return json_is(v, JSON_KIND_STRING);
        case FIELD_JSON:
                return true;
        case FIELD_CONTENT:
                return json_is(v, JSON_KIND_STRING) || json_is(v, JSON_KIND_ARRAY);
        case FIELD_OBJECT:
        case FIELD_STRING_MAP:
        case FIELD_REF:
                return json_is(v, JSON_KIND_OBJECT);
        case FIELD_STRINGS:
        case FIELD_ARRAY:
        case FIELD_REFS:
                return json_is(v, JSON_KIND_ARRAY);
        case FIELD_INT:
        case FIELD_REAL:
                return json_is(v, JSON_KIND_NUMBER);
        case FIELD_BOOL:
                return json_is(v, JSON_KIND_BOOL);
        }
        return false;
}

static void check_members(const FieldTable *t, JsonSpan object) {
        size_t known = 0;

        for (size_t i = 0; i < t->n_fields; i++) {
                JsonSpan v = json_get(object, t->fields[i].name);

                if (v.p && !fits(&t->fields[i], v))
                        fail_msg("%s.%s is %.*s", t->name, t->fields[i].name, (int) v.n, v.p);
                if (!v.p && t->fields[i].flags & FIELD_REQUIRED)
                        fail_msg("%s.%s is missing", t->name, t->fields[i].name);
                known += v.p != NULL;
        }
        assert_int_equal(json_count(object), known);
}

static void check_reply(const FieldTable *t, const Buf *text) {
        JsonSpan object;

        assert_int_equal(buf_error(text), 0);
        assert_int_equal(json_check(text->data, text->len, JSON_DEPTH_MAX, &object, NULL), 0);
        check_members(t, object);
}

static void test_views_fit_their_tables(void **state) {
        static const uint8_t tree[20] = { 0xab, 1 };
        const CheckpointInfo checkpoints[] = {
                { .id = 1, .session = 2, .branch = 3, .created_at = 4 },
                { .id = 1,
                  .session = 2,
                  .branch = 3,
                  .created_at = 4,
                  .node = 5,
                  .run = 6,
                  .label = "\"l\"",
                  .tree = tree },
        };
        const BranchInfo branches[] = { { .id = 1, .name = "main", .created_at = 2 },
                                        { .id = 1,
                                          .name = "b",
                                          .created_at = 2,
                                          .head = 3,
                                          .origin_branch = 4,
                                          .origin_checkpoint = 5,
                                          .origin_node = 6,
                                          .is_current = true } };
        const RunInfo runs[] = {
                { .id = 1, .session = 2, .number = 1, .state = RUN_INTENT, .created_at = 1, .result = -1 },
                { .id = 1,
                  .session = 2,
                  .number = 1,
                  .state = RUN_ENDED,
                  .created_at = 1,
                  .started_at = 2,
                  .ended_at = 3,
                  .pid = 4,
                  .result = SUP_RESULT_SIGNAL,
                  .exit_code = -1,
                  .exit_signal = 9,
                  .reason = "x" },
        };
        const NodeInfo nodes[] = {
                { .id = 1, .time = 2, .role = "user", .content = JSON_LITERAL("\"hi\"") },
                { .id = 1,
                  .time = 2,
                  .role = "tool",
                  .content = JSON_NULL,
                  .parent = 3,
                  .run = 4,
                  .calls = JSON_LITERAL("[{\"name\":\"t\"}]") },
        };
        const MemoryEntry entry = {
                .key = "k", .value = JSON_NULL, .created_at = 1, .updated_at = 2, .version = 1
        };

        for (size_t i = 0; i < 2; i++) {
                _cleanup_buf_ Buf b = BUF_INIT(65536);

                view_checkpoint(&JSON_WRITER(&b), &checkpoints[i]);
                check_reply(&output_checkpoint, &b);
                buf_clear(&b);
                view_branch(&JSON_WRITER(&b), &branches[i]);
                check_reply(&output_branch, &b);
                buf_clear(&b);
                static const SupUsage usage = { 3, 4096, UINT64_MAX };
                view_run(&JSON_WRITER(&b), &runs[i], i % 2 ? &usage : NULL, NULL);
                check_reply(&output_run, &b);
                buf_clear(&b);
                view_message(&JSON_WRITER(&b), &nodes[i]);
                check_reply(&output_message, &b);
                buf_clear(&b);
                view_memory_entry(&JSON_WRITER(&b), &entry);
                check_reply(&output_memory_entry, &b);
        }
}

static void test_errors_fit_their_table(void **state) {
        _cleanup_buf_ Buf b = BUF_INIT(65536);

        for (unsigned i = 0; i < _ERROR_MAX; i++) {
                buf_clear(&b);
                api_error_body(&b, error_table[i].http, error_table[i].code, "a \"sentence\"", NULL);
                check_reply(&output_error, &b);
        }
        buf_clear(&b);
        api_error_body(&b, 418, "unknown_word", "tea", NULL);
        check_reply(&output_error, &b);
}

/* ---- a session's state in pieces ---- */

typedef struct Fixture {
        char *folder;
        sd_event *event;
        Store *store;
        SessionManager *sessions;
        bool is_done;
        int result;
        uint64_t id;
} Fixture;

static int setup(void **state) {
        static const SessionAgentOps ops = {};
        Fixture *f = calloc(1, sizeof(*f));

        f->folder = test_folder();
        _cleanup_free_ char *db = path_join(f->folder, "state.db");
        SessionConfig config = { .data_dir = f->folder };
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(store_open(&f->store, f->event, db, &state_schema, NULL, NULL), 0);
        assert_int_equal(session_manager_new(&f->sessions, f->event, f->store, &config, &ops, NULL),
                         0);
        assert_int_equal(session_manager_load(f->sessions, NULL, NULL), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        session_manager_free(f->sessions);
        store_free(f->store);
        sd_event_unref(f->event);
        test_folder_done(&f->folder);
        free(f);
        return 0;
}

static void on_done(int r, Session *s, uint64_t id, void *userdata) {
        Fixture *f = userdata;

        f->is_done = true;
        f->result = r;
        f->id = id;
}

static void wait_done(Fixture *f, int r) {
        assert_int_equal(r, 0);
        while (!f->is_done)
                assert_true(sd_event_run(f->event, UINT64_MAX) >= 0);
        f->is_done = false;
        assert_int_equal(f->result, 0);
}

static Session *make_session(Fixture *f) {
        SessionCreate c = { .namespace_id = 1,
                            .name = "n",
                            .model = "m",
                            .variables = JSON_LITERAL("{\"v\":1.0}") };

        wait_done(f, session_create(f->sessions, &c, on_done, f));
        Session *s = session_next(f->sessions, 0);
        assert_non_null(s);
        return s;
}

/* "N xxx…", and a tool call "tN" with as long a result. */
static void append(Fixture *f, Session *s, unsigned n, size_t size, bool with_call) {
        _cleanup_buf_ Buf text = BUF_INIT(API_REPLY_MAX), calls = BUF_INIT(API_REPLY_MAX);

        (void) buf_printf(&text, "\"%04u", n);
        (void) buf_printf(&calls, "[{\"name\":\"%04u\",\"result\":\"", n);
        for (size_t i = 0; i < size; i++) {
                (void) buf_putc(&text, 'x');
                (void) buf_putc(&calls, 'y');
        }
        (void) buf_putc(&text, '"');
        (void) buf_puts(&calls, "\"}]");
        JsonSpan content = { text.data, text.len }, with = { calls.data, calls.len };
        wait_done(f, session_append(s, 0, "user", content, with_call ? with : (JsonSpan){}, on_done,
                                    f));
}

static unsigned number_of(JsonSpan string) {
        char digits[5] = "";
        uint64_t n = 0;

        assert_true(string.n >= 6);
        memcpy(digits, string.p + 1, 4);
        assert_int_equal(str_to_u64(digits, &n), 0);
        return (unsigned) n;
}

/* The whole text; *ret_pieces: in how many pieces it came. */
static void write_state(Fixture *f, Session *s, size_t messages, Buf *out, unsigned *ret_pieces) {
        _cleanup_(session_view_freep) SessionView *v = NULL;
        _cleanup_buf_ Buf piece = BUF_INIT(API_REPLY_MAX);
        unsigned n = 0;
        int r;

        assert_int_equal(session_view_new(&v, f->sessions, session_info(s), messages), 0);
        do {
                buf_clear(&piece);
                r = session_view_next(v, &piece);
                assert_true(r >= 0);
                assert_true(piece.len < 2 * API_PIECE + (1U << 20));
                assert_int_equal(buf_append(out, piece.data, piece.len), 0);
                n++;
        } while (r == API_PULL_MORE);
        *ret_pieces = n;
}

static void check_state(
        Fixture *f, Session *s, size_t messages, unsigned first, unsigned last, unsigned pieces_min) {
        _cleanup_buf_ Buf text = BUF_INIT(API_REPLY_MAX);
        unsigned pieces, n = first;
        JsonSpan object, item;

        write_state(f, s, messages, &text, &pieces);
        check_reply(&output_session, &text);
        assert_true(pieces >= pieces_min);
        assert_int_equal(json_check(text.data, text.len, JSON_DEPTH_MAX, &object, NULL), 0);
        JsonIter it = json_iter(json_get(object, "messages"));
        for (; json_next(&it, NULL, &item); n++) {
                check_members(&output_message, item);
                assert_int_equal(number_of(json_get(item, "content")), n);
        }
        assert_int_equal(n, last + 1);
        it = json_iter(json_get(object, "tool_history"));
        for (n = first; json_next(&it, NULL, &item); n++)
                assert_int_equal(number_of(json_get(item, "name")), n);
        assert_int_equal(n, last + 1);
}

static void test_a_small_state_is_one_piece(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f);
        _cleanup_buf_ Buf text = BUF_INIT(API_REPLY_MAX);
        unsigned pieces;

        write_state(f, s, 50, &text, &pieces);
        assert_int_equal(pieces, 1);
        check_reply(&output_session, &text);
        assert_non_null(strstr(text.data, "\"memory\":{\"v\":1.0}"));
        for (unsigned i = 1; i <= 60; i++)
                append(f, s, i, 10, true);
        check_state(f, s, 50, 11, 60, 1);
        check_state(f, s, 0, 1, 0, 1);
        check_state(f, s, 1, 60, 60, 1);
        check_state(f, s, SIZE_MAX, 1, 60, 1);
}

static void test_a_large_state_comes_whole_in_pieces(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f);

        for (unsigned i = 1; i <= 40; i++)
                append(f, s, i, 20000, true); /* calls fit into the buffer that gathers them */
        check_state(f, s, SIZE_MAX, 1, 40, 4);
        check_state(f, s, 30, 11, 40, 3);
        for (unsigned i = 41; i <= 80; i++)
                append(f, s, i, 60000, true); /* no longer: read a second time */
        check_state(f, s, SIZE_MAX, 1, 80, 8);
        check_state(f, s, 70, 11, 80, 8);
        check_state(f, s, 1, 80, 80, 1);
}

static int count(const NodeInfo *n, void *userdata) {
        ++*(unsigned *) userdata;
        return 0;
}

static int one_at_a_time(const NodeInfo *n, void *userdata) {
        ++*(unsigned *) userdata;
        return 1;
}

static void test_a_walk_goes_on_where_it_stopped(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f);

        for (unsigned i = 1; i <= 300; i++)
                append(f, s, i, 1, false);
        uint64_t head = session_info(s)->head;
        for (size_t limit = 0; limit <= 301; limit += 43) {
                MessageWalk whole = { .sessions = f->sessions, .head = head, .limit = limit };
                MessageWalk steps = whole, first = whole;
                unsigned n = 0, m = 0, k = 0;

                first.from_start = true;
                assert_int_equal(message_walk(&whole, count, &n), 0);
                while (message_walk(&steps, one_at_a_time, &m) == 1)
                        ;
                while (message_walk(&first, one_at_a_time, &k) == 1)
                        ;
                assert_int_equal(n, MIN(limit, (size_t) 300));
                assert_int_equal(m, n);
                assert_int_equal(k, n);
                assert_int_equal(whole.last, limit ? head : 0);
                assert_int_equal(steps.last, whole.last);
                assert_true(limit == 0 || limit >= 300 ? true : first.last < head);
        }
}

/* ---- small grammars ---- */

static void test_signals_are_known_by_name_and_number(void **state) {
        assert_int_equal(api_signal("SIGTERM"), 15);
        assert_int_equal(api_signal("TERM"), 15);
        assert_int_equal(api_signal("9"), 9);
        assert_int_equal(api_signal("SIGNOPE"), -EINVAL);
        assert_int_equal(api_signal("0"), -EINVAL);
        assert_int_equal(api_signal("65"), -EINVAL);
        assert_int_equal(api_signal("term"), 15);
        assert_int_equal(api_signal(""), -EINVAL);
}

static void test_message_limits_are_numbers_or_all(void **state) {
        size_t n = 7;

        assert_int_equal(api_message_limit((FieldStr){}, 50, &n), 0);
        assert_int_equal(n, 50);
        assert_int_equal(api_message_limit((FieldStr){ "all", 3 }, 50, &n), 0);
        assert_true(n == SIZE_MAX);
        assert_int_equal(api_message_limit((FieldStr){ "0", 1 }, 50, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(api_message_limit((FieldStr){ "-1", 2 }, 50, &n), -EINVAL);
        assert_int_equal(api_message_limit((FieldStr){ "x", 1 }, 50, &n), -EINVAL);
}

static void test_labels_match_by_key_or_by_key_and_value(void **state) {
        JsonSpan labels = JSON_LITERAL("{\"a\":\"b\",\"c\":\"d=e\",\"f\":\"\"}");

        assert_true(api_label_matches(labels, "a"));
        assert_true(api_label_matches(labels, "a=b"));
        assert_true(api_label_matches(labels, "c=d=e"));
        assert_true(api_label_matches(labels, "f="));
        assert_false(api_label_matches(labels, "a="));
        assert_false(api_label_matches(labels, "a=c"));
        assert_false(api_label_matches(labels, "b"));
        assert_false(api_label_matches((JsonSpan){}, "a"));
}

static void test_expiries_are_spans_or_times(void **state) {
        usec_t t = 7;

        clock_fake(1000 * USEC_PER_SEC, 0);
        assert_int_equal(api_expiry("1h", &t), 0);
        assert_int_equal(t, 4600 * USEC_PER_SEC);
        assert_int_equal(api_expiry("2030-01-01T00:00:00Z", &t), 0);
        assert_int_equal(t, UINT64_C(1893456000) * USEC_PER_SEC);
        assert_int_equal(api_expiry("infinity", &t), 0);
        assert_int_equal(t, 0);
        assert_int_equal(api_expiry("0", &t), -EINVAL);
        assert_int_equal(api_expiry("soon", &t), -EINVAL);
        clock_fake(USEC_INFINITY, USEC_INFINITY);
}

static void test_ids_are_16_hex_digits_and_all_else_is_none(void **state) {
        assert_int_equal(api_id((FieldStr){ "00000000000000ff", 16 }), 255);
        assert_int_equal(api_id((FieldStr){ "ff", 2 }), 0);
        assert_int_equal(api_id((FieldStr){ "zzzzzzzzzzzzzzzz", 16 }), 0);
        assert_int_equal(api_id((FieldStr){}), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_views_fit_their_tables),
                cmocka_unit_test(test_errors_fit_their_table),
                cmocka_unit_test_setup_teardown(test_a_small_state_is_one_piece, setup, teardown),
                cmocka_unit_test_setup_teardown(test_a_large_state_comes_whole_in_pieces, setup,
                                                teardown),
                cmocka_unit_test_setup_teardown(test_a_walk_goes_on_where_it_stopped, setup, teardown),
                cmocka_unit_test(test_signals_are_known_by_name_and_number),
                cmocka_unit_test(test_message_limits_are_numbers_or_all),
                cmocka_unit_test(test_labels_match_by_key_or_by_key_and_value),
                cmocka_unit_test(test_expiries_are_spans_or_times),
                cmocka_unit_test(test_ids_are_16_hex_digits_and_all_else_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
