/* SPDX-License-Identifier: MIT */

/* Where the work is, as a row of open folders. Moving to another folder keeps what both paths
 * share, so that work in sorted order opens each folder once. openat2() with RESOLVE_BENEATH would
 * do the same in one call but is missing behind older container filters, and resolves from the top
 * each time.
 *
 * Holding all levels open costs at most WORKSPACE_DEPTH_MAX descriptors per pool thread; going up
 * through ".." instead would lose the way when the agent moves or removes a folder meanwhile. */

#include <fcntl.h>

#include "session/workspace-internal.h"

static void cut(WorkspaceCursor *c, size_t depth) {
        while (c->depth > depth)
                (void) fd_close(c->fds[c->depth--]);
        if (c->path)
                c->path[c->ends[c->depth]] = '\0';
}

void workspace_cursor_done(WorkspaceCursor *c) {
        cut(c, 0);
        free(c->path);
        c->path = NULL;
}

void workspace_cursor_leave(WorkspaceCursor *c) {
        cut(c, 0);
}

/* The deepest open level whose folder is `folder` or stands above it. */
static size_t shared_depth(const WorkspaceCursor *c, const char *folder, size_t n) {
        size_t depth = c->depth;

        for (; depth > 0; depth--) {
                size_t end = c->ends[depth];
                if (end <= n && memcmp(c->path, folder, end) == 0 && (folder[end] == '/' || end == n))
                        break;
        }
        return depth;
}

static int step_into(WorkspaceCursor *c, const char *folder, size_t start, size_t end) {
        if (c->depth == WORKSPACE_DEPTH_MAX)
                return -ENAMETOOLONG;

        _cleanup_free_ char *name = strndup(folder + start, end - start);
        if (!name)
                return -ENOMEM;
        int fd = openat(c->fds[c->depth], name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return errno_neg();
        memcpy(c->path, folder, end);
        c->path[end] = '\0';
        c->fds[++c->depth] = fd;
        c->ends[c->depth] = end;
        return 0;
}

static int enter(WorkspaceCursor *c, const char *folder, size_t n) {
        size_t depth = shared_depth(c, folder, n);

        cut(c, depth);
        char *grown = realloc(c->path, MAX(n, c->ends[depth]) + 1);
        if (!grown)
                return -ENOMEM;
        c->path = grown;
        c->path[c->ends[depth]] = '\0';
        for (size_t at = c->ends[depth]; at < n;) {
                size_t start = folder[at] == '/' ? at + 1 : at;
                const char *slash = memchr(folder + start, '/', n - start);
                size_t end = slash ? (size_t) (slash - folder) : n;
                int r = step_into(c, folder, start, end);
                if (r < 0)
                        return r;
                at = end;
        }
        return c->fds[c->depth];
}

int workspace_cursor_enter(WorkspaceCursor *c, const char *folder) {
        return enter(c, folder, strlen(folder));
}

int workspace_cursor_enter_parent(WorkspaceCursor *c, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        int r = enter(c, path, slash ? (size_t) (slash - path) : 0);

        if (r >= 0)
                *ret_name = slash ? slash + 1 : path;
        return r;
}
