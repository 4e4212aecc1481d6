/* SPDX-License-Identifier: MIT */

/* Schemas are compared as text: they are a public document and change on purpose only. */

#include "base/field.h"
#include "base/test.h"

static const FieldTable point = { .name = "Point" };

static const FieldDef inner_fields[] = {
        { .name = "x", .type = FIELD_INT, .flags = FIELD_REQUIRED },
};
static const FieldTable anonymous = { NULL, inner_fields, ELEMENTSOF(inner_fields), NULL };

static void assert_value(FieldDef f, const char *expected) {
        _cleanup_buf_ Buf b = BUF_INIT(10000);
        JsonWriter w = JSON_WRITER(&b);

        field_schema_write_value(&f, true, &w);
        assert_int_equal(json_check(b.data, b.len, JSON_DEPTH_MAX, NULL, NULL), 0);
        assert_string_equal(b.data, expected);
}

static void test_scalars_have_type_format_and_limits(void **state) {
        assert_value((FieldDef){ .type = FIELD_JSON }, "{}");
        assert_value((FieldDef){ .type = FIELD_JSON, .doc = "anything" },
                     "{\"description\":\"anything\"}");
        assert_value((FieldDef){ .type = FIELD_ID },
                     "{\"type\":\"string\",\"pattern\":\"^[0-9a-f]{16}$\"}");
        assert_value((FieldDef){ .type = FIELD_TIME },
                     "{\"type\":\"string\",\"format\":\"date-time\"}");
        assert_value((FieldDef){ .type = FIELD_REAL }, "{\"type\":\"number\"}");
        assert_value((FieldDef){ .type = FIELD_BOOL }, "{\"type\":\"boolean\"}");
        assert_value((FieldDef){ .type = FIELD_INT, .min = -5, .max = 0 },
                     "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":0}");
        assert_value((FieldDef){ .type = FIELD_INT, .min = 1 },
                     "{\"type\":\"integer\",\"minimum\":1}");
        assert_value((FieldDef){ .type = FIELD_STRING, .min = 1, .max = 9 },
                     "{\"type\":\"string\",\"minLength\":1,\"maxLength\":9}");
        assert_value((FieldDef){ .type = FIELD_JSON_STRING, .min = 3, .max = 9 },
                     "{\"type\":\"string\",\"maxLength\":7}");
        assert_value((FieldDef){ .type = FIELD_STRING, .values = "a|b" },
                     "{\"type\":\"string\",\"enum\":[\"a\",\"b\"]}");
}

static void test_defaults_patterns_and_examples_are_shown(void **state) {
        static const FieldTable strict = {
                .fields = inner_fields, .n_fields = 1, .example = "{\"x\":1}", .is_strict = true
        };
        _cleanup_buf_ Buf b = BUF_INIT(10000);
        JsonWriter w = JSON_WRITER(&b);

        assert_value(
                (FieldDef){ .type = FIELD_STRING, .pattern = "^a$", .fallback = "\"a\"", .doc = "b" },
                "{\"type\":\"string\",\"pattern\":\"^a$\",\"default\":\"a\",\"description\":\"b\"}");
        assert_value((FieldDef){ .type = FIELD_OBJECT, .ref = &point },
                     "{\"$ref\":\"#/components/schemas/Point\"}");
        assert_value(
                (FieldDef){ .type = FIELD_CONTENT, .ref = &point },
                "{\"type\":[\"string\",\"array\"],\"items\":{\"$ref\":\"#/components/schemas/Point\"}}");
        field_schema_write(&strict, true, &w);
        assert_string_equal(
                b.data,
                "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"],"
                "\"additionalProperties\":false,\"examples\":[{\"x\":1}]}");
}

static void test_nullable_is_a_type_list_or_any_of(void **state) {
        assert_value((FieldDef){ .type = FIELD_TIME, .flags = FIELD_NULLABLE },
                     "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}");
        assert_value((FieldDef){ .type = FIELD_STRING, .flags = FIELD_NULLABLE, .values = "a" },
                     "{\"type\":[\"string\",\"null\"],\"enum\":[\"a\",null]}");
        assert_value((FieldDef){ .type = FIELD_CONTENT, .flags = FIELD_NULLABLE },
                     "{\"type\":[\"string\",\"array\",\"null\"]}");
        assert_value((FieldDef){ .type = FIELD_REF, .ref = &point, .flags = FIELD_NULLABLE },
                     "{\"anyOf\":[{\"$ref\":\"#/components/schemas/Point\"},{\"type\":\"null\"}]}");
}

static void test_containers_describe_their_elements(void **state) {
        assert_value(
                (FieldDef){ .type = FIELD_STRINGS, .max = 3 },
                "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"minItems\":0,\"maxItems\":3}");
        assert_value((FieldDef){ .type = FIELD_STRINGS, .place = FIELD_QUERY },
                     "{\"type\":\"string\"}");
        assert_value((FieldDef){ .type = FIELD_ARRAY }, "{\"type\":\"array\",\"items\":{}}");
        assert_value((FieldDef){ .type = FIELD_REFS, .ref = &point },
                     "{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Point\"}}");
        assert_value((FieldDef){ .type = FIELD_STRING_MAP },
                     "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}");
        assert_value((FieldDef){ .type = FIELD_OBJECT }, "{\"type\":\"object\"}");
        assert_value((FieldDef){ .type = FIELD_REF, .ref = &point },
                     "{\"$ref\":\"#/components/schemas/Point\"}");
}

static void test_anonymous_tables_are_written_in_place(void **state) {
        assert_value((FieldDef){ .type = FIELD_REFS, .ref = &anonymous },
                     "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":"
                     "{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"]}}");
}

static void test_input_schemas_have_body_rows_only(void **state) {
        static const FieldDef rows[] = {
                { .name = "id", .type = FIELD_ID, .place = FIELD_PATH, .flags = FIELD_REQUIRED },
                { .name = "key", .type = FIELD_STRING, .flags = FIELD_REQUIRED },
                { .name = "value", .type = FIELD_JSON },
        };
        const FieldTable t = { "T", rows, ELEMENTSOF(rows), "A thing." };
        _cleanup_buf_ Buf b = BUF_INIT(10000);
        JsonWriter w = JSON_WRITER(&b);

        field_schema_write(&t, false, &w);
        assert_string_equal(b.data,
                            "{\"type\":\"object\",\"description\":\"A thing.\",\"properties\":"
                            "{\"key\":{\"type\":\"string\"},\"value\":{}},\"required\":[\"key\"]}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_scalars_have_type_format_and_limits),
                cmocka_unit_test(test_defaults_patterns_and_examples_are_shown),
                cmocka_unit_test(test_nullable_is_a_type_list_or_any_of),
                cmocka_unit_test(test_containers_describe_their_elements),
                cmocka_unit_test(test_anonymous_tables_are_written_in_place),
                cmocka_unit_test(test_input_schemas_have_body_rows_only),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
