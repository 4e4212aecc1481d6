/* SPDX-License-Identifier: MIT */
#pragma once

/* Request bodies from options. */

#include "cli/cli.h"

#define BODY_MAX ((size_t) 256 * 1024 * 1024)

typedef struct Body {
        Buf buf;
        JsonWriter w;
} Body;
/* {…}: begins the object; body_text() ends it. */
void body_begin(Body *b);
void body_done(Body *b);
#define _cleanup_body_ _cleanup_(body_done)
const char *body_text(Body *b);
/* "name": the option's value; nothing if it was not given. */
void body_option(Cli *c, Body *b, const char *option, const char *name);
/* "name": [all values of the option]; nothing if it was not given. */
void body_options(Cli *c, Body *b, const char *option, const char *name);
/* "name": {K: V, …} from options of the form K=V; what is without '=' is a wrong command line.
 * first (may be NULL) is one more of that form. */
int body_pairs(Cli *c, Body *b, const char *option, const char *name, const char *first);
/* "workspace": the option --workspace as an absolute path. must_exist: else it is a wrong command
 * line. *ret (may be NULL) is that path, NULL without the option. */
int body_workspace(Cli *c, Body *b, bool must_exist, const char **ret);
/* What `create` and `run` have in common: model, system prompt, tools, labels, namespace. */
int body_session(Cli *c, Body *b);
