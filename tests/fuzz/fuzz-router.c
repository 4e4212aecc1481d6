/* SPDX-License-Identifier: MIT */

/* The path of a request: percent-encoding and the way to its route. The first byte is the method.
 * The router answers without reading a byte outside of the path, its values are parts of the path,
 * and what it says of allowed methods agrees with what it does when asked with them. */

#include <stdio.h>

#include "net/router.h"
#include "net/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const patterns[] = {
        "/",
        "/sessions",
        "/sessions/{id}",
        "/sessions/{id}/messages",
        "/sessions/{id}/{verb}",
        "/sessions/{id}/variables/{name}",
        "/sessions/new",
        "/files/{path...}",
        "/{a}/{b}/{c}/{d}",
};

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static HttpRouter *make_router(void) {
        HttpRouter *r = http_router_new();

        require(r != NULL, "out of memory\n");
        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                require(http_router_add(r, HTTP_GET, patterns[i], patterns[i]) == 0, "no route\n");
                if (i % 2 == 0)
                        require(http_router_add(r, HTTP_POST, patterns[i], patterns[i]) == 0,
                                "no route\n");
        }
        return r;
}

static void check_decoding(const char *text, size_t n) {
        _cleanup_free_ char *decoded = malloc(n + 1);

        require(decoded != NULL, "out of memory\n");
        size_t m = uri_decode(text, n, decoded);
        require(m <= n && decoded[m] == '\0', "decoded text is longer\n");
        require(uri_equals(text, n, decoded, m), "text is not equal to its decoded self\n");
        require(!uri_equals(text, n, decoded, m + 1), "text is equal to more than itself\n");
        (void) uri_text_is_safe(decoded, m);
}

static void check_match(const HttpMatch *m, const char *path) {
        size_t n = strlen(path);

        require(m->data != NULL && m->n_values <= HTTP_PATH_VALUES_MAX, "no route's match\n");
        for (size_t i = 0; i < m->n_values; i++) {
                const HttpPathValue *v = &m->values[i];

                require(v->raw >= path && v->raw_n <= n && v->raw + v->raw_n <= path + n,
                        "a value from outside of the path\n");
                require(v->raw_n > 0, "an empty value\n");
                require(v->name_n > 0, "a value without a name\n");
        }
}

static void check_path(const HttpRouter *router, HttpMethod method, const char *path) {
        unsigned allow = 0, all = 0;
        HttpMatch match = {};

        int r = http_router_match(router, method, path, &match, &allow);
        require(r == 0 || r == HTTP_E_NO_ROUTE || r == HTTP_E_NO_METHOD, "an undocumented error\n");
        if (r == 0)
                check_match(&match, path);
        if (r == HTTP_E_NO_ROUTE)
                require(http_router_match(router, HTTP_GET, path, &match, &all) == HTTP_E_NO_ROUTE,
                        "a path is there for another method\n");
        for (unsigned m = 0; r == HTTP_E_NO_METHOD && m < _HTTP_METHOD_MAX; m++)
                require(m == HTTP_OPTIONS || m == HTTP_HEAD ||
                                (http_router_match(router, (HttpMethod) m, path, &match, &all) ==
                                 0) == ((allow >> m & 1) != 0),
                        "what is allowed is not answered, or the other way round\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static HttpRouter *router;
        _cleanup_free_ char *path = NULL;

        if (!router)
                router = make_router();
        if (size == 0)
                return 0;
        check_decoding((const char *) data + 1, size - 1);
        path = strndup((const char *) data + 1, size - 1);
        require(path != NULL, "out of memory\n");
        check_path(router, (HttpMethod) (data[0] % _HTTP_METHOD_MAX), path);
        return 0;
}
