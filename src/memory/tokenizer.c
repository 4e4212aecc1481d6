/* SPDX-License-Identifier: MIT */

/* Using a vocabulary. The text is normalised into a buffer; words are cut out of it and looked up
 * in place, with a NUL put behind each candidate for the moment of looking.
 *
 * WordPiece: words are what lies between white space and punctuation (which is a word itself); of
 * each, the longest token from its beginning is taken, then from there on with the prefix of inner
 * tokens; a word with a rest that is no token is unknown as a whole. Unigram: words are what lies
 * between white space, with U+2581 before them, and of all ways to part one into tokens the one
 * with the largest sum of scores is taken (Viterbi's algorithm). */

#include <math.h>

#include "base/buf.h"
#include "memory/text.h"
#include "memory/tokenizer-internal.h"

#define TEXT_BYTES ((size_t) 16 << 10)
#define WORD_BYTES 512 /* Unigram: longer ones are parted */
#define METASPACE  "\xE2\x96\x81"

uint32_t tokenizer_size(const Tokenizer *t) {
        return t->size;
}

uint32_t tokenizer_find(const Tokenizer *t, char *token, char *end) {
        char saved = *end;

        *end = '\0';
        uintptr_t number = (uintptr_t) strmap_get(t->vocabulary, token);
        *end = saved;
        return number > 0 ? (uint32_t) (number - 1) : UINT32_MAX;
}

/* ---- normalising ---- */

static bool is_mark(uint32_t c) {
        return (c >= 0x300 && c <= 0x36F) || (c >= 0x1AB0 && c <= 0x1AFF) ||
               (c >= 0x1DC0 && c <= 0x1DFF) || (c >= 0x20D0 && c <= 0x20FF) ||
               (c >= 0xFE20 && c <= 0xFE2F) || c == 0x3099 || c == 0x309A;
}

static bool is_control(uint32_t c) {
        return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == TEXT_REPLACEMENT ||
               (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) ||
               (c >= 0x2060 && c <= 0x2064) || c == 0xFEFF;
}

static int normalise(const Tokenizer *t, const char *text, size_t n, Buf *out) {
        for (size_t i = 0; i < n;) {
                uint32_t c;
                char utf8[4];

                i += text_decode(text + i, n - i, &c);
                if (text_is_space(c) && c != 0xFEFF && c != 0x200B)
                        c = ' ';
                else if (c == 0 || (t->clean && is_control(c)))
                        continue;
                if (t->strip_accents && is_mark(c))
                        continue;
                if (t->strip_accents)
                        c = tokenizer_base_letter(c);
                if (t->lower_case)
                        c = text_lower(c);
                (void) buf_append(out, utf8, text_encode(c, utf8));
        }
        /* room for the NUL behind the last word, and for what looking up puts there */
        (void) buf_putc(out, ' ');
        return buf_error(out);
}

/* ---- numbers that come out ---- */

typedef struct Numbers {
        uint32_t *ids;
        size_t n, max;
} Numbers;

static void put(const Tokenizer *t, Numbers *out, uint32_t id) {
        if (id != t->unknown && id != UINT32_MAX && out->n < out->max)
                out->ids[out->n++] = id;
}

/* The start of the character that ends before p. */
static char *back(const char *from, char *p) {
        do
                p--;
        while (p > from && ((uint8_t) *p & 0xC0) == 0x80);
        return p;
}

/* ---- WordPiece ---- */

static size_t characters(const char *p, const char *end) {
        size_t n = 0;

        for (; p < end; p++)
                n += ((uint8_t) *p & 0xC0) != 0x80;
        return n;
}

/* The longest token at the beginning of [p, end), which is inside of a word or not. NULL: none. */
static char *longest(const Tokenizer *t, char *p, const char *end, bool is_inside, uint32_t *ret) {
        size_t n_prefix = is_inside ? strlen(t->prefix) : 0;
        char token[1024 + sizeof(t->prefix)];
        size_t room = MIN(t->longest, sizeof(token) - 1);

        if (room <= n_prefix)
                return NULL;
        memcpy(token, t->prefix, n_prefix);
        char *to = p + MIN((size_t) (end - p), room - n_prefix);
        while (to < end && to > p && ((uint8_t) *to & 0xC0) == 0x80)
                to--;
        memcpy(token + n_prefix, p, (size_t) (to - p));
        for (; to > p; to = back(p, to)) {
                *ret = tokenizer_find(t, token, token + n_prefix + (to - p));
                if (*ret != UINT32_MAX)
                        return to;
        }
        return NULL;
}

