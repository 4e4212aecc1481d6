/* SPDX-License-Identifier: MIT */

/* Bodies and texts against one table that has every input type. */

#include "base/field.h"
#include "base/test.h"

typedef struct In {
        FieldStr name;
        FieldStr word;
        FieldStr note;
        JsonSpan raw;
        JsonSpan any;
        JsonSpan content;
        JsonSpan object;
        JsonSpan strings;
        JsonSpan things;
        JsonSpan labels;
        FieldInt count;
        FieldBool flag;
        FieldId id;
        FieldStr time;
        FieldStr query;
        FieldInt limit;
        FieldBool follow;
        FieldId path_id;
} In;

static const FieldDef thing_fields[] = {
        { .name = "kind", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .min = 1 },
        { .name = "size", .type = FIELD_INT },
};
static const FieldTable thing = { "Thing", thing_fields, ELEMENTSOF(thing_fields), NULL };

#define AT(member) .offset = offsetof(In, member)

static const FieldDef fields[] = {
        { .name = "name", .type = FIELD_STRING, .flags = FIELD_REQUIRED, .min = 1, .max = 8, AT(name) },
        { .name = "word", .type = FIELD_STRING, .values = "red|green|blue", AT(word) },
        { .name = "note", .type = FIELD_STRING, .flags = FIELD_ANY_TEXT | FIELD_NULLABLE, AT(note) },
        { .name = "raw", .type = FIELD_JSON_STRING, .max = 10, AT(raw) },
        { .name = "any", .type = FIELD_JSON, .max = 20, AT(any) },
        { .name = "content", .type = FIELD_CONTENT, AT(content) },
        { .name = "object", .type = FIELD_OBJECT, .min = 0, .max = 2, AT(object) },
        { .name = "strings", .type = FIELD_STRINGS, .max = 3, AT(strings) },
        { .name = "things", .type = FIELD_ARRAY, .ref = &thing, AT(things) },
        { .name = "labels", .type = FIELD_STRING_MAP, AT(labels) },
        { .name = "count", .type = FIELD_INT, .min = 1, .max = 10, AT(count) },
        { .name = "flag", .type = FIELD_BOOL, AT(flag) },
        { .name = "id", .type = FIELD_ID, AT(id) },
        { .name = "time", .type = FIELD_TIME, AT(time) },
        { .name = "query",
          .type = FIELD_STRING,
          .place = FIELD_QUERY,
          .flags = FIELD_REQUIRED,
          .max = 4,
          AT(query) },
        { .name = "limit", .type = FIELD_INT, .place = FIELD_QUERY, .min = 1, AT(limit) },
        { .name = "follow", .type = FIELD_BOOL, .place = FIELD_QUERY, AT(follow) },
        { .name = "path_id", .type = FIELD_ID, .place = FIELD_PATH, AT(path_id) },
};
static const FieldTable table = { "In", fields, ELEMENTSOF(fields), NULL };

typedef struct Fixture {
        In in;
        FieldErrors errors;
        FieldArena *arena;
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        f->arena = field_arena_new();
        assert_non_null(f->arena);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        field_arena_free(f->arena);
        free(f);
        return 0;
}

/* Parses into a clean fixture; what the function returned. */
static int parse(Fixture *f, const char *text) {
        JsonSpan body = {};

        f->in = (In){};
        f->errors.n = 0;
        if (text)
                assert_int_equal(json_check(text, strlen(text), JSON_DEPTH_MAX, &body, NULL), 0);
        return field_parse_body(&table, body, &f->in, f->arena, &f->errors);
}

static void assert_span(JsonSpan v, const char *expected) {
        assert_int_equal(v.n, strlen(expected));
        assert_memory_equal(v.p, expected, v.n);
}

static void assert_error(
        const Fixture *f, size_t i, const char *type, const char *field, const char *msg) {
        assert_true(i < f->errors.n);
        assert_string_equal(f->errors.items[i].type, type);
        assert_true(streq_ptr(f->errors.items[i].field, field));
        assert_string_equal(f->errors.items[i].msg, msg);
}

