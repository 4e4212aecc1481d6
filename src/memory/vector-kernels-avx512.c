/* SPDX-License-Identifier: MIT */

/* Kernels for x86 processors with AVX-512 and VNNI: 64 bytes at a time; what they gain over AVX2 shows
 * while the data lies in a cache, beyond it memory is the limit.
 *
 * int8: VNNI multiplies unsigned by signed bytes and adds four products to a 32-bit sum in one
 * instruction. A row's value plus 128 is its byte with the upper bit flipped; 128 times the sum of the
 * query is taken off at the end. Storing rows flipped was rejected: all kernels read the same file. */

#include "memory/vector-kernels-internal.h"

#if defined(__x86_64__)

#        include <immintrin.h>

/* gcc 12's header makes the result of many instructions of an undefined value, and warns of it. */
#        if defined(__GNUC__) && !defined(__clang__)
#                pragma GCC diagnostic ignored "-Wuninitialized"
#                pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#        endif

#        define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma")))
#        define ALL    ((__mmask16) 0xffff)

AVX512 static inline __m512i load(const void *p) {
        return _mm512_load_si512(p);
}

AVX512 static float avx512_dot(const float *a, const float *b, size_t n) {
        __m512 x = _mm512_setzero_ps(), y = x, z = x, w = x;
        size_t i = 0;

        for (; i + 64 <= n; i += 64) {
                x = _mm512_fmadd_ps(_mm512_load_ps(a + i), _mm512_load_ps(b + i), x);
                y = _mm512_fmadd_ps(_mm512_load_ps(a + i + 16), _mm512_load_ps(b + i + 16), y);
                z = _mm512_fmadd_ps(_mm512_load_ps(a + i + 32), _mm512_load_ps(b + i + 32), z);
                w = _mm512_fmadd_ps(_mm512_load_ps(a + i + 48), _mm512_load_ps(b + i + 48), w);
        }
        for (; i < n; i += 16)
                x = _mm512_fmadd_ps(_mm512_load_ps(a + i), _mm512_load_ps(b + i), x);
        return _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(x, y), _mm512_add_ps(z, w)));
}

AVX512 static int32_t sum8(const int8_t *q, size_t n) {
        const __m512i ones = _mm512_set1_epi8(1);
        __m512i sum = _mm512_setzero_si512();

        for (size_t i = 0; i < n; i += 64)
                sum = _mm512_dpbusd_epi32(sum, ones, load(q + i));
        return _mm512_reduce_add_epi32(sum);
}

AVX512 static void avx512_dot8(
        const int8_t *rows, size_t n_rows, size_t stride, const int8_t *q, int32_t *ret) {
        const __m512i flip = _mm512_set1_epi8(-128);
        int32_t too_much = 128 * sum8(q, stride);

        for (size_t r = 0; r < n_rows; r++, rows += stride) {
                __m512i sum = _mm512_setzero_si512(), sum2 = sum;
                size_t i = 0;

                for (; i + 128 <= stride; i += 128) {
                        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(load(rows + i), flip),
                                                  load(q + i));
                        sum2 = _mm512_dpbusd_epi32(sum2, _mm512_xor_si512(load(rows + i + 64), flip),
                                                   load(q + i + 64));
                }
                if (i < stride)
                        sum = _mm512_dpbusd_epi32(sum, _mm512_xor_si512(load(rows + i), flip),
                                                  load(q + i));
                ret[r] = _mm512_reduce_add_epi32(_mm512_add_epi32(sum, sum2)) - too_much;
        }
}

/* Adds up the four tables that lie side by side in a register: 8 sums of 16 bits. */
AVX512 static inline __m128i fold(__m512i x) {
        __m256i h = _mm256_add_epi16(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1));

        return _mm_add_epi16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* See avx2: `all` holds the even bytes' sums with the odd ones' in the upper half. */
AVX512 static void write_sums(__m512i all, __m512i odd, uint16_t *ret) {
        __m128i e = fold(_mm512_sub_epi16(all, _mm512_slli_epi16(odd, 8))), o = fold(odd);

        _mm_storeu_si128((__m128i *) (void *) ret, _mm_unpacklo_epi16(e, o));
        _mm_storeu_si128((__m128i *) (void *) (ret + 8), _mm_unpackhi_epi16(e, o));
}

AVX512 static void avx512_sums(const uint8_t *codes,
                               const uint8_t *tables,
                               size_t n_tables,
                               uint16_t *ret) {
        const __m512i low4 = _mm512_set1_epi8(15);
        __m512i low = _mm512_setzero_si512(), low_odd = low, high = low, high_odd = low;

        for (size_t t = 0; t < n_tables; t += 4, codes += 64, tables += 64) {
                __m512i c = load(codes), table = load(tables);
                __m512i x = _mm512_shuffle_epi8(table, _mm512_and_si512(c, low4));
                __m512i y =
                        _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(c, 4), low4));

                low = _mm512_add_epi16(low, x);
                low_odd = _mm512_add_epi16(low_odd, _mm512_srli_epi16(x, 8));
                high = _mm512_add_epi16(high, y);
                high_odd = _mm512_add_epi16(high_odd, _mm512_srli_epi16(y, 8));
        }
        write_sums(low, low_odd, ret);
        write_sums(high, high_odd, ret + 16);
}

AVX512 static uint32_t avx512_estimate(const uint16_t *sums,
                                       const float *side,
                                       const VectorEstimate *e,
                                       float *ret) {
        const __m512 base = _mm512_set1_ps(e->base), step = _mm512_set1_ps(e->step);
        const __m512 at_least = _mm512_set1_ps(e->at_least);
        uint32_t mask = 0;

        for (unsigned v = 0; v < VECTOR_BLOCK; v += 16) {
                __m256i s = _mm256_loadu_si256((const __m256i *) (const void *) (sums + v));
                __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(s));

                x = _mm512_mul_ps(_mm512_fmadd_ps(step, x, base), _mm512_loadu_ps(side + v));
                _mm512_storeu_ps(ret + v, x);
                mask |= (uint32_t) _mm512_cmp_ps_mask(x, at_least, _CMP_GE_OQ) << v;
        }
        return mask;
}

const VectorKernels *vector_kernels_avx512(void) {
        static const VectorKernels kernels = {
                .name = "avx512",
                .dot = avx512_dot,
                .dot8 = avx512_dot8,
                .sums = avx512_sums,
                .estimate = avx512_estimate,
        };
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                               __builtin_cpu_supports("avx512vl") &&
                               __builtin_cpu_supports("avx512vnni")
                       ? &kernels
                       : NULL;
}

#else

const VectorKernels *vector_kernels_avx512(void) {
        return NULL;
}

#endif
