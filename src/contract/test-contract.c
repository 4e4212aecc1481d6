/* SPDX-License-Identifier: MIT */

/* The tables are consistent with themselves and each other. */

#include "base/str.h"
#include "base/test.h"
#include "contract/inputs.h"

static bool is_snake_case(const char *s) {
        for (const char *p = s; *p; p++)
                if (!((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || *p == '_'))
                        return false;
        return s[0] != '\0';
}

/* ---- errors ---- */

static size_t count_holes(const char *sentence) {
        size_t n = 0;

        for (const char *p = sentence; (p = strchr(p, '%')); p += 2) {
                assert_int_equal(p[1], 's');
                n++;
        }
        return n;
}

static void test_every_error_has_a_code_a_status_a_sentence_and_an_exit_status(void **state) {
        for (unsigned i = 0; i < _ERROR_MAX; i++) {
                const ErrorDef *e = &error_table[i];

                assert_non_null(e->code);
                assert_true(is_snake_case(e->code));
                assert_in_range(e->http, 400, 599);
                assert_in_range(e->exit_status, 1, 5);
                assert_true(count_holes(e->sentence) <= 2);
                assert_true(!e->hint || e->hint[0] != '\0');
        }
}

static void test_a_code_with_its_status_is_unique(void **state) {
        for (unsigned i = 0; i < _ERROR_MAX; i++)
                for (unsigned k = 0; k < i; k++)
                        assert_false(streq(error_table[i].code, error_table[k].code) &&
                                     error_table[i].http == error_table[k].http);
}

static void test_errors_are_found_by_their_code(void **state) {
        for (unsigned i = 0; i < _ERROR_MAX; i++) {
                ErrorId id = error_by_code(error_table[i].code);
                assert_true(id >= 0);
                assert_string_equal(error_table[id].code, error_table[i].code);
        }
        assert_int_equal(error_by_code("no_such_error"), _ERROR_INVALID);
}

static void test_what_is_not_there_exits_with_3_and_what_is_not_permitted_with_5(void **state) {
        for (unsigned i = 0; i < _ERROR_MAX; i++) {
                const ErrorDef *e = &error_table[i];

                if (e->http == 404)
                        assert_int_equal(e->exit_status, 3);
                if (e->http == 401 || e->http == 403)
                        assert_int_equal(e->exit_status, 5);
        }
}

/* ---- routes ---- */

static const FieldDef *find_field(const FieldTable *t, FieldPlace place, const char *name, size_t n) {
        for (size_t i = 0; t && i < t->n_fields; i++)
                if (t->fields[i].place == place && strlen(t->fields[i].name) == n &&
                    strncmp(t->fields[i].name, name, n) == 0)
                        return &t->fields[i];
        return NULL;
}

static void test_every_route_has_a_unique_name_and_a_unique_method_and_path(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const Route *r = &route_table[i];

                assert_int_equal(r->id, i);
                assert_true(r->name[0] >= 'a' && r->name[0] <= 'z');
                assert_int_equal(r->path[0], '/');
                assert_ptr_equal(route_by_name(r->name), r);
                for (unsigned k = 0; k < i; k++)
                        assert_false(streq(route_table[k].method, r->method) &&
                                     streq(route_table[k].path, r->path));
        }
        assert_null(route_by_name("nothing"));
}

static void test_every_route_has_a_summary_that_is_a_sentence(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const char *s = route_table[i].summary;
                size_t n = strlen(s);

                assert_in_range(n, 10, 100);
                assert_true(s[n - 1] == '.' || s[n - 1] == '?');
        }
}

static void test_every_parameter_of_a_path_is_in_the_inputs_and_none_is_too_many(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const Route *r = &route_table[i];
                size_t in_path = 0, in_table = 0;

                for (const char *p = r->path; (p = strchr(p, '{')); p++, in_path++)
                        assert_non_null(find_field(r->in, FIELD_PATH, p + 1, strcspn(p + 1, "}")));
                for (size_t k = 0; r->in && k < r->in->n_fields; k++)
                        in_table += r->in->fields[k].place == FIELD_PATH;
                assert_int_equal(in_path, in_table);
        }
}

static void test_inputs_lie_within_their_struct_and_do_not_overlap(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const FieldTable *t = route_table[i].in;

                for (size_t k = 0; t && k < t->n_fields; k++) {
                        assert_true(t->fields[k].offset < route_table[i].in_size);
                        for (size_t m = 0; m < k; m++)
                                assert_true(t->fields[m].offset != t->fields[k].offset);
                }
        }
}

/* Dispatch reads the session's id there without knowing the rest of the struct. */
static void test_the_id_of_a_session_is_the_first_member(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const Route *r = &route_table[i];

                if (!route_has_session(r))
                        continue;
                const FieldDef *id = find_field(r->in, FIELD_PATH, "id", 2);
                assert_non_null(id);
                assert_int_equal(id->offset, 0);
                assert_int_equal(r->errors[0], ERROR_SESSION_NOT_FOUND);
        }
}

