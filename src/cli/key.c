/* SPDX-License-Identifier: MIT */

/* What a terminal sends for a key: a character in UTF-8, or an escape sequence.
 *
 * Sequences are read by their grammar (ECMA-48 5.4: parameters, intermediates, one final byte), not by
 * a list of known ones, so that an unknown key is one unknown key and does not leave letters behind
 * that would be taken for commands. The few that mean something here are the same in all terminals,
 * in both cursor-key modes (CSI and SS3).
 *
 * A lone Escape is the begin of every sequence; only time tells them apart, and that is the caller's. */

#include "base/str.h"
#include "cli/screen.h"
#include "cli/table.h"

/* "\e[5~" and its like. */
static int key_of_number(const char *parameters) {
        switch (parameters[0]) {
        case '1':
        case '7':
                return KEY_HOME;
        case '4':
        case '8':
                return KEY_END;
        case '5':
                return KEY_PAGE_UP;
        case '6':
                return KEY_PAGE_DOWN;
        default:
                return KEY_UNKNOWN;
        }
}

static int key_of_final(char final, const char *parameters, size_t n_parameters) {
        switch (final) {
        case 'A':
                return KEY_UP;
        case 'B':
                return KEY_DOWN;
        case 'H':
                return KEY_HOME;
        case 'F':
                return KEY_END;
        case '~':
                return n_parameters == 1 ? key_of_number(parameters) : KEY_UNKNOWN;
        default:
                return KEY_UNKNOWN;
        }
}

static int decode_csi(const char *s, size_t n, bool last, size_t *ret_n) {
        for (size_t i = 2; i < n; i++) {
                if (s[i] >= 0x40 && s[i] <= 0x7e) {
                        *ret_n = i + 1;
                        return key_of_final(s[i], s + 2, i - 2);
                }
                if (s[i] < 0x20 || s[i] > 0x3f) {
                        *ret_n = i;
                        return KEY_UNKNOWN;
                }
        }
        *ret_n = last ? n : 0;
        return last ? KEY_UNKNOWN : KEY_NONE;
}

static int decode_escape(const char *s, size_t n, bool last, size_t *ret_n) {
        if (n == 1) {
                *ret_n = last ? 1 : 0;
                return last ? KEY_ESCAPE : KEY_NONE;
        }
        if (s[1] == '[')
                return decode_csi(s, n, last, ret_n);
        if (s[1] == 'O' && n > 2) {
                *ret_n = 3;
                return key_of_final(s[2], "", 0);
        }
        if (s[1] == 'O' && !last) {
                *ret_n = 0;
                return KEY_NONE;
        }
        /* Escape typed ahead of something else. */
        *ret_n = 1;
        return KEY_ESCAPE;
}

static int decode_character(const char *s, size_t n, bool last, size_t *ret_n) {
        uint32_t ch = 0;
        uint8_t first = (uint8_t) s[0];
        size_t length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

        if (n < length && !last) {
                *ret_n = 0;
                return KEY_NONE;
        }
        size_t step = utf8_decode(s, n, &ch);
        *ret_n = step ? step : 1;
        return step && !(ch >= 0x80 && ch < 0xa0) ? (int) ch : KEY_UNKNOWN;
}

int key_decode(const char *s, size_t n, bool last, size_t *ret_n) {
        if (s[0] == '\x1b')
                return decode_escape(s, n, last, ret_n);
        if (s[0] == '\n' || s[0] == '\b') {
                *ret_n = 1;
                return s[0] == '\n' ? KEY_ENTER : KEY_BACKSPACE;
        }
        return decode_character(s, n, last, ret_n);
}
