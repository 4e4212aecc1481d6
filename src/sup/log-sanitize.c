/* SPDX-License-Identifier: MIT */

/* Output of agents for a terminal.
 *
 * What an agent prints may come from a web page or a repository: escape sequences in it could
 * retitle the window, set the clipboard, or overwrite what the user has read. So nothing that a
 * terminal acts upon goes through, but tab and, if asked for, SGR (colours and weights), which can
 * only make text look different; a reset is added so that it ends with the line. C1 control
 * characters are escaped in their UTF-8 form too: some terminals act upon them.
 *
 * Shown as \xHH, per byte, so that nothing is hidden and the raw bytes can be read off. */

#include "base/str.h"
#include "sup/logs.h"

/* Length of ESC [ digits ; : m at s, or 0. */
static size_t sgr_length(const char *s, size_t n) {
        if (n < 3 || s[0] != '\x1b' || s[1] != '[')
                return 0;
        for (size_t i = 2; i < n; i++) {
                if (s[i] == 'm')
                        return i + 1;
                if (!(s[i] >= '0' && s[i] <= ';')) /* digits : ; */
                        return 0;
        }
        return 0;
}

/* Length of a valid, printable character of two to four bytes at s, or 0. */
static size_t utf8_length(const char *s, size_t n) {
        unsigned char c = (unsigned char) s[0];
        size_t k = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

        if (c < 0xc2 || k > n || !utf8_is_valid(s, k))
                return 0;
        return str_has_control(s, k) ? 0 : k;
}

int sup_log_sanitize(const char *text, size_t n, bool keep_colour, Buf *out) {
        bool coloured = false;

        for (size_t i = 0, k; i < n; i += k) {
                unsigned char c = (unsigned char) text[i];
                k = 1;
                if (c == '\t' || (c >= 0x20 && c < 0x7f)) {
                        (void) buf_putc(out, text[i]);
                } else if (c >= 0x80 && (k = utf8_length(text + i, n - i)) > 0) {
                        (void) buf_append(out, text + i, k);
                } else if (keep_colour && (k = sgr_length(text + i, n - i)) > 0) {
                        (void) buf_append(out, text + i, k);
                        coloured = true;
                } else {
                        (void) buf_printf(out, "\\x%02x", c);
                        k = 1;
                }
        }
        if (coloured)
                (void) buf_puts(out, "\x1b[0m");
        return buf_error(out);
}
