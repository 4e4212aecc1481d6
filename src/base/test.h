/* SPDX-License-Identifier: MIT */
#pragma once

/* cmocka behind the headers that it wants before it, and a temporary folder: for the unit tests of
 * all rooms. */

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "base/fs.h"
#include "base/macro.h"
#include "base/str.h"
/* clang-format on */

/* A fresh folder below $TMPDIR or /tmp, removed with its contents by test_folder_done(). */
static inline char *test_folder(void) {
        const char *base = getenv("TMPDIR");
        char *path = path_join(base ? base : "/tmp", "agentd-test-XXXXXX");

        assert_non_null(path);
        assert_non_null(mkdtemp(path));
        return path;
}

static inline void test_folder_done(char **path) {
        assert_int_equal(fs_remove_tree(AT_FDCWD, *path), 0);
        free(*path);
}

#define _cleanup_folder_ _cleanup_(test_folder_done)
