/* SPDX-License-Identifier: MIT */
#pragma once

/* Short ways to write a row of a field table. S is the input struct, m its member; further
 * designated initialisers follow. */

#include <stddef.h>

#include "contract/examples.h"
#include "contract/inputs.h"

#define BODY(S, m, t, ...) \
        { .name = #m, .type = (t), .place = FIELD_BODY, .offset = offsetof(S, m), __VA_ARGS__ }
#define QUERY(S, m, t, ...) \
        { .name = #m, .type = (t), .place = FIELD_QUERY, .offset = offsetof(S, m), __VA_ARGS__ }
#define PATH(S, m, text)                                                                          \
        {                                                                                         \
                .name = #m, .type = FIELD_STRING, .place = FIELD_PATH,                            \
                .flags = FIELD_REQUIRED | FIELD_ANY_TEXT, .offset = offsetof(S, m), .doc = (text) \
        }
#define HEADER(S, m, header, text)                                                         \
        {                                                                                  \
                .name = (header), .type = FIELD_STRING, .place = FIELD_HEADER, .max = 256, \
                .offset = offsetof(S, m), .doc = (text)                                    \
        }
/* A member of a reply. */
#define OUT(n, t, fl, ...) \
        { .name = (n), .type = (t), .flags = (fl), __VA_ARGS__ }

#define SESSION_ID(S) PATH(S, id, "the session's id; GET /sessions?ref= finds it by its name")
/* Further initialisers: the default, if there is one. */
#define LIMIT(S, most, ...)                                                                    \
        QUERY(S, limit, FIELD_INT, .min = 1, .max = (most),                                    \
              .doc = "at most so many; Link rel=next leads on if there is more" __VA_OPT__(, ) \
                      __VA_ARGS__)
#define PAGE_DEFAULT .fallback = "1000"
/* How many messages an answer carries. */
#define MESSAGES(S, n, text)                                                                      \
        QUERY(S, messages, FIELD_STRING, .max = 20, .pattern = "^(all|[0-9]+)$", .fallback = (n), \
              .doc = (text))

/* Defines the table `var` of the rows var_fields. */
#define TABLE(var, component, text, ...)                               \
        const FieldTable var = { .name = (component),                  \
                                 .fields = var##_fields,               \
                                 .n_fields = ELEMENTSOF(var##_fields), \
                                 .doc = (text) __VA_OPT__(, ) __VA_ARGS__ }

enum {
        NAME_BYTES_MAX = 256,
        TEXT_BYTES_MAX = 1024,
        KEY_BYTES_MAX = 512,
        PATH_BYTES_MAX = 4095,
        PAGE_ITEMS_MAX = 1000,
        LIST_ITEMS_MAX = 100000, /* lists whose items have a small size */
        TOOLS_MAX = 4096,
        LABELS_MAX = 64,
        METADATA_MAX = 64,
        EMBEDDING_MAX = 4096,
        MEMORY_TEXT_MAX = 1 << 20,
        TTL_SECONDS_MAX = 50 * 365 * 86400,
        WAIT_SECONDS_MAX = 300,
};
