/* SPDX-License-Identifier: MIT */

/* See test-workspace-tools.h. */

#include "session/test-workspace-tools.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/str.h"

int place_setup(void **state) {
        Place *p = calloc(1, sizeof(Place));
        const char *tmp = getenv("TMPDIR");

        assert_non_null(p);
        p->root = str_printf("%s/agentd-workspace-XXXXXX", tmp ? tmp : "/tmp");
        assert_non_null(mkdtemp(p->root));
        p->data = path_join(p->root, "data");
        p->folder = path_join(p->root, "folder");
        assert_int_equal(mkdir(p->folder, 0755), 0);
        place_restart(p, 0);
        *state = p;
        return 0;
}

void place_restart(Place *p, uint64_t file_size_max) {
        p->manager = workspace_manager_free(p->manager);
        p->event = sd_event_unref(p->event);
        assert_int_equal(sd_event_new(&p->event), 0);
        assert_int_equal(workspace_manager_new(&p->manager, p->event, p->data, NULL, file_size_max),
                         0);
}

int place_teardown(void **state) {
        Place *p = *state;

        (void) workspace_manager_free(p->manager);
        (void) sd_event_unref(p->event);
        assert_int_equal(fs_remove_tree(AT_FDCWD, p->root), 0);
        free(p->root);
        free(p->data);
        free(p->folder);
        free(p);
        return 0;
}

static void on_done(int r, const WorkspaceResult *result, void *userdata) {
        Place *p = userdata;

        p->r = r;
        p->result = *result;
        p->finished = true;
}

static int wait_for(Place *p, int r) {
        assert_int_equal(r, 0);
        p->finished = false;
        while (!p->finished)
                assert_true(sd_event_run(p->event, UINT64_MAX) >= 0);
        if (p->r < 0)
                assert_true(p->result.message[0] != '\0');
        return p->r;
}

int take_r(Place *p, const char *folder, Tree *ret) {
        int r = wait_for(p, workspace_snapshot(p->manager, 1, folder, on_done, p));

        memcpy(ret->id, p->result.tree, sizeof(ret->id));
        return r;
}

static void assert_worked(const Place *p, int r) {
        if (r < 0)
                fail_msg("%s: %s", strerror(-r), p->result.message);
}

Tree take(Place *p) {
        Tree t;

        assert_worked(p, take_r(p, p->folder, &t));
        return t;
}

int restore_r(Place *p, const Tree *t) {
        return wait_for(p, workspace_restore(p->manager, 1, p->folder, t->id, on_done, p));
}

void restore(Place *p, const Tree *t) {
        assert_worked(p, restore_r(p, t));
}

int materialize_r(Place *p, const char *folder, const Tree *t) {
        int r = wait_for(p, workspace_materialize(p->manager, 1, folder, t->id, on_done, p));
        WorkspaceResult result = p->result;

        if (r >= 0)
                r = wait_for(p, workspace_settle(p->manager, 1, folder, on_done, p));
        p->result = result;
        return r;
}

char *at(const Place *p, const char *path) {
        char *s = path_join(p->folder, path);

        assert_non_null(s);
        return s;
}

void put_folder(const Place *p, const char *path) {
        _cleanup_free_ char *s = at(p, path);

        assert_int_equal(fs_mkdir_p(s, 0755), 0);
}

void put_bytes(const Place *p, const char *path, const void *data, size_t n) {
        _cleanup_free_ char *s = at(p, path), *parent = strdup(path);
        char *slash = strrchr(parent, '/');

        if (slash) {
                *slash = '\0';
                put_folder(p, parent);
        }
        _cleanup_close_ int fd = open(s, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, n), 0);
}

void put(const Place *p, const char *path, const char *text) {
        put_bytes(p, path, text, strlen(text));
}

void drop(const Place *p, const char *path) {
        _cleanup_free_ char *s = at(p, path);

        if (unlink(s) < 0)
                assert_int_equal(fs_remove_tree(AT_FDCWD, s), 0);
}

bool exists(const Place *p, const char *path) {
        _cleanup_free_ char *s = at(p, path);
        struct stat st;

        return lstat(s, &st) == 0;
}

void assert_text(const Place *p, const char *path, const char *text) {
        _cleanup_free_ char *s = at(p, path), *have = NULL;

        assert_int_equal(fs_read_file(AT_FDCWD, s, SIZE_MAX / 2, &have, NULL), 0);
        assert_string_equal(have, text);
}

void put_many(const Place *p, unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *path = str_printf("d%u/s%u/f%u", i % 10, i / 10 % 10, i);
                _cleanup_free_ char *text = str_printf("file %u\n", i);
                put(p, path, text);
        }
}

static int not_git(const struct dirent *d) {
        return !streq(d->d_name, ".") && !streq(d->d_name, "..") && !streq(d->d_name, ".git");
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static void describe_content(Buf *out, int dir_fd, const char *name, const struct stat *st) {
        if (S_ISLNK(st->st_mode)) {
                char target[4096];
                ssize_t n = readlinkat(dir_fd, name, target, sizeof(target));
                assert_true(n >= 0);
                (void) buf_append(out, target, (size_t) n);
        } else if (S_ISREG(st->st_mode)) {
                _cleanup_free_ char *data = NULL;
                size_t n;
                assert_int_equal(fs_read_file(dir_fd, name, SIZE_MAX / 2, &data, &n), 0);
                (void) buf_append(out, data, n);
        }
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as the tests make their folders */
static void describe_folder(Buf *out, int dir_fd, const char *prefix) {
        struct dirent **names;
        int n = scandirat(dir_fd, ".", &names, not_git, by_bytes);

        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = str_printf("%s/%s", prefix, names[i]->d_name);
                struct stat st;
                assert_int_equal(fstatat(dir_fd, names[i]->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
                (void) buf_printf(out, "%o %s ", st.st_mode, path);
                describe_content(out, dir_fd, names[i]->d_name, &st);
                (void) buf_putc(out, '\n');
                if (S_ISDIR(st.st_mode)) {
                        int fd = openat(dir_fd, names[i]->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        assert_true(fd >= 0);
                        describe_folder(out, fd, path);
                        (void) fd_close(fd);
                }
                free(names[i]);
        }
        free(names);
}

char *describe(const char *folder) {
        _cleanup_buf_ Buf out = BUF_INIT(SIZE_MAX / 2);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        describe_folder(&out, fd, "");
        char *text = buf_take(&out, NULL);
        assert_non_null(text);
        return text;
}

unsigned count_names(const char *folder) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);
        unsigned n = 0;

        assert_non_null(dir);
        while (readdir(dir))
                n++;
        return n - 2;
}

/* NOLINTNEXTLINE(misc-no-recursion): a repository is three deep */
static uint64_t bytes_below(int dir_fd) {
        struct dirent **names;
        int n = scandirat(dir_fd, ".", &names, not_git, by_bytes);
        uint64_t sum = 0;

        assert_true(n >= 0);
        for (int i = 0; i < n; i++) {
                struct stat st;
                assert_int_equal(fstatat(dir_fd, names[i]->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
                sum += S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0;
                if (S_ISDIR(st.st_mode)) {
                        int fd = openat(dir_fd, names[i]->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                        assert_true(fd >= 0);
                        sum += bytes_below(fd);
                        (void) fd_close(fd);
                }
                free(names[i]);
        }
        free(names);
        return sum;
}

uint64_t repository_bytes(const Place *p) {
        _cleanup_free_ char *path = str_printf("%s/workspaces/%016x.git/objects", p->data, 1U);
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_true(fd >= 0);
        return bytes_below(fd);
}