static void piece_word(const Tokenizer *t, char *p, char *end, Numbers *out) {
        size_t before = out->n;

        if (characters(p, end) > t->word_max)
                return;
        for (char *at = p; at < end;) {
                uint32_t id;
                char *next = longest(t, at, end, at > p, &id);
                if (!next) { /* unknown as a whole */
                        out->n = before;
                        return;
                }
                put(t, out, id);
                at = next;
        }
}

static bool is_ideograph(uint32_t c) {
        return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
               (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x2FA1F);
}

/* A character that is a word of its own. */
static bool is_alone(const Tokenizer *t, uint32_t c) {
        return (!text_is_word(c) && !is_mark(c)) || (t->ideographs_apart && is_ideograph(c));
}

static void run_wordpiece(const Tokenizer *t, char *p, char *end, Numbers *out) {
        char *word = p;

        while (p < end && out->n < out->max) {
                uint32_t c;
                size_t n = text_decode(p, (size_t) (end - p), &c);

                if (c == ' ' || is_alone(t, c)) {
                        if (p > word)
                                piece_word(t, word, p, out);
                        if (c != ' ')
                                piece_word(t, p, p + n, out);
                        word = p + n;
                }
                p += n;
        }
}

/* ---- Unigram ---- */

typedef struct Best {
        float score;
        uint32_t id;
        uint16_t from;
} Best;

/* The best way to each place of the word, from the beginning. */
static void find_ways(const Tokenizer *t, char *word, size_t n, Best *best) {
        for (size_t i = 0; i <= n; i++)
                best[i] = (Best){ .score = i == 0 ? 0 : -INFINITY, .id = UINT32_MAX };
        for (size_t i = 0; i < n; i++) {
                uint32_t c;

                if (isinf(best[i].score))
                        continue;
                size_t first = text_decode(word + i, n - i, &c);
                for (size_t k = 1; k <= MIN(t->longest, n - i); k++) {
                        if (i + k < n && ((uint8_t) word[i + k] & 0xC0) == 0x80)
                                continue;
                        uint32_t id = tokenizer_find(t, word + i, word + i + k);
                        float score = id == UINT32_MAX ? -INFINITY : best[i].score + t->scores[id];
                        if (score > best[i + k].score)
                                best[i + k] = (Best){ score, id, (uint16_t) i };
                }
                /* there is always the way of an unknown character */
                if (best[i + first].score < best[i].score + t->unknown_score)
                        best[i + first] =
                                (Best){ best[i].score + t->unknown_score, UINT32_MAX, (uint16_t) i };
        }
}

static void unigram_word(const Tokenizer *t, const char *p, size_t n, Numbers *out) {
        char word[sizeof(METASPACE) + WORD_BYTES + 1];
        Best best[sizeof(word)];
        uint32_t ids[sizeof(word)];
        size_t size = strlen(METASPACE) + n, n_ids = 0;

        memcpy(word, METASPACE, strlen(METASPACE));
        memcpy(word + strlen(METASPACE), p, n);
        word[size] = '\0';
        find_ways(t, word, size, best);
        for (size_t at = size; at > 0; at = best[at].from)
                ids[n_ids++] = best[at].id;
        while (n_ids > 0)
                put(t, out, ids[--n_ids]);
}

static void run_unigram(const Tokenizer *t, const char *p, const char *end, Numbers *out) {
        while (p < end && out->n < out->max) {
                const char *space = memchr(p, ' ', (size_t) (end - p));
                size_t n = (size_t) ((space ?: end) - p), k = text_cut(p, n, WORD_BYTES);

                if (n > 0)
                        unigram_word(t, p, k, out);
                p += k == n ? n + 1 : k;
        }
}

/* ids is written through `out`. NOLINTBEGIN(readability-non-const-parameter) */
int tokenizer_run(
        const Tokenizer *t, const char *text, size_t n, uint32_t *ids, size_t max, size_t *ret_n) {
        /* NOLINTEND(readability-non-const-parameter) */
        _cleanup_buf_ Buf buf = BUF_INIT(SIZE_MAX);
        Numbers out = { .ids = ids, .max = max };

        int r = normalise(t, text, text_cut(text, n, TEXT_BYTES), &buf);
        if (r < 0)
                return r;
        if (t->kind == TOKENIZER_WORDPIECE)
                run_wordpiece(t, buf.data, buf.data + buf.len, &out);
        else
                run_unigram(t, buf.data, buf.data + buf.len, &out);
        *ret_n = out.n;
        return 0;
}
