/* SPDX-License-Identifier: MIT */

/* Reading tokenizer.json (of the tokenizers library): what kind of model it has, its vocabulary,
 * and those of its normalisers that we do. The file is somebody's download and checked as such:
 * numbers have a maximum, tokens must be strings, and a kind that we do not know (BPE, WordLevel)
 * is refused by name instead of giving vectors that mean nothing. */

#include "base/json.h"
#include "memory/tokenizer-internal.h"

#define TOKENS_MAX (1u << 22)
#define WORD_MAX   100 /* what the library has as default */

static int complain(const char **ret_message, const char *what) {
        *ret_message = what;
        return -EUCLEAN;
}

Tokenizer *tokenizer_free(Tokenizer *t) {
        if (!t)
                return NULL;
        strmap_free(t->vocabulary);
        free(t->names);
        free(t->scores);
        free(t);
        return NULL;
}

static bool is_type(JsonSpan v, const char *type) {
        JsonSpan t = json_get(v, "type");

        return json_is(t, JSON_KIND_STRING) && json_string_equals(t, type);
}

/* ---- normalisers ---- */

/* A member that is true; absent: as said. */
static bool is_set(JsonSpan v, const char *name, bool otherwise) {
        bool b;

        return json_bool(json_get(v, name), &b) < 0 ? otherwise : b;
}

static void one_normalizer(Tokenizer *t, JsonSpan v) {
        if (is_type(v, "BertNormalizer")) {
                t->lower_case |= is_set(v, "lowercase", true);
                t->clean |= is_set(v, "clean_text", true);
                t->ideographs_apart |= is_set(v, "handle_chinese_chars", true);
                /* null: as lower case */
                t->strip_accents |= is_set(v, "strip_accents", is_set(v, "lowercase", true));
        } else if (is_type(v, "Lowercase"))
                t->lower_case = true;
        else if (is_type(v, "StripAccents"))
                t->strip_accents = true;
}

static void read_normalizers(Tokenizer *t, JsonSpan v) {
        JsonIter it;
        JsonSpan one;

        if (!json_is(v, JSON_KIND_OBJECT))
                return;
        one_normalizer(t, v);
        JsonSpan list = json_get(v, "normalizers");
        if (!is_type(v, "Sequence") || !json_is(list, JSON_KIND_ARRAY))
                return;
        for (it = json_iter(list); json_next(&it, NULL, &one);)
                if (json_is(one, JSON_KIND_OBJECT))
                        one_normalizer(t, one);
}

/* ---- vocabulary ---- */

/* Where the next name goes and what decodes it. */
typedef struct Names {
        char *next;
        Buf buf;
} Names;

static void names_done(Names *n) {
        buf_done(&n->buf);
}

/* Tokens that have no UTF-8, a NUL, or nothing in them are left out: no text has them. */
static int add_token(Tokenizer *t, Names *names, JsonSpan token, uint32_t number) {
        buf_clear(&names->buf);
        int r = json_string_decode(token, &names->buf);
        if (r == -ENOMEM)
                return r;
        size_t n = names->buf.len;
        t->size = MAX(t->size, number + 1);
        if (r < 0 || n == 0 || memchr(names->buf.data, '\0', n))
                return 0;
        memcpy(names->next, names->buf.data, n + 1);
        /* not a pointer, a number: the map does not look at it */
        r = strmap_put(t->vocabulary, names->next, (void *) (uintptr_t) (number + 1));
        if (r < 0)
                return r;
        names->next += n + 1;
        t->longest = MAX(t->longest, n);
        return 0;
}

