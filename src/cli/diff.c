/* SPDX-License-Identifier: MIT */

/* `agentd diff`: two points of a session side by side, in the form that people know from files: what
 * only the first has is red with a minus, what only the second has green with a plus, and files as a
 * unified diff that patch(1) would take.
 *
 * Long lists come in parts. A part names both lists, messages and files, so the second and later ones
 * ask for one of them and skip the other. --json prints the first part as the daemon sent it. */

#include <stdio.h>

#include "base/str.h"
#include "cli/ask.h"
#include "cli/table.h"
#include "cli/verbs.h"

#define TEXT_BYTES ((size_t) 256 * 1024 * 1024)
#define NO_FILES   "4294967296"
#define REMOVED    "31"
#define ADDED      "32"
#define HEADING    "1"

typedef struct Diff {
        Cli *cli;
        const char *session, *from, *to;
        bool is_stat;
} Diff;

/* ---- lines ---- */

static void print_part(Cli *c, const char *colour, const char *mark, const char *line, size_t n) {
        _cleanup_buf_ Buf safe = BUF_INIT(TEXT_BYTES);
        bool paint = c->colour && !str_isempty(colour);

        (void) str_put_clean(&safe, line, n, 0);
        (void) printf("%s%s%s%s%s%s\n", paint ? "\x1b[" : "", paint ? colour : "", paint ? "m" : "",
                      mark, safe.data ? safe.data : "", paint ? "\x1b[0m" : "");
}

/* Each line of a text with a mark in front. */
static void print_marked(Cli *c, const char *colour, const char *mark, const char *text) {
        for (;;) {
                const char *end = strchrnul(text, '\n');
                print_part(c, colour, mark, text, (size_t) (end - text));
                if (*end == '\0' || end[1] == '\0')
                        return;
                text = end + 1;
        }
}

static void print_patch(Cli *c, const char *patch) {
        for (const char *line = patch; *line;) {
                const char *end = strchrnul(line, '\n');
                const char *colour = str_startswith(line, "+++") || str_startswith(line, "---") ||
                                                     str_startswith(line, "diff ")
                                             ? HEADING
                                     : *line == '+' ? ADDED
                                     : *line == '-' ? REMOVED
                                     : *line == '@' ? "36"
                                                    : "";
                print_part(c, colour, "", line, (size_t) (end - line));
                line = *end ? end + 1 : end;
        }
}

/* ---- what differs ---- */

static const char *point_text(Cli *c, JsonSpan p) {
        static const char *const kinds[] = { "checkpoint", "branch", "node" };

        ARRAY_FOREACH(kind, kinds) {
                const char *id = cli_member(c, p, *kind);
                if (*id)
                        return cli_text(c, "%s %s", streq(*kind, "node") ? "message" : *kind, id);
        }
        return "now";
}

