/* SPDX-License-Identifier: MIT */

/* Members of the daemon's answers as text for people. An answer is kept as the daemon sent it, and
 * a member is looked for when it is printed: nothing here has a copy of the API's shapes, so a
 * member that a newer daemon leaves out is an empty cell and not an error. */

#include <stdio.h>

#include "base/str.h"
#include "cli/table.h"

#define VALUE_MAX ((size_t) 256 * 1024 * 1024)

char *cli_value(Cli *c, JsonSpan v) {
        _cleanup_buf_ Buf b = BUF_INIT(VALUE_MAX);

        if (!v.p || json_is(v, JSON_KIND_NULL))
                return cli_text(c, "%s", "");
        /* A lone surrogate has no text: then the token as it was written. */
        if (!json_is(v, JSON_KIND_STRING) || json_string_decode(v, &b) < 0) {
                buf_clear(&b);
                (void) buf_append(&b, v.p, v.n);
        }
        return cli_take(c, &b);
}

char *cli_member(Cli *c, JsonSpan object, const char *name) {
        return cli_value(c,
                         json_is(object, JSON_KIND_OBJECT) ? json_get(object, name) : (JsonSpan){});
}

int64_t cli_number(JsonSpan object, const char *name) {
        int64_t n = 0;
        JsonSpan v = json_is(object, JSON_KIND_OBJECT) ? json_get(object, name) : (JsonSpan){};

        return json_is(v, JSON_KIND_NUMBER) && json_int(v, &n) >= 0 ? n : 0;
}

usec_t cli_time(JsonSpan object, const char *name) {
        JsonSpan v = json_is(object, JSON_KIND_OBJECT) ? json_get(object, name) : (JsonSpan){};
        _cleanup_free_ char *s = NULL;
        usec_t t;

        if (!json_is(v, JSON_KIND_STRING) || json_string_dup(v, &s, NULL) < 0)
                return 0;
        return clock_parse_rfc3339(s, &t) >= 0 ? t : 0;
}

char *cli_ago(Cli *c, usec_t t) {
        char span[32];

        if (t == 0)
                return cli_text(c, "%s", "");
        if (t > c->now + USEC_PER_SEC)
                return cli_text(c, "in %s", text_span(t - c->now, span, sizeof(span)));
        return cli_text(c, "%s ago", text_span(c->now > t ? c->now - t : 0, span, sizeof(span)));
}

/* "14:39", "14:39:50": put behind today's date, or yesterday's if that is still to come. */
static int parse_time_of_day(Cli *c, const char *text, usec_t *ret) {
        char today[CLOCK_RFC3339_SIZE];
        size_t n = strlen(text);
        usec_t t;

        if (n != strlen("14:39") && n != strlen("14:39:50"))
                return -EINVAL;
        (void) clock_format_rfc3339(c->now, today);
        int r = clock_parse_rfc3339(cli_text(c, "%.10s %s%s", today, text, n == 5 ? ":00" : ""), &t);
        if (r >= 0)
                *ret = t > c->now ? t - USEC_PER_DAY : t;
        return r;
}

int cli_time_option(Cli *c, const char *option, const char *text, usec_t *ret) {
        usec_t t;

        if (clock_parse_span(text, &t) >= 0)
                *ret = t < c->now ? c->now - t : 0;
        else if (clock_parse_rfc3339(text, ret) < 0 && parse_time_of_day(c, text, ret) < 0)
                return cli_usage(c,
                                 "--%s %s: expected how long ago (5min, 2h), a time of day (14:39) or a "
                                 "time (2026-11-22T14:39:00Z), in UTC",
                                 option, text);
        return 0;
}

void cli_write_value(JsonWriter *w, const char *text, bool as_string) {
        JsonSpan value;

        if (!as_string && json_check(text, strlen(text), JSON_DEPTH_MAX, &value, NULL) >= 0)
                json_w_raw(w, value);
        else
                json_w_string(w, text);
}

void cli_print_json(JsonSpan v) {
        (void) fwrite(v.p, 1, v.n, stdout);
        (void) putchar('\n');
}

static void indent(unsigned depth) {
        (void) printf("\n%*s", (int) (2 * depth), "");
}

/* The checked text once more, with line breaks around what is between brackets and commas outside
 * strings; values stay as they were written. */
void cli_print_json_pretty(JsonSpan v) {
        unsigned depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < v.n; i++) {
                char ch = v.p[i];
                bool space = ch == ' ' || ch == '\n' || ch == '\t' || ch == '\r';

                if (in_string || ch == '"') {
                        (void) putchar(ch);
                        if (ch == '\\')
                                (void) putchar(v.p[++i]);
                        else if (ch == '"')
                                in_string = !in_string;
                        continue;
                }
                if (space)
                        continue;
                if (ch == '}' || ch == ']')
                        indent(--depth);
                (void) putchar(ch);
                if (ch == ':')
                        (void) putchar(' ');
                if (ch == ',')
                        indent(depth);
                if (ch != '{' && ch != '[')
                        continue;
                depth++;
                /* {} and [] stay together. */
                size_t next = i + 1;
                while (next < v.n && strchr(" \n\t\r", v.p[next]))
                        next++;
                if (next < v.n && (v.p[next] == '}' || v.p[next] == ']')) {
                        (void) putchar(v.p[next]);
                        depth--;
                        i = next;
                } else
                        indent(depth);
        }
        (void) putchar('\n');
}

void cli_print_value(Cli *c, JsonSpan v) {
        if (json_is(v, JSON_KIND_OBJECT) || json_is(v, JSON_KIND_ARRAY)) {
                cli_print_json_pretty(v);
                return;
        }
        _cleanup_buf_ Buf safe = BUF_INIT(VALUE_MAX);
        const char *text = cli_value(c, v);
        if (c->terminal) {
                (void) str_put_clean(&safe, text, strlen(text), STR_CLEAN_LINES | STR_CLEAN_TABS);
                text = safe.data ? safe.data : "";
        }
        (void) puts(text);
}

char *cli_pairs(Cli *c, JsonSpan object) {
        Buf b = BUF_INIT(VALUE_MAX);
        JsonSpan key, value;

        if (json_is(object, JSON_KIND_OBJECT)) {
                JsonIter it = json_iter(object);
                while (json_next(&it, &key, &value))
                        if (!json_is(value, JSON_KIND_NULL))
                                (void) buf_printf(&b, "%s%s=%s", b.len ? ", " : "",
                                                  cli_value(c, key), cli_value(c, value));
        }
        return cli_take(c, &b);
}