/* A body whose only fault is that member. */
static void assert_faulty(
        Fixture *f, const char *field, const char *value, const char *type, const char *msg) {
        _cleanup_free_ char *body = str_printf("{\"name\":\"n\",\"%s\":%s}", field, value);

        assert_int_equal(parse(f, body), 1);
        assert_int_equal(f->errors.n, 1);
        assert_error(f, 0, type, field, msg);
        assert_string_equal(f->errors.items[0].place, "body");
        assert_span(f->errors.items[0].input, value);
}

static void test_a_full_body_fills_the_struct(void **state) {
        Fixture *f = *state;

        assert_int_equal(
                parse(f, "{\"unknown\":[1],\"name\":\"\\u0061b\",\"word\":\"green\",\"note\":\"a\\nb\","
                         "\"raw\":\"\\ud800\",\"any\":1.0,\"content\":[{}],\"object\":{\"a\":1},"
                         "\"strings\":[\"x\",\"y\"],\"things\":[{\"kind\":\"k\",\"size\":1}],"
                         "\"labels\":{\"a\":\"b\"},\"count\":10,\"flag\":true,\"id\":\"00000000000000ff\","
                         "\"time\":\"2026-11-22T07:53:36Z\"}"),
                0);
        assert_string_equal(f->in.name.s, "ab");
        assert_int_equal(f->in.name.n, 2);
        assert_string_equal(f->in.word.s, "green");
        assert_string_equal(f->in.note.s, "a\nb");
        assert_span(f->in.raw, "\"\\ud800\"");
        assert_span(f->in.any, "1.0");
        assert_span(f->in.content, "[{}]");
        assert_span(f->in.object, "{\"a\":1}");
        assert_span(f->in.strings, "[\"x\",\"y\"]");
        assert_span(f->in.things, "[{\"kind\":\"k\",\"size\":1}]");
        assert_span(f->in.labels, "{\"a\":\"b\"}");
        assert_true(f->in.count.set && f->in.count.v == 10);
        assert_true(f->in.flag.set && f->in.flag.v);
        assert_true(f->in.id.set && f->in.id.v == 255);
        assert_string_equal(f->in.time.s, "2026-11-22T07:53:36Z");
}

static void test_absent_fields_stay_zero(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":\"n\",\"note\":null}"), 0);
        assert_null(f->in.note.s);
        assert_null(f->in.any.p);
        assert_false(f->in.count.set || f->in.flag.set || f->in.id.set);
}

static void test_the_last_of_equal_names_counts(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":1,\"name\":\"second\"}"), 0);
        assert_string_equal(f->in.name.s, "second");
}

static void test_missing_fields_are_named_for_any_kind_of_no_body(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{}"), 1);
        assert_error(f, 0, "missing", "name", "Field required");
        assert_span(f->errors.items[0].input, "{}");
        assert_int_equal(parse(f, NULL), 1);
        assert_error(f, 0, "missing", "name", "Field required");
        assert_null(f->errors.items[0].input.p);
        assert_int_equal(parse(f, "null"), 1);
        assert_error(f, 0, "missing", "name", "Field required");
}

static void test_a_body_that_is_no_object_is_one_error(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "[1]"), 1);
        assert_error(f, 0, "model_attributes_type", NULL,
                     "Input should be a valid dictionary or object to extract fields from");
}

static void test_wrong_types_have_pydantics_words(void **state) {
        Fixture *f = *state;

        assert_faulty(f, "word", "1", "string_type", "Input should be a valid string");
        assert_faulty(f, "word", "null", "string_type", "Input should be a valid string");
        assert_faulty(f, "raw", "{}", "string_type", "Input should be a valid string");
        assert_faulty(f, "content", "1", "string_type", "Input should be a valid string or list");
        assert_faulty(f, "object", "[]", "dict_type", "Input should be a valid dictionary");
        assert_faulty(f, "strings", "\"x\"", "list_type", "Input should be a valid list");
        assert_faulty(f, "things", "{}", "list_type", "Input should be a valid list");
        assert_faulty(f, "labels", "[]", "dict_type", "Input should be a valid dictionary");
        assert_faulty(f, "count", "\"5\"", "int_type", "Input should be a valid integer");
        assert_faulty(f, "flag", "1", "bool_type", "Input should be a valid boolean");
        assert_faulty(f, "id", "1", "string_type", "Input should be a valid string");
        assert_faulty(f, "time", "1", "datetime_type", "Input should be a valid datetime");
}

