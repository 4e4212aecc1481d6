/* SPDX-License-Identifier: MIT */

/* Kernels for 64-bit ARM, which always has NEON: 16 bytes at a time. The dot-product extension is
 * not asked for: widening multiplications keep up with the memory, and one path less is one path
 * less to get wrong on a machine that nobody has at hand.
 *
 * Codes: one look-up instruction takes 16 bytes from a table of 16; widening additions sum the
 * lower and the upper eight. */

#include "memory/vector-kernels-internal.h"

#if defined(__aarch64__)

#        include <arm_neon.h>

static float neon_dot(const float *a, const float *b, size_t n) {
        float32x4_t x = vdupq_n_f32(0), y = x, z = x, w = x;

        for (size_t i = 0; i < n; i += 16) {
                x = vfmaq_f32(x, vld1q_f32(a + i), vld1q_f32(b + i));
                y = vfmaq_f32(y, vld1q_f32(a + i + 4), vld1q_f32(b + i + 4));
                z = vfmaq_f32(z, vld1q_f32(a + i + 8), vld1q_f32(b + i + 8));
                w = vfmaq_f32(w, vld1q_f32(a + i + 12), vld1q_f32(b + i + 12));
        }
        return vaddvq_f32(vaddq_f32(vaddq_f32(x, y), vaddq_f32(z, w)));
}

static void neon_dot8(const int8_t *rows, size_t n_rows, size_t stride, const int8_t *q, int32_t *ret) {
        for (size_t r = 0; r < n_rows; r++, rows += stride) {
                int32x4_t sum = vdupq_n_s32(0);

                for (size_t i = 0; i < stride; i += 16) {
                        int8x16_t x = vld1q_s8(rows + i), y = vld1q_s8(q + i);
                        int16x8_t p = vmull_s8(vget_low_s8(x), vget_low_s8(y));

                        /* two products fit: see avx2 */
                        p = vmlal_s8(p, vget_high_s8(x), vget_high_s8(y));
                        sum = vpadalq_s16(sum, p);
                }
                ret[r] = vaddvq_s32(sum);
        }
}

static void neon_sums(const uint8_t *codes, const uint8_t *tables, size_t n_tables, uint16_t *ret) {
        const uint8x16_t low4 = vdupq_n_u8(15);
        uint16x8_t a = vdupq_n_u16(0), b = a, c = a, d = a;

        for (size_t t = 0; t < n_tables; t++, codes += 16, tables += 16) {
                uint8x16_t x = vld1q_u8(codes), table = vld1q_u8(tables);
                uint8x16_t low = vqtbl1q_u8(table, vandq_u8(x, low4));
                uint8x16_t high = vqtbl1q_u8(table, vshrq_n_u8(x, 4));

                a = vaddw_u8(a, vget_low_u8(low));
                b = vaddw_u8(b, vget_high_u8(low));
                c = vaddw_u8(c, vget_low_u8(high));
                d = vaddw_u8(d, vget_high_u8(high));
        }
        vst1q_u16(ret, a);
        vst1q_u16(ret + 8, b);
        vst1q_u16(ret + 16, c);
        vst1q_u16(ret + 24, d);
}

static uint32_t neon_estimate(const uint16_t *sums,
                              const float *side,
                              const VectorEstimate *e,
                              float *ret) {
        const float32x4_t base = vdupq_n_f32(e->base);
        const uint32x4_t weights = { 1, 2, 4, 8 };
        uint32_t mask = 0;

        for (unsigned v = 0; v < VECTOR_BLOCK; v += 4) {
                float32x4_t x = vcvtq_f32_u32(vmovl_u16(vld1_u16(sums + v)));

                x = vmulq_f32(vfmaq_n_f32(base, x, e->step), vld1q_f32(side + v));
                vst1q_f32(ret + v, x);
                uint32x4_t is = vcgeq_f32(x, vdupq_n_f32(e->at_least));
                mask |= vaddvq_u32(vandq_u32(is, weights)) << v;
        }
        return mask;
}

const VectorKernels *vector_kernels_neon(void) {
        static const VectorKernels kernels = {
                .name = "neon",
                .dot = neon_dot,
                .dot8 = neon_dot8,
                .sums = neon_sums,
                .estimate = neon_estimate,
        };
        return &kernels;
}

#else

const VectorKernels *vector_kernels_neon(void) {
        return NULL;
}

#endif
