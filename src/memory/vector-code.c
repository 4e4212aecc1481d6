/* SPDX-License-Identifier: MIT */

/* Codes: what a scan reads instead of floats.
 *
 * Rotation: random signs, then a fast Walsh-Hadamard transform, twice, because one round leaves a
 * vector with a single large dimension with equal sizes everywhere. A width that is no power of two
 * is covered by two transforms that overlap; padding to the next power was rejected, since every
 * bit of a code is read by every search.
 *
 * int8: a scale for each vector, values in [-127, 127]. Error of a cosine about 0.011 / sqrt(d).
 *
 * 1 bit: the signs of the rotated vector o. For a query q, the sum of q's values with o's signs,
 * divided by the sum of o's sizes, is an estimate of their cosine that is right on average, with an
 * error of about 0.75 / sqrt(width) (RaBitQ: Gao and Long, SIGMOD 2024). The sum of sizes is the
 * side value. The signs come from the int8 code, so that a block gets its bits without its floats:
 * a value that became 0 there adds next to nothing to a sum. */

#include <math.h>

#include "memory/vectors-internal.h"

#define ROUNDS        2
#define TABLE_ENTRIES 16
#define SIDES_BYTES   (VECTOR_BLOCK * sizeof(float))

typedef float Four __attribute__((vector_size(16)));

