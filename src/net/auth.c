/* SPDX-License-Identifier: MIT */

/* Tokens. A token is 256 random bits, so a plain hash is enough to store it: there is nothing to
 * guess, and a slow password hash would only make every request slow. BLAKE2b is what libsodium
 * calls its generic hash. The text is hashed, prefix included, and not the bits: what is presented
 * is then compared without parsing it. */

#include "net/auth.h"

#include <sodium.h>
#include <strings.h>

#include "base/str.h"

#define TOKEN_PREFIX "agd_"

static void sodium_start(void) {
        int r = sodium_init();

        assert(r >= 0);
}

void auth_token_new(char ret[static AUTH_TOKEN_SIZE]) {
        uint8_t secret[AUTH_TOKEN_BYTES];

        sodium_start();
        randombytes_buf(secret, sizeof(secret));
        memcpy(ret, TOKEN_PREFIX, sizeof(TOKEN_PREFIX) - 1);
        hex_encode(secret, sizeof(secret), ret + sizeof(TOKEN_PREFIX) - 1);
        sodium_memzero(secret, sizeof(secret));
}

void auth_token_hash(const char *token, uint8_t ret[static AUTH_HASH_BYTES]) {
        sodium_start();
        int r = crypto_generichash(ret, AUTH_HASH_BYTES, (const unsigned char *) token,
                                   strlen(token), NULL, 0);
        assert(r == 0);
}

bool auth_hash_equal(const uint8_t a[static AUTH_HASH_BYTES],
                     const uint8_t b[static AUTH_HASH_BYTES]) {
        return sodium_memcmp(a, b, AUTH_HASH_BYTES) == 0;
}

const char *auth_bearer(const HttpRequest *req) {
        const char *value = http_header(req, "Authorization");

        if (!value) {
                value = http_header(req, "X-Api-Key");
                return str_isempty(value) ? NULL : value;
        }
        /* The scheme is case-insensitive (RFC 9110 section 11.1). */
        if (strncasecmp(value, "Bearer ", 7) != 0)
                return NULL;
        value += 7 + strspn(value + 7, " ");
        return str_isempty(value) ? NULL : value;
}
