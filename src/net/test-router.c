/* SPDX-License-Identifier: MIT */

/* What a path means: promises of the router, without a server. */

#include "base/test.h"
#include "net/router.h"

static const char sessions[] = "sessions", session[] = "session", start[] = "start",
                  reload[] = "reload", unit[] = "unit", unit_start[] = "unit-start",
                  tree[] = "tree", root[] = "root", create[] = "create", options[] = "options";

static HttpRouter *routes(void) {
        HttpRouter *r = http_router_new();

        assert_non_null(r);
        assert_int_equal(http_router_add(r, HTTP_GET, "/", root), 0);
        assert_int_equal(http_router_add(r, HTTP_GET, "/sessions", sessions), 0);
        assert_int_equal(http_router_add(r, HTTP_POST, "/sessions", create), 0);
        assert_int_equal(http_router_add(r, HTTP_GET, "/sessions/{id}", session), 0);
        assert_int_equal(http_router_add(r, HTTP_POST, "/sessions/{id}/start", start), 0);
        assert_int_equal(http_router_add(r, HTTP_POST, "/units/reload", reload), 0);
        assert_int_equal(http_router_add(r, HTTP_GET, "/units/{name}", unit), 0);
        assert_int_equal(http_router_add(r, HTTP_POST, "/units/{unit}/start", unit_start), 0);
        assert_int_equal(http_router_add(r, HTTP_GET, "/files/{id}/{path...}", tree), 0);
        return r;
}

static void expect(HttpMethod method, const char *path, const void *data) {
        _cleanup_(http_router_freep) HttpRouter *r = routes();
        HttpMatch m;
        unsigned allow;

        assert_int_equal(http_router_match(r, method, path, &m, &allow), 0);
        assert_ptr_equal(m.data, data);
}

static void expect_none(HttpMethod method, const char *path) {
        _cleanup_(http_router_freep) HttpRouter *r = routes();
        HttpMatch m;
        unsigned allow;

        assert_int_equal(http_router_match(r, method, path, &m, &allow), HTTP_E_NO_ROUTE);
}

static void test_literals_and_parameters_match(void **state) {
        expect(HTTP_GET, "/", root);
        expect(HTTP_GET, "/sessions", sessions);
        expect(HTTP_HEAD, "/sessions", sessions);
        expect(HTTP_POST, "/sessions", create);
        expect(HTTP_GET, "/sessions/0123", session);
        expect(HTTP_POST, "/sessions/0123/start", start);
}

static void test_trailing_and_double_slashes_are_other_paths(void **state) {
        expect_none(HTTP_GET, "/sessions/");
        expect_none(HTTP_GET, "//sessions");
        expect_none(HTTP_GET, "/sessions//");
        expect_none(HTTP_GET, "/sessions/0123/");
        expect_none(HTTP_POST, "/sessions//start");
        expect_none(HTTP_GET, "//");
        expect_none(HTTP_GET, "");
        expect_none(HTTP_GET, "*");
        expect_none(HTTP_GET, "/session");
        expect_none(HTTP_GET, "/sessionsx");
}

static void test_literal_wins_over_parameter_and_method_decides(void **state) {
        expect(HTTP_POST, "/units/reload", reload);
        expect(HTTP_GET, "/units/reload", unit);
        expect(HTTP_POST, "/units/reload/start", unit_start);
        expect(HTTP_GET, "/units/x", unit);
}

static void test_escaped_letters_of_a_literal_match(void **state) {
        expect(HTTP_GET, "/sess%69ons", sessions);
        expect_none(HTTP_GET, "/sess%6ons");
        expect_none(HTTP_GET, "/sessions%2F0123");
}

static void value_is(const HttpMatch *m, size_t i, const char *name, const char *raw) {
        assert_true(i < m->n_values);
        assert_int_equal(m->values[i].name_n, strlen(name));
        assert_memory_equal(m->values[i].name, name, strlen(name));
        assert_int_equal(m->values[i].raw_n, strlen(raw));
        assert_memory_equal(m->values[i].raw, raw, strlen(raw));
}

static void test_values_are_those_of_the_route_that_matched(void **state) {
        _cleanup_(http_router_freep) HttpRouter *r = routes();
        HttpMatch m;
        unsigned allow;

        assert_int_equal(http_router_match(r, HTTP_POST, "/units/a%2Fb/start", &m, &allow), 0);
        assert_int_equal(m.n_values, 1);
        value_is(&m, 0, "unit", "a%2Fb");

        assert_int_equal(http_router_match(r, HTTP_GET, "/files/7/a/b//c", &m, &allow), 0);
        assert_int_equal(m.n_values, 2);
        value_is(&m, 0, "id", "7");
        value_is(&m, 1, "path", "a/b//c");
}

static void test_rest_takes_any_depth_but_not_nothing(void **state) {
        expect(HTTP_GET, "/files/7/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20", tree);
        expect_none(HTTP_GET, "/files/7/");
        expect_none(HTTP_GET, "/files/7");
        expect_none(HTTP_GET, "/sessions/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20");
}

static void test_wrong_method_says_what_is_allowed(void **state) {
        _cleanup_(http_router_freep) HttpRouter *r = routes();
        HttpMatch m;
        unsigned allow;

        assert_int_equal(http_router_match(r, HTTP_PUT, "/sessions", &m, &allow), HTTP_E_NO_METHOD);
        assert_int_equal(allow, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST);
        assert_int_equal(http_router_match(r, _HTTP_METHOD_INVALID, "/sessions/1/start", &m, &allow),
                         HTTP_E_NO_METHOD);
        assert_int_equal(allow, 1u << HTTP_POST);
        /* Both the literal and the parameter have this path. */
        assert_int_equal(http_router_match(r, HTTP_PUT, "/units/reload", &m, &allow),
                         HTTP_E_NO_METHOD);
        assert_int_equal(allow, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_POST);
}

static void test_catch_all_for_options_leaves_unknown_paths_unknown(void **state) {
        _cleanup_(http_router_freep) HttpRouter *r = routes();
        HttpMatch m;
        unsigned allow;

        assert_int_equal(http_router_add(r, HTTP_OPTIONS, "/{path...}", options), 0);
        assert_int_equal(http_router_match(r, HTTP_OPTIONS, "/sessions/1", &m, &allow), 0);
        assert_ptr_equal(m.data, options);
        assert_int_equal(http_router_match(r, HTTP_GET, "/nothing/here", &m, &allow),
                         HTTP_E_NO_ROUTE);
}

static void test_duplicate_is_refused(void **state) {
        _cleanup_(http_router_freep) HttpRouter *r = routes();

        assert_int_equal(http_router_add(r, HTTP_GET, "/sessions", root), -EEXIST);
        assert_int_equal(http_router_add(r, HTTP_GET, "/sessions/{other}", root), -EEXIST);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_literals_and_parameters_match),
                cmocka_unit_test(test_trailing_and_double_slashes_are_other_paths),
                cmocka_unit_test(test_literal_wins_over_parameter_and_method_decides),
                cmocka_unit_test(test_escaped_letters_of_a_literal_match),
                cmocka_unit_test(test_values_are_those_of_the_route_that_matched),
                cmocka_unit_test(test_rest_takes_any_depth_but_not_nothing),
                cmocka_unit_test(test_wrong_method_says_what_is_allowed),
                cmocka_unit_test(test_catch_all_for_options_leaves_unknown_paths_unknown),
                cmocka_unit_test(test_duplicate_is_refused),
        };
        return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
