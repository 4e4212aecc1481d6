/* SPDX-License-Identifier: MIT */
#pragma once

/* Strings, string vectors, numbers, hex, UTF-8 and systemd's quoting. */

#include "base/buf.h"

bool utf8_is_valid(const char *s, size_t n);
/* True for a C0/C1 control character or DEL anywhere (s is valid UTF-8). */
bool str_has_control(const char *s, size_t n);
/* The file-name alphabet [A-Za-z0-9:_.@-], not empty, at most 255, not "." nor "..". */
bool str_is_filename_safe(const char *s);
/* The code point at s of n > 0 bytes and its length; 0 if these bytes are no UTF-8. */
size_t utf8_decode(const char *s, size_t n, uint32_t *ret);
/* What RFC 3986 lets stand anywhere in a URL: letters, digits and -._~ */
bool uri_is_unreserved(char c);
/* Appends s with every byte that is not plain as %XX. */
int str_put_percent(Buf *out, const char *s, bool (*is_plain)(char c));
enum {
        STR_CLEAN_LINES = 1 << 0,  /* newlines stay */
        STR_CLEAN_TABS = 1 << 1,   /* tabs stay; else they become spaces */
        STR_CLEAN_COLOUR = 1 << 2, /* colour sequences (SGR) stay */
};
/* Appends text that is safe on a terminal: control characters and invalid UTF-8 as \xHH for each
 * byte, what reverses the direction of writing as \uHHHH. True: a colour sequence went through. */
bool str_put_clean(Buf *out, const char *s, size_t n, unsigned flags);
char *str_printf(const char *format, ...) _printf_(1, 2);
/* Whole-string numbers: -EINVAL if not one, -ERANGE if too large. */
int str_to_u64(const char *s, uint64_t *ret);
int str_to_i64(const char *s, int64_t *ret);
/* Bytes with an optional suffix K, M, G, T (1024). */
int str_to_size(const char *s, uint64_t *ret);
/* 1/yes/true/on, 0/no/false/off; -EINVAL. */
int str_to_bool(const char *s, bool *ret);

/* Value of one hex digit of either case, or -1. */
static inline int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}
void hex_encode(const void *data, size_t n, char *ret /* 2n+1 bytes */);
/* n hex digits into n/2 bytes; -EINVAL. */
int hex_decode(const char *s, size_t n, uint8_t *ret);

/* NULL-terminated vectors of owned strings. */
char **strv_free(char **v);
static inline void strv_freep(char ***p) {
        strv_free(*p);
}
#define _cleanup_strv_ _cleanup_(strv_freep)
size_t strv_length(char *const *v);
/* Appends a copy. */
int strv_extend(char ***v, const char *s);
/* Appends `format` printed. */
int strv_extendf(char ***v, const char *format, ...) _printf_(2, 3);
char **strv_copy(char *const *v);
bool strv_contains(char *const *v, const char *s);
/* Sets NAME=value in an environment vector, replacing an older one. */
int strv_env_set(char ***env, const char *name, const char *value);
/* Value of NAME in an environment vector, or NULL. */
const char *strv_env_get(char *const *env, const char *name);

/* Splits a command line by systemd's rules: white space separates, '…' and "…" group, C-style
 * escapes
 * (\n \t \\ \" \' \xHH \s for space) outside single quotes. -EINVAL for an open quote or bad
 * escape. */
int str_split_quoted(const char *s, char ***ret);
/* The words as one line that str_split_quoted() would split again into the same words. */
char *strv_join_quoted(char *const *v);

/* Edits (neighbours that changed places are one), for near-miss suggestions; strings up to 63 bytes, else SIZE_MAX. */
size_t str_distance(const char *a, const char *b);
/* The nearest of names within distance 2 (or a third of its length), or NULL. */
const char *str_nearest(const char *word, const char *const *names, size_t n_names);
