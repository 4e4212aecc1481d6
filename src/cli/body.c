/* SPDX-License-Identifier: MIT */

/* Options become members of a request's body here; what is not given is left out, so that the daemon's
 * defaults count. Values are not checked: the daemon does that for every client, and its message names
 * the field. The exception is what only this process can know: files and folders as seen from here. */

#include "cli/body.h"

#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"

void body_begin(Body *b) {
        b->buf = BUF_INIT(BODY_MAX);
        b->w = JSON_WRITER(&b->buf);
        json_w_object_begin(&b->w);
}

void body_done(Body *b) {
        buf_done(&b->buf);
}

const char *body_text(Body *b) {
        json_w_object_end(&b->w);
        if (buf_error(&b->buf) < 0)
                cli_out_of_memory();
        return b->buf.data;
}

void body_option(Cli *c, Body *b, const char *option, const char *name) {
        const char *value = cli_option(c, option);

        if (value)
                json_w_kv_string(&b->w, name, value);
}

void body_options(Cli *c, Body *b, const char *option, const char *name) {
        const char *value;
        size_t cursor = 0;

        if (!cli_option(c, option))
                return;
        json_w_key(&b->w, name);
        json_w_array_begin(&b->w);
        while ((value = cli_option_next(c, option, &cursor)))
                json_w_string(&b->w, value);
        json_w_array_end(&b->w);
}

static int write_pair(Cli *c, Body *b, const char *option, const char *pair) {
        const char *equals = strchr(pair, '=');

        if (!equals || equals == pair)
                return cli_usage(c, "--%s %s: NAME=VALUE is expected", option, pair);
        /* json_w_key() is for our own names; theirs may need escaping. */
        json_w_string_n(&b->w, pair, (size_t) (equals - pair));
        (void) buf_putc(&b->buf, ':');
        b->w.comma = false;
        json_w_string(&b->w, equals + 1);
        return 0;
}

int body_pairs(Cli *c, Body *b, const char *option, const char *name, const char *first) {
        const char *pair;
        size_t cursor = 0;

        if (!cli_option(c, option) && !first)
                return 0;
        json_w_key(&b->w, name);
        json_w_object_begin(&b->w);
        int r = first ? write_pair(c, b, option, first) : 0;
        while (r == 0 && (pair = cli_option_next(c, option, &cursor)))
                r = write_pair(c, b, option, pair);
        json_w_object_end(&b->w);
        return r;
}

int body_workspace(Cli *c, Body *b, bool must_exist, const char **ret) {
        const char *text = cli_option(c, "workspace");
        struct stat st;
        char *path;

        if (ret)
                *ret = NULL;
        if (!text)
                return 0;
        if (path_absolute(text, &path) < 0)
                return cli_usage(c, "--workspace %s is no path", text);
        (void) cli_keep(c, path);
        if (must_exist && stat(path, &st) < 0)
                return cli_error(c, CLI_FAILURE,
                                 "the workspace %s cannot be used: %s; make it first: mkdir -p %s",
                                 path, strerror(errno), path);
        if (must_exist && !S_ISDIR(st.st_mode))
                return cli_error(c, CLI_FAILURE, "the workspace %s is no folder", path);
        json_w_kv_string(&b->w, "workspace", path);
        if (ret)
                *ret = path;
        return 0;
}

int body_session(Cli *c, Body *b) {
        body_option(c, b, "model", "model");
        body_option(c, b, "system-prompt", "system_prompt");
        body_option(c, b, "namespace", "namespace");
        body_options(c, b, "tools", "tools");
        return body_pairs(c, b, "label", "labels", NULL);
}
