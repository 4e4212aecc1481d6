/* SPDX-License-Identifier: MIT */

/* The `agent` object of a request: commands, environments, durations, exit sets and signals in all
 * their spellings. An input that begins with '{' is the object; in any other the first byte names a
 * key and the rest is its value as text, so that the spellings are reached without the fuzzer
 * having to find their JSON. What is accepted must be fit to be started, what is refused must say
 * why in words that can be sent. */

#include <stdio.h>

#include "contract/unit-keys.h"
#include "sup/sup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void check_spec(const SupSpec *s) {
        require(s->exec && s->exec[0] && s->exec[0][0] != '\0', "accepted without a program\n");
        require(!s->exec_resume || s->exec_resume[0], "accepted without a program to resume\n");
        for (char *const *v = s->environment; v && *v; v++)
                require(strchr(*v, '=') > *v, "accepted an assignment without a name\n");
        require(!s->workspace || s->workspace[0] == '/', "a relative workspace\n");
        require(!s->working_directory || s->working_directory[0] == '/', "a relative folder\n");
        require(s->kill_signal >= 1 && s->kill_signal <= 64, "no signal\n");
        require(s->restart >= 0 && s->restart < _SUP_RESTART_MAX, "no way to restart\n");
}

static void check_errors(const FieldErrors *e) {
        _cleanup_buf_ Buf out = BUF_INIT(1 << 20);
        JsonWriter w = JSON_WRITER(&out);
        JsonSpan span;

        require(e->n > 0 && e->n <= FIELD_ERRORS_MAX, "refused without a reason\n");
        for (size_t i = 0; i < e->n; i++) {
                require(e->items[i].msg[0] != '\0', "a reason without words\n");
                require(strnlen(e->items[i].msg, sizeof(e->items[i].msg)) < sizeof(e->items[i].msg),
                        "a reason without an end\n");
        }
        field_errors_write(e, &w);
        require(json_check(out.data, out.len, JSON_DEPTH_MAX, &span, NULL) == 0,
                "the reasons are not JSON\n");
}

static void parse(const char *text, size_t n) {
        FieldErrors errors = {};
        SupSpec *spec = NULL;
        JsonSpan agent;

        if (json_check(text, n, JSON_DEPTH_MAX, &agent, NULL) < 0)
                return;
        int r = sup_spec_parse(agent, &spec, &errors);
        require((r == 0) == (spec != NULL), "a result that does not fit the return value\n");
        if (r == 0)
                check_spec(spec);
        else if (r > 0)
                check_errors(&errors);
        (void) sup_spec_free(spec);
}

static void parse_value(const UnitKey *key, const char *value, size_t n) {
        _cleanup_buf_ Buf text = BUF_INIT(SIZE_MAX);
        JsonWriter w = JSON_WRITER(&text);

        json_w_object_begin(&w);
        if (strcmp(key->api_name, "exec") != 0)
                json_w_kv_string(&w, "exec", "/bin/true");
        json_w_key(&w, key->api_name);
        json_w_string_n(&w, value, n);
        json_w_object_end(&w);
        require(buf_error(&text) == 0, "out of memory\n");
        parse(text.data, text.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *copy = malloc(size > 0 ? size : 1);

        require(copy != NULL, "out of memory\n");
        memcpy(copy, data, size);
        if (size > 0 && copy[0] != '{')
                parse_value(&unit_keys[data[0] % n_unit_keys], copy + 1, size - 1);
        else
                parse(copy, size);
        return 0;
}
