/* SPDX-License-Identifier: MIT */
#pragma once

/* A program beside a unit test, mostly a server: it says its ports on its first line and ends with
 * its standard input. */

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/test.h"

typedef struct TestProgram {
        pid_t pid;
        int input;
        char line[256]; /* what it said first */
} TestProgram;

static inline void test_program_begin(TestProgram *p, char *path) {
        char *const argv[] = { path, NULL };
        int in[2], out[2];
        posix_spawn_file_actions_t actions;

        assert_non_null(path);
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
        assert_int_equal(posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO), 0);
        assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO), 0);
        assert_int_equal(posix_spawn(&p->pid, path, &actions, NULL, argv, environ), 0);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) fd_close(in[0]);
        (void) fd_close(out[1]);
        p->input = in[1];
        FILE *lines = fdopen(out[0], "re");
        assert_non_null(lines);
        assert_non_null(fgets(p->line, sizeof(p->line), lines));
        (void) fclose(lines);
}

static inline void test_program_end(TestProgram *p) {
        p->input = fd_close(p->input);
        assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
}
