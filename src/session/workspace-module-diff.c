/* SPDX-License-Identifier: MIT */

/* What a comparison needs of libgit2: sizes from an object's header, and patches. The texts come
 * from the caller, who has decided that they are texts and small, so libgit2's own guess at what is
 * binary is switched off. */

#include <string.h>

#include "session/workspace-module-internal.h"

int store_size(WorkspaceStore *s, const uint8_t oid[static WORKSPACE_OID_SIZE], uint64_t *ret_bytes) {
        git_object_t type;
        git_oid id;
        size_t n;

        (void) git_oid_fromraw(&id, oid);
        errno = 0;
        int r = git_odb_read_header(&n, &type, s->disk, &id);
        if (r < 0)
                return module_error(r);
        *ret_bytes = n;
        return 0;
}

int store_patch(
        const char *path, const char *from, size_t n_from, const char *to, size_t n_to, char **ret) {
        git_diff_options options = GIT_DIFF_OPTIONS_INIT;
        git_patch *patch = NULL;
        git_buf text = {};

        options.flags |= GIT_DIFF_FORCE_TEXT;
        errno = 0;
        int r = git_patch_from_buffers(&patch, from, n_from, path, to, n_to, path, &options);
        if (r >= 0)
                r = git_patch_to_buf(&text, patch);
        char *copy = r >= 0 ? strndup(text.ptr, text.size) : NULL;
        git_buf_dispose(&text);
        git_patch_free(patch);
        if (r < 0)
                return module_error(r);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}
