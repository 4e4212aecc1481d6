/* SPDX-License-Identifier: MIT */

/* Which coding is chosen, and that what goes in comes out, whole and within its limit or not at all. */

#include "base/test.h"
#include "net/encoding.h"

static void test_the_highest_quality_is_chosen(void **state) {
        static const struct {
                const char *accept;
                Encoding wanted;
        } cases[] = {
                { NULL, ENCODING_IDENTITY },
                { "", ENCODING_IDENTITY },
                { "gzip", ENCODING_GZIP },
                { "GZip", ENCODING_GZIP },
                { "x-gzip", ENCODING_GZIP },
                { "gzip, deflate, br", ENCODING_GZIP },
                { "gzip, deflate, br, zstd", ENCODING_ZSTD },
                { "zstd;q=0.5, gzip;q=0.8", ENCODING_GZIP },
                { "zstd;q=0.5,gzip; q=0.499", ENCODING_ZSTD },
                { "gzip;q=0", ENCODING_IDENTITY },
                { "gzip;q=0.000, zstd;q=0.0", ENCODING_IDENTITY },
                { "identity;q=1, gzip;q=0.5", ENCODING_IDENTITY },
                { "identity, gzip", ENCODING_GZIP },
                { "identity;q=0.2, gzip;q=0.1, zstd;q=0.05", ENCODING_IDENTITY },
                { "*", ENCODING_ZSTD },
                { "zstd;q=0, *", ENCODING_GZIP },
                { "*;q=0", ENCODING_IDENTITY },
                { "br", ENCODING_IDENTITY },
                { ",, ;q=1, gzip", ENCODING_GZIP },
                { "gzip;q=x", ENCODING_IDENTITY },
        };

        ARRAY_FOREACH(c, cases)
                if (encoding_choose(c->accept) != c->wanted)
                        fail_msg("'%s' chose %s", c->accept,
                                 encoding_to_string(encoding_choose(c->accept)));
}

static void fill(Buf *b, size_t n) {
        for (unsigned i = 0; b->len < n; i++)
                (void) buf_printf(b, "{\"n\":%u,\"text\":\"line\"}", i);
}

static void test_what_goes_in_comes_out(void **state) {
        static const size_t sizes[] = { 0, 1, 1000, 100000, 3000000 };

        ARRAY_FOREACH(n, sizes)
                for (int e = 0; e < _ENCODING_MAX; e++) {
                        _cleanup_buf_ Buf in = BUF_INIT(1 << 24), packed = BUF_INIT(1 << 24),
                                          out = BUF_INIT(*n + 100);

                        fill(&in, *n);
                        assert_int_equal(encoding_compress((Encoding) e, in.data, in.len, &packed),
                                         0);
                        assert_int_equal(
                                encoding_expand((Encoding) e, packed.data, packed.len, &out), 0);
                        assert_int_equal(out.len, in.len);
                        if (in.len > 0)
                                assert_memory_equal(out.data, in.data, in.len);
                        if (e != ENCODING_IDENTITY && *n >= 1000)
                                assert_true(packed.len < in.len / 2);
                }
}

static void test_expanding_stops_at_the_limit(void **state) {
        for (int e = 0; e < _ENCODING_MAX; e++) {
                _cleanup_buf_ Buf in = BUF_INIT(1 << 24), packed = BUF_INIT(1 << 24);
                char *zeros = buf_reserve(&in, 1 << 23);

                memset(zeros, 0, 1 << 23);
                in.len = 1 << 23;
                assert_int_equal(encoding_compress((Encoding) e, in.data, in.len, &packed), 0);
                for (int spare = 0; spare >= -1; spare--) {
                        _cleanup_buf_ Buf out = BUF_INIT((size_t) ((1 << 23) + spare));
                        int r = encoding_expand((Encoding) e, packed.data, packed.len, &out);
                        assert_int_equal(r, spare < 0 ? ENCODING_E_TOO_LARGE : 0);
                        assert_true(out.len <= out.max);
                }
        }
}

static void test_damage_is_told(void **state) {
        for (int e = ENCODING_GZIP; e < _ENCODING_MAX; e++) {
                _cleanup_buf_ Buf in = BUF_INIT(1 << 20), packed = BUF_INIT(1 << 20);

                fill(&in, 5000);
                assert_int_equal(encoding_compress((Encoding) e, in.data, in.len, &packed), 0);
                (void) buf_putc(&packed, 'x');
                for (size_t n = 0; n <= packed.len; n++) {
                        _cleanup_buf_ Buf out = BUF_INIT(1 << 20);
                        int r = encoding_expand((Encoding) e, packed.data, n, &out);
                        assert_int_equal(r, n == packed.len - 1 ? 0 : ENCODING_E_DAMAGED);
                }
        }
}

static void test_words(void **state) {
        assert_int_equal(encoding_from_string("gzip"), ENCODING_GZIP);
        assert_int_equal(encoding_from_string(" ZSTD "), ENCODING_ZSTD);
        assert_int_equal(encoding_from_string("identity"), ENCODING_IDENTITY);
        assert_int_equal(encoding_from_string("br"), _ENCODING_INVALID);
        assert_int_equal(encoding_from_string("gzip, zstd"), _ENCODING_INVALID);
        assert_int_equal(encoding_from_string(""), _ENCODING_INVALID);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_the_highest_quality_is_chosen),
                cmocka_unit_test(test_what_goes_in_comes_out),
                cmocka_unit_test(test_expanding_stops_at_the_limit),
                cmocka_unit_test(test_damage_is_told),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
