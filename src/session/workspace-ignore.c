/* SPDX-License-Identifier: MIT */

/* .gitignore files, by git's rules (gitignore(5), checked against `git check-ignore` in the tests):
 *
 * - the last matching pattern of a file decides; a file deeper down decides before one above it;
 * - `!` takes back; a slash at the end means folders only; a slash elsewhere anchors the pattern to
 * the folder of its file, without one it is matched against the last part of the path;
 * - nothing below an ignored folder can be taken back: the caller does not look into it.
 *
 * Only .gitignore is read. .git/info/exclude and core.excludesFile belong to the person at the
 * keyboard, not to the folder, and would make a restore depend on whose daemon it is. */

#include "session/workspace-internal.h"

typedef struct Pattern {
        WorkspaceGlob *glob;
        bool negated, folders_only, anchored;
} Pattern;

struct WorkspaceIgnore {
        const WorkspaceIgnore *parent;
        size_t folder_length; /* bytes of the path to leave out, with the slash */
        Pattern *patterns;
        size_t n, cap;
};

WorkspaceIgnore *workspace_ignore_free(WorkspaceIgnore *i) {
        if (!i)
                return NULL;
        for (size_t k = 0; k < i->n; k++)
                workspace_glob_free(i->patterns[k].glob);
        free(i->patterns);
        free(i);
        return NULL;
}

static int add_pattern(WorkspaceIgnore *i, Pattern pattern) {
        if (i->n == i->cap) {
                size_t cap = MAX(i->cap * 2, (size_t) 16);
                Pattern *grown = reallocarray(i->patterns, cap, sizeof(Pattern));
                if (!grown) {
                        workspace_glob_free(pattern.glob);
                        return -ENOMEM;
                }
                i->patterns = grown;
                i->cap = cap;
        }
        i->patterns[i->n++] = pattern;
        return 0;
}

/* Length without the spaces at the end; an escaped one stays. */
static size_t without_trailing_spaces(const char *line, size_t n) {
        size_t keep = 0;

        for (size_t i = 0; i < n; i++) {
                if (line[i] == '\\' && i + 1 < n)
                        keep = ++i + 1;
                else if (line[i] != ' ')
                        keep = i + 1;
        }
        return keep;
}

static int add_line(WorkspaceIgnore *i, const char *line, size_t n) {
        Pattern pattern = {};

        if (n > 0 && line[n - 1] == '\r')
                n--;
        if (n == 0 || line[0] == '#')
                return 0;
        n = without_trailing_spaces(line, n);
        if (n > 0 && line[0] == '!') {
                pattern.negated = true;
                line++;
                n--;
        }
        if (n > 0 && line[n - 1] == '/') {
                pattern.folders_only = true;
                n--;
        }
        pattern.anchored = memchr(line, '/', n) != NULL;
        if (n > 0 && line[0] == '/') {
                line++;
                n--;
        }
        if (n == 0)
                return 0;
        int r = workspace_glob_new(&pattern.glob, line, n);
        return r < 0 || !pattern.glob ? r : add_pattern(i, pattern);
}

int workspace_ignore_new(WorkspaceIgnore **ret,
                         const WorkspaceIgnore *parent,
                         const char *folder,
                         const char *text,
                         size_t n) {
        static const char mark[] = "\xef\xbb\xbf";
        _cleanup_(workspace_ignore_freep) WorkspaceIgnore *i = calloc(1, sizeof(WorkspaceIgnore));

        if (!i)
                return -ENOMEM;
        i->parent = parent;
        i->folder_length = strlen(folder) + (folder[0] != '\0');
        const char *p = text, *end = text + n;
        if (n >= strlen(mark) && memcmp(p, mark, strlen(mark)) == 0)
                p += strlen(mark);
        while (p < end) {
                const char *newline = memchr(p, '\n', (size_t) (end - p));
                const char *stop = newline ? newline : end;
                int r = add_line(i, p, (size_t) (stop - p));
                if (r < 0)
                        return r;
                p = newline ? newline + 1 : end;
        }
        *ret = TAKE_PTR(i);
        return 0;
}

static const Pattern *find_pattern(const WorkspaceIgnore *i, const char *path, bool is_folder) {
        const char *below = path + i->folder_length, *slash = strrchr(below, '/');
        const char *name = slash ? slash + 1 : below;

        for (size_t k = i->n; k-- > 0;) {
                const Pattern *p = &i->patterns[k];
                if (p->folders_only && !is_folder)
                        continue;
                if (workspace_glob_match(p->glob, p->anchored ? below : name))
                        return p;
        }
        return NULL;
}

bool workspace_ignore_match(const WorkspaceIgnore *ignore, const char *path, bool is_folder) {
        for (; ignore; ignore = ignore->parent) {
                const Pattern *p = find_pattern(ignore, path, is_folder);
                if (p)
                        return !p->negated;
        }
        return false;
}
