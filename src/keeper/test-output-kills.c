/* SPDX-License-Identifier: MIT */

/* No byte of output is lost or repeated by a keeper's death.
 *
 * An agent writes numbered lines to stdout and stderr as fast as it can, while its keeper is killed
 * with SIGKILL again and again, each time at another point of its loop; the test takes the daemon's
 * part and starts the next one, which adopts. In the end both logs must be what was written, to the
 * byte, and the index must cover them.
 *
 * KEEPER_KILL_ROUNDS sets how often (300). Rounds wait for bytes, not for time: a keeper is killed
 * as soon as the log has grown by an amount that differs from round to round, some at once after
 * their adoption. */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"
#include "keeper/test-rig.h"

#define LINE_BYTES 17 /* "%016lu\n" */

static const char writer[] = "import os, signal\n"
                             "stop = False\n"
                             "def on_term(*_):\n"
                             "    global stop\n"
                             "    stop = True\n"
                             "signal.signal(signal.SIGTERM, on_term)\n"
                             "def put(fd, data):\n"
                             "    while data:\n"
                             "        data = data[os.write(fd, data):]\n"
                             "n = 0\n"
                             "while not stop:\n"
                             "    block = b''.join(b'%016d\\n' % i for i in range(n, n + 61))\n"
                             "    put(1, block)\n"
                             "    put(2, block)\n"
                             "    n += 61\n"
                             "open('count', 'w').write('%d' % n)\n"
                             "os._exit(21)\n";

static void wait_growth(const char *path, int watch, off_t size) {
        struct stat st;
        char events[4096];

        for (;;) {
                assert_int_equal(stat(path, &st), 0);
                if (st.st_size >= size)
                        return;
                wait_readable(watch);
                assert_true(read(watch, events, sizeof(events)) > 0);
        }
}

static off_t size_of(const char *path) {
        struct stat st;

        assert_int_equal(stat(path, &st), 0);
        return st.st_size;
}

static void check_log(Agent *a, unsigned stream, uint64_t lines) {
        size_t n;
        _cleanup_free_ char *log = agent_log(a, stream, &n);

        assert_int_equal(n, lines * LINE_BYTES);
        for (uint64_t i = 0; i < lines; i++) {
                char line[LINE_BYTES + 8];

                (void) snprintf(line, sizeof(line), "%016lu\n", (unsigned long) i);
                if (memcmp(log + i * LINE_BYTES, line, LINE_BYTES) != 0)
                        fail_msg("stream %u, line %lu: %.16s", stream, (unsigned long) i,
                                 log + i * LINE_BYTES);
        }
}

static void check_index(Agent *a, uint64_t bytes) {
        size_t n;
        _cleanup_free_ char *data = agent_log(a, 2, &n);
        uint64_t end[2] = {};

        assert_int_equal(n % sizeof(KeeperIndexRecord), 0);
        for (size_t at = 0; at < n; at += sizeof(KeeperIndexRecord)) {
                KeeperIndexRecord record;

                memcpy(&record, data + at, sizeof(record));
                unsigned stream = record.end & KEEPER_INDEX_STREAM_ERR ? 1 : 0;
                uint64_t e = record.end & ~KEEPER_INDEX_STREAM_ERR;
                assert_int_equal(record.end & KEEPER_INDEX_GAP, 0);
                assert_true(e >= end[stream]);
                end[stream] = e;
        }
        assert_int_equal(end[0], bytes);
        assert_int_equal(end[1], bytes);
}

static void test_killed_keepers_lose_no_byte(void **state) {
        const char *text = getenv("KEEPER_KILL_ROUNDS");
        uint64_t rounds = 300, lines;
        Rig *rig = *state;
        int watch;
        Agent a;

        if (text)
                assert_int_equal(str_to_u64(text, &rounds), 0);
        rig_adopt(rig);
        agent_init_argv(rig, &a, (const char *[]){ "python3", "-c", writer, NULL });
        agent_spawn(rig, &a);

        _cleanup_free_ char *out = agent_path(&a, "out.log"), *count = agent_path(&a, "count");
        watch = inotify_init1(IN_CLOEXEC);
        assert_true(inotify_add_watch(watch, out, IN_MODIFY) >= 0);
        for (uint64_t i = 0; i < rounds; i++) {
                wait_growth(out, watch, size_of(out) + (off_t) (i % 7 * 40009));
                rig_kill_keeper(rig);
                rig_adopt(rig);
                agent_adopt(rig, &a);
        }
        agent_signal(rig, &a, SIGTERM);
        KeeperSlot slot = rig_expect(rig, KEEPER_EXITED, a.run).slot;
        assert_int_equal(slot.exit_code, 21);
        assert_int_equal(slot.dropped_bytes, 0);
        (void) close(watch);

        _cleanup_free_ char *number = NULL;
        assert_true(fs_read_file(AT_FDCWD, count, 64, &number, NULL) >= 0);
        assert_int_equal(str_to_u64(number, &lines), 0);
        assert_true(lines > 0);
        print_message("%lu kills, %lu lines in each stream\n", (unsigned long) rounds,
                      (unsigned long) lines);
        check_log(&a, 0, lines);
        check_log(&a, 1, lines);
        check_index(&a, lines * LINE_BYTES);
        agent_done(&a);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_killed_keepers_lose_no_byte, rig_setup,
                                                rig_teardown),
        };

        return cmocka_run_group_tests_name("keeper-output-kills", tests, NULL, NULL);
}
