/* SPDX-License-Identifier: MIT */

/* What deleted sessions leave behind goes, and nothing else: random sessions, forks, restores and
 * deletions against reachability as a plain query works it out, with restarts in between. */

#include <dirent.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/str.h"
#include "session/test-session.h"

#define SESSIONS_MAX 12
#define LARGE        6000

typedef struct World {
        Fixture *f;
        uint64_t seed;
        uint64_t ids[SESSIONS_MAX];
        uint64_t counts[SESSIONS_MAX]; /* messages that it must have */
        size_t n;
} World;

static unsigned roll(World *w, unsigned sides) {
        w->seed = w->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (w->seed >> 33) % sides;
}

static int64_t ask(const Fixture *f, const char *sql) {
        sqlite3 *db = NULL;
        sqlite3_stmt *stmt = NULL;

        assert_int_equal(sqlite3_open_v2(f->url, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
        int64_t n = sqlite3_column_int64(stmt, 0);
        (void) sqlite3_finalize(stmt);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return n;
}

#define REACHED                                                                             \
        "WITH RECURSIVE r (id) AS (SELECT head FROM branches WHERE head IS NOT NULL UNION " \
        "SELECT n.parent FROM r JOIN nodes AS n ON n.id = r.id WHERE n.parent IS NOT NULL) "

static void check(const Fixture *f) {
        assert_int_equal(
                ask(f, REACHED "SELECT COUNT(*) FROM nodes WHERE id NOT IN (SELECT id FROM r)"), 0);
        assert_int_equal(
                ask(f, REACHED "SELECT COUNT(*) FROM r WHERE id NOT IN (SELECT id FROM nodes)"), 0);
        assert_int_equal(ask(f, "SELECT COUNT(*) FROM bodies WHERE key NOT IN "
                                "(SELECT body_key FROM nodes WHERE body_key IS NOT NULL)"),
                         0);
        assert_int_equal(ask(f, "SELECT COUNT(*) FROM nodes WHERE body_key IS NOT NULL AND "
                                "body_key NOT IN (SELECT key FROM bodies)"),
                         0);
        assert_int_equal(ask(f, "SELECT COUNT(*) FROM dead_bodies"), 0);
}

static int count_node(const NodeInfo *n, void *userdata) {
        uint64_t *count = userdata;

        assert_true(n->content.n > 0);
        (*count)++;
        return 0;
}

/* Everything that a living session has can be read. */
static void check_sessions(World *w) {
        for (size_t i = 0; i < w->n; i++) {
                _cleanup_(config_info_done) ConfigInfo config = {};
                _cleanup_buf_ Buf vars = BUF_INIT(1 << 20);
                const SessionInfo *s = session_info(get(w->f, w->ids[i]));
                uint64_t n = 0;

                assert_int_equal(s->message_count, w->counts[i]);
                assert_int_equal(session_nodes(w->f->m, s->head, 0, 0, SIZE_MAX, count_node, &n), 0);
                assert_int_equal(n, w->counts[i]);
                assert_int_equal(session_vars(w->f->m, s->vars, &vars), 0);
                assert_int_equal(session_config(w->f->m, s->config, &config), 0);
        }
}

static void add(World *w, uint64_t id) {
        w->ids[w->n] = id;
        w->counts[w->n++] = session_info(get(w->f, id))->message_count;
}

static void create(World *w) {
        SessionCreate c = {
                .namespace_id = 1,
                .name = "s",
                .model = "m",
                .variables = JSON_LITERAL("{\"a\":1}"),
        };

        if (w->n < SESSIONS_MAX)
                add(w, AWAIT_ID(w->f, session_create(w->f->m, &c, DONE)));
}

static void say(World *w, size_t i) {
        char text[LARGE];
        /* some large ones, of which some are equal */
        size_t n = roll(w, 4) == 0 ? sizeof(text) - 1 : 10;

        memset(text, 'a' + (int) roll(w, 3), n);
        text[0] = text[n - 1] = '"';
        text[n] = '\0';
        (void) append(w->f, get(w->f, w->ids[i]), "user", text);
        w->counts[i]++;
}

static int some_checkpoint(const CheckpointInfo *c, void *userdata) {
        *(uint64_t *) userdata = c->id;
        return 0;
}

static int some_node(const NodeInfo *n, void *userdata) {
        *(uint64_t *) userdata = n->id;
        return 0;
}

/* A checkpoint, a message or now (both 0). */
static void pick(World *w, const Session *s, uint64_t *checkpoint, uint64_t *node) {
        const SessionInfo *i = session_info(s);
        unsigned kind = roll(w, 3);

        *checkpoint = *node = 0;
        if (kind == 0)
                (void) session_checkpoints((Session *) (uintptr_t) s, 0, 1 + roll(w, 5),
                                           some_checkpoint, checkpoint);
        else if (kind == 1 && i->message_count > 0)
                (void) session_nodes(w->f->m, i->head, 0, 0,
                                     1 + roll(w, (unsigned) i->message_count), some_node, node);
        if (kind == 1 && roll(w, 2) == 0 && i->message_count > 3) { /* one farther up */
                NodeLight head, up;
                assert_int_equal(node_light(w->f->m, i->head, &head), 0);
                assert_int_equal(node_ancestor(w->f->m, &head,
                                               1 + roll(w, (unsigned) i->message_count), &up),
                                 0);
                *node = up.id;
        }
}

static void go_back(World *w, size_t i) {
        Session *s = get(w->f, w->ids[i]);
        uint64_t checkpoint, node;

        pick(w, s, &checkpoint, &node);
        if (checkpoint || node)
                assert_int_equal(AWAIT(w->f, session_restore(s, checkpoint, node, DONE)), 0);
        w->counts[i] = session_info(get(w->f, w->ids[i]))->message_count;
}

static void fork_one(World *w, size_t i) {
        Session *s = get(w->f, w->ids[i]);
        uint64_t checkpoint, node;

        pick(w, s, &checkpoint, &node);
        if (w->n < SESSIONS_MAX)
                add(w, AWAIT_ID(w->f, session_fork(s, checkpoint, node, NULL, NULL, DONE)));
}

static void drop(World *w, size_t i) {
        assert_int_equal(AWAIT(w->f, session_delete(get(w->f, w->ids[i]), true, DONE)), 0);
        w->n--;
        w->ids[i] = w->ids[w->n];
        w->counts[i] = w->counts[w->n];
}

static void step(World *w) {
        unsigned what = roll(w, 100);
        size_t i = w->n > 0 ? roll(w, (unsigned) w->n) : 0;

        if (what < 8 || w->n == 0)
                create(w);
        else if (what < 60)
                say(w, i);
        else if (what < 68)
                (void) AWAIT_ID(w->f, session_var_set(get(w->f, w->ids[i]), 0, "b",
                                                      JSON_LITERAL("2"), 0, DONE));
        else if (what < 76)
                (void) AWAIT_ID(w->f, session_checkpoint(get(w->f, w->ids[i]), 0, CHECKPOINT_MANUAL,
                                                         NULL, DONE));
        else if (what < 84)
                go_back(w, i);
        else if (what < 92)
                fork_one(w, i);
        else if (what < 99)
                drop(w, i);
        else
                fixture_reopen(w->f);
}

static void test_only_what_nobody_reaches_goes_and_all_of_it(void **state) {
        World w = { .f = *state };

        for (unsigned round = 0; round < 6; round++) {
                w.seed = 1000 + round;
                for (unsigned i = 0; i < 250; i++) {
                        step(&w);
                        if (i % 25 != 24)
                                continue;
                        settle(w.f);
                        assert_true(sweep_is_idle(w.f->m));
                        check(w.f);
                        check_sessions(&w);
                }
                while (w.n > 0)
                        drop(&w, roll(&w, (unsigned) w.n));
                settle(w.f);
                static const char *const tables[] = { "nodes",         "bodies",     "vars",
                                                      "configs",       "branches",   "checkpoints",
                                                      "dead_branches", "dead_bodies" };
                ARRAY_FOREACH(table, tables) {
                        _cleanup_free_ char *sql = str_printf("SELECT COUNT(*) FROM %s", *table);
                        assert_int_equal(ask(w.f, sql), 0);
                }
        }
}

static void test_a_sweep_that_was_interrupted_goes_on_after_the_start(void **state) {
        Fixture *f = *state;
        Session *s = make_session(f, "long", false);

        for (unsigned i = 0; i < 1500; i++)
                (void) append(f, s, "user", "\"x\"");
        assert_int_equal(AWAIT(f, session_delete(s, false, DONE)), 0);
        fixture_close(f);
        assert_true(ask(f, "SELECT COUNT(*) FROM nodes") > 0);
        fixture_open(f);
        settle(f);
        assert_int_equal(ask(f, "SELECT COUNT(*) FROM nodes"), 0);
        assert_int_equal(ask(f, "SELECT COUNT(*) FROM dead_branches"), 0);
}

static unsigned files_in(const Fixture *f) {
        unsigned n = 0;

        for (unsigned i = 0; i < 256; i++) {
                _cleanup_free_ char *dir = str_printf("%s/bodies/%02x", f->dir, i);
                struct stat st;
                if (stat(dir, &st) < 0)
                        continue;
                _cleanup_(dir_closep) DIR *d = opendir(dir);
                assert_non_null(d);
                for (const struct dirent *e; (e = readdir(d));)
                        n += e->d_name[0] != '.';
        }
        return n;
}

static char *noise(size_t n, uint64_t seed) {
        char *text = malloc(n + 1);

        assert_non_null(text);
        for (size_t i = 0; i < n; i++) {
                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                text[i] =
                        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-"[seed >> 58];
        }
        text[0] = text[n - 1] = '"';
        text[n] = '\0';
        return text;
}

static void test_files_of_large_messages_go_with_the_last_message_that_has_them(void **state) {
        Fixture *f = *state;
        _cleanup_free_ char *large = noise((size_t) 3 << 20, 1), *other = noise((size_t) 3 << 20, 2);
        Session *a = make_session(f, "a", false), *b = make_session(f, "b", false);
        uint64_t id = session_info(b)->id;

        (void) append(f, a, "user", large);
        (void) append(f, b, "user", large);
        (void) append(f, a, "user", other);
        assert_int_equal(files_in(f), 2);
        assert_int_equal(AWAIT(f, session_delete(a, false, DONE)), 0);
        settle(f);
        assert_int_equal(files_in(f), 1);
        uint64_t n = 0;
        assert_int_equal(
                session_nodes(f->m, session_info(get(f, id))->head, 0, 0, SIZE_MAX, count_node, &n),
                0);
        assert_int_equal(n, 1);
        /* the same text again while its removal is under way */
        assert_int_equal(AWAIT(f, session_delete(get(f, id), false, DONE)), 0);
        Session *c = make_session(f, "c", false);
        id = session_info(c)->id;
        (void) append(f, c, "user", large);
        settle(f);
        assert_int_equal(files_in(f), 1);
        n = 0;
        assert_int_equal(
                session_nodes(f->m, session_info(get(f, id))->head, 0, 0, SIZE_MAX, count_node, &n),
                0);
        assert_int_equal(n, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_only_what_nobody_reaches_goes_and_all_of_it),
                FIXTURE_TEST(test_a_sweep_that_was_interrupted_goes_on_after_the_start),
                FIXTURE_TEST(test_files_of_large_messages_go_with_the_last_message_that_has_them),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
