/* SPDX-License-Identifier: MIT */

/* Command lines in unit files, split as systemd.service(5) says. A word is built in a Buf while one
 * state byte tells which quote is open; the words are the caller's afterwards. Quotes may stand
 * inside a word
 * (`--name="a b"` is one word), as in systemd with UNQUOTE and without RELAX.
 *
 * wordexp() was rejected: it runs command substitutions. Escapes that would put a NUL into a word
 * are bad escapes, because a word is a C string. */

#include "base/str-internal.h"
#include "base/str.h"

static bool is_space(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* The bytes that one-letter escapes stand for, in pairs. */
static const char escape_pairs[] = "a\ab\bf\fn\nr\rt\tv\vs \\\\\"\"''";

/* Reads the escape behind a backslash at *s; moves *s behind it. */
static int take_escape(const char **s, char *ret) {
        char c = **s;

        if (c == 'x') {
                int high = hex_digit((*s)[1]), low = high < 0 ? -1 : hex_digit((*s)[2]);
                if (low < 0 || (high == 0 && low == 0))
                        return -EINVAL;
                *ret = (char) (high << 4 | low);
                *s += 3;
                return 0;
        }
        for (const char *p = escape_pairs; c != '\0' && *p != '\0'; p += 2)
                if (*p == c) {
                        *ret = p[1];
                        (*s)++;
                        return 0;
                }
        return -EINVAL;
}

/* One word from *s, which is at its first byte, to the white space or end behind it. */
static int take_word(const char **s, Buf *word) {
        char quote = '\0';

        while (**s != '\0' && (quote != '\0' || !is_space(**s))) {
                char c = *(*s)++;
                if (quote != '\0' ? c == quote : c == '"' || c == '\'') {
                        quote = quote != '\0' ? '\0' : c;
                        continue;
                }
                if (c == '\\' && quote != '\'') {
                        int r = take_escape(s, &c);
                        if (r < 0)
                                return r;
                }
                (void) buf_putc(word, c);
        }
        return quote != '\0' ? -EINVAL : buf_error(word);
}

int str_split_quoted(const char *s, char ***ret) {
        _cleanup_strv_ char **words = calloc(1, sizeof(char *));
        _cleanup_buf_ Buf word = BUF_INIT(strlen(s));

        if (!words)
                return -ENOMEM;
        for (;;) {
                while (is_space(*s))
                        s++;
                if (*s == '\0')
                        break;
                buf_clear(&word);
                int r = take_word(&s, &word);
                if (r == 0)
                        r = strv_extend(&words, word.len > 0 ? word.data : "");
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(words);
        return 0;
}

static bool needs_quotes(const char *word) {
        if (*word == '\0')
                return true;
        for (; *word != '\0'; word++)
                if ((uint8_t) *word <= ' ' || strchr("\"'\\\x7f", *word))
                        return true;
        return false;
}

static void put_quoted(Buf *b, const char *word) {
        (void) buf_putc(b, '"');
        for (; *word != '\0'; word++) {
                if (*word == '"' || *word == '\\')
                        (void) buf_printf(b, "\\%c", *word);
                else if (*word == '\n')
                        (void) buf_puts(b, "\\n");
                else if (*word == '\t')
                        (void) buf_puts(b, "\\t");
                else if ((uint8_t) *word < ' ' || *word == 0x7F)
                        (void) buf_printf(b, "\\x%02x", (unsigned) (uint8_t) *word);
                else
                        (void) buf_putc(b, *word);
        }
        (void) buf_putc(b, '"');
}

char *strv_join_quoted(char *const *v) {
        _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);

        for (size_t i = 0; v && v[i]; i++) {
                if (i > 0)
                        (void) buf_putc(&b, ' ');
                if (needs_quotes(v[i]))
                        put_quoted(&b, v[i]);
                else
                        (void) buf_puts(&b, v[i]);
        }
        return buf_take(&b, NULL);
}
