/* SPDX-License-Identifier: MIT */

/* Reading what an embeddings endpoint answers. Nothing is believed: the count must be the number of
 * inputs, every index must come once and lie within them, and a vector must have finite numbers, a
 * length that is not zero, and at most as many numbers as we store. Vectors are normalised here,
 * always: some servers do it, some can be told not to.
 *
 * Numbers come as a JSON array or as base64 of little-endian float32; whichever comes is taken,
 * whatever was asked for. A vector that is of no use spoils itself only; an answer whose frame is
 * wrong is of no use at all, as nobody could say which vector belongs to which text. */

#include <endian.h>
#include <float.h>
#include <math.h>
#include <sodium.h>

#include "base/json.h"
#include "base/str.h"
#include "memory/embedder-internal.h"

#define MESSAGE_BYTES 300

void embed_vectors_done(EmbedVector *v, size_t n) {
        for (size_t i = 0; i < n; i++)
                free(TAKE_PTR(v[i].numbers));
}

/* ---- one vector ---- */

static void check(EmbedVector *v) {
        double squares = 0;

        for (unsigned i = 0; i < v->n && !v->problem; i++) {
                if (!isfinite(v->numbers[i]))
                        v->problem = "its vector has a number that is not finite";
                squares += (double) v->numbers[i] * (double) v->numbers[i];
        }
        if (!v->problem && squares < 1e-60)
                v->problem = "its vector is zero";
        for (unsigned i = 0; i < v->n && !v->problem; i++)
                v->numbers[i] = (float) (v->numbers[i] / sqrt(squares));
        if (v->problem)
                free(TAKE_PTR(v->numbers));
}

static int room(EmbedVector *v, size_t n) {
        if (n == 0 || n > EMBEDDER_DIMENSIONS_MAX) {
                v->problem = n == 0 ? "its vector is empty"
                                    : "its vector has more numbers than can be stored (4096)";
                return 0;
        }
        v->numbers = calloc(n, sizeof(float));
        v->n = (unsigned) n;
        return v->numbers ? 0 : -ENOMEM;
}

static int read_array(JsonSpan array, EmbedVector *v) {
        JsonIter it = json_iter(array);
        JsonSpan value;
        unsigned i = 0;

        int r = room(v, json_count(array));
        while (r >= 0 && v->numbers && json_next(&it, NULL, &value)) {
                double d = 0;
                if (json_real(value, &d) < 0 || fabs(d) > (double) FLT_MAX)
                        v->problem = "its vector has something that is no number";
                v->numbers[i++] = (float) d;
        }
        return r;
}

static int read_base64(JsonSpan string, EmbedVector *v) {
        _cleanup_free_ char *text = NULL;
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t n_text, n = 0;
        const char *end;

        int r = json_string_dup(string, &text, &n_text);
        if (r == -ENOMEM)
                return r;
        bytes = malloc(string.n + 1);
        if (!bytes)
                return -ENOMEM;
        if (r < 0 ||
            sodium_base642bin(bytes, string.n, text, n_text, "=\r\n", &n, &end,
                              sodium_base64_VARIANT_ORIGINAL_NO_PADDING) < 0 ||
            end != text + n_text || n % sizeof(float) != 0) {
                v->problem = "its vector is neither an array nor base64 of 32 bit numbers";
                return 0;
        }
        r = room(v, n / sizeof(float));
        for (size_t i = 0; r >= 0 && v->numbers && i < v->n; i++) {
                uint32_t bits;
                memcpy(&bits, bytes + i * sizeof(bits), sizeof(bits));
                bits = le32toh(bits);
                memcpy(&v->numbers[i], &bits, sizeof(bits));
        }
        return r;
}

static int read_vector(JsonSpan embedding, EmbedVector *v) {
        int r = 0;

        if (json_is(embedding, JSON_KIND_ARRAY))
                r = read_array(embedding, v);
        else if (json_is(embedding, JSON_KIND_STRING))
                r = read_base64(embedding, v);
        else
                v->problem = "there is no vector of it in the answer";
        if (r >= 0)
                check(v);
        return r;
}

/* ---- the answer ---- */

