/* SPDX-License-Identifier: MIT */

/* Columns of the original as what they should be. SQLite keeps any type in any column, so nothing is
 * believed: text must be UTF-8 without NUL bytes (names become C strings), JSON must be JSON (Python
 * writes NaN, which is none). Values of JSON are never parsed: they come out as they went in. */

#include "import/import-internal.h"

const char *column_text(StoreCursor *c, unsigned col) {
        size_t n = 0;
        const char *text = store_text(c, col, &n);

        return text && strlen(text) == n && utf8_is_valid(text, n) ? text : NULL;
}

int column_json(StoreCursor *c, unsigned col, JsonSpan *ret) {
        size_t n = 0;
        const char *text = store_text(c, col, &n);

        if (!text)
                return -ENOENT;
        return json_check(text, n, JSON_DEPTH_MAX, ret, NULL) < 0 ? -EINVAL : 0;
}

/* Python writes a time with a T and without a zone; it means UTC. */
usec_t original_time(const char *text) {
        usec_t t;

        if (!text)
                return 0;
        if (clock_parse_rfc3339(text, &t) == 0)
                return t;
        _cleanup_free_ char *copy = strdup(text);
        if (!copy || strlen(copy) <= 10 || copy[10] != 'T')
                return 0;
        copy[10] = ' ';
        return clock_parse_rfc3339(copy, &t) == 0 ? t : 0;
}

uint64_t original_id(const char *text) {
        uint8_t bytes[8];
        uint64_t id = 0;

        if (!text || strlen(text) != 2 * sizeof(bytes) || hex_decode(text, strlen(text), bytes) < 0)
                return 0;
        for (size_t i = 0; i < sizeof(bytes); i++)
                id = id << 8 | bytes[i];
        return id;
}

char *member_text(JsonSpan object, const char *name) {
        JsonSpan v = json_get(object, name);
        char *text = NULL;

        return v.p && json_is(v, JSON_KIND_STRING) && json_string_dup(v, &text, NULL) == 0 ? text
                                                                                           : NULL;
}
