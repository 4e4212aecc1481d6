/* SPDX-License-Identifier: MIT */

/* The files of a run's log, which a killed keeper or a broken disk may have left in any state, and
 * the cursors that clients send back. The input is: a byte of options, the sizes of index and
 * stdout (two bytes each), the index, stdout, and the rest as stderr. Reading must come to an end,
 * no line may be longer than promised, and each cursor that was given out must be accepted and lead
 * to the very next line. */

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "sup/logs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SESSION   UINT64_C(1)
#define FOLDER    "0000000000000001"
#define RUN       "0000000000000002"
#define LINES_MAX 100000
#define CURSORS   8 /* followed for each input */

static char dir[] = "/tmp/agentd-fuzz-log-XXXXXX";

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void clean_up(void) {
        (void) fs_remove_tree(AT_FDCWD, dir);
}

static void begin(void) {
        _cleanup_free_ char *folder = NULL;
        static bool is_begun;

        if (is_begun)
                return;
        is_begun = true;
        require(mkdtemp(dir) != NULL && (folder = path_join(dir, FOLDER)) && mkdir(folder, 0700) == 0,
                "no folder\n");
        (void) atexit(clean_up);
}

static void write_file(const char *suffix, const uint8_t *data, size_t n) {
        _cleanup_free_ char *path = str_printf("%s/" FOLDER "/" RUN ".%s", dir, suffix);
        _cleanup_close_ int fd = -EBADF;

        require(path != NULL, "out of memory\n");
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        require(fd >= 0 && write(fd, data, n) == (ssize_t) n, "no file\n");
}

static SupLog *open_log(const SupLogOptions *options) {
        SupLog *l = NULL;
        int r = sup_log_open(&l, dir, SESSION, options);

        require(r == 0 || (options->cursor && r == -EINVAL), "the log cannot be opened\n");
        return l;
}

/* The line behind a cursor is the one that came next. */
static void check_cursor(SupLogOptions options, const char *cursor, const SupLogLine *next) {
        SupLogLine line = {};

        options.cursor = cursor;
        _cleanup_(sup_log_freep) SupLog *l = open_log(&options);
        require(l != NULL, "a cursor that was given out is refused\n");
        require(sup_log_next(l, &line) == 1, "nothing is behind a cursor\n");
        require(line.stream == next->stream && line.n == next->n &&
                        memcmp(line.text, next->text, next->n) == 0,
                "another line is behind a cursor\n");
}

static void read_all(const SupLogOptions *options) {
        _cleanup_(sup_log_freep) SupLog *l = open_log(options);
        unsigned n = 0;

        for (;;) {
                _cleanup_buf_ Buf cursor = BUF_INIT(256);
                SupLogLine line = {};

                if (n > 0)
                        require(sup_log_cursor(l, &cursor) == 0 && buf_putc(&cursor, '\0') == 0,
                                "no cursor\n");
                int r = sup_log_next(l, &line);
                if (r <= 0)
                        break;
                require(line.n <= SUP_LOG_LINE_MAX && line.stream <= 2, "a line without measure\n");
                if (n > 0 && n <= CURSORS && cursor.len > 1)
                        check_cursor(*options, cursor.data, &line);
                require(n++ < LINES_MAX, "the log does not end\n");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const int64_t lines[] = { -1, 0, 1, 3 };
        size_t n_index, n_out;

        if (size < 5)
                return 0;
        begin();
        SupLogOptions options = {
                .lines = lines[data[0] & 3],
                .streams = (data[0] >> 2) & 3,
                .since = data[0] & 16 ? 1000 : 0,
                .until = data[0] & 32 ? 1000000 : 0,
        };
        n_index = MIN((size_t) data[1] << 8 | data[2], size - 5);
        n_out = MIN((size_t) data[3] << 8 | data[4], size - 5 - n_index);
        write_file("idx", data + 5, n_index);
        write_file("out", data + 5 + n_index, n_out);
        write_file("err", data + 5 + n_index + n_out, size - 5 - n_index - n_out);
        read_all(&options);
        return 0;
}
