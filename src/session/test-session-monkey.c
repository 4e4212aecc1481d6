/* SPDX-License-Identifier: MIT */

/* A monkey: random verbs, messages, ends of processes and full disks on a few sessions, several
 * under way at once. Whatever happened, every call is answered exactly once, and what memory says
 * in the end is what a new daemon reads from the disk. */

#include <stdio.h>
#include <sys/resource.h>

#include "session/test-session.h"

#define SESSIONS 6
#define STEPS    3000
#define CALLS    (STEPS * 2)

typedef struct Monkey {
        Fixture *f;
        uint64_t ids[SESSIONS];
        Wait waits[CALLS];
        size_t n_waits;
        unsigned failed;
} Monkey;

static Wait *next_wait(Monkey *k) {
        assert_true(k->n_waits < CALLS);
        return k->waits + k->n_waits++;
}

static void limit_files(bool on) {
        struct rlimit l = { .rlim_cur = on ? 4096 : RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

        assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

static int some_checkpoint(const CheckpointInfo *c, void *userdata) {
        uint64_t *id = userdata;

        if (*id == 0 || random() % 3 == 0)
                *id = c->id;
        return 0;
}

static uint64_t pick_checkpoint(Session *s) {
        uint64_t id = 0;

        assert_int_equal(session_checkpoints(s, 0, 20, some_checkpoint, &id), 0);
        return id ? id : 1;
}

static int verb(Session *s, Wait *w) {
        switch (random() % 12) {
        case 0:
        case 1:
                return session_start(s, wait_done, w);
        case 2:
                return session_pause(s, wait_done, w);
        case 3:
                return session_resume(s, 0, wait_done, w);
        case 4:
                return session_resume(s, pick_checkpoint(s), wait_done, w);
        case 5:
                return session_stop(s, wait_done, w);
        case 6:
                return session_restart(s, wait_done, w);
        case 7:
                return session_restore(s, pick_checkpoint(s), 0, wait_done, w);
        case 8:
                return session_checkpoint(s, 0, CHECKPOINT_MANUAL, "m", wait_done, w);
        case 9:
                return session_var_set(s, 0, random() % 2 ? "a" : "b", JSON_LITERAL("1"), 0,
                                       wait_done, w);
        case 10:
                return session_patch(s, &(SessionPatch){ .name = "other", .model = "n" }, wait_done,
                                     w);
        default:
                return session_append(s, 0, "user", JSON_LITERAL("[1]"), (JsonSpan){}, wait_done, w);
        }
}

/* Processes start, stop and freeze by themselves (FakeAgent) and now and then one leaves. */
static int leave(Session *s, Wait *w) {
        RunEnd end = { .exit_code = 1,
                       .next = (RunNext) (random() % 4),
                       .restart_at = clock_realtime() };

        return session_run_ended(s, session_info(s)->run, &end, wait_done, w);
}

static void step(Monkey *k) {
        Session *s = session_get(k->f->m, k->ids[random() % SESSIONS]);
        Wait *w = next_wait(k);

        assert_non_null(s);
        int r = random() % 8 == 0 && s->open_run ? leave(s, w) : verb(s, w);
        if (r != 0)
                w->is_done = true;
}

static void turn(Monkey *k) {
        assert_return_code(sd_event_run(k->f->event, USEC_PER_MSEC), 0);
        /* A process that should be gone, and whose end could not be written, is told of again, as the daemon does. */
        for (int i = 0; i < SESSIONS; i++) {
                Session *s = session_get(k->f->m, k->ids[i]);
                if (s && s->open_run && s->inflight == 0 && s->info.substate == SUBSTATE_STOPPING &&
                    s->ops && s->ops->awaits_end)
                        (void) session_run_ended(s, s->open_run->id, &(RunEnd){ .exit_code = 0 },
                                                 NULL, NULL);
        }
}

static bool all_done(const Monkey *k) {
        for (size_t i = 0; i < k->n_waits; i++)
                if (!k->waits[i].is_done)
                        return false;
        return true;
}

static void compare(const SessionInfo *a, const SessionInfo *b) {
        assert_int_equal(a->id, b->id);
        assert_int_equal(a->status, b->status);
        assert_int_equal(a->substate, b->substate);
        assert_int_equal(a->config, b->config);
        assert_int_equal(a->branch, b->branch);
        assert_int_equal(a->head, b->head);
        assert_int_equal(a->vars, b->vars);
        assert_int_equal(a->run, b->run);
        assert_int_equal(a->checkpoint, b->checkpoint);
        assert_int_equal(a->message_count, b->message_count);
        assert_int_equal(a->fence, b->fence);
        assert_int_equal(a->restart_at, b->restart_at);
        assert_int_equal(a->stopped_at, b->stopped_at);
        assert_int_equal(a->updated_at, b->updated_at);
        assert_int_equal(a->has_agent, b->has_agent);
        assert_string_equal(a->name, b->name);
        assert_true(streq_ptr(a->reason, b->reason));
}

static void compare_with_disk(Monkey *k) {
        SessionInfo before[SESSIONS];
        uint8_t since[SESSIONS];

        for (int i = 0; i < SESSIONS; i++) {
                const Session *s = session_get(k->f->m, k->ids[i]);
                before[i] = s->info;
                before[i].name = strdup(s->info.name);
                before[i].reason = s->info.reason ? strdup(s->info.reason) : NULL;
                since[i] = s->vars_since;
        }
        fixture_close(k->f);
        k->f->agent.holds = true; /* nothing begins by itself before the look */
        fixture_open(k->f);
        for (int i = 0; i < SESSIONS; i++) {
                const Session *s = session_get(k->f->m, k->ids[i]);
                assert_non_null(s);
                compare(before + i, &s->info);
                assert_int_equal(since[i], s->vars_since);
                free((void *) (uintptr_t) before[i].name);
                free((void *) (uintptr_t) before[i].reason);
        }
        k->f->agent.holds = false;
}

static void play(Fixture *f, unsigned seed) {
        Monkey *k = calloc(1, sizeof(Monkey));
        uint64_t wakes = 0;
        unsigned full = 0;

        assert_non_null(k);
        srandom(seed);
        k->f = f;
        f->agent.is_lossy = true;
        for (int i = 0; i < SESSIONS; i++)
                k->ids[i] = session_info(make_session(f, "monkey", i % 3 != 0))->id;
        for (int i = 0; i < STEPS; i++) {
                full = full ? full - 1 : random() % 80 == 0 ? 10 : 0;
                limit_files(full > 0);
                f->agent.can_freeze = random() % 2;
                step(k);
                if (random() % 3 == 0)
                        turn(k);
        }
        limit_files(false);
        while (!all_done(k)) {
                turn(k);
                assert_true(++wakes < 1000000);
        }
        for (int i = 0; i < 20; i++)
                turn(k);
        for (;;) { /* back-offs that are due begin at once: let them end */
                bool calm = true;
                settle(f);
                for (int i = 0; i < SESSIONS; i++)
                        calm &= session_get(f->m, k->ids[i])->info.substate != SUBSTATE_BACKOFF;
                if (calm)
                        break;
                turn(k);
        }
        settle(f);
        for (size_t i = 0; i < k->n_waits; i++)
                k->failed += k->waits[i].r < 0;
        print_message("           seed %u: %u of %zu calls failed\n", seed, k->failed, k->n_waits);
        assert_true(k->failed > 0);
        compare_with_disk(k);
        free(k);
}

static void test_memory_is_what_the_disk_says_whatever_happened(void **state) {
        for (unsigned seed = 1; seed <= 5; seed++)
                play(*state, seed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                FIXTURE_TEST(test_memory_is_what_the_disk_says_whatever_happened),
        };
        return cmocka_run_group_tests_name("session monkey", tests, NULL, NULL);
}
