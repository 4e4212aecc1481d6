/* SPDX-License-Identifier: MIT */
#pragma once

/* The inner loops of vector search, once for each kind of processor, and the table that holds those
 * in use. All kinds give the same integers; floats differ by the order of summing only. */

#include "base/macro.h"

enum {
        VECTOR_BLOCK = 32, /* vectors in a block: what one look-up handles */
        VECTOR_ALIGN = 64, /* rows begin at, and are padded with zeros to, a multiple of this */
};

/* How 32 sums of table entries become estimates of a cosine: (base + step * sum) * side[i]. */
typedef struct VectorEstimate {
        float base, step;
        float at_least; /* estimates below it are of no interest */
} VectorEstimate;

typedef struct VectorKernels {
        const char *name;
        /* n: a multiple of 16, both sides aligned. */
        float (*dot)(const float *a, const float *b, size_t n);
        /* ret[i]: the i-th row times q. stride: a multiple of 64, all aligned; no value is -128. */
        void (*dot8)(const int8_t *rows, size_t n_rows, size_t stride, const int8_t *q, int32_t *ret);
        /* ret[v]: the sum over t of tables[t][code of vector v in t]. A code is 4 bits; those of a table
         * lie in 16 bytes: byte j holds vector j in its low and j + 16 in its high half. n_tables: a
         * multiple of 16; the entries are small enough for 16 bits to hold every sum. */
        void (*sums)(const uint8_t *codes, const uint8_t *tables, size_t n_tables, uint16_t *ret);
        /* The estimates, and a bit for each that is at least e->at_least. */
        uint32_t (*estimate)(const uint16_t *sums,
                             const float *side,
                             const VectorEstimate *e,
                             float *ret);
} VectorKernels;

/* The best that this processor has, or what AGENTD_SIMD=plain|avx2|avx512|neon asks for if it has that. */
const VectorKernels *vector_kernels(void);
/* By name; NULL if unknown or not for this processor. */
const VectorKernels *vector_kernels_named(const char *name);

/* One for each file of kernels; NULL where the processor has not what they need. */
const VectorKernels *vector_kernels_plain(void);
const VectorKernels *vector_kernels_avx2(void);
const VectorKernels *vector_kernels_avx512(void);
const VectorKernels *vector_kernels_neon(void);