static void test_reading_needs_no_write_access_and_changing_does(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const Route *r = &route_table[i];

                if (r->access == ACCESS_PUBLIC)
                        assert_string_equal(r->method, "GET");
                else if (r->access ==
                         ACCESS_READ) /* a search is a question that does not fit into a URL */
                        assert_true(streq(r->method, "GET") ||
                                    streq(strrchr(r->path, '/'), "/search"));
                else if (r->access == ACCESS_WRITE)
                        assert_string_not_equal(r->method, "GET");
                assert_non_null(route_access_to_string(r->access));
        }
}

static void test_a_run_may_not_administrate(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++)
                if (route_table[i].flags & ROUTE_RUN_OWN)
                        assert_true(route_table[i].access <= ACCESS_WRITE);
}

static void test_a_body_that_is_one_value_has_one_field(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const FieldTable *t = route_table[i].in;
                size_t n = 0;

                if (!(route_table[i].flags & ROUTE_BODY_IS_VALUE))
                        continue;
                for (size_t k = 0; k < t->n_fields; k++)
                        if (t->fields[k].place == FIELD_BODY) {
                                assert_int_equal(t->fields[k].type, FIELD_JSON);
                                n++;
                        }
                assert_int_equal(n, 1);
        }
}

static void test_the_inherited_routes_are_there(void **state) {
        static const char *const inherited[] = {
                "POST /sessions",
                "GET /sessions",
                "GET /sessions/{id}",
                "POST /sessions/{id}/start",
                "POST /sessions/{id}/pause",
                "POST /sessions/{id}/resume",
                "POST /sessions/{id}/stop",
                "GET /sessions/{id}/memory",
                "POST /sessions/{id}/memory",
                "GET /sessions/{id}/checkpoints",
                "POST /sessions/{id}/checkpoints",
                "GET /health",
        };
        size_t flagged = 0;

        for (unsigned i = 0; i < _ROUTE_MAX; i++)
                flagged += (route_table[i].flags & ROUTE_INHERITED) != 0;
        assert_int_equal(flagged, ELEMENTSOF(inherited));
        for (size_t k = 0; k < ELEMENTSOF(inherited); k++) {
                bool found = false;
                for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                        _cleanup_free_ char *line =
                                str_printf("%s %s", route_table[i].method, route_table[i].path);
                        found |= streq(line, inherited[k]) &&
                                 (route_table[i].flags & ROUTE_INHERITED);
                }
                assert_true(found);
        }
}

/* ---- replies ---- */

static void check_table(const FieldTable *t) {
        for (size_t k = 0; k < t->n_fields; k++) {
                const FieldDef *f = &t->fields[k];

                assert_true(is_snake_case(f->name));
                for (size_t m = 0; m < k; m++)
                        assert_string_not_equal(t->fields[m].name, f->name);
                if (f->type == FIELD_REF || f->type == FIELD_REFS)
                        assert_non_null(f->ref);
        }
}

static void test_replies_have_names_and_distinct_members(void **state) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const Route *r = &route_table[i];

                assert_in_range(r->status, 200, 299);
                if (!r->out)
                        continue;
                assert_non_null(r->out->name);
                check_table(r->out);
        }
}

static void test_a_component_has_one_table(void **state) {
        const FieldTable *tables[2 * _ROUTE_MAX];
        size_t n = 0;

        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                if (route_table[i].in && route_table[i].in->name)
                        tables[n++] = route_table[i].in;
                if (route_table[i].out)
                        tables[n++] = route_table[i].out;
        }
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        assert_true(tables[i] == tables[k] ||
                                    !streq(tables[i]->name, tables[k]->name));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_error_has_a_code_a_status_a_sentence_and_an_exit_status),
                cmocka_unit_test(test_a_code_with_its_status_is_unique),
                cmocka_unit_test(test_errors_are_found_by_their_code),
                cmocka_unit_test(test_what_is_not_there_exits_with_3_and_what_is_not_permitted_with_5),
                cmocka_unit_test(test_every_route_has_a_unique_name_and_a_unique_method_and_path),
                cmocka_unit_test(test_every_route_has_a_summary_that_is_a_sentence),
                cmocka_unit_test(test_every_parameter_of_a_path_is_in_the_inputs_and_none_is_too_many),
                cmocka_unit_test(test_inputs_lie_within_their_struct_and_do_not_overlap),
                cmocka_unit_test(test_the_id_of_a_session_is_the_first_member),
                cmocka_unit_test(test_reading_needs_no_write_access_and_changing_does),
                cmocka_unit_test(test_a_run_may_not_administrate),
                cmocka_unit_test(test_a_body_that_is_one_value_has_one_field),
                cmocka_unit_test(test_the_inherited_routes_are_there),
                cmocka_unit_test(test_replies_have_names_and_distinct_members),
                cmocka_unit_test(test_a_component_has_one_table),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