static uint64_t next_random(uint64_t *state) {
        uint64_t x = (*state += UINT64_C(0x9e3779b97f4a7c15));

        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

static size_t round_up(size_t n, size_t to) {
        return (n + to - 1) / to * to;
}

void *vector_alloc(size_t bytes) {
        void *p = aligned_alloc(VECTOR_ALIGN, round_up(bytes, VECTOR_ALIGN));

        if (p)
                memset(p, 0, round_up(bytes, VECTOR_ALIGN));
        return p;
}

int vector_coder_init(VectorCoder *c, unsigned dimensions, uint64_t seed) {
        uint64_t state = seed;

        *c = (VectorCoder){
                .dimensions = dimensions,
                .row = round_up(dimensions, VECTOR_ALIGN / sizeof(float)),
                .width = round_up(dimensions, VECTOR_ALIGN),
                .seed = seed,
        };
        c->signs = vector_alloc(ROUNDS * c->width * sizeof(float));
        if (!c->signs)
                return -ENOMEM;
        for (size_t i = 0; i < ROUNDS * c->width; i++)
                c->signs[i] = next_random(&state) >> 63 ? 1 : -1;
        return 0;
}

void vector_coder_done(VectorCoder *c) {
        free(c->signs);
        c->signs = NULL;
}

/* The transform's first two steps: within each four. */
static void transform_fours(float *x, size_t n) {
        for (size_t i = 0; i < n; i += 4) {
                float a = x[i] + x[i + 1], b = x[i] - x[i + 1];
                float c = x[i + 2] + x[i + 3], d = x[i + 2] - x[i + 3];

                x[i] = a + c;
                x[i + 1] = b + d;
                x[i + 2] = a - c;
                x[i + 3] = b - d;
        }
}

/* n: a power of two, at least 4. Keeps lengths. */
static void transform(float *x, size_t n) {
        Four *f = __builtin_assume_aligned(x, sizeof(Four));
        float scale = 1 / sqrtf((float) n);

        transform_fours(x, n);
        for (size_t step = 1; step < n / 4; step *= 2)
                for (size_t i = 0; i < n / 4; i += 2 * step)
                        for (size_t j = i; j < i + step; j++) {
                                Four a = f[j], b = f[j + step];
                                f[j] = a + b;
                                f[j + step] = a - b;
                        }
        for (size_t i = 0; i < n / 4; i++)
                f[i] *= scale;
}

void vector_rotate(const VectorCoder *c, const float *row, float *ret) {
        size_t n = (size_t) 1 << (63 - __builtin_clzll(c->width));

        memcpy(ret, row, c->row * sizeof(*ret));
        memset(ret + c->row, 0, (c->width - c->row) * sizeof(*ret));
        for (size_t round = 0; round < ROUNDS; round++) {
                const float *signs = c->signs + round * c->width;

                for (size_t i = 0; i < c->width; i++)
                        ret[i] *= signs[i];
                transform(ret, n);
                if (n < c->width)
                        transform(ret + c->width - n, n);
        }
}

float vector_code8(const VectorCoder *c, const float *rotated, int8_t *ret) {
        float largest = 0;

        for (size_t i = 0; i < c->width; i++)
                largest = MAX(largest, fabsf(rotated[i]));
        if (!(largest > 0))
                largest = 1;
        float up = 127 / largest;
        for (size_t i = 0; i < c->width; i++)
                ret[i] = (int8_t) (rotated[i] * up + (rotated[i] < 0 ? -0.5F : 0.5F));
        return largest / 127;
}

size_t vector_bits_bytes(const VectorCoder *c) {
        return SIDES_BYTES + c->width * VECTOR_BLOCK / 8;
}

/* NaN for a dead slot, whose code is zeros. */
static float side_value(const int8_t *row, size_t width, float scale) {
        int32_t size = 0;

        for (size_t i = 0; i < width; i++)
                size += abs(row[i]);
        return size > 0 ? 1 / ((float) size * scale) : NAN;
}

/* The four signs from value i on. */
static unsigned nibble(const int8_t *row, size_t i) {
        return (unsigned) (row[i] >= 0) | (unsigned) (row[i + 1] >= 0) << 1 |
               (unsigned) (row[i + 2] >= 0) << 2 | (unsigned) (row[i + 3] >= 0) << 3;
}

void vector_bits_make(const VectorCoder *c, const int8_t *rows, const float *scales, uint8_t *ret) {
        for (size_t v = 0; v < VECTOR_BLOCK; v++) {
                float side = side_value(rows + v * c->width, c->width, scales[v]);
                memcpy(ret + v * sizeof(side), &side, sizeof(side));
        }
        ret += SIDES_BYTES;
        for (size_t v = 0; v < VECTOR_BLOCK / 2; v++) {
                const int8_t *low = rows + v * c->width;
                const int8_t *high = low + VECTOR_BLOCK / 2 * c->width;

                for (size_t t = 0; t < c->width / 4; t++)
                        ret[t * TABLE_ENTRIES + v] =
                                (uint8_t) (nibble(low, 4 * t) | nibble(high, 4 * t) << 4);
        }
}

void vector_bits_clear(const VectorCoder *c, uint8_t *bits, unsigned slot) {
        const uint8_t kept = slot < VECTOR_BLOCK / 2 ? 0xf0 : 0x0f;
        const float none = NAN;

        memcpy(bits + slot * sizeof(none), &none, sizeof(none));
        bits += SIDES_BYTES + slot % (VECTOR_BLOCK / 2);
        for (size_t t = 0; t < c->width / 4; t++)
                bits[t * TABLE_ENTRIES] &= kept;
}

void vector_bits_set(const VectorCoder *c, uint8_t *bits, unsigned slot, const int8_t *row, float scale) {
        unsigned shift = slot < VECTOR_BLOCK / 2 ? 0 : 4;
        float side = side_value(row, c->width, scale);

        vector_bits_clear(c, bits, slot);
        memcpy(bits + slot * sizeof(side), &side, sizeof(side));
        bits += SIDES_BYTES + slot % (VECTOR_BLOCK / 2);
        for (size_t t = 0; t < c->width / 4; t++)
                bits[t * TABLE_ENTRIES] |= (uint8_t) (nibble(row, 4 * t) << shift);
}

static float size_of_four(const float *q) {
        return fabsf(q[0]) + fabsf(q[1]) + fabsf(q[2]) + fabsf(q[3]);
}

/* The sums of four values with all signs, from the least as 0 on, in steps; none above `most`. */
static void fill_table(const float *q, float step, float most, uint8_t *ret) {
        for (unsigned code = 0; code < TABLE_ENTRIES; code++) {
                float sum = size_of_four(q);

                for (unsigned i = 0; i < 4; i++)
                        sum += code >> i & 1 ? q[i] : -q[i];
                ret[code] = (uint8_t) MIN(most, MAX(0.0F, sum) / step + 0.5F);
        }
}

void vector_tables_make(const VectorCoder *c,
                        const float *rotated,
                        uint8_t *ret,
                        VectorEstimate *ret_estimate) {
        size_t n_tables = c->width / 4;
        float most = (float) MIN((size_t) UINT8_MAX, UINT16_MAX / n_tables);
        float largest = 0, base = 0;

        for (size_t t = 0; t < n_tables; t++) {
                float size = size_of_four(rotated + 4 * t);
                largest = MAX(largest, size);
                base -= size;
        }
        float step = 2 * largest / most;
        for (size_t t = 0; t < n_tables; t++)
                fill_table(rotated + 4 * t, step, most, ret + t * TABLE_ENTRIES);
        *ret_estimate = (VectorEstimate){ .base = base, .step = step, .at_least = -INFINITY };
}
