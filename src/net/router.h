/* SPDX-License-Identifier: MIT */
#pragma once

/* Private to the room: how the server asks the router. http.h has the public side. */

#include "net/http.h"

#define HTTP_PATH_VALUES_MAX 8

typedef struct HttpPathValue {
        const char *name; /* of the route's pattern, not NUL-terminated */
        size_t name_n;
        const char *raw; /* in the path, still encoded */
        size_t raw_n;
} HttpPathValue;

typedef struct HttpMatch {
        const void *data;
        size_t n_values;
        HttpPathValue values[HTTP_PATH_VALUES_MAX];
} HttpMatch;

enum {
        HTTP_E_NO_ROUTE = 1,  /* nothing has this path */
        HTTP_E_NO_METHOD = 2, /* *ret_allow says which methods the path has */
};

/* Finds the route of an encoded path without its query. method may be _HTTP_METHOD_INVALID. 0, or
 * one of the conditions above. *ret_allow: bits 1 << HttpMethod. Allocates nothing. */
int http_router_match(const HttpRouter *r,
                      HttpMethod method,
                      const char *path,
                      HttpMatch *ret,
                      unsigned *ret_allow);
