/* SPDX-License-Identifier: MIT */

/* One pass over the text, one buffer for the line that is being put together. Nothing is collected:
 * a tree of sections was rejected, because every reader turns entries into its own struct at once
 * and wants the line's number for its messages.
 *
 * Stricter than systemd where leniency hides mistakes: a line without '=' is an error and not a
 * warning, so are control characters and text that is no UTF-8 (a file in UTF-16 would otherwise be
 * read as a list of unknown keys). A byte order mark in front is fine (inside it would be an
 * invisible part of a name), so are lines that end in CR
 * LF: editors write both without being asked. */

#include "base/ini.h"

#include "base/str.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";

typedef struct Parser {
        const char *p, *end;
        unsigned line;  /* of the physical line that was taken last */
        unsigned begin; /* of the logical line */
        Buf logical;
        char *section; /* NULL: none has begun */
        IniEntryFn fn;
        void *userdata;
        IniError *error;
} Parser;

static int wrong(const Parser *p, unsigned line, const char *reason) {
        *p->error = (IniError){ line, reason };
        return -EINVAL;
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

/* Both ends cut; s is changed. */
static char *trim(char *s) {
        size_t n;

        while (is_blank(*s))
                s++;
        n = strlen(s);
        while (n > 0 && is_blank(s[n - 1]))
                n--;
        s[n] = '\0';
        return s;
}

static bool has_control(const char *s, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (((unsigned char) s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
                        return true;
        return false;
}

/* The next physical line without its end. */
static int take_line(Parser *p, const char **ret, size_t *ret_n) {
        const char *line = p->p, *newline = memchr(p->p, '\n', (size_t) (p->end - p->p));
        size_t n = (size_t) ((newline ? newline : p->end) - line);

        p->p = newline ? newline + 1 : p->end;
        p->line++;
        if (n > 0 && line[n - 1] == '\r')
                n--;
        if (!utf8_is_valid(line, n))
                return wrong(p, p->line, "this is no UTF-8 text");
        if (has_control(line, n))
                return wrong(p, p->line, "control characters are not allowed");
        if (memmem(line, n, byte_order_mark, sizeof(byte_order_mark) - 1))
                return wrong(
                        p, p->line,
                        "a byte order mark stands inside the text, as when files are put together");
        *ret = line;
        *ret_n = n;
        return 0;
}

static bool is_comment(const char *line, size_t n) {
        while (n > 0 && is_blank(*line)) {
                line++;
                n--;
        }
        return n > 0 && (*line == '#' || *line == ';');
}

/* An even number of backslashes are backslashes. */
static bool goes_on(const char *line, size_t n) {
        size_t count = 0;

        while (count < n && line[n - 1 - count] == '\\')
                count++;
        return count % 2 == 1;
}

/* Puts a logical line together. Comments are left out. */
static int take_logical(Parser *p) {
        bool more = true;

        buf_clear(&p->logical);
        (void) buf_puts(&p->logical, "");
        for (p->begin = p->line + 1; more && p->p < p->end;) {
                const char *line;
                size_t n;

                int r = take_line(p, &line, &n);
                if (r < 0)
                        return r;
                if (is_comment(line, n)) {
                        if (p->logical.len == 0)
                                return 0;
                        continue;
                }
                more = goes_on(line, n);
                (void) buf_append(&p->logical, line, more ? n - 1 : n);
                if (more)
                        (void) buf_putc(&p->logical, ' ');
        }
        if (buf_error(&p->logical) == -E2BIG)
                return wrong(p, p->begin, "the line is longer than 1 MiB");
        return buf_error(&p->logical);
}

static int header(Parser *p, char *line) {
        size_t n = strlen(line);

        if (line[n - 1] != ']')
                return wrong(p, p->begin, "a section's header needs a ] at its end");
        line[n - 1] = '\0';
        if (n < 3 || strpbrk(line + 1, "[]"))
                return wrong(p, p->begin, "a section's header is a name in brackets: [Name]");
        char *name = strdup(line + 1);
        if (!name)
                return -ENOMEM;
        free(p->section);
        p->section = name;
        IniEntry e = { .section = name, .line = p->begin };
        return p->fn(&e, p->userdata);
}

static int assignment(Parser *p, char *line) {
        char *equals = strchr(line, '=');

        if (!equals)
                return wrong(p, p->begin, "neither Key=Value nor [Section] nor a comment");
        *equals = '\0';
        IniEntry e = {
                .section = p->section ? p->section : "",
                .key = trim(line),
                .value = trim(equals + 1),
                .line = p->begin,
        };
        if (*e.key == '\0')
                return wrong(p, p->begin, "there is no key in front of the =");
        return p->fn(&e, p->userdata);
}

static int parse(Parser *p) {
        while (p->p < p->end) {
                int r = take_logical(p);
                if (r < 0)
                        return r;
                char *line = trim(p->logical.data);
                if (*line == '\0')
                        continue;
                r = *line == '[' ? header(p, line) : assignment(p, line);
                if (r != 0)
                        return r;
        }
        return 0;
}

int ini_parse(const char *text, size_t n, IniEntryFn fn, void *userdata, IniError *ret_error) {
        IniError unused;
        Parser p = {
                .p = text,
                .end = text + n,
                .logical = BUF_INIT(INI_LINE_MAX),
                .fn = fn,
                .userdata = userdata,
                .error = ret_error ? ret_error : &unused,
        };

        *p.error = (IniError){};
        if (n >= sizeof(byte_order_mark) - 1 &&
            memcmp(text, byte_order_mark, sizeof(byte_order_mark) - 1) == 0)
                p.p += sizeof(byte_order_mark) - 1;
        int r = parse(&p);
        buf_done(&p.logical);
        free(p.section);
        return r;
}
