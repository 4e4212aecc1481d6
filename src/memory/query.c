/* SPDX-License-Identifier: MIT */

/* Every word is asked for as a quoted string, so that nothing a client writes is FTS5's own syntax;
 * any of them may match, and the ranking prefers what has many and rare ones. Asking for all of
 * them was rejected: a question in natural language has words that no answer repeats.
 *
 * Words of no meaning by themselves are left out, because half of all entries have them: they cost
 * time and blur the ranking. A query of nothing else is asked as it is ("to be or not to be"). The
 * list is English; in other languages common words stay in, and rank low by their frequency. */

#include "memory/query.h"

#include <ctype.h>
#include <stdio.h>

#include "base/str.h"
#include "memory/words.h"

#define QUERY_BYTES_MAX ((size_t) 64 * 1024)

/* Sorted: looked up by halves. */
static const char *const stop_words[] = {
        "a",     "about", "after", "all",   "also",  "am",   "an",     "and",   "any",    "are",
        "as",    "at",    "be",    "been",  "being", "but",  "by",     "can",   "could",  "did",
        "do",    "does",  "doing", "for",   "from",  "had",  "has",    "have",  "having", "he",
        "her",   "hers",  "him",   "his",   "how",   "i",    "if",     "in",    "into",   "is",
        "it",    "its",   "just",  "me",    "my",    "no",   "nor",    "not",   "of",     "on",
        "or",    "our",   "ours",  "s",     "shall", "she",  "should", "so",    "some",   "such",
        "t",     "than",  "that",  "the",   "their", "them", "then",   "there", "these",  "they",
        "this",  "those", "to",    "too",   "us",    "very", "was",    "we",    "were",   "what",
        "when",  "where", "which", "while", "who",   "whom", "whose",  "why",   "will",   "with",
        "would", "you",   "your",  "yours",
};

typedef struct Words {
        char *text; /* owned; the words point into it, each NUL-terminated */
        const char *items[QUERY_TERMS_MAX];
        size_t n;
} Words;

static int compare_words(const void *a, const void *b) {
        return strcmp(a, *(const char *const *) b);
}

static bool is_stop_word(const char *word) {
        char lower[16];
        size_t n = strlen(word);

        if (n >= sizeof(lower))
                return false;
        for (size_t i = 0; i <= n; i++)
                lower[i] = (char) tolower((unsigned char) word[i]);
        return bsearch(lower, stop_words, ELEMENTSOF(stop_words), sizeof(stop_words[0]),
                       compare_words);
}

static bool is_word_byte(char c) {
        return isalnum((unsigned char) c) || (c & 0x80);
}

/* At most QUERY_TERMS_MAX, the first ones; with or without stop words. */
static void split(Words *w, bool stops) {
        char *p = w->text;

        w->n = 0;
        while (*p && w->n < QUERY_TERMS_MAX) {
                char *word = p;
                while (is_word_byte(*p))
                        p++;
                size_t n = (size_t) (p - word);
                if (*p)
                        *p++ = '\0';
                if (n > 0 && (stops || !is_stop_word(word)))
                        w->items[w->n++] = word;
        }
}

static int words_of(Words *w, const char *text) {
        for (int stops = 0; stops < 2; stops++) {
                _cleanup_buf_ Buf b = BUF_INIT(QUERY_BYTES_MAX * 4);

                words_append(&b, text, strlen(text), QUERY_BYTES_MAX);
                free(w->text);
                w->text = buf_take(&b, NULL);
                if (!w->text)
                        return str_isempty(text) ? 0 : -ENOMEM;
                split(w, stops);
                if (w->n > 0)
                        return 1;
        }
        return 0;
}

char *scope_token(MemoryScope scope, bool old, char buf[static SCOPE_TOKEN_SIZE]) {
        (void) snprintf(buf, SCOPE_TOKEN_SIZE, "%c%llu", old ? 'o' : 'l',
                        (unsigned long long) memory_segment(scope));
        return buf;
}

int query_match(Buf *out, const char *text, const MemoryScope *scopes, size_t n_scopes, bool old) {
        Words w = {};
        char token[SCOPE_TOKEN_SIZE];
        int r = words_of(&w, text);

        if (r > 0) {
                (void) buf_puts(out, "scope : (");
                for (size_t i = 0; i < n_scopes; i++) {
                        (void) buf_printf(out, "%s%s", i > 0 ? " OR " : "",
                                          scope_token(scopes[i], false, token));
                        if (old)
                                (void) buf_printf(out, " OR %s", scope_token(scopes[i], true, token));
                }
                (void) buf_puts(out, ") AND {text context} : (");
                for (size_t i = 0; i < w.n; i++)
                        (void) buf_printf(out, "%s\"%s\"", i > 0 ? " OR " : "", w.items[i]);
                (void) buf_puts(out, ")");
                r = buf_error(out) < 0 ? buf_error(out) : 1;
        }
        free(w.text);
        return r;
}

int query_words(Buf *out, const char *text) {
        Words w = {};
        int r = words_of(&w, text);

        for (size_t i = 0; r > 0 && i < w.n; i++)
                (void) buf_printf(out, "%s ", w.items[i]);
        free(w.text);
        return MIN(r, 0);
}
