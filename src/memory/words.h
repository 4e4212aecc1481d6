/* SPDX-License-Identifier: MIT */
#pragma once

/* What of an entry can be found by its words. The two columns of the search table: the text (as
 * given, or the strings and numbers of the value) and the context (what was given as such, the key,
 * the tags, the names inside the value). Pure; any thread. */

#include "base/json.h"

/* Appends text so that the tokenizer sees its words: spaces around each character of a script that
 * is written without them (Han, Kana, Hangul, Thai), and between a lower-case and an upper-case
 * letter. Stops at a character's end when out has max bytes. For entries and for queries alike. */
void words_append(Buf *out, const char *text, size_t n, size_t max);
/* Strings and numbers inside a JSON value, each on a line of its own; names: its members' names instead. */
void words_of_value(Buf *out, JsonSpan value, bool names, size_t max);
