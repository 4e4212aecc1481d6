/* SPDX-License-Identifier: MIT */

/* Why there is no answer, and what an answer says that is no success: one line each, with what to do.
 *
 * The sentence and the hint are the daemon's own, since it knows more; the exit status comes from the
 * table of errors by the code word, so that a script need not read sentences. */

#include "base/str.h"
#include "cli/ask.h"
#include "cli/keeper-link.h"

#define SENTENCE_MAX ((size_t) 64 * 1024)

/* The socket's name went with its folder; the port's did not. */
static int socket_is_gone(Cli *c, pid_t daemon) {
        unsigned port = (unsigned) c->config.port;
        const char *how =
                port == 0 ? ""
                          : cli_text(c,
                                     " agentd --port %u reaches it; to mend it: agentd --port %u "
                                     "stop --all && agentd start --detach%s",
                                     port, port, where_options(c));

        return cli_error(c, CLI_FAILURE,
                         "agentd runs (pid %d), but its socket is not at %s: was the runtime folder "
                         "removed, or is it another?%s",
                         (int) daemon, c->socket_path, how);
}

static int not_running(Cli *c) {
        pid_t keeper = 0, daemon = 0;

        if (daemon_find(c->config.db, &daemon) > 0 && keeper_find(c->config.runtime_dir, &keeper) == 0)
                return socket_is_gone(c, daemon);
        if (keeper_find(c->config.runtime_dir, &keeper) > 0)
                return cli_error(
                        c, CLI_FAILURE,
                        "agentd is not running (no answer at %s), its keeper (pid %d) keeps agents "
                        "running; start it with: agentd start --detach%s",
                        c->socket_path, (int) keeper, where_options(c));
        return cli_error(
                c, CLI_FAILURE,
                "agentd is not running (no answer at %s); start it with: agentd start --detach%s",
                c->socket_path, where_options(c));
}

/* Its keeper holds the sockets, so connections wait for a daemon that does not stay. */
static int daemon_keeps_ending(Cli *c) {
        pid_t keeper = 0;

        (void) keeper_find(c->config.runtime_dir, &keeper);
        return cli_error(
                c, CLI_FAILURE,
                "agentd does not answer: its daemon ends whenever its keeper (pid %d) starts it; why is in "
                "the log, %s/agentd.log or that of the service. Mend it and the next start serves, or "
                "end it: kill %d",
                (int) keeper, c->config.data_dir, (int) keeper);
}

int ask_no_answer(Cli *c, int error) {
        if (error == -EHOSTDOWN)
                return daemon_keeps_ending(c);
        if (!c->url && (error == -ECONNREFUSED || error == -ENOENT || error == -ENOTDIR))
                return not_running(c);
        if (!c->url && error == -EACCES)
                return cli_error(c, CLI_NOT_PERMITTED,
                                 "the socket %s belongs to another user; set AGENTD_URL and AGENTD_TOKEN "
                                 "to use that daemon",
                                 c->socket_path);
        if (error == -ETIMEDOUT)
                return cli_error(c, CLI_FAILURE, "no answer from %s in time; see its log",
                                 c->url ?: c->socket_path);
        if (error == -ECONNRESET)
                return cli_error(
                        c, CLI_FAILURE,
                        "the connection to %s broke before the answer came; look whether it was done "
                        "before you repeat it",
                        c->url ?: c->socket_path);
        if (error == -EINVAL && c->url)
                return cli_error(c, CLI_USAGE, "'%s' is no http address", c->url);
        return cli_error(c, CLI_FAILURE, "no answer from %s: %s; is agentd running there?",
                         c->url ?: c->socket_path, strerror(-error));
}

/* "name: Field required, tools: …" */
static char *validation_text(Cli *c, JsonSpan detail) {
        Buf b = BUF_INIT(SENTENCE_MAX);
        JsonIter it = json_iter(detail);
        JsonSpan item;

        while (json_next(&it, NULL, &item)) {
                JsonSpan part;
                JsonSpan loc = json_is(item, JSON_KIND_OBJECT) ? json_get(item, "loc") : (JsonSpan){};

                (void) buf_puts(&b, b.len ? ", " : "");
                if (json_is(loc, JSON_KIND_ARRAY)) {
                        JsonIter parts = json_iter(loc);
                        size_t n = json_count(loc);
                        for (size_t i = 0; json_next(&parts, NULL, &part); i++)
                                if (i > 0 || n == 1) /* where it stands is left out */
                                        (void) buf_printf(&b, "%s%s", cli_value(c, part),
                                                          i + 1 < n ? "." : ": ");
                }
                (void) buf_puts(&b, cli_member(c, item, "msg"));
        }
        return cli_take(c, &b);
}

static char *sentence(Cli *c, JsonSpan root) {
        JsonSpan detail = json_get(root, "detail");

        return json_is(detail, JSON_KIND_ARRAY) ? validation_text(c, detail) : cli_value(c, detail);
}

static int exit_status(long status, const char *code) {
        ErrorId id = error_by_code(code);

        if (id != _ERROR_INVALID)
                return error_table[id].exit_status;
        return status == 404                    ? CLI_NOT_FOUND
               : status == 401 || status == 403 ? CLI_NOT_PERMITTED
               : status == 422                  ? CLI_USAGE
                                                : CLI_FAILURE;
}

/* "Session reader (0ca9…) is running": people know it by its name, and the daemon speaks of its id. */
static const char *with_name(Cli *c, const char *text) {
        const char *rest = str_startswith(text, "Session ");

        if (!rest || !c->session_id || strncmp(rest, c->session_id, strlen(c->session_id)) != 0)
                return text;
        return cli_text(c, "Session %s (%s)%s", c->session_name, c->session_id,
                        rest + strlen(c->session_id));
}

char *refusal_text(Cli *c, long status, const char *body, size_t n, int *ret_exit) {
        JsonSpan root;

        if (json_check(body, n, JSON_DEPTH_MAX, &root, NULL) < 0 || !json_is(root, JSON_KIND_OBJECT)) {
                *ret_exit = exit_status(status, "");
                return cli_text(c, "%s answered with status %ld", c->url ?: "agentd", status);
        }
        const char *text = sentence(c, root), *code = cli_member(c, root, "code");
        /* Which field is wrong is said already, and who typed a command sent no JSON. */
        const char *hint =
                streq(code, error_table[ERROR_VALIDATION].code) ? "" : cli_member(c, root, "hint");
        size_t length = strlen(text);
        const char *end = length > 0 && strchr(".!?", text[length - 1]) ? " " : ". ";

        *ret_exit = exit_status(status, code);
        return cli_text(c, "%s%s%s", length > 0 ? with_name(c, text) : "the request was refused",
                        *hint ? end : "", hint);
}

int ask_refused(Cli *c, long status, const char *body, size_t n) {
        int r;
        const char *text = refusal_text(c, status, body, n, &r);

        return cli_error(c, r, "%s", text);
}
