/* SPDX-License-Identifier: MIT */

/* .gitignore by git's rules: single patterns from gitignore(5), and whole random folders against
 * git itself (`git ls-files --others`), where git is installed. */

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"
#include "session/test-workspace-tools.h"
#include "session/workspace-internal.h"

static bool glob_matches(const char *pattern, const char *text) {
        _cleanup_(workspace_glob_freep) WorkspaceGlob *g = NULL;

        assert_int_equal(workspace_glob_new(&g, pattern, strlen(pattern)), 0);
        return g && workspace_glob_match(g, text);
}

static void test_patterns_match_as_gitignore_says(void **state) {
        static const struct {
                const char *pattern, *text;
                bool matches;
        } rows[] = {
                { "foo", "foo", true },        { "foo", "foo/bar", false },
                { "*", "foo", true },          { "*", "a/b", false },
                { "*.c", ".c", true },         { "f?o", "fxo", true },
                { "f?o", "f/o", false },       { "**/foo", "foo", true },
                { "**/foo", "a/b/foo", true }, { "**/foo", "afoo", false },
                { "foo/**", "foo/a/b", true }, { "foo/**", "foo", false },
                { "a/**/b", "a/b", true },     { "a/**/b", "a/x/y/b", true },
                { "a/**/b", "ab", false },     { "a/***/b", "a/x/b", true },
                { "a**b", "axb", true },       { "a**b", "a/b", false },
                { "a/**b", "a/xb", true },     { "a/**b", "a/x/b", false },
                { "[a-c]x", "bx", true },      { "[!a-c]x", "bx", false },
                { "[^a-c]x", "dx", true },     { "[]-]x", "]x", true },
                { "[]-]x", "-x", true },       { "[a-]x", "-x", true },
                { "[\\]]x", "]x", true },      { "[[:digit:]]", "5", true },
                { "[[:digit:]]", "a", false }, { "[[:nonsense:]]", "a", false },
                { "a[/]b", "a/b", false },     { "a[!x]b", "a/b", false },
                { "[ab", "a", false },         { "[ab", "[ab", false },
                { "\\*", "*", true },          { "\\*", "x", false },
                { "a\\", "a", false },         { "a\\", "a\\", false },
                { "*a*b", "xaxxb", true },     { "*a*b", "xaxxbc", false },
        };

        ARRAY_FOREACH(row, rows)
                if (glob_matches(row->pattern, row->text) != row->matches)
                        fail_msg("%s and %s", row->pattern, row->text);
}

static void test_no_pattern_takes_exponential_time(void **state) {
        _cleanup_free_ char *text = malloc(4097), *pattern = malloc(2049);

        /* a backtracking matcher would not come back */
        memset(text, 'a', 4096);
        text[4096] = '\0';
        for (size_t i = 0; i < 2048; i += 2)
                memcpy(pattern + i, "*a", 2);
        pattern[2047] = 'b';
        pattern[2048] = '\0';
        assert_false(glob_matches(pattern, text));
        for (size_t i = 0; i + 4 <= 2044; i += 4)
                memcpy(pattern + i, "**/a", 4);
        assert_false(glob_matches(pattern, text));
}

static bool ignored(const char *text, const char *path, bool is_folder) {
        _cleanup_(workspace_ignore_freep) WorkspaceIgnore *i = NULL;

        assert_int_equal(workspace_ignore_new(&i, NULL, "", text, strlen(text)), 0);
        return workspace_ignore_match(i, path, is_folder);
}

static void test_lines_are_read_as_git_reads_them(void **state) {
        assert_true(ignored("foo", "a/foo", false));
        assert_false(ignored("/foo", "a/foo", false));
        assert_true(ignored("a/foo", "a/foo", false));
        assert_false(ignored("a/foo", "b/a/foo", false));
        assert_false(ignored("foo/", "foo", false));
        assert_true(ignored("foo/", "foo", true));
        assert_false(ignored("# foo\n", "# foo", false));
        assert_true(ignored("\\# foo\n", "# foo", false));
        assert_true(ignored("foo  \r\n", "foo", false));
        assert_true(ignored("foo\\ \n", "foo ", false));
        assert_true(ignored("\xef\xbb\xbf"
                            "foo\n",
                            "foo", false));
        assert_false(ignored("*.o\n!keep.o\n", "keep.o", false));
        assert_true(ignored("!keep.o\n*.o\n", "keep.o", false));
        assert_true(ignored("\\!x\n", "!x", false));
        assert_false(ignored("/\n!\n\n \n", "x", true));
}

/* ---- against git ---- */

static uint32_t random_state;

static unsigned roll(unsigned n) {
        random_state = random_state * 1664525 + 1013904223;
        return (random_state >> 8) % n;
}

static const char *const words[] = { "a", "b", "ab", "a.o", "b.c", "x y", "[a]", "!b", "#c", "a b " };

static void random_pattern(Buf *out) {
        static const char *const parts[] = { "a",   "b",     "ab",   "*.o", "?",   "*",
                                             "**",  "[ab]*", "[!a]", "b*",  "x y", "a.*",
                                             "***", "\\[a]", "\\!b", "*b" };
        unsigned n = 1 + roll(3);

        (void) buf_puts(out, roll(4) == 0 ? "!" : "");
        (void) buf_puts(out, roll(4) == 0 ? "/" : "");
        for (unsigned i = 0; i < n; i++) {
                (void) buf_puts(out, i > 0 ? "/" : "");
                (void) buf_puts(out, parts[roll(ELEMENTSOF(parts))]);
                if (roll(6) == 0)
                        (void) buf_puts(out, parts[roll(ELEMENTSOF(parts))]);
        }
        (void) buf_puts(out, roll(4) == 0 ? "/" : "");
        (void) buf_puts(out, roll(8) == 0 ? "  " : "");
        (void) buf_puts(out, roll(8) == 0 ? "\r\n" : "\n");
}