static void print_message(const Diff *d, JsonSpan item) {
        bool is_added = streq(cli_member(d->cli, item, "change"), "added");
        const char *colour = is_added ? ADDED : REMOVED, *mark = is_added ? "+" : "-";
        JsonSpan m = json_get(item, "message");
        JsonSpan calls = json_get(m, "tool_calls"), call;
        Cli *c = d->cli;

        print_marked(c, colour, mark,
                     cli_text(c, " %s  %s", cli_member(c, m, "role"), cli_member(c, m, "id")));
        print_marked(c, colour, is_added ? "+     " : "-     ",
                     cli_content(c, json_get(m, "content")));
        if (!json_is(calls, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(calls);
        while (json_next(&it, NULL, &call))
                print_marked(c, colour, is_added ? "+     " : "-     ",
                             cli_text(c, "-> %s %s", cli_member(c, call, "name"),
                                      cli_member(c, call, "arguments")));
}

static void print_messages(const Diff *d, JsonSpan messages) {
        JsonSpan items = json_get(messages, "items"), item;

        if (d->is_stat || !json_is(items, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(items);
        while (json_next(&it, NULL, &item))
                print_message(d, item);
}

static void print_value(Cli *c, bool is_added, const char *name, JsonSpan v) {
        _cleanup_free_ char *text = v.p ? strndup(v.p, v.n) : strdup("null");

        if (!text)
                cli_out_of_memory();
        print_marked(c, is_added ? ADDED : REMOVED, is_added ? "+" : "-",
                     cli_text(c, " %s = %s", name, text));
}

static void print_only(Cli *c, JsonSpan values, bool is_added) {
        JsonSpan key, value;

        if (!json_is(values, JSON_KIND_OBJECT))
                return;
        JsonIter it = json_iter(values);
        while (json_next(&it, &key, &value))
                print_value(c, is_added, cli_value(c, key), value);
}

static void print_changed(Cli *c, JsonSpan values) {
        JsonSpan key, value;

        if (!json_is(values, JSON_KIND_OBJECT))
                return;
        JsonIter it = json_iter(values);
        while (json_next(&it, &key, &value)) {
                print_value(c, false, cli_value(c, key), json_get(value, "from"));
                print_value(c, true, cli_value(c, key), json_get(value, "to"));
        }
}

static size_t count_of(JsonSpan object, const char *name) {
        JsonSpan v = json_get(object, name);

        return json_is(v, JSON_KIND_OBJECT) ? json_count(v) : 0;
}

static void print_variables(const Diff *d, JsonSpan v) {
        size_t added = count_of(v, "added"), removed = count_of(v, "removed"),
               changed = count_of(v, "changed");

        if (added + removed + changed == 0)
                return;
        cli_say(d->cli, "%s",
                cli_paint(d->cli, HEADING,
                          cli_text(d->cli, "variables: %zu removed, %zu added, %zu changed",
                                   removed, added, changed)));
        if (d->is_stat)
                return;
        print_only(d->cli, json_get(v, "removed"), false);
        print_only(d->cli, json_get(v, "added"), true);
        print_changed(d->cli, json_get(v, "changed"));
}

static void print_configuration(const Diff *d, JsonSpan v) {
        size_t n = json_is(v, JSON_KIND_OBJECT) ? json_count(v) : 0;

        if (n == 0)
                return;
        cli_say(d->cli, "%s",
                cli_paint(d->cli, HEADING, cli_text(d->cli, "configuration: %zu changed", n)));
        if (!d->is_stat)
                print_changed(d->cli, v);
}

/* ---- files ---- */

static char *size_text(Cli *c, JsonSpan file, const char *name) {
        char text[32];

        if (!*cli_member(c, file, name))
                return cli_text(c, "-");
        return cli_text(c, "%s", text_size((uint64_t) cli_number(file, name), text, sizeof(text)));
}

static void print_file(const Diff *d, JsonSpan f) {
        const char *change = cli_member(d->cli, f, "change"),
                   *patch = cli_member(d->cli, f, "patch"),
                   *from = cli_member(d->cli, f, "from_mode"),
                   *to = cli_member(d->cli, f, "to_mode");
        bool is_added = streq(change, "added"), is_removed = streq(change, "removed");
        Cli *c = d->cli;

        if (*patch) {
                print_patch(c, patch);
                return;
        }
        bool other_mode = !is_added && !is_removed && !streq(from, to);
        print_marked(c,
                     is_added     ? ADDED
                     : is_removed ? REMOVED
                                  : "33",
                     is_added     ? "A "
                     : is_removed ? "D "
                                  : "M ",
                     cli_text(c, "%s  (%s -> %s%s%s%s%s)", cli_member(c, f, "path"),
                              size_text(c, f, "from_size"), size_text(c, f, "to_size"),
                              other_mode ? ", " : "", other_mode ? from : "",
                              other_mode ? " -> " : "", other_mode ? to : ""));
}

static void print_file_items(const Diff *d, JsonSpan files) {
        JsonSpan items = json_get(files, "items"), item;

        if (!json_is(items, JSON_KIND_ARRAY))
                return;
        JsonIter it = json_iter(items);
        while (json_next(&it, NULL, &item))
                print_file(d, item);
}

static void print_files_head(const Diff *d, JsonSpan files) {
        int64_t unknown = cli_number(files, "unknown");
        bool compared = false;
        Cli *c = d->cli;

        (void) json_bool(json_get(files, "compared"), &compared);
        if (!compared) {
                cli_note(c, "files were not compared: %s", cli_member(c, files, "reason"));
                return;
        }
        if (cli_number(files, "added") + cli_number(files, "removed") + cli_number(files, "modified") >
            0)
                cli_say(c, "%s",
                        cli_paint(c, HEADING,
                                  cli_text(c, "files: %lld removed, %lld added, %lld modified",
                                           (long long) cli_number(files, "removed"),
                                           (long long) cli_number(files, "added"),
                                           (long long) cli_number(files, "modified"))));
        if (unknown > 0)
                cli_note(c, "%lld more files cannot be compared: one of the two points left them out",
                         (long long) unknown);
}

/* ---- asking ---- */

static int ask_diff(const Diff *d, const char *after, const char *skip, Reply *ret) {
        _cleanup_buf_ Buf path = BUF_INIT((size_t) 64 * 1024);

        (void) buf_printf(&path, "/sessions/%s/diff", d->session);
        query_add(&path, "from", d->from);
        query_add(&path, "to", d->to);
        query_add(&path, "limit", "1000");
        query_add(&path, "after", after);
        query_add(&path, "files_skip", skip);
        query_add(&path, "patch", d->is_stat ? NULL : "1");
        return ask(d->cli, "GET", path.data, NULL, ret);
}

static const char *last_message(Cli *c, JsonSpan messages) {
        JsonSpan items = json_get(messages, "items"), item, last = {};

        if (!json_is(items, JSON_KIND_ARRAY))
                return "";
        JsonIter it = json_iter(items);
        while (json_next(&it, NULL, &item))
                last = item;
        return last.p ? cli_member(c, json_get(last, "message"), "id") : "";
}

static int more_messages(const Diff *d, const Reply *first) {
        const char *after = last_message(d->cli, json_get(first->json, "messages"));
        bool more = first->http.next_link != NULL && !d->is_stat;
        int r = 0;

        while (r == 0 && more && *after) {
                _cleanup_reply_ Reply reply = {};
                r = ask_diff(d, after, NO_FILES, &reply);
                if (r != 0)
                        break;
                print_messages(d, json_get(reply.json, "messages"));
                after = last_message(d->cli, json_get(reply.json, "messages"));
                more = reply.http.next_link != NULL;
        }
        return r;
}

static int all_files(const Diff *d, JsonSpan first) {
        const char *skip = cli_member(d->cli, first, "next_skip");
        int r = 0;

        print_files_head(d, first);
        print_file_items(d, first);
        while (r == 0 && *skip) {
                _cleanup_reply_ Reply reply = {};
                r = ask_diff(d, NULL, skip, &reply);
                if (r != 0)
                        break;
                JsonSpan files = json_get(reply.json, "files");
                print_file_items(d, files);
                skip = cli_member(d->cli, files, "next_skip");
        }
        return r;
}

static int print_diff(const Diff *d, const Reply *first) {
        JsonSpan messages = json_get(first->json, "messages");
        Cli *c = d->cli;

        cli_say(c, "%s",
                cli_paint(c, HEADING,
                          cli_text(c, "%s -> %s", point_text(c, json_get(first->json, "from")),
                                   point_text(c, json_get(first->json, "to")))));
        cli_say(c, "%s",
                cli_paint(c, HEADING,
                          cli_text(c, "messages: %lld removed, %lld added, %lld in both",
                                   (long long) cli_number(messages, "removed"),
                                   (long long) cli_number(messages, "added"),
                                   (long long) cli_number(messages, "common"))));
        print_messages(d, messages);
        int r = more_messages(d, first);
        if (r != 0)
                return r;
        print_variables(d, json_get(first->json, "variables"));
        print_configuration(d, json_get(first->json, "configuration"));
        return all_files(d, json_get(first->json, "files"));
}

int verb_diff(Cli *c) {
        _cleanup_reply_ Reply reply = {};
        SessionRef s;
        char *from = NULL, *to = NULL;

        int r = ask_session(c, c->args[0], &s);
        if (r == 0)
                r = ask_point(c, &s, c->args[1], &from);
        if (r == 0)
                r = ask_point(c, &s, c->n_args > 2 ? c->args[2] : "now", &to);
        if (r != 0)
                return r;
        Diff d = {
                .cli = c,
                .session = s.id,
                .from = from,
                .to = to,
                .is_stat = cli_option(c, "stat") != NULL,
        };
        r = ask_diff(&d, NULL, NULL, &reply);
        if (r != 0)
                return r;
        if (c->json) {
                cli_print_json(reply.json);
                return 0;
        }
        return c->quiet ? 0 : print_diff(&d, &reply);
}
