/* SPDX-License-Identifier: MIT */
#pragma once

/* Answers that a process of their own makes. */

#include "api/api-internal.h"

typedef struct ApiToolOptions {
        const char *content_type; /* static, as the next */
        const char *file_name;    /* what a browser would call it; NULL: it is to be shown */
        int also_good;            /* an exit status that is a success beside 0; or 0 */
} ApiToolOptions;

/* Answers with the stdout of this program, started with argv (argv[0] is its name); one such
 * process at a time. */
void api_reply_tool(ApiCall *c, const char *const *argv, const ApiToolOptions *options);
/* No answer is under way any more; a process that still ends is left to itself. */
void api_tool_forget(Api *a);
