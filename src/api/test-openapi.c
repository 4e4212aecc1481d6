/* SPDX-License-Identifier: MIT */

/* The description is what it was: a change of the API is a change of tests/golden/openapi.json in
 * the same commit, where people see it. `ninja update-golden` (or UPDATE_GOLDEN=1) writes it. */

#include "api/api-internal.h"
#include "base/test.h"

#define GOLDEN_MAX ((size_t) 4 << 20)

static void new_line(Buf *out, unsigned depth) {
        (void) buf_putc(out, '\n');
        for (unsigned i = 0; i < depth; i++)
                (void) buf_puts(out, "  ");
}

/* One member a line, so that a difference is one. */
static void pretty(const char *text, Buf *out) {
        unsigned depth = 0;
        bool in_string = false;

        for (const char *p = text; *p; p++) {
                bool is_open = !in_string && (*p == '{' || *p == '[');
                bool is_close = !in_string && (*p == '}' || *p == ']');

                if (is_close && p[-1] != '{' && p[-1] != '[')
                        new_line(out, depth - 1);
                depth = is_open ? depth + 1 : is_close ? depth - 1 : depth;
                (void) buf_putc(out, *p);
                if (is_open && p[1] != '}' && p[1] != ']')
                        new_line(out, depth);
                else if (!in_string && *p == ',')
                        new_line(out, depth);
                if (*p == '"' && p[-1] != '\\')
                        in_string = !in_string;
        }
        (void) buf_putc(out, '\n');
}

static void test_openapi_is_the_golden_copy(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(GOLDEN_MAX), lines = BUF_INIT(GOLDEN_MAX);
        _cleanup_free_ char *golden = NULL;
        const char *path = getenv("AGENTD_GOLDEN");

        assert_int_equal(openapi_write(&text), 0);
        pretty(text.data, &lines);
        if (!path)
                path = AGENTD_GOLDEN;
        if (getenv("UPDATE_GOLDEN"))
                assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, lines.data, lines.len, 0644),
                                 0);
        assert_int_equal(fs_read_file(AT_FDCWD, path, GOLDEN_MAX, &golden, NULL), 0);
        assert_string_equal(lines.data, golden);
}

static void test_openapi_is_json_and_has_every_route(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(GOLDEN_MAX);
        JsonSpan document;

        assert_int_equal(openapi_write(&text), 0);
        assert_int_equal(json_check(text.data, text.len, JSON_DEPTH_MAX, &document, NULL), 0);
        JsonSpan paths = json_get(document, "paths");
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                _cleanup_free_ char *method = strdup(route_table[i].method);
                for (char *p = method; *p; p++)
                        *p = (char) (*p | 0x20);
                JsonSpan operation = json_get(json_get(paths, route_table[i].path), method);
                assert_true(json_string_equals(json_get(operation, "operationId"),
                                               route_table[i].name));
        }
}

/* Follows every {"$ref": "#/components/schemas/X"}. */
static void test_openapi_refers_only_to_what_it_has(void **state) {
        static const char prefix[] = "\"#/components/schemas/";
        _cleanup_buf_ Buf text = BUF_INIT(GOLDEN_MAX);
        JsonSpan document;
        size_t n = 0;

        assert_int_equal(openapi_write(&text), 0);
        assert_int_equal(json_check(text.data, text.len, JSON_DEPTH_MAX, &document, NULL), 0);
        JsonSpan schemas = json_get(json_get(document, "components"), "schemas");
        for (const char *p = text.data; (p = strstr(p, prefix)); n++) {
                p += sizeof(prefix) - 1;
                _cleanup_free_ char *name = strndup(p, strcspn(p, "\""));
                assert_non_null(json_get(schemas, name).p);
        }
        assert_true(n > 100);
}

/* The schema's enum, joined by | as the tables have it. */
static void assert_enum(JsonSpan document, const char *schema, const char *member, const char *expected) {
        _cleanup_buf_ Buf words = BUF_INIT(GOLDEN_MAX);
        JsonSpan word, of = json_get(json_get(json_get(document, "components"), "schemas"), schema);
        JsonIter it = json_iter(json_get(json_get(json_get(of, "properties"), member), "enum"));

        while (json_next(&it, NULL, &word))
                if (json_is(word, JSON_KIND_STRING))
                        (void) buf_printf(&words, "%s%.*s", words.len ? "|" : "", (int) word.n - 2,
                                          word.p + 1);
        assert_string_equal(words.data, expected);
}

#define WORDS(buf, max, to_string)           \
        for (unsigned i = 0; i < (max); i++) \
        (void) buf_printf(&(buf), "%s%s", i ? "|" : "", to_string((__typeof__(max)) i))

static void test_openapi_has_every_word_of_a_reply(void **state) {
        _cleanup_buf_ Buf text = BUF_INIT(GOLDEN_MAX), substates = BUF_INIT(4096),
                          results = BUF_INIT(4096), kinds = BUF_INIT(4096);
        JsonSpan document;

        assert_int_equal(openapi_write(&text), 0);
        assert_int_equal(json_check(text.data, text.len, JSON_DEPTH_MAX, &document, NULL), 0);
        WORDS(substates, _SUBSTATE_MAX, session_substate_to_string);
        assert_enum(document, "SessionState", "substate", substates.data);
        WORDS(results, _SUP_RESULT_MAX, sup_result_to_string);
        assert_enum(document, "Run", "result", results.data);
        WORDS(kinds, _CHECKPOINT_KIND_MAX, checkpoint_kind_to_string);
        assert_enum(document, "Checkpoint", "kind", kinds.data);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_openapi_is_the_golden_copy),
                cmocka_unit_test(test_openapi_is_json_and_has_every_route),
                cmocka_unit_test(test_openapi_has_every_word_of_a_reply),
                cmocka_unit_test(test_openapi_refers_only_to_what_it_has),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