static void test_limits_are_checked(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":\"\"}"), 1);
        assert_error(f, 0, "string_too_short", "name", "String should have at least 1 character");
        assert_int_equal(parse(f, "{\"name\":\"123456789\"}"), 1);
        assert_error(f, 0, "string_too_long", "name", "String should have at most 8 bytes");
        assert_int_equal(parse(f, "{\"name\":\"\\u00e412345\\u0036\"}"), 0);
        assert_faulty(f, "raw", "\"123456789\"", "string_too_long",
                      "String should have at most 10 bytes");
        assert_faulty(f, "count", "0", "greater_than_equal",
                      "Input should be greater than or equal to 1");
        assert_faulty(f, "count", "11", "less_than_equal",
                      "Input should be less than or equal to 10");
        assert_faulty(f, "strings", "[\"a\",\"b\",\"c\",\"d\"]", "too_long",
                      "List should have at most 3 items after validation, not 4");
        assert_faulty(f, "object", "{\"a\":1,\"b\":2,\"c\":3}", "too_long",
                      "Dictionary should have at most 2 items after validation, not 3");
        assert_faulty(f, "any", "[1,2,3,4,5,6,7,8,9,10]", "value_error",
                      "Value error, the JSON text should have at most 20 bytes");
}

static void test_words_and_formats_are_checked(void **state) {
        Fixture *f = *state;

        assert_faulty(f, "word", "\"gre\"", "literal_error",
                      "Input should be 'red', 'green' or 'blue'");
        assert_faulty(f, "word", "\"\"", "literal_error", "Input should be 'red', 'green' or 'blue'");
        assert_faulty(f, "id", "\"0123\"", "string_pattern_mismatch",
                      "String should match pattern '^[0-9a-f]{16}$'");
        assert_faulty(f, "id", "\"0123456789abcdef\\u0000\"", "string_pattern_mismatch",
                      "String should match pattern '^[0-9a-f]{16}$'");
        assert_faulty(f, "time", "\"yesterday\"", "datetime_parsing",
                      "Input should be a valid datetime, expected RFC 3339");
}

static void test_text_that_cannot_be_kept_is_refused(void **state) {
        Fixture *f = *state;

        assert_faulty(f, "word", "\"a\\ud800\"", "string_unicode",
                      "Input should be a valid string, unable to parse raw data as a unicode string");
        assert_faulty(f, "word", "\"a\\n\"", "value_error",
                      "Value error, control characters are not allowed");
        assert_faulty(f, "word", "\"a\\u0085\"", "value_error",
                      "Value error, control characters are not allowed");
        assert_faulty(f, "note", "\"a\\u0000\"", "value_error",
                      "Value error, NUL bytes are not allowed");
}

static void test_integers_are_taken_from_whole_numbers_only(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":\"n\",\"count\":5.0}"), 0);
        assert_int_equal(f->in.count.v, 5);
        assert_int_equal(parse(f, "{\"name\":\"n\",\"count\":1e1}"), 0);
        assert_int_equal(f->in.count.v, 10);
        assert_faulty(f, "count", "5.5", "int_from_float",
                      "Input should be a valid integer, got a number with a fractional part");
        assert_faulty(f, "count", "99999999999999999999", "int_parsing_size",
                      "Unable to parse input string as an integer, exceeded maximum size");
}

