/* SPDX-License-Identifier: MIT */
#pragma once

/* INI text as systemd writes it, for agentd.conf and for unit files: [Section], Key=Value.
 *
 * A line that begins with # or ; is a comment, also between the lines of a continued value. A line
 * that ends with a backslash goes on in the next one; a space stands for the break. White space
 * around keys and values does not count. Keys may be repeated; what that means (the last one counts,
 * or a list grows), and that an empty value resets, is the reader's decision: it is told every line
 * in order. Quotes and escapes inside a value are the reader's as well (str_split_quoted()). */

#include "base/macro.h"

#define INI_LINE_MAX ((size_t) 1 << 20) /* bytes of a line with what continues it */

typedef struct IniEntry {
        const char *section; /* "": none has begun */
        const char *key;     /* NULL: a section's header */
        const char *value;   /* may be "" */
        unsigned line;       /* in which it begins, from 1 */
} IniEntry;

typedef struct IniError {
        unsigned line;
        const char *reason; /* static, for people: "a key needs a '=' behind it" */
} IniError;

/* Anything but 0 ends the parsing and is returned as it is. The texts are valid during the call. */
typedef int (*IniEntryFn)(const IniEntry *e, void *userdata);

/* 0, what fn returned, -ENOMEM, or -EINVAL with *ret_error set (reason is NULL if -EINVAL came from
 * fn). Entries before the wrong line were given out. */
int ini_parse(const char *text, size_t n, IniEntryFn fn, void *userdata, IniError *ret_error);
