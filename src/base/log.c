/* SPDX-License-Identifier: MIT */

/* A line is put together on the stack and written by one write(2), so that lines of several threads
 * and processes on one stderr do not mix and a signal or a full disk cannot leave half a line in a
 * stdio buffer. Nothing is allocated: the keeper logs too, and it must not allocate after its
 * start. Lines that are too long are cut; control characters become '?', because text from clients
 * reaches the log and must not be able to forge a line or steer a terminal.
 *
 * sd_journal_print() was rejected: it needs a journal, and stderr works under systemd, in a
 * container and in a terminal alike. JOURNAL_STREAM counts only if it names the very file that
 * stderr is (systemd.exec(5)): it is inherited by shells started from a service, whose stderr is a
 * terminal. */

#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"

#define LOG_LINE_MAX 2048

static const char *log_program = "agentd";
static _Atomic LogLevel log_max_level = LOG_LEVEL_INFO;
static atomic_bool log_to_journal;

static const struct {
        const char *word;
        char syslog; /* sd-daemon(3) */
} log_levels[] = {
        [LOG_LEVEL_ERROR] = { "error", '3' },   [LOG_LEVEL_WARNING] = { "warning", '4' },
        [LOG_LEVEL_NOTICE] = { "notice", '5' }, [LOG_LEVEL_INFO] = { "info", '6' },
        [LOG_LEVEL_DEBUG] = { "debug", '7' },
};

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        char expected[64];
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        (void) snprintf(expected, sizeof(expected), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino);
        return streq(stream, expected);
}

void log_open(const char *program, LogLevel level) {
        log_program = program;
        atomic_store(&log_to_journal, stderr_is_journal());
        log_set_level(level);
}

void log_set_level(LogLevel level) {
        atomic_store_explicit(&log_max_level, level, memory_order_relaxed);
}

LogLevel log_level(void) {
        return atomic_load_explicit(&log_max_level, memory_order_relaxed);
}

typedef struct LogLine {
        char text[LOG_LINE_MAX];
        size_t len; /* at most sizeof(text) - 1; the last byte is the newline's */
} LogLine;

static _printf_(2, 0) void line_vprintf(LogLine *l, const char *format, va_list ap) {
        size_t room = sizeof(l->text) - l->len;
        int n = vsnprintf(l->text + l->len, room, format, ap);

        if (n > 0)
                l->len += MIN((size_t) n, room - 1);
}

static _printf_(2, 3) void line_printf(LogLine *l, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        line_vprintf(l, format, ap);
        va_end(ap);
}

static void line_begin(LogLine *l, LogLevel level) {
        char now[CLOCK_RFC3339_SIZE];

        if (atomic_load_explicit(&log_to_journal, memory_order_relaxed))
                line_printf(l, "<%c>%s: ", log_levels[level].syslog, log_program);
        else
                line_printf(l, "%s %s %s: ", clock_format_rfc3339(clock_realtime(), now),
                            log_levels[level].word, log_program);
}

static void line_append_error(LogLine *l, int error) {
        const char *text = strerrordesc_np(error);

        if (text)
                line_printf(l, ": %s", text);
        else
                line_printf(l, ": error %d", error);
}

static void line_write(LogLine *l) {
        ssize_t n;

        for (size_t i = 0; i < l->len; i++)
                if ((uint8_t) l->text[i] < 0x20 || l->text[i] == 0x7F)
                        l->text[i] = '?';
        l->text[l->len++] = '\n';
        do
                n = write(STDERR_FILENO, l->text, l->len);
        while (n < 0 && errno == EINTR);
}

int log_full(LogLevel level, int error, const char *format, ...) {
        int saved = errno;
        LogLine line;
        va_list ap;

        error = error < 0 ? -error : error;
        if (level <= log_level()) {
                line.len = 0;
                line_begin(&line, level);
                va_start(ap, format);
                line_vprintf(&line, format, ap);
                va_end(ap);
                if (error > 0)
                        line_append_error(&line, error);
                line_write(&line);
        }
        errno = saved;
        return -error;
}
