/* SPDX-License-Identifier: MIT */

/* The extractive summary over any bytes as turns. The input is parted at NUL bytes: the first part
 * is an earlier summary, the others are turns. Sentences must lie in what they are of, in order and
 * within the budget; the summary as text must be UTF-8 and must be taken as an earlier summary
 * again; text of turns that is UTF-8 must not be cut inside of a character; identifiers must occur
 * in what they are from. */

#include <stdio.h>

#include "base/str.h"
#include "memory/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TURNS_MAX 16

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static bool lies_in(const ExtractSentence *s, const ExtractTurn *t) {
        return s->text >= t->text && s->text + s->n <= t->text + t->n;
}

static void check_sentences(const Extract *e, const ExtractTurn *turns, size_t n, size_t bytes_max) {
        size_t bytes = 0, at = 0;

        for (size_t i = 0; i < e->n_sentences; i++) {
                const ExtractSentence *s = &e->sentences[i];

                bytes += s->n;
                require(s->n > 0, "an empty sentence\n");
                while (at < n && !lies_in(s, &turns[at]))
                        at++;
                require(at < n, "a sentence of no turn, or out of order\n");
                require(at == 0 || s->id == turns[at].id, "a sentence of another turn\n");
                if (utf8_is_valid(turns[at].text, turns[at].n))
                        require(utf8_is_valid(s->text, s->n), "a character was parted\n");
        }
        require(bytes <= bytes_max, "over the budget\n");
}

static void check_text(const Extract *e, const ExtractTurn *turns, size_t n) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX), ids = BUF_INIT(SIZE_MAX);
        _cleanup_extract_ Extract again = {};

        require(extract_write(e, &text) == 0, "not written\n");
        require(utf8_is_valid(text.data ? text.data : "", text.len), "the summary is no UTF-8\n");
        require(extract_turns(NULL, 0, text.data, NULL, &again) == 0, "not taken again\n");
        for (char **i = e->identifiers; *i; i++)
                require(buf_printf(&ids, " %s", *i) == 0, "out of memory\n");
        require(extract_identifiers_occur(ids.data ? ids.data : "", turns, n, 1),
                "an identifier from nowhere\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const roles[] = { "user", "assistant", "tool", "system" };
        const ExtractOptions options = { .share = size % 3 ? 0 : 1, .bytes_max = size % 2 ? 0 : 64 };
        _cleanup_free_ char *copy = malloc(size + 1);
        ExtractTurn turns[TURNS_MAX];
        _cleanup_extract_ Extract e = {};
        size_t n = 0;

        require(copy != NULL, "out of memory\n");
        memcpy(copy, data, size);
        copy[size] = '\0';
        for (size_t at = 0; at <= size && n < TURNS_MAX; n++) {
                turns[n] = (ExtractTurn){ n, roles[n % 4], copy + at, strlen(copy + at) };
                at += turns[n].n + 1;
        }
        require(extract_turns(turns + 1, n - 1, turns[0].text, &options, &e) == 0, "out of memory\n");
        check_sentences(&e, turns, n, options.bytes_max ? options.bytes_max : 1500);
        check_text(&e, turns, n);
        return 0;
}
