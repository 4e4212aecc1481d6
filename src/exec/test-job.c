/* SPDX-License-Identifier: MIT */

/* The exec job's format: what goes in comes out, and nothing malformed comes in. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/test.h"
#include "exec/job.h"

static char *words[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char[]){ "" },
                         (char[]){ "\xff ü \n" }, NULL };
static char *env[] = { (char[]){ "PATH=/bin" }, (char[]){ "EMPTY=" }, (char[]){ "A=b=c" }, NULL };

static const ExecJob full = {
        .argv = words,
        .env = env,
        .folder = (char[]){ "relative folder" },
        .cgroup = (char[]){ "/sys/fs/cgroup/x" },
        .stdout_path = (char[]){ "/run/out" },
        .stderr_path = (char[]){ "/run/err" },
        .subreaper = true,
        .has_nofile = true,
        .has_nice = true,
        .has_umask = true,
        .nofile = UINT64_C(1) << 40,
        .nice = -20,
        .umask = 0777,
};

static void assert_strv_equal(char *const *a, char *const *b) {
        assert_int_equal(strv_length(a), strv_length(b));
        for (size_t i = 0; a && a[i]; i++)
                assert_string_equal(a[i], b[i]);
}

static void assert_jobs_equal(const ExecJob *a, const ExecJob *b) {
        assert_strv_equal(a->argv, b->argv);
        assert_strv_equal(a->env, b->env);
        assert_true(streq_ptr(a->folder, b->folder));
        assert_true(streq_ptr(a->cgroup, b->cgroup));
        assert_true(streq_ptr(a->stdout_path, b->stdout_path));
        assert_true(streq_ptr(a->stderr_path, b->stderr_path));
        assert_int_equal(a->subreaper, b->subreaper);
        assert_int_equal(a->has_nofile, b->has_nofile);
        assert_int_equal(a->has_nice, b->has_nice);
        assert_int_equal(a->has_umask, b->has_umask);
        assert_int_equal(a->nofile, b->nofile);
        assert_int_equal(a->nice, b->nice);
        assert_int_equal(a->umask, b->umask);
}

static void test_every_member_survives_the_round_trip(void **state) {
        _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
        _cleanup_(exec_job_done) ExecJob back = {};

        assert_int_equal(exec_job_serialize(&full, &out), 0);
        assert_int_equal(exec_job_parse(out.data, out.len, &back), 0);
        assert_jobs_equal(&full, &back);
}

static void test_smallest_job_survives_the_round_trip(void **state) {
        _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
        _cleanup_(exec_job_done) ExecJob back = {};
        ExecJob job = { .argv = words };

        assert_int_equal(exec_job_serialize(&job, &out), 0);
        assert_int_equal(exec_job_parse(out.data, out.len, &back), 0);
        assert_jobs_equal(&job, &back);
}

static void test_job_without_a_program_is_refused(void **state) {
        _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
        char *none[] = { NULL };
        ExecJob job = {};

        assert_int_equal(exec_job_serialize(&job, &out), -EINVAL);
        job.argv = none;
        assert_int_equal(exec_job_serialize(&job, &out), -EINVAL);
        assert_int_equal(exec_job_parse("", 0, &job), -EBADMSG);
}

static void test_every_truncation_is_refused_or_drops_whole_records(void **state) {
        _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
        size_t accepted = 0;

        assert_int_equal(exec_job_serialize(&full, &out), 0);
        for (size_t n = 0; n < out.len; n++) {
                _cleanup_(exec_job_done) ExecJob job = {};
                /* Of exactly this size, for the sanitizer to see a step behind it. */
                _cleanup_free_ char *copy = malloc(n ? n : 1);
                int r;

                memcpy(copy, out.data, n);
                r = exec_job_parse(copy, n, &job);
                assert_true(r == 0 || r == -EBADMSG);
                accepted += r == 0;
        }
        /* After each record but the last: 4 words, 3 assignments, 8 others. */
        assert_int_equal(accepted, 4 + 3 + 8 - 1);
}

typedef struct BadRecord {
        const char *why;
        uint32_t tag;
        const char *data;
        size_t n;
} BadRecord;

static void put(Buf *out, uint32_t tag, const char *data, size_t n) {
        uint32_t head[2] = { tag, (uint32_t) n };

        assert_int_equal(buf_append(out, head, sizeof(head)), 0);
        assert_int_equal(buf_append(out, data, n), 0);
}

