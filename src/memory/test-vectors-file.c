/* SPDX-License-Identifier: MIT */

/* The files of an index: what a save leaves, what a crash leaves, what damage does, that what was
 * erased is gone, and a disk that is full. */

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "memory/test-vectors.h"

#define FILE_MAX ((size_t) 64 << 20)

static const uint64_t both[] = { 1, 2 };

static VectorQuery query(const float *numbers, size_t n) {
        return (VectorQuery){
                .vector = numbers,
                .n = n,
                .scopes = both,
                .n_scopes = 2,
                .limit = 10,
                .min_score = -1,
        };
}

/* Opens the same files for the same world. */
static uint64_t reopen(World *w, const char *path) {
        uint64_t sequence = UINT64_MAX;

        w->index = vector_index_free(w->index);
        assert_int_equal(vector_index_open(&w->index, path, w->dimensions, &sequence), 0);
        return sequence;
}

static void check_searches(World *w) {
        float x[VECTOR_DIMENSIONS_MAX];

        for (int i = 0; i < 6; i++) {
                world_normal(w, x);
                VectorQuery q = query(x, w->dimensions);
                q.exact = i % 2;
                if (q.exact)
                        world_check(w, &q);
                else
                        assert_true(world_recall(w, &q) >= 0.9);
        }
}

static size_t count(const World *w) {
        VectorIndexStats stats;

        vector_index_stats(w->index, &stats);
        return stats.n;
}

static void a_saved_index_is_taken_as_it_was(void **unused) {
        static const unsigned dimensions[] = { 1, 100, 384 };

        for (size_t i = 0; i < ELEMENTSOF(dimensions); i++) {
                _cleanup_folder_ char *folder = test_folder();
                _cleanup_free_ char *path = path_join(folder, "v");
                _cleanup_(world_done) World w;

                world_init(&w, dimensions[i], path);
                w.index->large_from = 200;
                for (uint64_t id = 1; id <= 777; id++)
                        world_put_normal(&w, id % 9 ? 1 : 2, id);
                for (uint64_t id = 1; id <= 777; id += 4)
                        (void) world_erase(&w, id);
                assert_int_equal(vector_index_save(w.index, 12345), 0);
                assert_int_equal(reopen(&w, path), 12345);
                w.index->large_from = 200;
                assert_int_equal(count(&w), w.n);
                check_searches(&w);
                /* it goes on from there */
                for (uint64_t id = 700; id <= 900; id++)
                        world_put_normal(&w, 1, id);
                for (uint64_t id = 1; id <= 300; id++)
                        (void) world_erase(&w, id);
                check_searches(&w);
                assert_int_equal(vector_index_save(w.index, 12346), 0);
                assert_int_equal(reopen(&w, path), 12346);
                assert_int_equal(count(&w), w.n);
                check_searches(&w);
        }
}

static void what_was_not_saved_is_put_again(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;

        world_init(&w, 64, path);
        for (uint64_t id = 1; id <= 100; id++)
                world_put_normal(&w, 1, id);
        assert_int_equal(vector_index_save(w.index, 7), 0);
        float x[64];
        world_normal(&w, x);
        for (uint64_t id = 90; id <= 200; id++)
                assert_int_equal(vector_index_put(w.index, 1, id, x), 0);
        for (uint64_t id = 1; id <= 20; id++)
                assert_true(vector_index_erase(w.index, id));
        assert_int_equal(reopen(&w, path), 7);
        assert_int_equal(count(&w), 100);
        check_searches(&w);
}

