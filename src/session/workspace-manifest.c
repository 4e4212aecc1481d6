/* SPDX-License-Identifier: MIT */

/* The manifest: what a git tree cannot say, as lines that people can read with `git show TREE:manifest`.
 *
 *     agentd-workspace 1
 *     folder 0700 - cache            a folder that is empty, or of another mode
 *     file 0600 1000:1000 key.pem    a file of another mode; owner if not the workspace's
 *     link 0777 0:0 current          a link with an owner of its own
 *     skip size - big.iso            there, but not recorded, and why
 *
 * One line per exception, and what is usual follows the umask of whoever works there. In the list's
 * order, so the same folder has the same manifest. Times are not in it: touching a file is no change.
 * Control characters and '%' in names are %XX. The folder itself is ".". A newer version of the format
 * will have another number in its first line and is refused. */

#include "base/str.h"
#include "session/workspace-internal.h"

#define FIRST_LINE "agentd-workspace 1"
#define MODES      04000u /* permissions and, of folders, two bits more */

static const char *const skip_names[_WORKSPACE_SKIP_MAX] = {
        [WORKSPACE_SKIP_IGNORED] = "ignored",   [WORKSPACE_SKIP_SIZE] = "size",
        [WORKSPACE_SKIP_SOCKET] = "socket",     [WORKSPACE_SKIP_FIFO] = "fifo",
        [WORKSPACE_SKIP_DEVICE] = "device",     [WORKSPACE_SKIP_UNREADABLE] = "unreadable",
        [WORKSPACE_SKIP_DEEP] = "deep",         [WORKSPACE_SKIP_MOUNT] = "mount",
        [WORKSPACE_SKIP_CHANGING] = "changing", [WORKSPACE_SKIP_OWN] = "agentd",
};

static const char *const kind_names[_WORKSPACE_KIND_MAX] = {
        [WORKSPACE_FOLDER] = "folder",
        [WORKSPACE_FILE] = "file",
        [WORKSPACE_LINK] = "link",
        [WORKSPACE_SKIP] = "skip",
};

const char *workspace_skip_to_string(WorkspaceSkip s) {
        return skip_names[s];
}

static int name_index(const char *const *names, int n, const char *word) {
        for (int i = 0; i < n; i++)
                if (streq(names[i], word))
                        return i;
        return -EBADMSG;
}

/* ---- writing ---- */

typedef enum Class {
        CLASS_FILE,
        CLASS_PROGRAM,
        CLASS_FOLDER,
        _CLASS_MAX,
} Class;

typedef struct Usual {
        unsigned modes[_CLASS_MAX];
} Usual;

static const Usual usual_default = { { 0644, 0755, 0755 } };

/* Of files and folders only. */
static Class class_of(const WorkspaceEntry *e) {
        if (e->kind == WORKSPACE_FOLDER)
                return CLASS_FOLDER;
        return e->mode & 0100 ? CLASS_PROGRAM : CLASS_FILE;
}

static bool has_usual_mode(const Usual *usual, const WorkspaceEntry *e) {
        return e->mode == usual->modes[class_of(e)];
}

static int find_usual(const WorkspaceList *l, Usual *ret) {
        _cleanup_free_ uint32_t *counts = calloc((size_t) _CLASS_MAX * MODES, sizeof(uint32_t));

        if (!counts)
                return -ENOMEM;
        *ret = usual_default;
        for (size_t i = 0; i < l->n; i++) {
                const WorkspaceEntry *e = &l->entries[i];
                if (e->kind == WORKSPACE_FILE || e->kind == WORKSPACE_FOLDER)
                        counts[(unsigned) class_of(e) * MODES + e->mode]++;
        }
        for (unsigned c = 0; c < _CLASS_MAX; c++) {
                const uint32_t *of = counts + c * MODES;
                for (unsigned mode = 0; mode < MODES; mode++)
                        if (of[mode] > of[ret->modes[c]])
                                ret->modes[c] = mode;
        }
        return 0;
}

