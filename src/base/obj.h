/* SPDX-License-Identifier: MIT */
#pragma once

/* Magic words: an object that comes back through `void *userdata` starts with `uint32_t magic` and
 * is checked on arrival, so that a stale pointer dies at once and says where. */

#include "base/macro.h"

#define OBJ_CHECK(p, word) assert((p) && (p)->magic == (word))

/* Casts userdata to TYPE* after checking its magic word. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type in parentheses declares nothing */
#define OBJ_CAST(type, userdata, word) \
        ({                             \
                type *_o = (userdata); \
                OBJ_CHECK(_o, word);   \
                _o;                    \
        })
/* NOLINTEND(bugprone-macro-parentheses) */
