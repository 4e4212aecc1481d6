/* SPDX-License-Identifier: MIT */

/* The JSON scanner and everything that trusts it. What the scanner accepts must be walkable by the
 * reading functions without a step outside of the text (the copy below has exactly its size, so
 * that AddressSanitizer sees such a step), and what the writer makes of it must be accepted again
 * and decode to the same bytes. What the scanner refuses must be refused at a place inside the
 * text, for a reason. */

#include <stdio.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STACK_MAX 4096

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void check_string(JsonSpan string) {
        _cleanup_buf_ Buf decoded = BUF_INIT(SIZE_MAX), text = BUF_INIT(SIZE_MAX),
                          again = BUF_INIT(SIZE_MAX);
        int r = json_string_decode(string, &decoded);
        JsonWriter w = JSON_WRITER(&text);
        JsonSpan v;

        if (r == -EILSEQ)
                return;
        require(r == 0, "a checked string does not decode\n");
        json_w_string_n(&w, decoded.data ? decoded.data : "", decoded.len);
        require(json_check(text.data, text.len, 0, &v, NULL) == 0, "a written string is refused\n");
        require(json_string_decode(v, &again) == 0, "a written string does not decode\n");
        require(again.len == decoded.len &&
                        (again.len == 0 || memcmp(again.data, decoded.data, again.len) == 0),
                "a string changes on its way out and in\n");
        if (decoded.data && !memchr(decoded.data, '\0', decoded.len))
                require(json_string_equals(string, decoded.data),
                        "a string is not equal to itself\n");
}

static void check_number(JsonSpan v) {
        _cleanup_buf_ Buf b = BUF_INIT(SIZE_MAX);
        JsonWriter w = JSON_WRITER(&b);
        int64_t i, back;
        double d;

        if (json_int(v, &i) == 0) {
                json_w_int(&w, i);
                require(json_int((JsonSpan){ b.data, b.len }, &back) == 0 && back == i,
                        "an integer changes\n");
        }
        buf_clear(&b);
        w = JSON_WRITER(&b);
        if (json_real(v, &d) == 0) {
                json_w_real(&w, d);
                require(json_check(b.data, b.len, 0, NULL, NULL) == 0,
                        "a written number is refused\n");
        }
}

/* Goes through all values below v, depth first, with a stack of iterators. */
static void walk(JsonSpan v) {
        static JsonIter stack[JSON_DEPTH_MAX + 1];
        size_t depth = 0;
        JsonSpan key, value;

        stack[depth++] = json_iter(v);
        while (depth > 0) {
                if (!json_next(&stack[depth - 1], &key, &value)) {
                        depth--;
                        continue;
                }
                require(value.p >= v.p && value.n > 0 && value.p + value.n <= v.p + v.n,
                        "a member lies outside\n");
                require(json_check(value.p, value.n, JSON_DEPTH_MAX, NULL, NULL) == 0,
                        "a member is no JSON\n");
                if (key.p)
                        check_string(key);
                if (json_is(value, JSON_KIND_STRING))
                        check_string(value);
                else if (json_is(value, JSON_KIND_NUMBER))
                        check_number(value);
                require(depth < ELEMENTSOF(stack), "deeper than the scanner allows\n");
                stack[depth++] = json_iter(value);
        }
}

static void check_text(const char *text, size_t size) {
        JsonSpan v = {};
        JsonError e = { .offset = SIZE_MAX };
        int r = json_check(text, size, JSON_DEPTH_MAX, &v, &e);

        if (r < 0) {
                require(r == -EINVAL || r == -E2BIG, "an undocumented error\n");
                require(e.offset <= size && e.reason, "an error without place or reason\n");
                return;
        }
        require(v.p >= text && v.p + v.n <= text + size && v.n > 0, "the value lies outside\n");
        if (json_is(v, JSON_KIND_STRING))
                check_string(v);
        else if (json_is(v, JSON_KIND_NUMBER))
                check_number(v);
        if (size <= STACK_MAX)
                walk(v);
        (void) json_get(v, "a");
        (void) json_count(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *copy = malloc(size > 0 ? size : 1);

        require(copy != NULL, "out of memory\n");
        memcpy(copy, data, size);
        check_text(copy, size);
        return 0;
}