static int read_wordpiece(Tokenizer *t, Names *names, JsonSpan vocabulary, const char **ret_message) {
        JsonIter it = json_iter(vocabulary);
        JsonSpan token, number;

        if (!json_is(vocabulary, JSON_KIND_OBJECT))
                return complain(ret_message,
                                "its WordPiece vocabulary is no object of tokens and numbers");
        while (json_next(&it, &token, &number)) {
                int64_t i;
                if (json_int(number, &i) < 0 || i < 0 || i >= TOKENS_MAX)
                        return complain(ret_message, "a token's number is none, or too large");
                int r = add_token(t, names, token, (uint32_t) i);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ["token", score] */
static int read_piece(JsonSpan pair, JsonSpan *ret_token, float *ret_score) {
        JsonIter it = json_iter(pair);
        JsonSpan score;
        double d;

        if (!json_is(pair, JSON_KIND_ARRAY) || !json_next(&it, NULL, ret_token) ||
            !json_next(&it, NULL, &score) || !json_is(*ret_token, JSON_KIND_STRING) ||
            json_real(score, &d) < 0)
                return -EUCLEAN;
        *ret_score = (float) MAX(MIN(d, 1e6), -1e6);
        return 0;
}

static int read_unigram(Tokenizer *t, Names *names, JsonSpan vocabulary, const char **ret_message) {
        size_t n = json_is(vocabulary, JSON_KIND_ARRAY) ? json_count(vocabulary) : 0;
        JsonIter it = json_iter(vocabulary);
        JsonSpan pair, token;
        float least = 0;

        if (n == 0 || n > TOKENS_MAX)
                return complain(ret_message,
                                "its Unigram vocabulary is no list of tokens and scores, or too long");
        t->scores = calloc(n, sizeof(*t->scores));
        if (!t->scores)
                return -ENOMEM;
        for (uint32_t i = 0; json_next(&it, NULL, &pair); i++) {
                if (read_piece(pair, &token, &t->scores[i]) < 0)
                        return complain(
                                ret_message,
                                "its Unigram vocabulary is no list of tokens and scores, or too long");
                least = MIN(least, t->scores[i]);
                int r = add_token(t, names, token, i);
                if (r < 0)
                        return r;
        }
        t->unknown_score = least - 10;
        return 0;
}

/* ---- the model ---- */

static void read_prefix(Tokenizer *t, JsonSpan model) {
        _cleanup_buf_ Buf prefix = BUF_INIT(sizeof(t->prefix) - 1);
        JsonSpan v = json_get(model, "continuing_subword_prefix");

        if (!json_is(v, JSON_KIND_STRING) || json_string_decode(v, &prefix) < 0 || !prefix.data)
                memcpy(t->prefix, "##", sizeof("##"));
        else
                memcpy(t->prefix, prefix.data, prefix.len + 1);
}

static int read_wordpiece_model(Tokenizer *t, Names *names, JsonSpan model, const char **ret_message) {
        JsonSpan unknown = json_get(model, "unk_token");
        int64_t word_max = WORD_MAX;
        char name[64];

        t->kind = TOKENIZER_WORDPIECE;
        read_prefix(t, model);
        (void) json_int(json_get(model, "max_input_chars_per_word"), &word_max);
        t->word_max = word_max > 0 ? (size_t) MIN(word_max, (int64_t) 1000) : WORD_MAX;
        int r = read_wordpiece(t, names, json_get(model, "vocab"), ret_message);
        if (r < 0)
                return r;
        buf_clear(&names->buf);
        if (json_is(unknown, JSON_KIND_STRING) && json_string_decode(unknown, &names->buf) >= 0 &&
            names->buf.len > 0 && names->buf.len < sizeof(name)) {
                memcpy(name, names->buf.data, names->buf.len);
                t->unknown = tokenizer_find(t, name, name + names->buf.len);
        }
        return 0;
}

static int read_unigram_model(Tokenizer *t, Names *names, JsonSpan model, const char **ret_message) {
        int64_t unknown;

        t->kind = TOKENIZER_UNIGRAM;
        int r = read_unigram(t, names, json_get(model, "vocab"), ret_message);
        if (r >= 0 && json_int(json_get(model, "unk_id"), &unknown) >= 0 && unknown >= 0 &&
            unknown < t->size)
                t->unknown = (uint32_t) unknown;
        return r;
}

static int read_model(Tokenizer *t, JsonSpan model, const char **ret_message) {
        _cleanup_(names_done) Names names = { .next = t->names, .buf = BUF_INIT(SIZE_MAX) };
        int r;

        if (!json_is(model, JSON_KIND_OBJECT))
                return complain(ret_message, "it has no \"model\"");
        /* older files do not say which */
        bool has_type = json_get(model, "type").p != NULL,
             is_list = json_is(json_get(model, "vocab"), JSON_KIND_ARRAY);
        if (is_type(model, "WordPiece") || (!has_type && !is_list))
                r = read_wordpiece_model(t, &names, model, ret_message);
        else if (is_type(model, "Unigram") || !has_type)
                r = read_unigram_model(t, &names, model, ret_message);
        else
                return complain(
                        ret_message,
                        "its model is neither WordPiece nor Unigram, which are those that can be used");
        if (r >= 0 && strmap_size(t->vocabulary) == 0)
                return complain(ret_message, "its vocabulary is empty");
        return r;
}

int tokenizer_new(Tokenizer **ret, const char *json, size_t n, const char **ret_message) {
        JsonSpan v;

        if (json_check(json, n, JSON_DEPTH_MAX, &v, NULL) < 0 || !json_is(v, JSON_KIND_OBJECT))
                return complain(ret_message, "it is no JSON object");
        _cleanup_(tokenizer_freep) Tokenizer *t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->unknown = UINT32_MAX;
        t->vocabulary = strmap_new();
        /* a token decodes to less than its text between quotes, so all fit */
        t->names = malloc(n + 1);
        if (!t->vocabulary || !t->names)
                return -ENOMEM;
        read_normalizers(t, json_get(v, "normalizer"));
        int r = read_model(t, json_get(v, "model"), ret_message);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(t);
        return 0;
}
