/* SPDX-License-Identifier: MIT */

/* The life of one command: what it keeps until its end, and how it finds its daemon.
 *
 * The daemon is found by the same table that the daemon itself is configured by, so that
 * environment and options that move one move the other. AGENTD_URL and --host or --port go by TCP;
 * everything else by the unix socket, and never by TCP as a second try: on a shared machine
 * somebody else's daemon may listen on the port, and a command meant for one's own would reach it.
 *
 * Text made on the way is kept in one list and freed at the end. Freeing each piece where it is no
 * longer needed was rejected: a command prints some lines and ends, and the cleanup would be
 * half of the code. What may grow without bound (streams, answers) has owners of its own. */

#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/verbs.h"

void cli_init(Cli *c) {
        const char *term = getenv("TERM");

        *c = (Cli){ .now = clock_realtime() };
        c->terminal = isatty(STDOUT_FILENO) == 1;
        c->colour = c->terminal && str_isempty(getenv("NO_COLOR")) && !(term && streq(term, "dumb"));
}

void cli_done(Cli *c) {
        for (size_t i = 0; i < c->n_kept; i++)
                free(c->kept[i]);
        free(c->kept);
        free(c->values);
        free(c->socket_path);
        http_client_free(c->client);
        config_done(&c->config);
        *c = (Cli){};
}

const char **cli_config_options(const Cli *c) {
        const char **options = calloc(config_table_size, sizeof(*options));

        if (!options)
                cli_out_of_memory();
        for (size_t i = 0; i < config_table_size; i++)
                if (config_table[i].option)
                        options[i] = cli_option(c, config_table[i].option + 2);
        return options;
}

static bool is_own_daemon(const Cli *c) {
        return c->verb->flags & VERB_CONFIG && c->n_args == 0;
}

static bool starts_daemon(const Cli *c) {
        return is_own_daemon(c) && c->verb->run == verb_start;
}

int cli_configure(Cli *c) {
        _cleanup_free_ const char **options = cli_config_options(c);
        _cleanup_free_ char *message = NULL;
        const char *url = getenv("AGENTD_URL"), *host = cli_option(c, "host"),
                   *port = cli_option(c, "port");

        int r = config_load(&c->config, options, starts_daemon(c) ? 0 : CONFIG_LENIENT, &message);
        if (r < 0)
                return cli_error(c, CLI_USAGE, "%s",
                                 message ? message : "the configuration cannot be read");
        if (message && c->verb->run != verb_config && c->verb->run != verb_reload)
                cli_note(c, "agentd: %s (not taken up)", message);
        if (!is_own_daemon(c) && (host || port))
                c->url = cli_text(c, strchr(host ?: "", ':') ? "http://[%s]:%u" : "http://%s:%u",
                                  host ?: "127.0.0.1", (unsigned) c->config.port);
        else if (!is_own_daemon(c) && !str_isempty(url))
                c->url = url;
        c->socket_path = config_socket_path(&c->config);
        if (!c->socket_path)
                cli_out_of_memory();
        return 0;
}

char *cli_local_url(Cli *c, uint64_t port) {
        const char *host = c->config.host;

        if (streq(host, "0.0.0.0"))
                host = "127.0.0.1";
        else if (streq(host, "::"))
                host = "::1";
        return cli_text(c, strchr(host, ':') ? "http://[%s]:%u" : "http://%s:%u", host,
                        (unsigned) port);
}

void cli_out_of_memory(void) {
        (void) fputs("agentd: out of memory\n", stderr);
        exit(CLI_FAILURE);
}

char *cli_keep(Cli *c, char *s) {
        if (!s)
                cli_out_of_memory();
        if (c->n_kept == c->kept_size) {
                size_t size = c->kept_size ? 2 * c->kept_size : 64;
                char **kept = reallocarray(c->kept, size, sizeof(*kept));
                if (!kept)
                        cli_out_of_memory();
                c->kept = kept;
                c->kept_size = size;
        }
        c->kept[c->n_kept++] = s;
        return s;
}

size_t cli_mark(const Cli *c) {
        return c->n_kept;
}

void cli_release(Cli *c, size_t mark) {
        while (c->n_kept > mark)
                free(c->kept[--c->n_kept]);
}

char *cli_text(Cli *c, const char *format, ...) {
        va_list ap;
        char *s;

        va_start(ap, format);
        int r = vasprintf(&s, format, ap);
        va_end(ap);
        return cli_keep(c, r < 0 ? NULL : s);
}

char *cli_take(Cli *c, Buf *b) {
        return cli_keep(c, buf_take(b, NULL));
}
