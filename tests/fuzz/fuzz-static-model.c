/* SPDX-License-Identifier: MIT */

/* A static model's files, which are downloads. An input that begins with 'S' is a safetensors file
 * behind that byte: every tensor that is given out must lie in it to its last number. Any other is
 * a tokenizer.json up to the first NUL, and a text behind it: numbers that come out must be below
 * the tokenizer's size. */

#include <stdio.h>

#include "memory/safetensors.h"
#include "memory/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IDS_MAX 512

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void check_tensors(const char *file, size_t n) {
        static const char *const names[] = { "embeddings", "weights", "mapping", "t" };
        const char *message = NULL;
        Safetensors s;
        Tensor t;

        if (safetensors_open(&s, file, n, &message) < 0) {
                require(message != NULL, "refused without a reason\n");
                return;
        }
        ARRAY_FOREACH(name, names) {
                message = NULL;
                int r = safetensors_get(&s, *name, &t, &message);
                require(r == 0 || r == -ENOENT || (r == -EUCLEAN && message),
                        "refused without a reason\n");
                /* the copy of the file has its size, so a step outside is seen */
                for (size_t i = 0; r == 0 && i < t.rows * t.columns; i++)
                        (void) tensor_number(&t, i);
        }
}

static void check_tokenizer(const char *json, size_t n, const char *text, size_t n_text) {
        _cleanup_(tokenizer_freep) Tokenizer *t = NULL;
        const char *message = NULL;
        uint32_t ids[IDS_MAX];
        size_t n_ids = 0;

        if (tokenizer_new(&t, json, n, &message) < 0) {
                require(message != NULL, "refused without a reason\n");
                return;
        }
        require(tokenizer_run(t, text, n_text, ids, IDS_MAX, &n_ids) == 0 && n_ids <= IDS_MAX,
                "not run\n");
        for (size_t i = 0; i < n_ids; i++)
                require(ids[i] < tokenizer_size(t), "a number that no token has\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *copy = malloc(size + 1);

        require(copy != NULL, "out of memory\n");
        if (size == 0)
                return 0;
        if (data[0] == 'S') {
                _cleanup_free_ char *file = malloc(size);
                require(file != NULL, "out of memory\n");
                memcpy(file, data + 1, size - 1);
                check_tensors(file, size - 1);
                return 0;
        }
        memcpy(copy, data, size);
        copy[size] = '\0';
        size_t n = strlen(copy);
        check_tokenizer(copy, n, copy + n, size - n);
        return 0;
}
