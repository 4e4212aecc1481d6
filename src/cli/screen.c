/* SPDX-License-Identifier: MIT */

/* A terminal taken over, in plain ECMA-48.
 *
 * No ncurses: what is drawn is a list of lines, the sequences for that are the same on every
 * terminal that is in use (xterm, the Linux console, tmux, screen), and ncurses would bring a
 * library, a database of terminals and its own idea of signals and of character widths, which
 * follows the locale where ours does not (text.c).
 *
 * A frame is put together in memory and written at once, each line at its own position and erased
 * only behind its text: nothing is blank in between, so nothing flickers. A frame that is just like
 * the last one is not written. Line wrap is off, so that a character that is wider than our tables
 * say harms its own line only.
 *
 * The terminal is given back by screen_close(), at exit(), and by a handler of the signals of
 * crashes. Signals that ask come through a signalfd and are keys like others; they are blocked only
 * while the screen is open. What the handler and exit() need lives in static variables, since they
 * get no argument. */

#include "cli/screen.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "base/fs.h"
#include "base/str.h"
#include "cli/table.h"

#define FRAME_MAX   ((size_t) 16 * 1024 * 1024)
#define ROWS_MAX    1000
#define COLUMNS_MAX 4000

/* Alternate screen, no line wrap, no cursor; and back. */
#define TAKE_TERMINAL "\x1b[?1049h\x1b[?7l\x1b[?25l\x1b[2J"
#define GIVE_TERMINAL "\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1049l"

static const int crash_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
static const int asking_signals[] = { SIGWINCH, SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT };

static struct {
        volatile sig_atomic_t taken;
        int tty;
        struct termios before;
        sigset_t mask_before;
        struct sigaction crash_before[ELEMENTSOF(crash_signals)];
        bool at_exit;
} terminal = { .tty = -EBADF };

/* Async-signal-safe. */
static void give_terminal(void) {
        if (!terminal.taken)
                return;
        terminal.taken = 0;
        (void) !write(terminal.tty, GIVE_TERMINAL, sizeof(GIVE_TERMINAL) - 1);
        (void) tcsetattr(terminal.tty, TCSANOW, &terminal.before);
}

/* The default action, or that of a sanitizer, follows: the handler before ours is in place again. */
static void on_crash(int signo) {
        give_terminal();
        for (size_t i = 0; i < ELEMENTSOF(crash_signals); i++)
                if (crash_signals[i] == signo)
                        (void) sigaction(signo, &terminal.crash_before[i], NULL);
        (void) raise(signo);
}

static int take_terminal(void) {
        struct termios raw = terminal.before;

        cfmakeraw(&raw);
        raw.c_oflag |= OPOST;
        raw.c_cc[VMIN] = 0;
        raw.c_cc[VTIME] = 0;
        terminal.taken = 1;
        if (tcsetattr(terminal.tty, TCSANOW, &raw) < 0) {
                terminal.taken = 0;
                return errno_neg();
        }
        return fd_write_all(terminal.tty, TAKE_TERMINAL, sizeof(TAKE_TERMINAL) - 1);
}

static void measure(Screen *s) {
        struct winsize size = {};

        (void) ioctl(s->tty, TIOCGWINSZ, &size);
        s->rows = size.ws_row ? MIN((size_t) size.ws_row, (size_t) ROWS_MAX) : 24;
        s->columns = size.ws_col ? MIN((size_t) size.ws_col, (size_t) COLUMNS_MAX) : 80;
        buf_clear(&s->shown);
}