static void test_elements_are_checked_one_by_one(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":\"n\",\"strings\":[\"a\",1,null]}"), 2);
        assert_error(f, 0, "string_type", "strings", "Input should be a valid string");
        assert_span(f->errors.items[0].input, "1");
        assert_int_equal(f->errors.items[0].element, 2);
        assert_span(f->errors.items[1].input, "null");
        assert_int_equal(f->errors.items[1].element, 3);
        assert_null(f->in.strings.p);

        assert_int_equal(parse(f, "{\"name\":\"n\",\"labels\":{\"a\":1}}"), 1);
        assert_error(f, 0, "string_type", "labels", "Input should be a valid string");
        assert_span(f->errors.items[0].input, "1");
        assert_int_equal(f->errors.items[0].element, 0);
}

static void test_objects_in_arrays_are_checked_against_their_rows(void **state) {
        Fixture *f = *state;

        assert_int_equal(
                parse(f, "{\"name\":\"n\",\"things\":[{\"kind\":\"k\"},{\"size\":\"x\"},7]}"), 3);
        assert_error(f, 0, "missing", "kind", "Field required");
        assert_error(f, 1, "int_type", "size", "Input should be a valid integer");
        assert_error(f, 2, "dict_type", NULL, "Input should be a valid dictionary");
        assert_null(f->in.things.p);
}

static const FieldTable strict = {
        .name = "Strict",
        .fields = fields,
        .n_fields = ELEMENTSOF(fields),
        .is_strict = true,
};

static void test_a_strict_table_refuses_members_that_no_row_has(void **state) {
        Fixture *f = *state;
        JsonSpan body = JSON_LITERAL("{\"name\":\"n\",\"cuont\":1,\"query\":\"x\",\"zzzzzz\":[2]}");

        assert_int_equal(field_parse_body(&strict, body, &f->in, f->arena, &f->errors), 3);
        assert_error(f, 0, "extra_forbidden", NULL,
                     "Extra inputs are not permitted; did you mean 'count'?");
        assert_span(f->errors.items[0].member, "\"cuont\"");
        assert_error(f, 1, "extra_forbidden", NULL, "Extra inputs are not permitted");
        assert_error(f, 2, "extra_forbidden", NULL, "Extra inputs are not permitted");
        assert_span(f->errors.items[2].input, "[2]");
}

static void test_notes_of_one_element_do_not_reach_the_next(void **state) {
        Fixture *f = *state;

        assert_int_equal(
                parse(f,
                      "{\"name\":\"n\",\"things\":[{\"kind\":\"k\",\"size\":\"x\"},{\"kind\":\"k\"}]}"),
                1);
        assert_error(f, 0, "int_type", "size", "Input should be a valid integer");
        assert_int_equal(parse(f, "{\"name\":\"n\",\"things\":[{\"kind\":\"k\"},{}]}"), 1);
        assert_error(f, 0, "missing", "kind", "Field required");
}

static void test_errors_come_in_table_order_and_are_bounded(void **state) {
        Fixture *f = *state;
        _cleanup_buf_ Buf b = BUF_INIT(100000);

        assert_int_equal(parse(f, "{\"flag\":1,\"count\":true,\"word\":1}"), 4);
        assert_error(f, 0, "missing", "name", "Field required");
        assert_string_equal(f->errors.items[1].field, "word");
        assert_string_equal(f->errors.items[2].field, "count");
        assert_string_equal(f->errors.items[3].field, "flag");

        assert_int_equal(buf_puts(&b, "{\"strings\":[0"), 0);
        for (size_t i = 0; i < 1000; i++)
                assert_int_equal(buf_puts(&b, ",0"), 0);
        assert_int_equal(buf_puts(&b, "]}"), 0);
        assert_true(parse(f, b.data) > 0);
        assert_int_equal(f->errors.n, FIELD_ERRORS_MAX);
}

static int parse_text(Fixture *f, const char *name, const char *text) {
        f->errors.n = 0;
        ARRAY_FOREACH(row, fields)
                if (streq(row->name, name))
                        return field_parse_text(row, text, &f->in, f->arena, &f->errors);
        fail_msg("no row %s", name);
        return -1;
}

