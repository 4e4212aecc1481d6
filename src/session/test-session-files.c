/* SPDX-License-Identifier: MIT */

/* Sessions with a workspace: checkpoints hold the files, restores bring them back with the
 * conversation, forks get their own; also when the daemon dies between the two halves of a restore.
 * With the real module and real folders. */

#include <stdio.h>
#include <sys/wait.h>

#include "session/test-session.h"

static char *folder_of(Fixture *f, const char *name) {
        char *path = path_join(f->dir, name);

        assert_non_null(path);
        return path;
}

static void put(const char *folder, const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(folder, name);

        assert_int_equal(fs_mkdir_p(folder, 0700), 0);
        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static void assert_file(const char *folder, const char *name, const char *text) {
        _cleanup_free_ char *path = path_join(folder, name), *is = NULL;
        size_t n;
        int r = fs_read_file(AT_FDCWD, path, 1000, &is, &n);

        if (!text) {
                assert_int_equal(r, -ENOENT);
                return;
        }
        assert_int_equal(r, 0);
        assert_string_equal(is, text);
}

static int files_setup(void **state) {
        assert_int_equal(fixture_setup(state), 0);

        Fixture *f = *state;
        f->module = getenv("AGENTD_WORKSPACE_MODULE");
        assert_non_null(f->module);
        fixture_reopen(f);
        return 0;
}

#define FILES_TEST(fn) cmocka_unit_test_setup_teardown(fn, files_setup, fixture_teardown)

static Session *make_with_files(Fixture *f, const char *folder, bool has_agent) {
        SessionCreate c = {
                .namespace_id = 1,
                .name = "files",
                .model = "m",
                .workspace = folder,
                .agent = has_agent ? AGENT_JSON : (JsonSpan){},
        };

        return get(f, AWAIT_ID(f, session_create(f->m, &c, DONE)));
}

static uint64_t save(Fixture *f, Session *s) {
        return AWAIT_ID(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, "save", DONE));
}

static void test_restore_brings_back_files_and_messages_together_and_can_be_undone(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work");
        uint64_t cp, later;

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, false);
        append(f, s, "user", "1");
        cp = save(f, s);
        put(folder, "a", "two");
        put(folder, "b", "new");
        append(f, s, "user", "2");
        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        assert_file(folder, "a", "one");
        assert_file(folder, "b", NULL);
        assert_int_equal(session_info(s)->message_count, 1);
        later = session_info(s)->checkpoint;
        assert_int_equal(AWAIT(f, session_restore(s, later, 0, DONE)), 0);
        assert_file(folder, "a", "two");
        assert_file(folder, "b", "new");
        assert_int_equal(session_info(s)->message_count, 2);
}

static void test_resume_at_a_checkpoint_starts_the_agent_on_its_files(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work");
        uint64_t cp;

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, true);
        assert_int_equal(AWAIT(f, session_start(s, DONE)), 0);
        settle(f);
        cp = save(f, s);
        put(folder, "a", "two");
        assert_int_equal(AWAIT(f, session_resume(s, cp, DONE)), 0);
        assert_file(folder, "a", "one");
        settle(f);
        assert_state(s, "active");
        assert_int_equal(f->agent.started, 2);
        assert_int_equal(f->agent.stopped, 1);
}

static void test_a_fork_has_files_of_its_own(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work"), *other = folder_of(f, "fork"),
                            *third = folder_of(f, "third");
        uint64_t cp, id;

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, false);
        cp = save(f, s);
        put(folder, "a", "two");
        assert_int_equal(session_fork(s, cp, 0, NULL, NULL, NULL, NULL), SESSION_E_NO_WORKSPACE);
        assert_int_equal(session_fork(s, cp, 0, NULL, folder, NULL, NULL), SESSION_E_WORKSPACE_BUSY);
        id = AWAIT_ID(f, session_fork(s, cp, 0, NULL, other, DONE));
        assert_string_equal(session_info(get(f, id))->workspace, other);
        assert_file(other, "a", "one");
        put(other, "a", "fork");
        assert_file(folder, "a", "two");
        assert_int_equal(AWAIT(f, session_fork(s, 0, 0, "now", third, DONE)), 0);
        assert_file(third, "a", "two");
        _cleanup_free_ char *full = folder_of(f, "full");
        put(full, "x", "y");
        assert_int_equal(AWAIT(f, session_fork(s, cp, 0, NULL, full, DONE)), -ENOTEMPTY);
        assert_int_equal(session_count(f->m, -1), 3);
}

