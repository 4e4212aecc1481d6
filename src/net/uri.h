/* SPDX-License-Identifier: MIT */
#pragma once

/* Percent-encoding (RFC 3986 section 2.1), for the server's side. */

#include "base/macro.h"

/* Decodes n bytes into ret, which must have room for n + 1 and may be the same memory. Returns the
 * decoded length; a NUL is put behind it. A '%' without two hex digits stays as it is. */
size_t uri_decode(const char *s, size_t n, char *ret);
/* Do n encoded bytes decode to exactly these bytes? Allocates nothing. */
bool uri_equals(const char *s, size_t n, const char *decoded, size_t decoded_n);
/* Decoded text that is safe as a C string: valid UTF-8 and no NUL inside. */
bool uri_text_is_safe(const char *s, size_t n);