static void write_file(const char *path, const void *data, size_t n) {
        _cleanup_close_ int fd = open(path, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(fd_write_all(fd, data, n), 0);
}

static void a_damaged_table_is_emptied(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v"), *table = path_join(folder, "v.table");
        _cleanup_free_ char *data = NULL, *rows = NULL;
        _cleanup_(world_done) World w;
        size_t n, n_rows;

        world_init(&w, 64, path);
        for (uint64_t id = 1; id <= 100; id++)
                world_put_normal(&w, 1, id);
        assert_int_equal(vector_index_save(w.index, 7), 0);
        assert_int_equal(fs_read_file(AT_FDCWD, table, FILE_MAX, &data, &n), 0);
        assert_int_equal(fs_read_file(AT_FDCWD, path, FILE_MAX, &rows, &n_rows), 0);
        for (size_t i = 0; i < 40; i++) {
                size_t at = i < 20 ? i * 7 : i * n / 40;
                bool is_cut = i % 2;

                data[at] = (char) (data[at] ^ 4);
                write_file(table, data, is_cut ? at : n);
                write_file(path, rows, n_rows);
                data[at] = (char) (data[at] ^ 4);
                assert_int_equal(reopen(&w, path), 0);
                assert_int_equal(count(&w), 0);
        }
        /* as it was: sound again */
        write_file(table, data, n);
        write_file(path, rows, n_rows);
        assert_int_equal(reopen(&w, path), 7);
        check_searches(&w);
        /* a table without its rows, and rows without their table */
        assert_int_equal(unlink(path), 0);
        assert_int_equal(reopen(&w, path), 0);
        write_file(path, rows, n_rows);
        assert_int_equal(reopen(&w, path), 0);
        /* rows that were cut */
        write_file(table, data, n);
        write_file(path, rows, n_rows / 2);
        assert_int_equal(reopen(&w, path), 0);
        /* usable after it */
        float x[64];
        world_normal(&w, x);
        assert_int_equal(vector_index_put(w.index, 1, 1, x), 0);
        assert_int_equal(count(&w), 1);
}

static void another_dimension_is_emptied(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;

        world_init(&w, 64, path);
        world_put_normal(&w, 1, 1);
        assert_int_equal(vector_index_save(w.index, 7), 0);
        w.dimensions = 65;
        assert_int_equal(reopen(&w, path), 0);
        assert_int_equal(count(&w), 0);
}

/* Whether the bytes are in one of the folder's files. */
static bool is_in_files(const char *folder, const void *bytes, size_t n) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);
        bool is_found = false;

        assert_non_null(dir);
        for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
                _cleanup_free_ char *data = NULL;
                size_t len;

                if (e->d_name[0] == '.')
                        continue;
                assert_int_equal(fs_read_file(dirfd(dir), e->d_name, FILE_MAX, &data, &len), 0);
                is_found = is_found || memmem(data, len, bytes, n);
        }
        return is_found;
}

/* Looks through memory in pieces that overlap. */
_unused_ static bool range_has(int fd, size_t from, size_t to, const void *wanted, size_t n) {
        enum { PIECE = 1 << 16 };
        uint8_t copy[PIECE];
        bool is_found = false;

        for (; from < to && !is_found; from += PIECE - n) {
                ssize_t got = pread(fd, copy, MIN((size_t) PIECE, to - from), (off_t) from);
                is_found = got > 0 && memmem(copy, (size_t) got, wanted, n);
        }
        explicit_bzero(copy, sizeof(copy));
        return is_found;
}

/* In any writable memory or mapped file of this process, but for `except`, where the test keeps them. */
_unused_ static bool is_in_memory(const void *wanted, size_t n, const void *except) {
        _cleanup_free_ char *maps = NULL;
        _cleanup_close_ int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        uint8_t *at = (uint8_t *) (uintptr_t) except;
        bool is_found = false;
        size_t len;

        assert_true(fd >= 0);
        assert_int_equal(fs_read_file(AT_FDCWD, "/proc/self/maps", FILE_MAX, &maps, &len), 0);
        /* what is looked for is hidden from the look, bit for bit */
        for (size_t i = 0; i < n; i++)
                at[i] ^= 0x55;
        for (char *rest = maps, *line; (line = strsep(&rest, "\n")) && !is_found;) {
                char *end;
                size_t from = strtoul(line, &end, 16);
                size_t to = *end == '-' ? strtoul(end + 1, &end, 16) : 0;

                if (!str_startswith(end, " r") || to - from > FILE_MAX || strstr(line, "[v"))
                        continue;
                uint8_t plain[64];
                for (size_t i = 0; i < n; i++)
                        plain[i] = at[i] ^ 0x55;
                /* the copy on this stack is no finding */
                if ((uintptr_t) plain >= from && (uintptr_t) plain < to)
                        continue;
                is_found = range_has(fd, from, to, plain, n);
        }
        for (size_t i = 0; i < n; i++)
                at[i] ^= 0x55;
        return is_found;
}

static void check_memory(const uint8_t bytes[32], bool is_expected) {
        /* AddressSanitizer keeps stacks elsewhere, with the copies that the look itself makes */
#ifndef __SANITIZE_ADDRESS__
        assert_int_equal(is_in_memory(bytes, 32, bytes), is_expected);
#endif
}