static bool has_content(const WorkspaceList *l, size_t folder) {
        const char *path = l->entries[folder].path;

        for (size_t i = folder + 1; i < l->n; i++) {
                const char *rest = str_startswith(l->entries[i].path, path);
                if (!rest || (path[0] != '\0' && rest[0] != '/'))
                        return false;
                if (workspace_entry_is_stored(&l->entries[i]))
                        return true;
        }
        return false;
}

static bool needs_line(const WorkspaceList *l, const Usual *usual, size_t i) {
        const WorkspaceEntry *e = &l->entries[i];

        switch ((WorkspaceKind) e->kind) {
        case WORKSPACE_SKIP:
                return true;
        case WORKSPACE_LINK:
                return e->foreign;
        case WORKSPACE_FILE:
                return e->foreign || !has_usual_mode(usual, e);
        case WORKSPACE_FOLDER:
                return e->foreign || !has_usual_mode(usual, e) ||
                       (e->path[0] != '\0' && !has_content(l, i));
        case _WORKSPACE_KIND_MAX:
                break;
        }
        return false;
}

/* A line's end and '%' itself are all that reading it back needs; the rest is for whoever looks at it. */
static bool is_plain(char c) {
        return (uint8_t) c >= 0x20 && c != 0x7f && c != '%';
}

static void write_path(Buf *out, const char *path) {
        if (path[0] == '\0')
                path = ".";
        (void) str_put_percent(out, path, is_plain);
        (void) buf_putc(out, '\n');
}

static void write_line(Buf *out, const WorkspaceEntry *e) {
        (void) buf_printf(out, "%s ", kind_names[e->kind]);
        if (e->kind == WORKSPACE_SKIP)
                (void) buf_printf(out, "%s ", skip_names[e->skip]);
        else
                (void) buf_printf(out, "%04o ", (unsigned) e->mode);
        if (e->foreign)
                (void) buf_printf(out, "%u:%u ", e->uid, e->gid);
        else
                (void) buf_puts(out, "- ");
        write_path(out, e->path);
}

int workspace_manifest_write(const WorkspaceList *l, Buf *out) {
        Usual usual;
        int r = find_usual(l, &usual);

        if (r < 0)
                return r;
        (void) buf_printf(out, FIRST_LINE "\nusual %04o %04o %04o\n", usual.modes[CLASS_FILE],
                          usual.modes[CLASS_PROGRAM], usual.modes[CLASS_FOLDER]);
        for (size_t i = 0; i < l->n; i++)
                if (needs_line(l, &usual, i))
                        write_line(out, &l->entries[i]);
        return buf_error(out);
}

/* ---- reading ---- */

static int read_path(const char *text, Buf *out) {
        buf_clear(out);
        for (const char *p = text; *p != '\0'; p++) {
                uint8_t byte;
                if (*p != '%') {
                        (void) buf_putc(out, *p);
                        continue;
                }
                if (p[1] == '\0' || p[2] == '\0' || hex_decode(p + 1, 2, &byte) < 0 || byte == 0)
                        return -EBADMSG;
                (void) buf_putc(out, (char) byte);
                p += 2;
        }
        return buf_error(out);
}

/* Relative, without empty parts, ".", ".." and ".git". */
static bool path_is_sound(const char *path) {
        size_t depth = 0;

        for (const char *p = path;; p++) {
                size_t n = strcspn(p, "/");
                if (n == 0 || (n == 1 && p[0] == '.') || (n == 2 && memcmp(p, "..", 2) == 0) ||
                    (n == 4 && memcmp(p, ".git", 4) == 0) || ++depth > WORKSPACE_DEPTH_MAX + 1)
                        return false;
                p += n;
                if (*p == '\0')
                        return true;
        }
}

/* A number up to max; *p behind it. */
static int read_number(const char **p, int base, uint32_t max, unsigned *ret) {
        const char *s = *p;
        uint64_t n = 0;

        for (; *s >= '0' && *s - '0' < base && n <= max; s++)
                n = n * (unsigned) base + (uint64_t) (*s - '0');
        if (s == *p || n > max)
                return -EBADMSG;
        *p = s;
        *ret = (unsigned) n;
        return 0;
}

