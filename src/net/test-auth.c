/* SPDX-License-Identifier: MIT */

/* Tokens, Host and Origin. */

#include "base/test.h"
#include "net/auth.h"

static void test_tokens_are_new_and_recognisable(void **state) {
        char a[AUTH_TOKEN_SIZE], b[AUTH_TOKEN_SIZE];

        auth_token_new(a);
        auth_token_new(b);
        assert_int_equal(strlen(a), 4 + 64);
        assert_memory_equal(a, "agd_", 4);
        assert_int_equal(strspn(a + 4, "0123456789abcdef"), 64);
        assert_string_not_equal(a, b);
}

static void test_hash_is_blake2b_of_the_text(void **state) {
        /* b2sum -l 256 of "abc". */
        static const uint8_t abc[AUTH_HASH_BYTES] = {
                0xbd, 0xdd, 0x81, 0x3c, 0x63, 0x42, 0x39, 0x72, 0x31, 0x71, 0xef,
                0x3f, 0xee, 0x98, 0x57, 0x9b, 0x94, 0x96, 0x4e, 0x3b, 0xb1, 0xcb,
                0x3e, 0x42, 0x72, 0x62, 0xc8, 0xc0, 0x68, 0xd5, 0x23, 0x19,
        };
        uint8_t hash[AUTH_HASH_BYTES];

        auth_token_hash("abc", hash);
        assert_true(auth_hash_equal(hash, abc));
        hash[31] ^= 1;
        assert_false(auth_hash_equal(hash, abc));
}

static void test_host_must_name_this_machine(void **state) {
        static const char *const good[] = {
                "localhost",      "localhost:8721", "LocalHost.",      "agents.localhost:1",
                "127.0.0.1",      "127.0.0.1:8721", "192.168.1.4:80",  "[::1]",
                "[::1]:8721",     "agents.example", "AGENTS.example.", "agents.example:8721",
                "other.test:444",
        };
        static const char *const bad[] = {
                "",
                "evil.example",
                "localhost.evil.example",
                "localhost:8721:1",
                "127.0.0.1.evil",
                "[::1",
                "[evil]",
                "localhost:",
                "localhost:x",
                "notlocalhost",
                ".localhost",
                "localhost:123456",
                "localhost/",
                "user@localhost",
                "other.test",
        };
        char *extra[] = { (char[]){ "agents.example" }, (char[]){ "other.test:444" }, NULL };

        assert_true(auth_host_ok(NULL, NULL));
        ARRAY_FOREACH(host, good)
                assert_true(auth_host_ok(*host, extra));
        ARRAY_FOREACH(host, bad)
                assert_false(auth_host_ok(*host, extra));
        assert_false(auth_host_ok("agents.example", NULL));
}

static void test_hosts_own_name_is_fine(void **state) {
        char own[256] = "";

        assert_int_equal(gethostname(own, sizeof(own) - 1), 0);
        assert_true(auth_host_ok(own, NULL));
        own[strcspn(own, ".")] = '\0';
        assert_true(auth_host_ok(own, NULL));
}

static void test_foreign_origins_are_refused(void **state) {
        char *allowed[] = { (char[]){ "https://dash.example" }, NULL };

        assert_true(auth_origin_ok(NULL, "localhost:8721", NULL));
        assert_true(auth_origin_ok("http://localhost:8721", "localhost:8721", NULL));
        assert_true(auth_origin_ok("http://LOCALHOST:8721", "localhost:8721", NULL));
        assert_true(auth_origin_ok("http://[::1]:8721", "[::1]:8721", NULL));
        assert_true(auth_origin_ok("http://box", "box:80", NULL));
        assert_true(auth_origin_ok("https://box", "box", NULL));
        assert_true(auth_origin_ok("https://dash.example", "localhost:8721", allowed));

        assert_false(auth_origin_ok("null", "localhost:8721", NULL));
        assert_false(auth_origin_ok("", "localhost:8721", NULL));
        assert_false(auth_origin_ok("http://localhost:3000", "localhost:8721", NULL));
        assert_false(auth_origin_ok("http://localhost", "localhost:8721", NULL));
        assert_false(auth_origin_ok("http://evil.example", "localhost:8721", allowed));
        assert_false(auth_origin_ok("https://dash.example.evil", "localhost:8721", allowed));
        assert_false(auth_origin_ok("ftp://localhost:8721", "localhost:8721", NULL));
        assert_false(auth_origin_ok("http://localhost:8721", NULL, NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tokens_are_new_and_recognisable),
                cmocka_unit_test(test_hash_is_blake2b_of_the_text),
                cmocka_unit_test(test_host_must_name_this_machine),
                cmocka_unit_test(test_hosts_own_name_is_fine),
                cmocka_unit_test(test_foreign_origins_are_refused),
        };
        return cmocka_run_group_tests_name("auth", tests, NULL, NULL);
}