static int open_signals(Screen *s) {
        struct sigaction crash = { .sa_handler = on_crash };
        sigset_t asking;

        (void) sigemptyset(&asking);
        ARRAY_FOREACH(signo, asking_signals)
                (void) sigaddset(&asking, *signo);
        for (size_t i = 0; i < ELEMENTSOF(crash_signals); i++)
                (void) sigaction(crash_signals[i], &crash, &terminal.crash_before[i]);
        (void) sigprocmask(SIG_BLOCK, &asking, &terminal.mask_before);
        s->signals = signalfd(-1, &asking, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signals < 0 ? errno_neg() : 0;
}

int screen_open(Screen *s, const Cli *c) {
        *s = (Screen){ .tty = -EBADF,
                       .signals = -EBADF,
                       .colour = c->colour,
                       .frame = BUF_INIT(FRAME_MAX),
                       .shown = BUF_INIT(FRAME_MAX) };
        if (!c->terminal || isatty(STDIN_FILENO) != 1 ||
            tcgetattr(STDOUT_FILENO, &terminal.before) < 0)
                return -ENOTTY;
        s->tty = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
        if (s->tty < 0)
                return errno_neg();
        terminal.tty = s->tty;
        if (!terminal.at_exit)
                terminal.at_exit = atexit(give_terminal) == 0;
        int r = open_signals(s);
        if (r >= 0)
                r = take_terminal();
        if (r < 0) {
                screen_close(s);
                return r;
        }
        measure(s);
        return 0;
}

void screen_close(Screen *s) {
        give_terminal();
        if (s->signals >= 0) {
                for (size_t i = 0; i < ELEMENTSOF(crash_signals); i++)
                        (void) sigaction(crash_signals[i], &terminal.crash_before[i], NULL);
                s->signals = fd_close(s->signals);
                (void) sigprocmask(SIG_SETMASK, &terminal.mask_before, NULL);
        }
        s->tty = fd_close(s->tty);
        buf_done(&s->frame);
        buf_done(&s->shown);
}

void screen_suspend(Screen *s) {
        give_terminal();
        (void) raise(SIGSTOP);
        (void) take_terminal();
        measure(s);
}

unsigned screen_signals(Screen *s) {
        struct signalfd_siginfo info;
        unsigned what = 0;

        while (read(s->signals, &info, sizeof(info)) == (ssize_t) sizeof(info)) {
                int signo = (int) info.ssi_signo;

                if (signo == SIGTSTP) {
                        screen_suspend(s);
                        what |= SCREEN_RESIZED;
                } else if (signo == SIGWINCH || signo == SIGCONT) {
                        /* Whoever stopped us by SIGSTOP has used the terminal meanwhile. */
                        if (signo == SIGCONT)
                                (void) take_terminal();
                        measure(s);
                        what |= SCREEN_RESIZED;
                } else {
                        s->signal = signo;
                        what |= SCREEN_ENDS;
                }
        }
        return what;
}

int screen_read(Screen *s) {
        ssize_t n = read(STDIN_FILENO, s->keys + s->n_keys, sizeof(s->keys) - s->n_keys);

        if (n > 0) {
                s->n_keys += (size_t) n;
                s->keys_end = false;
                return 0;
        }
        /* It was said to be readable: nothing is its end. */
        return n < 0 && (errno == EINTR || errno == EAGAIN) ? 0 : -EPIPE;
}

int screen_key(Screen *s) {
        size_t n = 0;

        if (s->n_keys == 0)
                return KEY_NONE;
        int key = key_decode(s->keys, s->n_keys, s->keys_end || s->n_keys == sizeof(s->keys), &n);
        memmove(s->keys, s->keys + n, s->n_keys - n);
        s->n_keys -= n;
        return key;
}

bool screen_key_pends(const Screen *s) {
        return s->n_keys > 0;
}

void screen_key_settle(Screen *s) {
        s->keys_end = true;
}

/* ---- frames ---- */

void screen_begin(Screen *s) {
        buf_clear(&s->frame);
        s->frame.error = 0;
        s->n_lines = 0;
}

size_t screen_left(const Screen *s) {
        return s->rows > s->n_lines ? s->rows - s->n_lines : 0;
}

void screen_line_raw(Screen *s, const char *text) {
        if (screen_left(s) == 0)
                return;
        (void) buf_printf(&s->frame, "\x1b[%zu;1H%s\x1b[0m\x1b[K", ++s->n_lines, text);
}

void screen_line(Screen *s, const char *sgr, bool fill, const char *text) {
        _cleanup_buf_ Buf safe = BUF_INIT(FRAME_MAX), line = BUF_INIT(FRAME_MAX);

        if (screen_left(s) == 0)
                return;
        (void) str_put_clean(&safe, text, strlen(text), 0);
        if (s->colour && *sgr)
                (void) buf_printf(&line, "\x1b[%sm", sgr);
        size_t w = text_cut(safe.data ? safe.data : "", s->columns, &line);
        while (fill && w++ < s->columns)
                (void) buf_putc(&line, ' ');
        screen_line_raw(s, line.data ? line.data : "");
}

int screen_end(Screen *s) {
        if (screen_left(s) > 0)
                (void) buf_printf(&s->frame, "\x1b[%zu;1H\x1b[J", s->n_lines + 1);
        if (buf_error(&s->frame) < 0)
                return buf_error(&s->frame);
        if (s->frame.len == s->shown.len && memcmp(s->frame.data, s->shown.data, s->frame.len) == 0)
                return 0;
        int r = fd_write_all(s->tty, s->frame.data, s->frame.len);
        Buf shown = s->shown;
        s->shown = s->frame;
        s->frame = shown;
        return r;
}
