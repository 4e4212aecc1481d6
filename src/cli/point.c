/* SPDX-License-Identifier: MIT */

/* Which point of a session is meant: `now`, an id, the unique begin of an id, a checkpoint's label
 * or a branch's name. The daemon takes ids only, because labels may repeat; so what is not a whole
 * id is looked for in the lists, and what may mean several things is answered with all of them.
 *
 * Messages have no list that is always short, so the begin of a message's id is looked for among
 * the last thousand. */

#include "base/str.h"
#include "cli/ask.h"

#define LISTED_MAX ((size_t) 2000)
#define SEEN_MAX   1000

typedef struct Search {
        Cli *cli;
        const char *session, *wanted;
        char *found;
        size_t n_found;
        Buf names;                  /* of what was found */
        const char *seen[SEEN_MAX]; /* labels and branches' names, for a near miss */
        size_t n_seen;
} Search;

static void search_done(Search *s) {
        buf_done(&s->names);
}

static void take(Search *s, const char *what, const char *id, const char *name) {
        s->found = cli_text(s->cli, "%s", id);
        s->n_found++;
        if (s->names.len < LISTED_MAX)
                (void) buf_printf(&s->names, "%s%s %s%s%s%s", s->names.len ? ", " : "", what, id,
                                  *name ? " (" : "", name, *name ? ")" : "");
}

static void match(
        Search *s, const char *what, JsonSpan item, const char *id_name, const char *name_name) {
        const char *id = cli_member(s->cli, item, id_name),
                   *name = name_name ? cli_member(s->cli, item, name_name) : "";

        if ((*name && streq(name, s->wanted)) || str_startswith(id, s->wanted))
                take(s, what, id, name);
        if (*name && s->n_seen < SEEN_MAX)
                s->seen[s->n_seen++] = name;
}

static int search_list(
        Search *s, const char *what, const char *path, const char *id_name, const char *name_name) {
        _cleanup_buf_ Buf buf = {};
        JsonSpan list, item;
        int r = ask_list(s->cli, cli_text(s->cli, "/sessions/%s/%s", s->session, path), &buf, &list);

        if (r != 0)
                return r;
        JsonIter it = json_iter(list);
        while (json_next(&it, NULL, &item))
                match(s, what, item, id_name, name_name);
        return 0;
}

static bool is_hex(const char *s) {
        while (hex_digit(*s) >= 0)
                s++;
        return *s == '\0';
}

static int search_messages(Search *s) {
        _cleanup_reply_ Reply reply = {};
        JsonSpan item;
        int r = ask(s->cli, "GET", cli_text(s->cli, "/sessions/%s/messages", s->session), NULL,
                    &reply);

        if (r != 0)
                return r;
        JsonIter it = json_iter(reply.json);
        while (json_is(reply.json, JSON_KIND_ARRAY) && json_next(&it, NULL, &item))
                match(s, "message", item, "id", NULL);
        return 0;
}

static int search_checkpoints(Search *s) {
        return search_list(s, "checkpoint", "checkpoints", "checkpoint_id", "label");
}

static int search(Search *s) {
        int r = search_checkpoints(s);

        if (r == 0)
                r = search_list(s, "branch", "branches", "branch_id", "name");
        if (r == 0 && s->n_found == 0 && is_hex(s->wanted))
                r = search_messages(s);
        return r;
}

/* What exactly one thing is called; kinds and verb are for the message. */
static int find_one(Cli *c,
                    const SessionRef *session,
                    const char *ref,
                    int (*look)(Search *),
                    const char *kinds,
                    const char *verb,
                    char **ret) {
        _cleanup_(search_done) Search s = {
                .cli = c,
                .session = session->id,
                .wanted = ref,
                .names = BUF_INIT(4 * LISTED_MAX),
        };

        if (strlen(ref) == 16 && is_hex(ref)) {
                *ret = cli_text(c, "%s", ref);
                return 0;
        }
        int r = look(&s);
        if (r != 0)
                return r;
        const char *nearest = s.n_found == 0 ? str_nearest(ref, s.seen, s.n_seen) : NULL;
        if (nearest)
                return cli_error(c, CLI_NOT_FOUND, "%s has no %s '%s', did you mean '%s'?",
                                 session->name, kinds, ref, nearest);
        if (s.n_found == 0)
                return cli_error(c, CLI_NOT_FOUND, "%s has no %s '%s'; `agentd %s %s` shows them",
                                 session->name, kinds, ref, verb, session->name);
        if (s.n_found > 1)
                return cli_error(c, CLI_USAGE, "'%s' may mean %zu things, name one by its id: %s",
                                 ref, s.n_found, s.names.data);
        *ret = s.found;
        return 0;
}

int ask_point(Cli *c, const SessionRef *session, const char *ref, char **ret) {
        if (str_isempty(ref))
                return cli_usage(c, "a checkpoint, a branch, a message or `now` is needed");
        if (streq(ref, "now")) {
                *ret = cli_text(c, "%s", ref);
                return 0;
        }
        return find_one(c, session, ref, search, "checkpoint, branch or recent message", "tree", ret);
}

int ask_checkpoint(Cli *c, const SessionRef *session, const char *ref, char **ret) {
        if (str_isempty(ref))
                return cli_usage(c, "a checkpoint is needed: its id, the begin of it, or its label");
        return find_one(c, session, ref, search_checkpoints, "checkpoint", "checkpoints", ret);
}