static int read_mode(const char *text, WorkspaceEntry *e) {
        unsigned mode;
        int r = read_number(&text, 8, MODES - 1, &mode);

        if (r < 0 || *text != '\0')
                return -EBADMSG;
        e->mode = (uint16_t) mode;
        return 0;
}

static int read_owner(const char *text, WorkspaceEntry *e) {
        if (streq(text, "-"))
                return 0;
        if (read_number(&text, 10, UINT32_MAX, &e->uid) < 0 || *text++ != ':' ||
            read_number(&text, 10, UINT32_MAX, &e->gid) < 0 || *text != '\0')
                return -EBADMSG;
        e->foreign = true;
        return 0;
}

static int read_line(char *line, Buf *path, WorkspaceEntry *ret) {
        char *save = NULL, *kind = strtok_r(line, " ", &save), *what = strtok_r(NULL, " ", &save);
        char *owner = strtok_r(NULL, " ", &save);
        if (!owner || !save || *save == '\0')
                return -EBADMSG;
        int r = name_index(kind_names, ELEMENTSOF(kind_names), kind);
        if (r < 0)
                return r;
        *ret = (WorkspaceEntry){ .kind = (uint8_t) r };
        if (ret->kind == WORKSPACE_SKIP) {
                r = name_index(skip_names, ELEMENTSOF(skip_names), what);
                ret->skip = (uint8_t) r;
        } else
                r = read_mode(what, ret);
        if (r >= 0)
                r = read_owner(owner, ret);
        if (r >= 0)
                r = read_path(save, path);
        if (r >= 0 && streq(path->data, ".")) {
                buf_clear(path);
                path->data[0] = '\0';
        } else if (r >= 0 && !path_is_sound(path->data))
                r = -EBADMSG;
        return r;
}

static int take_line(WorkspaceList *l, size_t n_sorted, const WorkspaceEntry *line, const char *path) {
        WorkspaceEntry *e = workspace_list_find(&(WorkspaceList){ l->entries, n_sorted, 0 }, path);

        if (e && e->kind != line->kind)
                return -EBADMSG;
        if (!e) {
                /* a file or a link without content makes no sense */
                if (line->kind != WORKSPACE_FOLDER && line->kind != WORKSPACE_SKIP)
                        return -EBADMSG;
                int r = workspace_list_add(l, path, line->kind, &e);
                if (r < 0)
                        return r;
        }
        e->skip = line->skip;
        e->mode = line->mode;
        e->foreign = line->foreign;
        e->uid = line->uid;
        e->gid = line->gid;
        return 0;
}

static int read_usual(WorkspaceList *l, const char *line) {
        const char *p = line ? str_startswith(line, "usual") : NULL;
        Usual usual;

        for (unsigned c = 0; c < _CLASS_MAX; c++)
                if (!p || *p++ != ' ' || read_number(&p, 8, MODES - 1, &usual.modes[c]) < 0)
                        return -EBADMSG;
        if (*p != '\0')
                return -EBADMSG;
        for (size_t i = 0; i < l->n; i++) {
                WorkspaceEntry *e = &l->entries[i];
                if (e->kind == WORKSPACE_FILE || e->kind == WORKSPACE_FOLDER)
                        e->mode = (uint16_t) usual.modes[class_of(e)];
        }
        return 0;
}

int workspace_manifest_read(WorkspaceList *l, const char *text, size_t n) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) WORKSPACE_DEPTH_MAX * 256 * 3);
        _cleanup_free_ char *copy = strndup(text, n);
        size_t n_sorted = l->n;
        WorkspaceEntry line;

        if (!copy)
                return -ENOMEM;
        char *next = copy, *first = strsep(&next, "\n");
        if (!streq(first, FIRST_LINE))
                return -EBADMSG;
        int r = read_usual(l, strsep(&next, "\n"));
        if (r < 0)
                return r;
        for (char *p; (p = strsep(&next, "\n")) && (*p != '\0' || next);) {
                r = read_line(p, &path, &line);
                if (r >= 0)
                        r = take_line(l, n_sorted, &line, path.data);
                if (r < 0)
                        return r;
        }
        workspace_list_sort(l);
        return 0;
}