static void test_a_folder_another_running_session_uses_is_not_written_over(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work");
        uint64_t cp;

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, false), *other = make_with_files(f, folder, false);
        cp = save(f, s);
        put(folder, "a", "two");
        assert_int_equal(AWAIT(f, session_start(other, DONE)), 0);
        assert_int_equal(session_restore(s, cp, 0, NULL, NULL), SESSION_E_WORKSPACE_BUSY);
        assert_int_equal(AWAIT(f, session_stop(other, DONE)), 0);
        assert_int_equal(AWAIT(f, session_restore(s, cp, 0, DONE)), 0);
        assert_file(folder, "a", "one");
}

static void test_a_missing_folder_fails_a_checkpoint_that_was_asked_for_but_not_a_stop(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work");

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, false);
        assert_int_equal(AWAIT(f, session_start(s, DONE)), 0);
        assert_int_equal(fs_remove_tree(AT_FDCWD, folder), 0);
        assert_int_equal(AWAIT(f, session_checkpoint(s, 0, CHECKPOINT_MANUAL, NULL, DONE)),
                         SESSION_E_NOT_DURABLE);
        assert_int_equal(AWAIT(f, session_stop(s, DONE)), 0);
        assert_state(s, "exited");
}

/* ---- a restore cut in two ---- */

static int leave_at_restored(const EventInfo *e, void *userdata) {
        (void) userdata;
        if (e->type == EVENT_RESTORED)
                _exit(0); /* the conversation has moved, no file has */
        return 0;
}

static _Noreturn void restore_and_die(Fixture *f, uint64_t id, uint64_t cp) {
        SessionSubscription *sub;
        Wait w = {};

        fixture_open(f);
        if (session_subscribe(f->m, 0, 0, leave_at_restored, NULL, &sub) < 0)
                _exit(2);
        (void) await(f, session_restore(session_get(f->m, id), cp, 0, wait_done, &w), &w);
        _exit(3);
}

static void test_a_restore_cut_in_two_is_finished_at_the_next_start(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work");
        uint64_t id, cp;
        int status;

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, false);
        id = session_info(s)->id;
        append(f, s, "user", "1");
        cp = save(f, s);
        append(f, s, "user", "2");
        put(folder, "a", "two");
        fixture_close(f);

        pid_t pid = fork();
        if (pid == 0)
                restore_and_die(f, id, cp);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
        assert_file(folder, "a", "two");

        fixture_open(f);
        s = get(f, id);
        assert_int_equal(session_info(s)->message_count, 1);
        while (s->ops)
                assert_return_code(sd_event_run(f->event, USEC_PER_SEC), 0);
        assert_file(folder, "a", "one");
}

static void test_a_restore_whose_files_cannot_be_brought_back_leaves_the_conversation(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *folder = folder_of(f, "work");
        uint64_t cp, branch;

        put(folder, "a", "one");
        Session *s = make_with_files(f, folder, false);
        append(f, s, "user", "1");
        cp = save(f, s);
        append(f, s, "user", "2");
        branch = session_info(s)->branch;
        put(folder, "a", "two");
        assert_int_equal(AWAIT(f, session_var_set(s, 0, "v", JSON_LITERAL("1"), 0, DONE)), 0);
        /* A folder that cannot be written: a file stands in its place. */
        assert_int_equal(fs_remove_tree(AT_FDCWD, folder), 0);
        put(f->dir, "work", "not a folder");
        assert_true(AWAIT(f, session_restore(s, cp, 0, DONE)) < 0);
        assert_int_equal(session_info(s)->branch, branch);
        assert_int_equal(session_info(s)->message_count, 2);
        assert_true(session_info(s)->vars > 0);
        append(f, s, "user", "3");
        fixture_reopen(f);
        assert_int_equal(session_info(session_next(f->m, 0))->message_count, 3);
        assert_int_equal(session_info(session_next(f->m, 0))->branch, branch);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FILES_TEST(test_restore_brings_back_files_and_messages_together_and_can_be_undone),
                FILES_TEST(test_resume_at_a_checkpoint_starts_the_agent_on_its_files),
                FILES_TEST(test_a_fork_has_files_of_its_own),
                FILES_TEST(test_a_folder_another_running_session_uses_is_not_written_over),
                FILES_TEST(test_a_missing_folder_fails_a_checkpoint_that_was_asked_for_but_not_a_stop),
                FILES_TEST(test_a_restore_cut_in_two_is_finished_at_the_next_start),
                FILES_TEST(test_a_restore_whose_files_cannot_be_brought_back_leaves_the_conversation),
        };
        return cmocka_run_group_tests_name("session files", tests, NULL, NULL);
}
