/* SPDX-License-Identifier: MIT */

/* Reading safetensors. The format: github.com/huggingface/safetensors. The header is checked once
 * and tensors are looked up in it by name: a static model has two or three. Nothing is copied;
 * numbers are read byte by byte as their places need no alignment.
 *
 * The file must have been read into memory and not mapped: a file that becomes shorter while it is
 * mapped kills the process that looks at it. */

#include "memory/safetensors.h"

#include <endian.h>

#define HEADER_BYTES_MAX ((uint64_t) 64 << 20)

static const struct {
        const char *name;
        size_t bytes;
} types[_TENSOR_TYPE_MAX] = {
        [TENSOR_F64] = { "F64", 8 },   [TENSOR_F32] = { "F32", 4 }, [TENSOR_F16] = { "F16", 2 },
        [TENSOR_BF16] = { "BF16", 2 }, [TENSOR_I64] = { "I64", 8 }, [TENSOR_I32] = { "I32", 4 },
        [TENSOR_I8] = { "I8", 1 },
};

static int complain(const char **ret_message, const char *what) {
        *ret_message = what;
        return -EUCLEAN;
}

int safetensors_open(Safetensors *ret, const void *file, size_t n, const char **ret_message) {
        uint64_t header;
        JsonSpan v;

        if (n < sizeof(header))
                return complain(ret_message, "the file is too short to be safetensors");
        memcpy(&header, file, sizeof(header));
        header = le64toh(header);
        if (header > HEADER_BYTES_MAX || header > n - sizeof(header))
                return complain(
                        ret_message,
                        "its header is longer than the file: it is no safetensors, or was cut off");
        const char *text = (const char *) file + sizeof(header);
        if (json_check(text, header, JSON_DEPTH_MAX, &v, NULL) < 0 || !json_is(v, JSON_KIND_OBJECT))
                return complain(ret_message, "its header is no JSON object");
        *ret = (Safetensors){
                .header = v,
                .data = (const uint8_t *) text + header,
                .n = n - sizeof(header) - header,
        };
        return 0;
}

static TensorType type_of(JsonSpan name) {
        for (int i = 0; i < _TENSOR_TYPE_MAX; i++)
                if (json_is(name, JSON_KIND_STRING) && json_string_equals(name, types[i].name))
                        return (TensorType) i;
        return _TENSOR_TYPE_INVALID;
}

/* Up to two numbers that are not negative; the count, or -EUCLEAN. */
static int two_numbers(JsonSpan array, uint64_t ret[static 2]) {
        JsonIter it = json_iter(array);
        JsonSpan v;
        int n = 0;

        if (!json_is(array, JSON_KIND_ARRAY))
                return -EUCLEAN;
        for (; json_next(&it, NULL, &v); n++) {
                int64_t i;
                if (n == 2 || json_int(v, &i) < 0 || i < 0)
                        return -EUCLEAN;
                ret[n] = (uint64_t) i;
        }
        return n;
}

int safetensors_get(const Safetensors *s, const char *name, Tensor *ret, const char **ret_message) {
        JsonSpan v = json_get(s->header, name);
        uint64_t shape[2] = { 0, 1 }, range[2], numbers, bytes;

        if (!v.p)
                return -ENOENT;
        if (!json_is(v, JSON_KIND_OBJECT))
                return complain(ret_message, "its header does not describe its tensors");
        TensorType type = type_of(json_get(v, "dtype"));
        if (type == _TENSOR_TYPE_INVALID)
                return complain(
                        ret_message,
                        "a tensor has a type that is not known: F64, F32, F16, BF16, I64, I32 and I8 are");
        if (two_numbers(json_get(v, "shape"), shape) < 1)
                return complain(ret_message, "a tensor has another shape than rows and columns");
        if (two_numbers(json_get(v, "data_offsets"), range) != 2 || range[0] > range[1] ||
            range[1] > s->n)
                return complain(ret_message, "a tensor lies outside of the file: it was cut off");
        if (__builtin_mul_overflow(shape[0], shape[1], &numbers) ||
            __builtin_mul_overflow(numbers, types[type].bytes, &bytes) ||
            bytes != range[1] - range[0])
                return complain(ret_message, "a tensor's shape and its place do not agree");
        *ret = (Tensor){
                .type = type, .data = s->data + range[0], .rows = shape[0], .columns = shape[1]
        };
        return 0;
}

/* ---- numbers ---- */

static uint64_t bits_at(const uint8_t *p, size_t n) {
        uint64_t bits = 0;

        for (size_t i = n; i > 0; i--)
                bits = bits << 8 | p[i - 1];
        return bits;
}

static double float_of(uint32_t bits) {
        float f;

        memcpy(&f, &bits, sizeof(f));
        return (double) f;
}

static double half_of(uint32_t h) {
        uint32_t sign = (h & 0x8000) << 16, exponent = (h >> 10) & 0x1F, fraction = h & 0x3FF;

        if (exponent == 0) /* zero, or 2^-24 for each step */
                return (sign ? -1.0 : 1.0) * fraction / 16777216.0;
        if (exponent == 0x1F)
                return float_of(sign | 0x7F800000 | fraction << 13);
        return float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

double tensor_number(const Tensor *t, size_t i) {
        size_t size = types[t->type].bytes;
        uint64_t bits = bits_at(t->data + i * size, size);
        double d;

        switch (t->type) {
        case TENSOR_F32:
                return float_of((uint32_t) bits);
        case TENSOR_F16:
                return half_of((uint32_t) bits);
        case TENSOR_BF16:
                return float_of((uint32_t) bits << 16);
        case TENSOR_I64:
                return (double) (int64_t) bits;
        case TENSOR_I32:
                return (int32_t) bits;
        case TENSOR_I8:
                return (int8_t) bits;
        case TENSOR_F64:
        case _TENSOR_TYPE_MAX:
        case _TENSOR_TYPE_INVALID:
        default:
                memcpy(&d, &bits, sizeof(d));
                return d;
        }
}

/* The usual type without a call for each number: that is what the time of a text goes into. */
void tensor_add_row(const Tensor *t, size_t row, double weight, double *sum) {
        const uint8_t *p = t->data + row * t->columns * sizeof(uint32_t);

        if (t->type != TENSOR_F32) {
                for (size_t i = 0; i < t->columns; i++)
                        sum[i] += weight * tensor_number(t, row * t->columns + i);
                return;
        }
        for (size_t i = 0; i < t->columns; i++) {
                uint32_t bits;
                memcpy(&bits, p + i * sizeof(bits), sizeof(bits));
                sum[i] += weight * float_of(le32toh(bits));
        }
}