/* Some bytes of the middle of what is stored of an id: of its row, and of its code. */
static void note_stored(const World *w, uint64_t id, uint8_t row[32], uint8_t code[32]) {
        VectorBlock *b;
        unsigned slot;

        assert_true(vector_ids_find(w->index, id, &b, &slot));
        memcpy(row, (const uint8_t *) vector_row(w->index, b, slot) + 64, 32);
        const VectorCodes *codes = atomic_load(&b->codes);
        assert_non_null(codes);
        memcpy(code, codes->rows + slot * w->index->coder.width + 64, 32);
}

static void what_was_erased_is_in_no_file_and_no_memory(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;
        uint8_t rows[3][32], codes[3][32];

        world_init(&w, 128, path);
        for (uint64_t id = 1; id <= 300; id++)
                world_put_normal(&w, id > 280 ? 2 : 1, id);
        assert_int_equal(vector_index_save(w.index, 1), 0);
        note_stored(&w, 50, rows[0], codes[0]);  /* in a full block */
        note_stored(&w, 280, rows[1], codes[1]); /* in one that fills */
        note_stored(&w, 300, rows[2], codes[2]); /* with all its scope, and what was put last */
        for (size_t i = 0; i < 3; i++) {
                assert_true(is_in_files(folder, rows[i], 32));
                assert_true(is_in_files(folder, codes[i], 32));
                check_memory(rows[i], true);
                check_memory(codes[i], true);
        }
        assert_true(world_erase(&w, 50));
        assert_true(world_erase(&w, 280));
        world_erase_scope(&w, 2);
        assert_int_equal(vector_index_save(w.index, 2), 0);
        for (size_t i = 0; i < 3; i++) {
                assert_false(is_in_files(folder, rows[i], 32));
                assert_false(is_in_files(folder, codes[i], 32));
                check_memory(rows[i], false);
                check_memory(codes[i], false);
        }
        assert_int_equal(reopen(&w, path), 2);
        check_searches(&w);
}

static void a_replaced_vector_is_gone_too(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;
        uint8_t row[32], code[32];

        world_init(&w, 128, path);
        world_put_normal(&w, 1, 1);
        note_stored(&w, 1, row, code);
        assert_int_equal(vector_index_save(w.index, 1), 0);
        assert_true(is_in_files(folder, row, 32));
        world_put_normal(&w, 1, 1);
        assert_int_equal(vector_index_save(w.index, 2), 0);
        assert_false(is_in_files(folder, row, 32));
        assert_false(is_in_files(folder, code, 32));
        check_searches(&w);
}

/* The power fails when the new table has its name and the rows are not wiped yet. */
static void what_a_save_came_not_to_wipe_is_wiped_when_opened(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;
        _cleanup_free_ char *rows = NULL;
        uint8_t row[32], code[32];
        size_t n;

        world_init(&w, 128, path);
        for (uint64_t id = 1; id <= 100; id++)
                world_put_normal(&w, 1, id);
        assert_int_equal(vector_index_save(w.index, 1), 0);
        note_stored(&w, 50, row, code);
        assert_true(world_erase(&w, 50));
        assert_int_equal(fs_read_file(AT_FDCWD, path, FILE_MAX, &rows, &n), 0);
        assert_int_equal(vector_index_save(w.index, 2), 0);
        assert_false(is_in_files(folder, row, 32));
        write_file(path, rows, n);
        assert_true(is_in_files(folder, row, 32));
        assert_int_equal(reopen(&w, path), 2);
        assert_int_equal(count(&w), w.n);
        assert_false(is_in_files(folder, row, 32));
        check_searches(&w);
}

/* The file keeps no row that was put after the last save before a crash: it may have been erased
 * from the database since. */
static void a_crash_leaves_no_row_that_nobody_knows(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;
        uint8_t row[32], code[32], other[32];

        world_init(&w, 128, path);
        world_put_normal(&w, 1, 1);
        assert_int_equal(vector_index_save(w.index, 1), 0);
        float x[128];
        world_normal(&w, x);
        assert_int_equal(vector_index_put(w.index, 1, 2, x), 0);
        note_stored(&w, 2, row, code);
        for (uint64_t id = 3; id < 100; id++)
                assert_int_equal(vector_index_put(w.index, 1, id, x), 0);
        world_normal(&w, x);
        assert_int_equal(vector_index_put(w.index, 2, 200, x), 0);
        note_stored(&w, 200, other, code);
        assert_true(is_in_files(folder, row, 32));
        assert_true(is_in_files(folder, other, 32));
        assert_int_equal(reopen(&w, path), 1);
        assert_int_equal(count(&w), 1);
        assert_false(is_in_files(folder, row, 32));
        assert_false(is_in_files(folder, other, 32));
        check_searches(&w);
}

