/* SPDX-License-Identifier: MIT */

/* What is said to people: errors and notes on stderr, answers on stdout.
 *
 * An error is one line, because it is read in logs and by scripts as often as on a screen. Whatever
 * came from elsewhere (names, texts of the daemon, arguments) passes str_put_clean(), so that a
 * session's name cannot write escape sequences to the terminal of whoever lists it. */

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/table.h"

#define LINE_MAX_BYTES ((size_t) 64 * 1024 * 1024)

static void print_line(FILE *to, const char *prefix, unsigned flags, const char *format, va_list ap)
        __attribute__((format(printf, 4, 0)));

static void print_line(FILE *to, const char *prefix, unsigned flags, const char *format, va_list ap) {
        _cleanup_buf_ Buf line = BUF_INIT(LINE_MAX_BYTES);
        _cleanup_free_ char *s = NULL;

        int n = vasprintf(&s, format, ap);
        if (n < 0) {
                s = NULL;
                cli_out_of_memory();
        }
        (void) buf_puts(&line, prefix);
        (void) str_put_clean(&line, s, (size_t) n, flags);
        if (buf_putc(&line, '\n') < 0)
                cli_out_of_memory();
        (void) fwrite(line.data, 1, line.len, to);
}

int cli_error(Cli *c, int status, const char *format, ...) {
        va_list ap;

        (void) fflush(stdout);
        va_start(ap, format);
        print_line(stderr, str_startswith(format, "agentd ") ? "" : "agentd: ", 0, format, ap);
        va_end(ap);
        return status;
}

int cli_usage(Cli *c, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;

        va_start(ap, format);
        if (vasprintf(&text, format, ap) < 0) {
                text = NULL;
                cli_out_of_memory();
        }
        va_end(ap);
        size_t n = strlen(text);
        return cli_error(c, CLI_USAGE, "%s%s: agentd %s%s--help", text,
                         n > 0 && text[n - 1] == '?' ? " See" : "; see",
                         c->verb ? c->verb->name : "", c->verb ? " " : "");
}

void cli_note(Cli *c, const char *format, ...) {
        va_list ap;

        if (c->quiet)
                return;
        (void) fflush(stdout);
        va_start(ap, format);
        print_line(stderr, "", 0, format, ap);
        va_end(ap);
}

void cli_say(Cli *c, const char *format, ...) {
        va_list ap;

        if (c->quiet || c->json)
                return;
        va_start(ap, format);
        print_line(stdout, "", STR_CLEAN_LINES | STR_CLEAN_TABS | STR_CLEAN_COLOUR, format, ap);
        va_end(ap);
}

char *cli_paint(Cli *c, const char *code, const char *s) {
        return !c->colour || str_isempty(code) ? cli_text(c, "%s", s)
                                               : cli_text(c, "\x1b[%sm%s\x1b[0m", code, s);
}

const char *cli_status_colour(const char *status) {
        return streq(status, "running")  ? "32"
               : streq(status, "paused") ? "33"
               : streq(status, "error")  ? "31"
                                         : "";
}