/* NOLINTNEXTLINE(misc-no-recursion): three deep */
static void random_folder(const Place *p, const char *folder, unsigned depth) {
        for (unsigned i = 0; i < 5; i++) {
                _cleanup_free_ char *path =
                        str_printf("%s%s", folder, words[roll(ELEMENTSOF(words))]);
                if (exists(p, path))
                        continue;
                if (depth < 3 && roll(2) == 0) {
                        _cleanup_free_ char *below = str_printf("%s/", path);
                        put_folder(p, path);
                        random_folder(p, below, depth + 1);
                } else
                        put(p, path, "x");
        }
        if (depth == 0 || roll(3) == 0) {
                _cleanup_buf_ Buf text = BUF_INIT(4096);
                _cleanup_free_ char *path = str_printf("%s.gitignore", folder);
                for (unsigned i = 0; i < 1 + roll(4); i++)
                        random_pattern(&text);
                put_bytes(p, path, text.data, text.len);
        }
}

/* NUL-terminated names, sorted by strcmp() below; -ENOENT without git. */
static int run_git(const Place *p, const char *const *arguments, char **ret, size_t *ret_n) {
        _cleanup_free_ char *output = path_join(p->root, "output");
        const char *argv[16] = { "git", "-C", p->folder };
        posix_spawn_file_actions_t actions;
        int status;
        pid_t pid;

        for (size_t i = 0; arguments[i]; i++)
                argv[3 + i] = arguments[i];
        assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
        assert_int_equal(posix_spawn_file_actions_addopen(&actions, 1, output,
                                                          O_WRONLY | O_CREAT | O_TRUNC, 0600),
                         0);
        int r = posix_spawnp(&pid, "git", &actions, NULL, (char **) (uintptr_t) argv, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
        if (r != 0)
                return -r;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        return fs_read_file(AT_FDCWD, output, SIZE_MAX / 2, ret, ret_n);
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static char *join_sorted(char **names) {
        _cleanup_buf_ Buf out = BUF_INIT(SIZE_MAX / 2);
        size_t n = strv_length(names);

        if (names)
                qsort(names, n, sizeof(char *), compare_names);
        for (size_t i = 0; names && i < n; i++)
                (void) buf_printf(&out, "%s\n", names[i]);
        return buf_take(&out, NULL);
}

static char *names_by_git(const Place *p) {
        static const char *const list[] = { "ls-files", "--others",
                                            "--exclude-per-directory=.gitignore", "-z", NULL };
        _cleanup_free_ char *text = NULL;
        _cleanup_strv_ char **names = NULL;
        size_t n;

        assert_int_equal(run_git(p, list, &text, &n), 0);
        for (const char *s = text; s < text + n; s += strlen(s) + 1)
                assert_int_equal(strv_extend(&names, s), 0);
        return join_sorted(names);
}

static char *names_by_scan(const Place *p, const WorkspaceModule *module, WorkspaceStore *store) {
        _cleanup_close_ int fd = open(p->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(workspace_list_done) WorkspaceList list = {};
        _cleanup_strv_ char **names = NULL;
        WorkspaceReader reader = {
                .module = module, .store = store, .root_fd = fd, .file_size_max = 1 << 20
        };

        assert_int_equal(workspace_scan(&reader, &list), 0);
        for (size_t i = 0; i < list.n; i++)
                if (workspace_entry_is_stored(&list.entries[i]))
                        assert_int_equal(strv_extend(&names, list.entries[i].path), 0);
        return join_sorted(names);
}

static void test_random_folders_are_read_as_git_reads_them(void **state) {
        static const char *const init[] = { "init", "-q", NULL };
        Place *p = *state;
        _cleanup_free_ char *repository = path_join(p->root, "repository"), *text = NULL;
        const WorkspaceModule *module;
        WorkspaceStore *store;
        char error[256];

        if (run_git(p, init, &text, NULL) == -ENOENT)
                skip();
        assert_int_equal(workspace_module_load(NULL, &module, error, sizeof(error)), 0);
        assert_int_equal(module->start(), 0);
        assert_int_equal(module->open(&store, repository), 0);
        for (unsigned round = 0; round < 150; round++) {
                random_state = round;
                ARRAY_FOREACH(word, words)
                        if (exists(p, *word))
                                drop(p, *word);
                random_folder(p, "", 0);
                _cleanup_free_ char *by_git = names_by_git(p);
                _cleanup_free_ char *by_us = names_by_scan(p, module, store);
                if (!streq(by_git, by_us)) {
                        print_error("round %u in %s\n", round, p->folder);
                        assert_string_equal(by_us, by_git);
                }
        }
        (void) module->close(store);
        module->stop();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_patterns_match_as_gitignore_says),
                cmocka_unit_test(test_no_pattern_takes_exponential_time),
                cmocka_unit_test(test_lines_are_read_as_git_reads_them),
                cmocka_unit_test_setup_teardown(test_random_folders_are_read_as_git_reads_them,
                                                place_setup, place_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