/* Where the element at this position belongs; -EPROTO. */
static int place_of(JsonSpan element, size_t position, size_t n, size_t *ret) {
        int64_t index = (int64_t) position;
        JsonSpan given = json_get(element, "index");

        if (given.p && json_int(given, &index) < 0)
                return -EPROTO;
        if (index < 0 || (uint64_t) index >= n)
                return -EPROTO;
        *ret = (size_t) index;
        return 0;
}

static int read_data(JsonSpan data, size_t n, EmbedVector *ret, const char **ret_message) {
        JsonIter it = json_iter(data);
        JsonSpan element;

        for (size_t i = 0; json_next(&it, NULL, &element); i++) {
                size_t at;
                int r = json_is(element, JSON_KIND_OBJECT) ? place_of(element, i, n, &at) : -EPROTO;

                if (r >= 0 && (ret[at].n > 0 || ret[at].problem))
                        r = -EPROTO;
                if (r >= 0)
                        r = read_vector(json_get(element, "embedding"), &ret[at]);
                if (r == -EPROTO)
                        *ret_message = "the answer's vectors are not numbered as the texts are";
                if (r < 0)
                        return r;
        }
        return 0;
}

int embed_answer_read(
        const char *body, size_t size, size_t n, EmbedVector *ret, const char **ret_message) {
        JsonSpan answer, data;

        memset(ret, 0, n * sizeof(*ret));
        if (json_check(body, size, JSON_DEPTH_MAX, &answer, NULL) < 0 ||
            !json_is(answer, JSON_KIND_OBJECT)) {
                *ret_message = "the answer is no JSON object";
                return -EPROTO;
        }
        data = json_get(answer, "data");
        if (!json_is(data, JSON_KIND_ARRAY)) {
                *ret_message = "the answer has no list \"data\"";
                return -EPROTO;
        }
        if (json_count(data) != n) {
                *ret_message = "the answer has another number of vectors than there were texts";
                return -EPROTO;
        }
        int r = read_data(data, n, ret, ret_message);
        if (r < 0)
                embed_vectors_done(ret, n);
        return r;
}

/* ---- errors ---- */

/* `{"error":{"message":"…"}}`, `{"error":"…"}`, `{"message":"…"}`, `{"detail":"…"}`. */
static JsonSpan message_in(JsonSpan v) {
        static const char *const names[] = { "error", "message", "detail" };

        for (unsigned depth = 0; depth < 3 && json_is(v, JSON_KIND_OBJECT); depth++) {
                JsonSpan inner = {};
                for (size_t i = 0; i < ELEMENTSOF(names) && !inner.p; i++)
                        inner = json_get(v, names[i]);
                v = inner;
        }
        return v;
}

char *embed_answer_error(const char *body, size_t size) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
        JsonSpan v;

        if (json_check(body, size, JSON_DEPTH_MAX, &v, NULL) >= 0) {
                v = message_in(v);
                if (json_is(v, JSON_KIND_STRING))
                        (void) json_string_decode(v, &text);
        } else
                (void) buf_append(&text, body, size);
        text.len = text_cut(text.data ? text.data : "", text.len, MESSAGE_BYTES);
        for (size_t i = 0; i < text.len; i++)
                if ((uint8_t) text.data[i] < 0x20 || text.data[i] == 0x7F)
                        text.data[i] = ' ';
        while (text.len > 0 && text.data[text.len - 1] == ' ')
                text.len--;
        return text.len > 0 && utf8_is_valid(text.data, text.len) ? strndup(text.data, text.len)
                                                                  : NULL;
}

bool embed_answer_is_too_large(long status, const char *body, size_t size) {
        /* of OpenAI, llama.cpp, Ollama, vLLM and text-embeddings-inference */
        static const char *const words[] = {
                "too large",      "too long",    "too many",    "exceed",  "maximum context",
                "context length", "larger than", "longer than", "at most", "must have less than",
                "batch size",
        };

        if (status == 413)
                return true;
        if (status != 400 && status != 422 && status != 500)
                return false;
        _cleanup_free_ char *text = strndup(body, MIN(size, (size_t) 4096));
        ARRAY_FOREACH(word, words)
                if (text && strcasestr(text, *word))
                        return true;
        return false;
}