static void test_texts_fill_the_struct(void **state) {
        Fixture *f = *state;
        char text[] = "abcd";

        assert_int_equal(parse_text(f, "query", text), 0);
        text[0] = 'X';
        assert_string_equal(f->in.query.s, "abcd");
        assert_int_equal(parse_text(f, "limit", "9223372036854775807"), 0);
        assert_true(f->in.limit.set && f->in.limit.v == INT64_MAX);
        assert_int_equal(parse_text(f, "follow", "1"), 0);
        assert_true(f->in.follow.v);
        assert_int_equal(parse_text(f, "follow", "false"), 0);
        assert_true(f->in.follow.set && !f->in.follow.v);
        assert_int_equal(parse_text(f, "path_id", "00000000000000ff"), 0);
        assert_int_equal(f->in.path_id.v, 255);
}

static void test_wrong_texts_name_their_place(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse_text(f, "limit", "5x"), 1);
        assert_error(f, 0, "int_parsing", "limit",
                     "Input should be a valid integer, unable to parse string as an integer");
        assert_string_equal(f->errors.items[0].place, "query");
        assert_span(f->errors.items[0].input, "\"5x\"");
        assert_int_equal(parse_text(f, "limit", "0"), 1);
        assert_error(f, 0, "greater_than_equal", "limit",
                     "Input should be greater than or equal to 1");
        assert_int_equal(parse_text(f, "limit", "99999999999999999999"), 1);
        assert_string_equal(f->errors.items[0].type, "int_parsing_size");
        assert_int_equal(parse_text(f, "follow", "yes"), 1);
        assert_error(f, 0, "bool_parsing", "follow",
                     "Input should be a valid boolean, unable to interpret input");
        assert_int_equal(parse_text(f, "query", "a\xff"), 1);
        assert_string_equal(f->errors.items[0].type, "string_unicode");
        assert_int_equal(parse_text(f, "query", "abcde"), 1);
        assert_string_equal(f->errors.items[0].type, "string_too_long");
        assert_int_equal(parse_text(f, "path_id", "x"), 1);
        assert_string_equal(f->errors.items[0].place, "path");
        assert_string_equal(f->errors.items[0].type, "string_pattern_mismatch");
}

static void assert_errors_json(const FieldErrors *e, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(100000);
        JsonWriter w = JSON_WRITER(&b);
        JsonSpan v;

        field_errors_write(e, &w);
        assert_int_equal(json_check(b.data, b.len, 10, &v, NULL), 0);
        assert_span(json_get(v, "detail"), expected);
        assert_span(json_get(v, "code"), "\"validation_failed\"");
        assert_true(json_is(json_get(v, "hint"), JSON_KIND_STRING));
}

static void test_errors_are_written_in_fastapis_shape(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":5}"), 1);
        assert_errors_json(&f->errors, "[{\"type\":\"string_type\",\"loc\":[\"body\",\"name\"],"
                                       "\"msg\":\"Input should be a valid string\",\"input\":5}]");
        assert_int_equal(parse(f, "5"), 1);
        assert_errors_json(
                &f->errors,
                "[{\"type\":\"model_attributes_type\",\"loc\":[\"body\"],"
                "\"msg\":\"Input should be a valid dictionary or object to extract fields from\","
                "\"input\":5}]");
        f->errors.n = 0;
        field_errors_add(&f->errors, "json_invalid", "body", "17", (JsonSpan){}, "JSON %s error",
                         "decode");
        assert_errors_json(&f->errors, "[{\"type\":\"json_invalid\",\"loc\":[\"body\",17],"
                                       "\"msg\":\"JSON decode error\",\"input\":null}]");
}

