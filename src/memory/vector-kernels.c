/* SPDX-License-Identifier: MIT */

/* Which kernels are used, and those in plain C. The program is compiled for the least processor of
 * its kind, as a distribution does; what a better one can do lies in functions with a target
 * attribute and is chosen once, by asking the processor. Compiling everything for one machine was
 * rejected: the same file would die elsewhere with an illegal instruction.
 *
 * The plain ones sum in several lanes, as the wide ones do: a chain of dependent additions would
 * make them slower than the memory is. */

#include <pthread.h>

#include "memory/vector-kernels-internal.h"

static float plain_dot(const float *a, const float *b, size_t n) {
        float lanes[8] = {};

        for (size_t i = 0; i < n; i += 8)
                for (size_t j = 0; j < 8; j++)
                        lanes[j] += a[i + j] * b[i + j];
        return ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) +
               ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

static void plain_dot8(const int8_t *rows, size_t n_rows, size_t stride, const int8_t *q, int32_t *ret) {
        for (size_t r = 0; r < n_rows; r++) {
                const int8_t *row = rows + r * stride;
                int32_t sum = 0;

                for (size_t i = 0; i < stride; i++)
                        sum += row[i] * q[i];
                ret[r] = sum;
        }
}

static void plain_sums(const uint8_t *codes, const uint8_t *tables, size_t n_tables, uint16_t *ret) {
        memset(ret, 0, VECTOR_BLOCK * sizeof(*ret));
        for (size_t t = 0; t < n_tables; t++, codes += 16, tables += 16)
                for (size_t j = 0; j < 16; j++) {
                        ret[j] = (uint16_t) (ret[j] + tables[codes[j] & 15]);
                        ret[j + 16] = (uint16_t) (ret[j + 16] + tables[codes[j] >> 4]);
                }
}

static uint32_t plain_estimate(const uint16_t *sums,
                               const float *side,
                               const VectorEstimate *e,
                               float *ret) {
        uint32_t mask = 0;

        for (size_t v = 0; v < VECTOR_BLOCK; v++) {
                ret[v] = (e->base + e->step * (float) sums[v]) * side[v];
                mask |= (uint32_t) (ret[v] >= e->at_least) << v;
        }
        return mask;
}

const VectorKernels *vector_kernels_plain(void) {
        static const VectorKernels kernels = {
                .name = "plain",
                .dot = plain_dot,
                .dot8 = plain_dot8,
                .sums = plain_sums,
                .estimate = plain_estimate,
        };
        return &kernels;
}

/* Best first. */
static const VectorKernels *(*const kinds[])(void) = {
        vector_kernels_avx512,
        vector_kernels_avx2,
        vector_kernels_neon,
        vector_kernels_plain,
};

const VectorKernels *vector_kernels_named(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                const VectorKernels *k = kinds[i]();
                if (k && streq(k->name, name))
                        return k;
        }
        return NULL;
}

static const VectorKernels *chosen;

static void choose(void) {
        const char *wanted = getenv("AGENTD_SIMD");

        chosen = wanted ? vector_kernels_named(wanted) : NULL;
        for (size_t i = 0; !chosen; i++)
                chosen = kinds[i]();
}

const VectorKernels *vector_kernels(void) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        (void) pthread_once(&once, choose);
        return chosen;
}
