/* SPDX-License-Identifier: MIT */

/* The manifest of a recorded workspace, which is read before a restore writes and removes files.
 * The input is the manifest's text, a NUL, and the paths that the tree has, a line each. What is
 * accepted leaves a sorted list, whose own manifest is read again as the same one. */

#include <stdio.h>

#include "base/str.h"
#include "session/workspace-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PATHS_MAX 64

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void make_list(WorkspaceList *l, const char *paths) {
        _cleanup_free_ char *copy = strdup(paths);
        char *rest = copy;

        require(copy != NULL, "out of memory\n");
        for (char *path; l->n < PATHS_MAX && (path = strsep(&rest, "\n"));) {
                WorkspaceEntry *e;

                if (path[0] == '\0' || path[0] == '/' || workspace_list_find(l, path))
                        continue;
                require(workspace_list_add(l, path, WORKSPACE_FILE, &e) == 0, "no room\n");
                e->mode = 0644;
                workspace_list_sort(l);
        }
}

static void check_sorted(const WorkspaceList *l) {
        for (size_t i = 1; i < l->n; i++)
                require(workspace_path_compare(l->entries[i - 1].path, l->entries[i].path) <= 0,
                        "the list is not sorted\n");
}

static void check_again(const WorkspaceList *l, const char *paths) {
        _cleanup_buf_ Buf first = BUF_INIT(64 << 20), second = BUF_INIT(64 << 20);
        _cleanup_(workspace_list_done) WorkspaceList again = {};

        require(workspace_manifest_write(l, &first) == 0, "an accepted manifest cannot be written\n");
        make_list(&again, paths);
        require(workspace_manifest_read(&again, first.data, first.len) == 0,
                "a written manifest is refused\n");
        require(workspace_manifest_write(&again, &second) == 0,
                "a manifest cannot be written again\n");
        require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
                "a manifest changes on its way out and in\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(workspace_list_done) WorkspaceList list = {};
        const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
        size_t n = nul ? (size_t) (nul - data) : size;
        _cleanup_free_ char *text = malloc(n > 0 ? n : 1);
        _cleanup_free_ char *paths = nul ? strndup((const char *) nul + 1, size - n - 1) : strdup("");

        require(text && paths, "out of memory\n");
        memcpy(text, data, n);
        make_list(&list, paths);
        int r = workspace_manifest_read(&list, text, n);
        require(r == 0 || r == -EBADMSG || r == -E2BIG, "an undocumented error\n");
        if (r == 0) {
                check_sorted(&list);
                check_again(&list, paths);
        }
        return 0;
}
