/* SPDX-License-Identifier: MIT */

/* `agentd messages` and `agentd send`. A message's content is text or an array of blocks; of blocks the text
 * is shown and of others their kind, since the rest (images, signatures) is for machines: --json has it. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/body.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define TEXT_BYTES ((size_t) 256 * 1024 * 1024)

char *cli_content(Cli *c, JsonSpan content) {
        Buf b = BUF_INIT(TEXT_BYTES);
        JsonIter it;
        JsonSpan block;

        if (!json_is(content, JSON_KIND_ARRAY))
                return cli_value(c, content);
        it = json_iter(content);
        while (json_next(&it, NULL, &block)) {
                const char *type = cli_member(c, block, "type"), *text = cli_member(c, block, "text");
                if (b.len > 0)
                        (void) buf_putc(&b, '\n');
                if (*text || streq(type, "text"))
                        (void) buf_puts(&b, text);
                else
                        (void) buf_printf(&b, "[%s]", *type ? type : "block");
        }
        return cli_take(c, &b);
}

/* Further lines of a message stand below its text. */
static void print_indented(const char *text) {
        _cleanup_buf_ Buf safe = BUF_INIT(TEXT_BYTES);

        (void) str_put_clean(&safe, text, strlen(text), STR_CLEAN_LINES | STR_CLEAN_TABS);
        const char *line = safe.data ? safe.data : "";
        for (;;) {
                const char *end = strchrnul(line, '\n');
                (void) printf("    %.*s\n", (int) (end - line), line);
                if (*end == '\0' || end[1] == '\0')
                        break;
                line = end + 1;
        }
}

static void print_message(Cli *c, JsonSpan m) {
        JsonSpan calls = json_get(m, "tool_calls"), call;
        char time[CLOCK_RFC3339_SIZE];

        (void) clock_format_rfc3339(cli_time(m, "timestamp"), time);
        time[sizeof("2026-11-22T07:53:36") - 1] = '\0';
        cli_say(c, "%s  %sZ  %s", cli_paint(c, "1", cli_member(c, m, "role")), time,
                cli_member(c, m, "id"));
        print_indented(cli_content(c, json_get(m, "content")));
        if (!json_is(calls, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(calls);
        while (json_next(&it, NULL, &call))
                print_indented(cli_text(c, "-> %s %s", cli_member(c, call, "name"),
                                        cli_member(c, call, "arguments")));
}

int verb_messages(Cli *c) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) 64 * 1024);
        _cleanup_reply_ Reply reply = {};
        SessionRef s;
        JsonSpan m;
        uint64_t n = 0;

        int r = cli_option_number(c, "lines", 1, 10000, &n);
        if (r == 0)
                r = ask_session(c, c->args[0], &s);
        if (r != 0)
                return r;
        (void) buf_printf(&path, "/sessions/%s/messages", s.id);
        query_add(&path, "limit", cli_option(c, "lines"));
        query_add(&path, "branch", cli_option(c, "branch"));
        r = ask(c, "GET", path.data, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(reply.json);
                return 0;
        }
        JsonIter it = json_iter(reply.json);
        if (c->quiet || c->names) {
                while (json_is(reply.json, JSON_KIND_ARRAY) && json_next(&it, NULL, &m))
                        (void) puts(cli_member(c, m, c->names ? "role" : "id"));
                return 0;
        }
        while (json_is(reply.json, JSON_KIND_ARRAY) && json_next(&it, NULL, &m))
                print_message(c, m);
        return 0;
}

static int read_stdin(Cli *c, Buf *text) {
        *text = BUF_INIT(TEXT_BYTES);
        for (;;) {
                char *place = buf_reserve(text, 64 * 1024);
                size_t n = place ? fread(place, 1, 64 * 1024, stdin) : 0;
                if (!place)
                        return cli_error(c, CLI_FAILURE, "the text on standard input is too long");
                text->len += n;
                if (n == 0)
                        break;
        }
        if (ferror(stdin))
                return cli_error(c, CLI_FAILURE, "standard input cannot be read: %s",
                                 strerror(errno));
        return 0;
}

int verb_send(Cli *c) {
        _cleanup_buf_ Buf text = {};
        _cleanup_body_ Body b;
        _cleanup_reply_ Reply reply = {};
        const char *role = cli_option(c, "role");
        SessionRef s;
        int r = 0;

        body_begin(&b);
        json_w_kv_string(&b.w, "role", role ? role : "user");
        json_w_key(&b.w, "content");
        if (streq(c->args[1], "-")) {
                r = read_stdin(c, &text);
                json_w_string_n(&b.w, text.data ? text.data : "", text.len);
        } else
                json_w_string(&b.w, c->args[1]);
        if (r == 0)
                r = ask_session(c, c->args[0], &s);
        if (r == 0)
                r = ask(c, "POST", cli_text(c, "/sessions/%s/messages", s.id), body_text(&b), &reply);
        if (r != 0)
                return r;
        if (c->json)
                cli_print_json(reply.json);
        else if (c->quiet)
                (void) puts(cli_member(c, reply.json, "id"));
        cli_say(c, "message %s was added to %s", cli_member(c, reply.json, "id"), s.name);
        return 0;
}