static void test_errors_say_where_in_a_list_or_object(void **state) {
        Fixture *f = *state;

        assert_int_equal(parse(f, "{\"name\":\"n\",\"things\":[{\"kind\":\"k\"},{\"size\":2},7]}"),
                         2);
        assert_errors_json(&f->errors,
                           "[{\"type\":\"missing\",\"loc\":[\"body\",\"things\",1,\"kind\"],"
                           "\"msg\":\"Field required\",\"input\":{\"size\":2}},"
                           "{\"type\":\"dict_type\",\"loc\":[\"body\",\"things\",2],"
                           "\"msg\":\"Input should be a valid dictionary\",\"input\":7}]");
        assert_int_equal(parse(f, "{\"name\":\"n\",\"strings\":[\"a\",2],\"labels\":{\"a.b\":1}}"),
                         2);
        assert_errors_json(&f->errors,
                           "[{\"type\":\"string_type\",\"loc\":[\"body\",\"strings\",1],"
                           "\"msg\":\"Input should be a valid string\",\"input\":2},"
                           "{\"type\":\"string_type\",\"loc\":[\"body\",\"labels\",\"a.b\"],"
                           "\"msg\":\"Input should be a valid string\",\"input\":1}]");
        f->errors.n = 0;
        field_errors_add(&f->errors, "missing", "body", "agent.exec", JSON_NULL, "Field required");
        assert_errors_json(&f->errors, "[{\"type\":\"missing\",\"loc\":[\"body\",\"agent\",\"exec\"],"
                                       "\"msg\":\"Field required\",\"input\":null}]");
}

static void test_long_inputs_are_not_sent_back(void **state) {
        Fixture *f = *state;
        char body[1300] = "{\"word\":\"";
        size_t n = strlen(body);

        memset(body + n, 'x', 1200);
        memcpy(body + n + 1200, "\"}", 3);
        assert_int_equal(parse(f, body), 2);
        assert_errors_json(
                &f->errors,
                "[{\"type\":\"missing\",\"loc\":[\"body\",\"name\"],\"msg\":\"Field required\","
                "\"input\":null},{\"type\":\"literal_error\",\"loc\":[\"body\",\"word\"],"
                "\"msg\":\"Input should be 'red', 'green' or 'blue'\",\"input\":null}]");
}

static void test_the_arena_gives_aligned_zeroed_memory_of_any_size(void **state) {
        Fixture *f = *state;
        static const uint8_t zeros[10000];

        for (size_t n = 0; n < 10000; n = n * 2 + 1) {
                uint8_t *p = field_arena_alloc(f->arena, n);
                assert_non_null(p);
                assert_int_equal((uintptr_t) p % _Alignof(max_align_t), 0);
                if (n > 0)
                        assert_memory_equal(p, zeros, n);
                memset(p, 0xff, n);
        }
        assert_null(field_arena_alloc(f->arena, SIZE_MAX));
        assert_null(field_arena_alloc(f->arena, SIZE_MAX - 64));
        assert_null(field_arena_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_a_full_body_fills_the_struct),
                TEST(test_absent_fields_stay_zero),
                TEST(test_the_last_of_equal_names_counts),
                TEST(test_missing_fields_are_named_for_any_kind_of_no_body),
                TEST(test_a_body_that_is_no_object_is_one_error),
                TEST(test_wrong_types_have_pydantics_words),
                TEST(test_limits_are_checked),
                TEST(test_words_and_formats_are_checked),
                TEST(test_text_that_cannot_be_kept_is_refused),
                TEST(test_integers_are_taken_from_whole_numbers_only),
                TEST(test_elements_are_checked_one_by_one),
                TEST(test_objects_in_arrays_are_checked_against_their_rows),
                TEST(test_a_strict_table_refuses_members_that_no_row_has),
                TEST(test_errors_say_where_in_a_list_or_object),
                TEST(test_notes_of_one_element_do_not_reach_the_next),
                TEST(test_errors_come_in_table_order_and_are_bounded),
                TEST(test_texts_fill_the_struct),
                TEST(test_wrong_texts_name_their_place),
                TEST(test_errors_are_written_in_fastapis_shape),
                TEST(test_long_inputs_are_not_sent_back),
                TEST(test_the_arena_gives_aligned_zeroed_memory_of_any_size),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
