/* SPDX-License-Identifier: MIT */
#pragma once

/* What the programs that print manual pages have in common: scdoc(5) on stdout. */

#include <stdio.h>

#include "base/macro.h"

/* Text that shall be read as it is: everything that scdoc might act upon is escaped. A line break
 * begins a new line of the page, tabs deep. */
static inline void sc_text(const char *s, unsigned tabs) {
        for (; *s; s++) {
                if (*s == '\n') {
                        (void) fputs("++\n", stdout);
                        for (unsigned i = 0; i < tabs; i++)
                                (void) putchar('\t');
                        continue;
                }
                if (strchr("\\*_#[]|+-~;.`'<>", *s))
                        (void) putchar('\\');
                (void) putchar(*s);
        }
}

static inline void sc_bold(const char *s) {
        (void) putchar('*');
        sc_text(s, 0);
        (void) putchar('*');
}

static inline void sc_underlined(const char *s) {
        (void) putchar('_');
        sc_text(s, 0);
        (void) putchar('_');
}

/* A sentence of a phrase: "list sessions" as "List sessions." */
static inline void sc_sentence(const char *s, unsigned tabs) {
        size_t n = strlen(s);
        bool lower = s[0] >= 'a' && s[0] <= 'z';

        if (lower)
                (void) putchar(s[0] - 'a' + 'A');
        sc_text(lower ? s + 1 : s, tabs);
        if (n > 0 && !strchr(".!?", s[n - 1]))
                (void) putchar('.');
}

/* A line of the page as it is typed. */
static inline void sc_literal(const char *s) {
        (void) printf("```\n%s\n```\n\n", s);
}
