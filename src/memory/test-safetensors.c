/* SPDX-License-Identifier: MIT */

/* Numbers of every type come as they are; whatever does not fit into the file is refused. */

#include <endian.h>

#include "base/test.h"
#include "memory/safetensors.h"

/* A file of this header and these bytes. */
static char *file_of(const char *header, const void *data, size_t n_data, size_t *ret_n) {
        uint64_t n = htole64(strlen(header));
        char *file = malloc(sizeof(n) + strlen(header) + n_data);

        memcpy(file, &n, sizeof(n));
        memcpy(file + sizeof(n), header, (size_t) le64toh(n));
        if (n_data > 0)
                memcpy(file + sizeof(n) + strlen(header), data, n_data);
        *ret_n = sizeof(n) + strlen(header) + n_data;
        return file;
}

static void check(const char *type, const void *data, size_t bytes, double expected) {
        _cleanup_free_ char *header =
                str_printf("{\"__metadata__\":{\"a\":\"b\"},\"t\":{\"dtype\":\"%s\",\"shape\":[2,1],"
                           "\"data_offsets\":[0,%zu]}}",
                           type, 2 * bytes);
        _cleanup_free_ char *two = malloc(2 * bytes), *file = NULL;
        const char *message = NULL;
        Safetensors s;
        Tensor t;
        size_t n;

        memset(two, 0x55, bytes);
        memcpy(two + bytes, data, bytes);
        file = file_of(header, two, 2 * bytes, &n);
        assert_int_equal(safetensors_open(&s, file, n, &message), 0);
        assert_int_equal(safetensors_get(&s, "none", &t, &message), -ENOENT);
        assert_int_equal(safetensors_get(&s, "t", &t, &message), 0);
        assert_int_equal(t.rows, 2);
        assert_int_equal(t.columns, 1);
        assert_true(tensor_number(&t, 1) <= expected && tensor_number(&t, 1) >= expected);
}

static void numbers_of_all_types(void **state) {
        check("F64", "\x00\x00\x00\x00\x00\x00\xF8\xBF", 8, -1.5);
        check("F32", "\x00\x00\x20\x40", 4, 2.5);
        check("BF16", "\x20\xC0", 2, -2.5);
        check("F16", "\x00\x3C", 2, 1);
        check("F16", "\x00\xC1", 2, -2.5);
        check("F16", "\xFF\x7B", 2, 65504);
        check("F16", "\x01\x00", 2, 1.0 / 16777216); /* the smallest there is */
        check("F16", "\x00\x80", 2, 0);
        check("F16", "\x00\x7C", 2, (double) __builtin_inff());
        check("I64", "\xFE\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8, -2);
        check("I32", "\x00\x00\x01\x00", 4, 65536);
        check("I8", "\x80", 1, -128);
}

static int look(const char *header, size_t n_data, const char **ret_message) {
        _cleanup_free_ char *data = calloc(1, n_data + 1), *file = NULL;
        Safetensors s;
        Tensor t;
        size_t n;

        *ret_message = NULL;
        file = file_of(header, data, n_data, &n);
        int r = safetensors_open(&s, file, n, ret_message);
        return r < 0 ? r : safetensors_get(&s, "t", &t, ret_message);
}

#define TENSOR(shape, offsets) \
        "{\"t\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"

static void what_does_not_fit_is_refused(void **state) {
        static const char *const headers[] = {
                "",
                "[]",
                "{\"t\":7}",
                "{\"t\":{}}",
                "{\"t\":{\"dtype\":\"F99\",\"shape\":[4],\"data_offsets\":[0,16]}}",
                TENSOR("[4]", "[0,17]"),
                TENSOR("[4]", "[4,20]"),
                TENSOR("[4]", "[16,0]"),
                TENSOR("[4]", "[0,12]"),
                TENSOR("[5]", "[0,16]"),
                TENSOR("[4]", "[0]"),
                TENSOR("[4]", "[0,8,16]"),
                TENSOR("[]", "[0,16]"),
                TENSOR("[2,2,1]", "[0,16]"),
                TENSOR("[-4]", "[0,16]"),
                TENSOR("[4.0]", "[0,16]"),
                TENSOR("[4611686018427387905,4]", "[0,16]"), /* 2^62+1: the product runs over */
                TENSOR("[4611686018427387908]", "[0,16]"),   /* and its bytes */
                TENSOR("[4]", "[0,9223372036854775807]"),
        };
        const char *message;

        assert_int_equal(look(TENSOR("[4]", "[0,16]"), 16, &message), 0);
        assert_int_equal(look(TENSOR("[2,2]", "[0,16]"), 16, &message), 0);
        assert_int_equal(look(TENSOR("[0,2]", "[16,16]"), 16, &message), 0);
        ARRAY_FOREACH(header, headers) {
                assert_int_equal(look(*header, 16, &message), -EUCLEAN);
                assert_non_null(message);
        }
}

static void a_header_longer_than_the_file_is_refused(void **state) {
        static const uint64_t lengths[] = { 3, 100, UINT64_MAX, UINT64_MAX - 7, (uint64_t) 1 << 40 };
        const char *message = NULL;
        char file[10] = {};
        Safetensors s;

        for (size_t n = 0; n < 8; n++)
                assert_int_equal(safetensors_open(&s, file, n, &message), -EUCLEAN);
        ARRAY_FOREACH(length, lengths) {
                uint64_t n = htole64(*length);
                memcpy(file, &n, sizeof(n));
                assert_int_equal(safetensors_open(&s, file, sizeof(file), &message), -EUCLEAN);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_of_all_types),
                cmocka_unit_test(what_does_not_fit_is_refused),
                cmocka_unit_test(a_header_longer_than_the_file_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