/* Puts id i = number i of a known stream in each step, erases some, saves now and then, until killed. */
static _Noreturn void child_main(const char *path, uint64_t from, int report) {
        VectorIndex *v = NULL;
        uint64_t sequence;

        if (vector_index_open(&v, path, 16, &sequence) < 0 || sequence != from)
                _exit(2);
        v->large_from = 100;
        for (uint64_t i = sequence + 1;; i++) {
                float x[16];
                for (unsigned d = 0; d < 16; d++)
                        x[d] = sinf((float) (i * 16 + d));
                if (vector_index_put(v, 1 + i % 2, 1 + i % 900, x) < 0)
                        _exit(3);
                if (i % 3 == 0)
                        (void) vector_index_erase(v, 1 + i * 7 % 900);
                if (i % 37 != 0)
                        continue;
                if (vector_index_save(v, i) < 0)
                        _exit(4);
                if (write(report, &i, sizeof(i)) != (ssize_t) sizeof(i))
                        _exit(5);
        }
}

/* The same without an index: which number an id has after so many steps; 0: none. */
static void replay(uint64_t steps, uint64_t numbers[901]) {
        memset(numbers, 0, 901 * sizeof(numbers[0]));
        for (uint64_t i = 1; i <= steps; i++) {
                numbers[1 + i % 900] = i;
                if (i % 3 == 0)
                        numbers[1 + i * 7 % 900] = 0;
        }
}

static void check_is_after(const char *path, uint64_t steps) {
        _cleanup_(vector_index_freep) VectorIndex *v = NULL;
        uint64_t numbers[901], sequence;
        float want[16], got[16];

        assert_int_equal(vector_index_open(&v, path, 16, &sequence), 0);
        assert_int_equal(sequence, steps);
        replay(steps, numbers);
        for (uint64_t id = 1; id <= 900; id++) {
                assert_int_equal(vector_index_get(v, id, got), numbers[id] != 0);
                if (numbers[id] == 0)
                        continue;
                for (unsigned d = 0; d < 16; d++)
                        want[d] = sinf((float) (numbers[id] * 16 + d));
                vector_normalise(want, 16);
                assert_memory_equal(want, got, sizeof(want));
                VectorHit hit = {};
                size_t n;
                VectorQuery q = query(want, 16);
                q.exact = true;
                q.limit = 1;
                assert_int_equal(vector_index_search(v, &q, &hit, &n, NULL), 0);
                assert_int_equal(n, 1);
                assert_true(hit.score > 0.9999F);
        }
}

/* Kills a process that puts and saves, at random instants; what it said was saved is there, whole. */
static void kills_lose_no_save(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        uint64_t known = 0;

        for (unsigned round = 0; round < 25; round++) {
                uint64_t said = known, last = known;
                int pipe_fds[2], status;

                assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
                pid_t pid = fork();
                assert_true(pid >= 0);
                if (pid == 0)
                        child_main(path, known, pipe_fds[1]);
                (void) close(pipe_fds[1]);
                /* after some saves, and then somewhere in what comes next */
                for (unsigned i = 0; i <= round % 4; i++)
                        assert_int_equal(read(pipe_fds[0], &said, sizeof(said)), sizeof(said));
                (void) usleep(round * 37 % 1500);
                assert_int_equal(kill(pid, SIGKILL), 0);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                while (read(pipe_fds[0], &last, sizeof(last)) == (ssize_t) sizeof(last))
                        said = last;
                (void) close(pipe_fds[0]);
                /* the last that was reported, or the one that was under way */
                VectorIndex *v = NULL;
                assert_int_equal(vector_index_open(&v, path, 16, &known), 0);
                (void) vector_index_free(v);
                assert_true(known == said || known == said + 37);
                check_is_after(path, known);
        }
}

