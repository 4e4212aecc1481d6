/* SPDX-License-Identifier: MIT */
#pragma once

/* The whole terminal: raw keys in, frames of lines out, and the terminal as it was before at every
 * end of the program. One at a time in a process. */

#include "cli/cli.h"

/* What a key is: a character's code point, or one of these. */
enum {
        KEY_NONE = 0, /* the bytes so far are the begin of something */
        KEY_ESCAPE = 0x1b,
        KEY_ENTER = '\r',
        KEY_BACKSPACE = 0x7f,
        KEY_INTERRUPT = 3, /* Ctrl-C */
        KEY_SUSPEND = 26,  /* Ctrl-Z */
        KEY_UP = 0x110000, /* behind the last code point */
        KEY_DOWN,
        KEY_PAGE_UP,
        KEY_PAGE_DOWN,
        KEY_HOME,
        KEY_END,
        KEY_UNKNOWN, /* a sequence that means nothing here */
};

/* The first key of n > 0 bytes and how many bytes it is. KEY_NONE if more must come; with last
 * nothing more comes, and what there is means itself. */
int key_decode(const char *s, size_t n, bool last, size_t *ret_n);

enum {
        SCREEN_RESIZED = 1 << 0, /* draw again */
        SCREEN_ENDS = 1 << 1,    /* a signal asks to end: see Screen.signal */
};

typedef struct Screen {
        int tty;     /* for reading and writing */
        int signals; /* a signalfd */
        int signal;  /* that ends the program */
        size_t rows, columns;
        bool colour;
        Buf frame, shown; /* what is being drawn; what the terminal shows */
        size_t n_lines;   /* of the frame so far */
        char keys[256];
        size_t n_keys;
        bool keys_end; /* nothing more came behind these in time */
} Screen;

/* Takes the terminal behind stdin and stdout over. -ENOTTY: they are none. */
int screen_open(Screen *s, const Cli *c);
/* Gives it back as it was; for half-opened ones too, and more than once. */
void screen_close(Screen *s);
#define _cleanup_screen_ _cleanup_(screen_close)

/* What the signals say that came; SCREEN_… */
unsigned screen_signals(Screen *s);
/* Reads what was typed; only when poll() says that there is something. -EPIPE: the terminal is gone. */
int screen_read(Screen *s);
/* The next key of what was read, or KEY_NONE. */
int screen_key(Screen *s);
/* Whether bytes wait that mean one thing if more comes soon, and another if not (Escape). */
bool screen_key_pends(const Screen *s);
/* Nothing came: they mean what they are. */
void screen_key_settle(Screen *s);
/* Gives the terminal back, stops the process as Ctrl-Z does, and takes it again when it goes on. */
void screen_suspend(Screen *s);

/* A frame: begin, lines from the top, end. Text passes str_put_clean() and is cut to the width;
 * lines below the last row are dropped. */
void screen_begin(Screen *s);
/* sgr: "" for none; fill: the style reaches to the right edge. */
void screen_line(Screen *s, const char *sgr, bool fill, const char *text);
/* The same for text that is safe and cut already and has colours of its own. */
void screen_line_raw(Screen *s, const char *text);
/* How many lines are left in this frame. */
size_t screen_left(const Screen *s);
/* One write, none if the terminal shows just that. -EPIPE: the terminal is gone. */
int screen_end(Screen *s);
