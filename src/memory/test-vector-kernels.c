/* SPDX-License-Identifier: MIT */

/* Every kind of kernel that this processor has, beside sums written as one would on paper. */

#include <math.h>
#include <stdio.h>

#include "base/test.h"
#include "memory/vector-kernels-internal.h"

#define WIDEST 4096

static const char *const names[] = { "plain", "avx2", "avx512", "neon" };
static const size_t widths[] = { 64, 128, 192, 384, 448, 1536, WIDEST };

static uint64_t state = 7;

static uint32_t next_random(void) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (uint32_t) (state >> 33);
}

static void *aligned(size_t bytes) {
        void *p = aligned_alloc(VECTOR_ALIGN,
                                (bytes + VECTOR_ALIGN - 1) / VECTOR_ALIGN * VECTOR_ALIGN);

        assert_non_null(p);
        return p;
}

static void each_kernel(void (*check)(const VectorKernels *k, size_t width)) {
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const VectorKernels *k = vector_kernels_named(names[i]);

                for (size_t j = 0; k && j < ELEMENTSOF(widths); j++)
                        check(k, widths[j]);
        }
}

static void check_dot(const VectorKernels *k, size_t n) {
        _cleanup_free_ float *a = aligned(n * sizeof(float)), *b = aligned(n * sizeof(float));
        double sum = 0, size = 0;

        for (size_t i = 0; i < n; i++) {
                a[i] = (float) next_random() / (float) INT32_MAX - 0.5F;
                b[i] = (float) next_random() / (float) INT32_MAX - 0.5F;
                sum += (double) a[i] * (double) b[i];
                size += (double) a[i] * (double) a[i];
        }
        assert_true(fabs((double) k->dot(a, b, n) - sum) < 1e-5 * size);
}

static void every_kernel_multiplies_floats(void **unused) {
        each_kernel(check_dot);
}

static void check_dot8(const VectorKernels *k, size_t n) {
        _cleanup_free_ int8_t *rows = aligned(n * VECTOR_BLOCK), *q = aligned(n);
        int32_t got[VECTOR_BLOCK], sum;

        /* the last rows hold the extremes */
        for (size_t i = 0; i < n * VECTOR_BLOCK; i++)
                rows[i] = (int8_t) (i / n < 30    ? (int) (next_random() % 255) - 127
                                    : i / n == 30 ? 127
                                                  : -127);
        for (int extreme = 0; extreme < 2; extreme++) {
                for (size_t i = 0; i < n; i++)
                        q[i] = (int8_t) (extreme ? 127 : (int) (next_random() % 255) - 127);
                k->dot8(rows, VECTOR_BLOCK, n, q, got);
                for (size_t r = 0; r < VECTOR_BLOCK; r++) {
                        sum = 0;
                        for (size_t i = 0; i < n; i++)
                                sum += rows[r * n + i] * q[i];
                        assert_int_equal(got[r], sum);
                }
        }
}

static void every_kernel_multiplies_bytes_exactly(void **unused) {
        each_kernel(check_dot8);
}

static void check_sums(const VectorKernels *k, size_t n) {
        size_t n_tables = n / 4;
        unsigned largest = (unsigned) MIN(UINT16_MAX / n_tables, (size_t) UINT8_MAX);
        _cleanup_free_ uint8_t *codes = aligned(n_tables * 16), *tables = aligned(n_tables * 16);
        uint16_t got[VECTOR_BLOCK];

        for (size_t i = 0; i < n_tables * 16; i++) {
                codes[i] = (uint8_t) next_random();
                /* every other look-up finds the largest entry */
                tables[i] = (uint8_t) (next_random() % 2 ? largest : next_random() % (largest + 1));
        }
        k->sums(codes, tables, n_tables, got);
        for (size_t v = 0; v < VECTOR_BLOCK; v++) {
                unsigned sum = 0;
                for (size_t t = 0; t < n_tables; t++) {
                        uint8_t both = codes[t * 16 + v % 16];
                        sum += tables[t * 16 + (v < 16 ? both & 15U : (unsigned) both >> 4)];
                }
                assert_int_equal(got[v], sum);
        }
}

static void every_kernel_looks_up_the_same_sums(void **unused) {
        each_kernel(check_sums);
}

static void check_estimate(const VectorKernels *k, size_t n) {
        const VectorEstimate e = { .base = -1.5F, .step = 1.0F / 8192, .at_least = 0.25F };
        float side[VECTOR_BLOCK], got[VECTOR_BLOCK];
        uint16_t sums[VECTOR_BLOCK];

        for (size_t v = 0; v < VECTOR_BLOCK; v++) {
                sums[v] = (uint16_t) (next_random() % UINT16_MAX);
                side[v] = v % 8 == 7 ? 0 : (float) (next_random() % 1000) / 1000;
        }
        uint32_t mask = k->estimate(sums, side, &e, got);
        for (size_t v = 0; v < VECTOR_BLOCK; v++) {
                float want = (e.base + e.step * (float) sums[v]) * side[v];
                assert_true(fabsf(got[v] - want) < 1e-5F);
                assert_int_equal(mask >> v & 1, got[v] >= e.at_least);
        }
}

static void every_kernel_estimates_and_tells_what_is_enough(void **unused) {
        each_kernel(check_estimate);
}

static void a_kernel_can_be_asked_for(void **unused) {
        assert_null(vector_kernels_named("abacus"));
        assert_string_equal(vector_kernels_named("plain")->name, "plain");
        const char *wanted = getenv("AGENTD_SIMD");
        if (wanted && vector_kernels_named(wanted))
                assert_string_equal(vector_kernels()->name, wanted);
        else
                assert_non_null(vector_kernels());
        print_message("kernels in use: %s\n", vector_kernels()->name);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_kernel_multiplies_floats),
                cmocka_unit_test(every_kernel_multiplies_bytes_exactly),
                cmocka_unit_test(every_kernel_looks_up_the_same_sums),
                cmocka_unit_test(every_kernel_estimates_and_tells_what_is_enough),
                cmocka_unit_test(a_kernel_can_be_asked_for),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