static void test_wrong_values_are_refused(void **state) {
        static const BadRecord bad[] = {
                { "tag 0", 0, "x", 1 },
                { "unknown tag", _EXEC_TAG_MAX, "x", 1 },
                { "huge tag", UINT32_MAX, "x", 1 },
                { "NUL inside", EXEC_TAG_ARG, "a\0b", 3 },
                { "NUL at the end", EXEC_TAG_ARG, "a", 2 },
                { "no equals sign", EXEC_TAG_ENV, "NAME", 4 },
                { "no name", EXEC_TAG_ENV, "=value", 6 },
                { "empty assignment", EXEC_TAG_ENV, "", 0 },
                { "empty folder", EXEC_TAG_FOLDER, "", 0 },
                { "empty FIFO", EXEC_TAG_STDOUT, "", 0 },
                { "flag with a value", EXEC_TAG_SUBREAPER, "1", 1 },
                { "no number", EXEC_TAG_NOFILE, "", 0 },
                { "not a number", EXEC_TAG_NOFILE, "12x", 3 },
                { "negative limit", EXEC_TAG_NOFILE, "-1", 2 },
                { "nice above 19", EXEC_TAG_NICE, "20", 2 },
                { "nice below -20", EXEC_TAG_NICE, "-21", 3 },
                { "nice without digits", EXEC_TAG_NICE, "-", 1 },
                { "umask above 0777", EXEC_TAG_UMASK, "1000", 4 },
                { "umask not octal", EXEC_TAG_UMASK, "8", 1 },
                { "umask with a sign", EXEC_TAG_UMASK, "-1", 2 },
                { "umask without digits", EXEC_TAG_UMASK, "", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
                ExecJob job = {};

                put(&out, EXEC_TAG_ARG, "true", 4);
                put(&out, bad[i].tag, bad[i].data, bad[i].n);
                if (exec_job_parse(out.data, out.len, &job) != -EBADMSG)
                        fail_msg("%s was accepted", bad[i].why);
                assert_null(job.argv);
        }
}

static void test_only_words_and_assignments_may_come_twice(void **state) {
        static const struct {
                uint32_t tag;
                const char *value;
        } once[] = { { EXEC_TAG_FOLDER, "a" }, { EXEC_TAG_CGROUP, "/a" },  { EXEC_TAG_STDOUT, "a" },
                     { EXEC_TAG_STDERR, "a" }, { EXEC_TAG_SUBREAPER, "" }, { EXEC_TAG_NOFILE, "1" },
                     { EXEC_TAG_NICE, "1" },   { EXEC_TAG_UMASK, "1" } };

        for (size_t i = 0; i < ELEMENTSOF(once); i++) {
                _cleanup_buf_ Buf out = BUF_INIT(EXEC_JOB_MAX);
                _cleanup_(exec_job_done) ExecJob job = {};
                ExecJob again = {};

                put(&out, EXEC_TAG_ARG, "true", 4);
                put(&out, once[i].tag, once[i].value, strlen(once[i].value));
                assert_int_equal(exec_job_parse(out.data, out.len, &job), 0);
                put(&out, once[i].tag, once[i].value, strlen(once[i].value));
                assert_int_equal(exec_job_parse(out.data, out.len, &again), -EBADMSG);
        }
}

static void test_memfd_is_sealed_and_holds_the_job(void **state) {
        _cleanup_(exec_job_done) ExecJob back = {};
        _cleanup_free_ char *data = NULL;
        struct stat st;
        int fd = exec_job_to_memfd(&full);

        assert_true(fd >= 0);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(fcntl(fd, F_GET_SEALS),
                         F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        assert_int_equal(pwrite(fd, "x", 1, 0), -1);
        assert_int_equal(fstat(fd, &st), 0);
        data = malloc((size_t) st.st_size);
        assert_int_equal(pread(fd, data, (size_t) st.st_size, 0), st.st_size);
        assert_int_equal(exec_job_parse(data, (size_t) st.st_size, &back), 0);
        assert_jobs_equal(&full, &back);
        (void) close(fd);
}

static void test_job_that_is_too_large_is_refused(void **state) {
        _cleanup_free_ char *text = malloc(EXEC_JOB_MAX + 1);
        char *argv[] = { text, NULL };
        ExecJob job = { .argv = argv };

        memset(text, 'a', EXEC_JOB_MAX);
        text[EXEC_JOB_MAX] = '\0';
        assert_int_equal(exec_job_to_memfd(&job), -E2BIG);
}

static void test_every_step_has_a_name(void **state) {
        for (int step = 0; step < _EXEC_STEP_MAX; step++) {
                assert_non_null(exec_step_to_string(step));
                for (int other = 0; other < step; other++)
                        assert_string_not_equal(exec_step_to_string(step),
                                                exec_step_to_string(other));
        }
        assert_non_null(exec_step_to_string(_EXEC_STEP_MAX));
        assert_non_null(exec_step_to_string(-1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_member_survives_the_round_trip),
                cmocka_unit_test(test_smallest_job_survives_the_round_trip),
                cmocka_unit_test(test_job_without_a_program_is_refused),
                cmocka_unit_test(test_every_truncation_is_refused_or_drops_whole_records),
                cmocka_unit_test(test_wrong_values_are_refused),
                cmocka_unit_test(test_only_words_and_assignments_may_come_twice),
                cmocka_unit_test(test_memfd_is_sealed_and_holds_the_job),
                cmocka_unit_test(test_job_that_is_too_large_is_refused),
                cmocka_unit_test(test_every_step_has_a_name),
        };

        return cmocka_run_group_tests_name("exec-job", tests, NULL, NULL);
}
