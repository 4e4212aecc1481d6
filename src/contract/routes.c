/* SPDX-License-Identifier: MIT */

/* The table of routes, made from routes.def.
 *
 * Rows are plain data with static storage: the daemon's router, its validation, OpenAPI and the
 * command line's help read the same memory, and a route is added in one place. A description in
 * YAML from which code is generated was rejected: the compiler already checks this one, and it
 * needs no generator. */

#include "contract/inputs.h"

#define ERRORS(...) ((const ErrorId[]){ __VA_ARGS__ __VA_OPT__(, ) _ERROR_MAX })

const Route route_table[_ROUTE_MAX] = {
#define ROUTE(ident, handler, operation, verb_method, pattern, cli, who, bits, input, rows, code, \
              reply, is_array, failures, text)                                                    \
        [ident] = { .id = (ident),                                                                \
                    .name = (operation),                                                          \
                    .method = (verb_method),                                                      \
                    .path = (pattern),                                                            \
                    .verb = (cli),                                                                \
                    .access = (who),                                                              \
                    .flags = (bits),                                                              \
                    .in = (rows),                                                                 \
                    .in_size = sizeof(input),                                                     \
                    .status = (code),                                                             \
                    .out = (reply),                                                               \
                    .out_is_array = (is_array),                                                   \
                    .errors = (failures),                                                         \
                    .summary = (text) },
#include "contract/routes.def"
#undef ROUTE
};

const Route *route_by_name(const char *name) {
        for (unsigned i = 0; i < _ROUTE_MAX; i++)
                if (streq(route_table[i].name, name))
                        return &route_table[i];
        return NULL;
}

bool route_has_session(const Route *r) {
        const char *rest = str_startswith(r->path, "/sessions/{id}");

        return rest && (*rest == '\0' || *rest == '/');
}

bool route_is_keyed(const Route *r) {
        return streq(r->method, "POST") && !(r->flags & ROUTE_UNKEYED);
}

const char *route_access_to_string(RouteAccess a) {
        static const char *const words[_ROUTE_ACCESS_MAX] = {
                [ACCESS_PUBLIC] = "public", [ACCESS_READ] = "read",   [ACCESS_WRITE] = "write",
                [ACCESS_ADMIN] = "admin",   [ACCESS_LOCAL] = "local",
        };

        assert(a < _ROUTE_ACCESS_MAX);
        return words[a];
}
