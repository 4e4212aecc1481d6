/* SPDX-License-Identifier: MIT */
#pragma once

/* A query in people's words as an FTS5 expression, and the tokens of scopes. Pure; any thread. */

#include "memory/memory.h"

enum {
        QUERY_TERMS_MAX = 64,
};

/* The scope's token in the search table: 'l' for what is live, 'o' for what was. */
#define SCOPE_TOKEN_SIZE 24
char *scope_token(MemoryScope scope, bool old, char buf[static SCOPE_TOKEN_SIZE]);

/* Appends `scope : (…) AND {text context} : (…)`: entries of these scopes with any of the words,
 * stop words left out if any other is there. old: versions too. 1, or 0 when the text has no word
 * (nothing is appended), or -ENOMEM. */
int query_match(Buf *out, const char *text, const MemoryScope *scopes, size_t n_scopes, bool old);
/* The words that query_match() asks for, each followed by a space. */
int query_words(Buf *out, const char *text);