/* Root can mount; others in a user namespace, if the machine lets them. */
static int enter_small_disk(const char *folder) {
        _cleanup_free_ char *map = str_printf("0 %u 1", getuid());

        if (unshare(CLONE_NEWNS) < 0) {
                if (!map || unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
                        return errno_neg();
                int r = fs_write_attribute(AT_FDCWD, "/proc/self/uid_map", map);
                if (r < 0)
                        return r;
        }
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                return errno_neg();
        return mount("tmpfs", folder, "tmpfs", 0, "size=1m") < 0 ? errno_neg() : 0;
}

/* Runs in a child, whose exit status is the line where it failed. */
#define OR_EXIT(x)                                 \
        do {                                       \
                if (!(x))                          \
                        _exit(__LINE__ % 255 + 1); \
        } while (false)

static _Noreturn void fill_disk(const char *path) {
        VectorIndex *v = NULL;
        VectorIndexStats before, after;
        uint64_t sequence, id = 0;
        VectorHit hit;
        size_t n;
        float x[384];
        int r = 0;

        OR_EXIT(vector_index_open(&v, path, 384, &sequence) == 0);
        while (r == 0) {
                for (unsigned d = 0; d < 384; d++)
                        x[d] = sinf((float) (id * 384 + d));
                vector_index_stats(v, &before);
                r = vector_index_put(v, 1, ++id, x);
                if (id == 20)
                        OR_EXIT(vector_index_save(v, 20) == 0);
        }
        OR_EXIT(r == -ENOSPC && id > 100);
        vector_index_stats(v, &after);
        OR_EXIT(after.n == id - 1 && before.n == after.n);
        OR_EXIT(!vector_index_get(v, id, x));
        /* replacing needs room as well, and leaves the old one */
        OR_EXIT(vector_index_put(v, 1, 7, x) == -ENOSPC && vector_index_get(v, 7, x));
        VectorQuery q = query(x, 384);
        q.limit = 1;
        OR_EXIT(vector_index_search(v, &q, &hit, &n, NULL) == 0 && n == 1 && hit.id == 7);
        /* no room for a table: the one before stays */
        OR_EXIT(vector_index_save(v, 99) == -ENOSPC);
        OR_EXIT(vector_index_erase(v, 7));
        v = vector_index_free(v);
        OR_EXIT(vector_index_open(&v, path, 384, &sequence) == 0 && sequence == 20);
        vector_index_stats(v, &after);
        OR_EXIT(after.n == 20);
        (void) vector_index_free(v);
        _exit(0);
}

static void a_full_disk_changes_nothing(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        int status;

        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                if (enter_small_disk(folder) < 0)
                        _exit(255);
                fill_disk(path);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 255) {
                test_folder_done(&folder);
                skip(); /* nothing can be mounted here */
        }
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

static void erasing_most_gives_the_space_back(void **unused) {
        _cleanup_folder_ char *folder = test_folder();
        _cleanup_free_ char *path = path_join(folder, "v");
        _cleanup_(world_done) World w;
        struct stat before, after;

        world_init(&w, 384, path);
        for (uint64_t id = 1; id <= 2000; id++)
                world_put_normal(&w, 1, id);
        assert_int_equal(vector_index_save(w.index, 1), 0);
        assert_int_equal(stat(path, &before), 0);
        for (uint64_t id = 1; id <= 2000; id++)
                if (id % 10)
                        (void) world_erase(&w, id);
        assert_int_equal(vector_index_save(w.index, 2), 0);
        assert_int_equal(stat(path, &after), 0);
        print_message("%ld KiB, then %ld KiB\n", (long) before.st_blocks / 2,
                      (long) after.st_blocks / 2);
        assert_true(after.st_blocks < before.st_blocks / 2);
        check_searches(&w);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_saved_index_is_taken_as_it_was),
                cmocka_unit_test(what_was_not_saved_is_put_again),
                cmocka_unit_test(a_damaged_table_is_emptied),
                cmocka_unit_test(another_dimension_is_emptied),
                cmocka_unit_test(what_was_erased_is_in_no_file_and_no_memory),
                cmocka_unit_test(a_replaced_vector_is_gone_too),
                cmocka_unit_test(what_a_save_came_not_to_wipe_is_wiped_when_opened),
                cmocka_unit_test(a_crash_leaves_no_row_that_nobody_knows),
                cmocka_unit_test(kills_lose_no_save),
                cmocka_unit_test(a_full_disk_changes_nothing),
                cmocka_unit_test(erasing_most_gives_the_space_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
