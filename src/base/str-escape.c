/* SPDX-License-Identifier: MIT */

/* Two ways to write bytes that may not stand as they are: %XX where somebody reads them back (URLs,
 * the manifest of a workspace), \xHH where a person looks at them.
 *
 * Text for a terminal comes from agents, and what an agent prints may come from a web page or a
 * repository: escape sequences in it could retitle the window, set the clipboard, overwrite what
 * the user has read, and on some terminals type; direction overrides can make a name look like
 * another. So nothing that a terminal acts upon goes through but, if asked for, SGR (colours and
 * weights), which can only make text look different. C1 control characters are escaped in their
 * UTF-8 form too: some terminals act upon them. \xHH stands for a byte, so that nothing is hidden
 * and the raw bytes can be read off. */

#include "base/str.h"

#define COLOUR_LENGTH_MAX 64

/* ---- %XX ---- */

bool uri_is_unreserved(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '.' || c == '_' || c == '~';
}

int str_put_percent(Buf *out, const char *s, bool (*is_plain)(char c)) {
        for (; *s; s++)
                if (is_plain(*s))
                        (void) buf_putc(out, *s);
                else
                        (void) buf_printf(out, "%%%02X", (unsigned) (uint8_t) *s);
        return buf_error(out);
}

/* ---- \xHH ---- */

size_t utf8_decode(const char *s, size_t n, uint32_t *ret) {
        uint8_t first = (uint8_t) s[0];
        size_t length = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

        if (length > n || !utf8_is_valid(s, length))
                return 0;
        uint32_t ch = length == 1 ? first : first & (0xffU >> (length + 1));
        for (size_t i = 1; i < length; i++)
                ch = ch << 6 | ((uint8_t) s[i] & 0x3fU);
        *ret = ch;
        return length;
}

/* Length of ESC [ digits ; : m at s, or 0. */
static size_t colour_length(const char *s, size_t n) {
        if (n < 3 || s[0] != '\x1b' || s[1] != '[')
                return 0;
        for (size_t i = 2; i < n && i < COLOUR_LENGTH_MAX; i++) {
                if (s[i] == 'm')
                        return i + 1;
                if (!(s[i] >= '0' && s[i] <= ';')) /* digits : ; */
                        return 0;
        }
        return 0;
}

static bool is_direction(uint32_t ch) {
        return (ch >= 0x202a && ch <= 0x202e) || (ch >= 0x2066 && ch <= 0x2069);
}

static bool is_control(uint32_t ch) {
        return ch < 0x20 || (ch >= 0x7f && ch < 0xa0);
}

static void put_bytes(Buf *out, const char *s, size_t n) {
        for (; n > 0; s++, n--)
                (void) buf_printf(out, "\\x%02x", (unsigned) (uint8_t) *s);
}

bool str_put_clean(Buf *out, const char *s, size_t n, unsigned flags) {
        bool has_colour = false;

        for (size_t step; n > 0; s += step, n -= step) {
                size_t colour = flags & STR_CLEAN_COLOUR ? colour_length(s, n) : 0;
                uint32_t ch = 0;

                step = colour ? colour : utf8_decode(s, n, &ch);
                has_colour = has_colour || colour > 0;
                if (colour || (*s == '\n' && flags & STR_CLEAN_LINES) ||
                    (*s == '\t' && flags & STR_CLEAN_TABS))
                        (void) buf_append(out, s, step);
                else if (*s == '\t')
                        (void) buf_putc(out, ' ');
                else if (step == 0 || is_control(ch))
                        put_bytes(out, s, step = MAX(step, (size_t) 1));
                else if (is_direction(ch))
                        (void) buf_printf(out, "\\u%04x", ch);
                else
                        (void) buf_append(out, s, step);
        }
        return has_colour;
}
