/* SPDX-License-Identifier: MIT */

/* Kernels for x86 processors of the last ten years: 32 bytes at a time.
 *
 * int8: a multiplication of bytes exists for unsigned by signed only, so the sign of the row moves
 * to the query. Two products are at most 2 * 127 * 127, which 16 bits hold: that is why no value is
 * -128.
 *
 * Codes: a byte shuffle is 32 look-ups in tables of 16 bytes, two tables at a time, one in each
 * half of the register. Sums are of 16 bits: the odd bytes are added shifted down, all bytes are
 * added as they are, and what the odd ones brought into the latter is taken off at the end. Method:
 * André, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB 2015. */

#include "memory/vector-kernels-internal.h"

#if defined(__x86_64__)

#        include <immintrin.h>

#        define AVX2 __attribute__((target("avx2,fma")))

AVX2 static inline __m256i load(const void *p) {
        return _mm256_load_si256((const __m256i *) p);
}

AVX2 static inline float add_lanes(__m256 x) {
        __m128 h = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));

        h = _mm_add_ps(h, _mm_movehl_ps(h, h));
        return _mm_cvtss_f32(_mm_add_ss(h, _mm_movehdup_ps(h)));
}

AVX2 static float avx2_dot(const float *a, const float *b, size_t n) {
        __m256 x = _mm256_setzero_ps(), y = x, z = x, w = x;
        size_t i = 0;

        for (; i + 32 <= n; i += 32) {
                x = _mm256_fmadd_ps(_mm256_load_ps(a + i), _mm256_load_ps(b + i), x);
                y = _mm256_fmadd_ps(_mm256_load_ps(a + i + 8), _mm256_load_ps(b + i + 8), y);
                z = _mm256_fmadd_ps(_mm256_load_ps(a + i + 16), _mm256_load_ps(b + i + 16), z);
                w = _mm256_fmadd_ps(_mm256_load_ps(a + i + 24), _mm256_load_ps(b + i + 24), w);
        }
        for (; i < n; i += 8)
                x = _mm256_fmadd_ps(_mm256_load_ps(a + i), _mm256_load_ps(b + i), x);
        return add_lanes(_mm256_add_ps(_mm256_add_ps(x, y), _mm256_add_ps(z, w)));
}

AVX2 static int32_t row_dot8(const int8_t *row, size_t stride, const int8_t *q) {
        const __m256i ones = _mm256_set1_epi16(1);
        __m256i sum = _mm256_setzero_si256(), sum2 = sum;

        for (size_t i = 0; i < stride; i += 64) {
                __m256i x = load(row + i), x2 = load(row + i + 32);
                __m256i p =
                        _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(load(q + i), x));
                __m256i p2 = _mm256_maddubs_epi16(_mm256_abs_epi8(x2),
                                                  _mm256_sign_epi8(load(q + i + 32), x2));

                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(p, ones));
                sum2 = _mm256_add_epi32(sum2, _mm256_madd_epi16(p2, ones));
        }
        sum = _mm256_add_epi32(sum, sum2);
        __m128i h = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0x4e));
        h = _mm_add_epi32(h, _mm_shuffle_epi32(h, 0xb1));
        return _mm_cvtsi128_si32(h);
}

AVX2 static void avx2_dot8(
        const int8_t *rows, size_t n_rows, size_t stride, const int8_t *q, int32_t *ret) {
        for (size_t r = 0; r < n_rows; r++)
                ret[r] = row_dot8(rows + r * stride, stride, q);
}

/* Sums of the even bytes in `all` (with the odd ones' in the upper half still to be taken off) and
 * of the odd ones, both halves of the register: into 16 sums in the order of the bytes. */
AVX2 static void write_sums(__m256i all, __m256i odd, uint16_t *ret) {
        __m256i even = _mm256_sub_epi16(all, _mm256_slli_epi16(odd, 8));
        __m128i e = _mm_add_epi16(_mm256_castsi256_si128(even), _mm256_extracti128_si256(even, 1));
        __m128i o = _mm_add_epi16(_mm256_castsi256_si128(odd), _mm256_extracti128_si256(odd, 1));

        _mm_storeu_si128((__m128i *) (void *) ret, _mm_unpacklo_epi16(e, o));
        _mm_storeu_si128((__m128i *) (void *) (ret + 8), _mm_unpackhi_epi16(e, o));
}

AVX2 static void avx2_sums(const uint8_t *codes, const uint8_t *tables, size_t n_tables, uint16_t *ret) {
        const __m256i low4 = _mm256_set1_epi8(15);
        __m256i low = _mm256_setzero_si256(), low_odd = low, high = low, high_odd = low;

        for (size_t t = 0; t < n_tables; t += 2, codes += 32, tables += 32) {
                __m256i c = load(codes), table = load(tables);
                __m256i x = _mm256_shuffle_epi8(table, _mm256_and_si256(c, low4));
                __m256i y =
                        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(c, 4), low4));

                low = _mm256_add_epi16(low, x);
                low_odd = _mm256_add_epi16(low_odd, _mm256_srli_epi16(x, 8));
                high = _mm256_add_epi16(high, y);
                high_odd = _mm256_add_epi16(high_odd, _mm256_srli_epi16(y, 8));
        }
        write_sums(low, low_odd, ret);
        write_sums(high, high_odd, ret + 16);
}

AVX2 static uint32_t avx2_estimate(const uint16_t *sums,
                                   const float *side,
                                   const VectorEstimate *e,
                                   float *ret) {
        const __m256 base = _mm256_set1_ps(e->base), step = _mm256_set1_ps(e->step);
        const __m256 at_least = _mm256_set1_ps(e->at_least);
        uint32_t mask = 0;

        for (unsigned v = 0; v < VECTOR_BLOCK; v += 8) {
                __m128i s = _mm_loadu_si128((const __m128i *) (const void *) (sums + v));
                __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(s));

                x = _mm256_mul_ps(_mm256_fmadd_ps(step, x, base), _mm256_loadu_ps(side + v));
                _mm256_storeu_ps(ret + v, x);
                unsigned bits = (unsigned) _mm256_movemask_ps(_mm256_cmp_ps(x, at_least, _CMP_GE_OQ));
                mask |= bits << v;
        }
        return mask;
}

const VectorKernels *vector_kernels_avx2(void) {
        static const VectorKernels kernels = {
                .name = "avx2",
                .dot = avx2_dot,
                .dot8 = avx2_dot8,
                .sums = avx2_sums,
                .estimate = avx2_estimate,
        };
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernels : NULL;
}

#else

const VectorKernels *vector_kernels_avx2(void) {
        return NULL;
}

#endif
