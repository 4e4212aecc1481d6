/* SPDX-License-Identifier: MIT */
#pragma once

/* Tables of numbers in a safetensors file: eight bytes with the length of a JSON header
 * (little-endian), the header
 * `{"name":{"dtype":"F32","shape":[V,D],"data_offsets":[from,to]},…}`, and the data. Whatever the
 * file says is checked against its size before it is believed. Any thread. */

#include "base/json.h"

typedef enum TensorType {
        TENSOR_F64,
        TENSOR_F32,
        TENSOR_F16,
        TENSOR_BF16,
        TENSOR_I64,
        TENSOR_I32,
        TENSOR_I8,
        _TENSOR_TYPE_MAX,
        _TENSOR_TYPE_INVALID = -EINVAL,
} TensorType;

typedef struct Safetensors {
        JsonSpan header;
        const uint8_t *data;
        size_t n;
} Safetensors;

typedef struct Tensor {
        TensorType type;
        const uint8_t *data;  /* into the file; not aligned */
        size_t rows, columns; /* columns: 1 for a tensor of one dimension */
} Tensor;

/* The file lives as long as what is made of it. 0, or -EUCLEAN with *ret_message (static text). */
int safetensors_open(Safetensors *ret, const void *file, size_t n, const char **ret_message);
/* A tensor of one or two dimensions. 0, -ENOENT, or -EUCLEAN with *ret_message. */
int safetensors_get(const Safetensors *s, const char *name, Tensor *ret, const char **ret_message);
/* A number of it; i < rows * columns. Integers come as what they are. */
double tensor_number(const Tensor *t, size_t i);
/* Adds a row times weight to as many numbers as there are columns. row < rows. */
void tensor_add_row(const Tensor *t, size_t row, double weight, double *sum);
