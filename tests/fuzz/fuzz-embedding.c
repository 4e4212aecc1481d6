/* SPDX-License-Identifier: MIT */

/* What an embeddings endpoint answers, which is anybody's text: the first byte says how many inputs
 * there were, the rest is the body. An answer that is taken must give every input a vector of
 * length 1 within the limits or a reason; one that is not must say why. The same bytes as an
 * error's body must make a message of one line. */

#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "memory/embedder-internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUTS_MAX 4

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void check_vector(const EmbedVector *v) {
        double squares = 0;

        require((v->numbers != NULL) != (v->problem != NULL), "neither a vector nor a problem\n");
        if (!v->numbers)
                return;
        require(v->n > 0 && v->n <= EMBEDDER_DIMENSIONS_MAX, "a vector out of measure\n");
        for (unsigned i = 0; i < v->n; i++)
                squares += (double) v->numbers[i] * (double) v->numbers[i];
        require(fabs(squares - 1) < 1e-3, "a vector that is not normalised\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        EmbedVector vectors[INPUTS_MAX];
        const char *message = NULL;

        if (size == 0)
                return 0;
        size_t n = 1 + data[0] % INPUTS_MAX;
        _cleanup_free_ char *body = malloc(size);
        require(body != NULL, "out of memory\n");
        memcpy(body, data + 1, size - 1);
        int r = embed_answer_read(body, size - 1, n, vectors, &message);
        require(r == 0 || (r == -EPROTO && message), "an error without its reason\n");
        for (size_t i = 0; r == 0 && i < n; i++)
                check_vector(&vectors[i]);
        if (r == 0)
                embed_vectors_done(vectors, n);

        _cleanup_free_ char *said = embed_answer_error(body, size - 1);
        require(!said || (utf8_is_valid(said, strlen(said)) && !strpbrk(said, "\r\n")),
                "a message of several lines\n");
        (void) embed_answer_is_too_large(500, body, size - 1);
        return 0;
}
