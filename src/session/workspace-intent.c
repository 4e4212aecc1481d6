/* SPDX-License-Identifier: MIT */

/* A note on disk while a restore changes a folder: what to finish or to take back after a crash. Text of five
 * lines, so that a person who finds it can read it; the folder's name in hex, for it may hold any byte. */

#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/workspace-internal.h"

#define INTENT_SIZE_MAX ((size_t) 64 << 10)

void workspace_intent_done(WorkspaceIntent *i) {
        free(i->memory);
        *i = (WorkspaceIntent){};
}

static char *hex_string(const void *data, size_t n) {
        char *s = malloc(2 * n + 1);

        if (s)
                hex_encode(data, n, s);
        return s;
}

int workspace_intent_write(const char *path, const WorkspaceIntent *i) {
        _cleanup_free_ char *folder = hex_string(i->folder, strlen(i->folder));
        _cleanup_free_ char *before = hex_string(i->before, sizeof(i->before));
        _cleanup_free_ char *target = hex_string(i->target, sizeof(i->target));
        _cleanup_buf_ Buf b = BUF_INIT(INTENT_SIZE_MAX);

        if (!folder || !before || !target)
                return -ENOMEM;
        (void) buf_printf(&b,
                          "agentd-restore 1\nnamespace %llu\nfolder %s\nbefore %s\ntarget %s\n"
                          "flags%s%s\n",
                          (unsigned long long) i->namespace_id, folder, before, target,
                          i->undo ? " undo" : "", i->fresh ? " fresh" : "");
        if (buf_error(&b) < 0)
                return buf_error(&b);
        return fs_write_file_atomic(AT_FDCWD, path, b.data, b.len, 0600);
}

static int read_oid(const char *text, uint8_t ret[static WORKSPACE_OID_SIZE]) {
        size_t n = strlen(text);

        return n == 2 * WORKSPACE_OID_SIZE ? hex_decode(text, n, ret) : -EINVAL;
}

static int read_line(WorkspaceIntent *i, const char *line) {
        const char *rest;

        if ((rest = str_startswith(line, "namespace ")))
                return str_to_u64(rest, &i->namespace_id);
        if ((rest = str_startswith(line, "before ")))
                return read_oid(rest, i->before);
        if ((rest = str_startswith(line, "target ")))
                return read_oid(rest, i->target);
        if ((rest = str_startswith(line, "flags"))) {
                i->undo = strstr(rest, " undo");
                i->fresh = strstr(rest, " fresh");
                return 0;
        }
        if ((rest = str_startswith(line, "folder "))) {
                size_t n = strlen(rest);
                if (n % 2 != 0)
                        return -EINVAL;
                free(i->memory);
                i->folder = i->memory = calloc(1, n / 2 + 1);
                return i->memory ? hex_decode(rest, n, (uint8_t *) i->memory) : -ENOMEM;
        }
        return -EINVAL;
}

int workspace_intent_read(const char *path, WorkspaceIntent *ret) {
        _cleanup_(workspace_intent_done) WorkspaceIntent i = {};
        _cleanup_free_ char *text = NULL;
        int r = fs_read_file(AT_FDCWD, path, INTENT_SIZE_MAX, &text, NULL);

        if (r < 0)
                return r;
        char *next = text, *line = strsep(&next, "\n");
        if (!streq(line, "agentd-restore 1"))
                return -EBADMSG;
        unsigned n = 0;
        for (; (line = strsep(&next, "\n")) && *line != '\0'; n++)
                if (read_line(&i, line) < 0)
                        return -EBADMSG;
        if (n != 5 || !i.folder || i.folder[0] != '/')
                return -EBADMSG;
        *ret = i;
        i = (WorkspaceIntent){};
        return 0;
}

int workspace_intent_remove(const char *path) {
        _cleanup_free_ char *folder = strdup(path);

        if (!folder)
                return -ENOMEM;
        if (unlink(path) < 0 && errno != ENOENT)
                return errno_neg();
        *strrchr(folder, '/') = '\0';
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? errno_neg() : 0;
}
