/* SPDX-License-Identifier: MIT */

/* Stopping an agent that does not want to, or a checkpoint of a large workspace, takes seconds in
 * which nothing is to be seen. After half a second a line on stderr says what is waited for and how
 * long, and of many things how far it is; it is taken away when there is something to say.
 *
 * Only on a terminal: in a log it would be noise. A bar was rejected: the daemon cannot tell how
 * long an agent will take to end. */

#include <stdio.h>

#include "cli/ask.h"

#define SILENT_USEC (500 * USEC_PER_MSEC)

void progress_begin(Progress *p, Cli *c, HttpClient *client) {
        *p = (Progress){ .cli = c, .client = client, .from = clock_monotonic() };
        if (!c->quiet && c->verb->flags & VERB_SLOW && isatty(STDERR_FILENO) == 1)
                http_client_on_wait(client, progress_draw, p);
}

void progress_draw(void *userdata) {
        Progress *p = userdata;
        Cli *c = p->cli;
        usec_t waited = clock_monotonic() - p->from;

        if (waited < SILENT_USEC)
                return;
        p->drawn = true;
        (void) fflush(stdout);
        (void) fprintf(stderr, "\r\x1b[Kagentd %s: %llu.%llu s%s%s", c->verb->name,
                       (unsigned long long) (waited / USEC_PER_SEC),
                       (unsigned long long) (waited % USEC_PER_SEC / (100 * USEC_PER_MSEC)),
                       c->progress ? ", " : "", c->progress ? c->progress : "");
        (void) fflush(stderr);
}

void progress_end(Progress *p) {
        http_client_on_wait(p->client, NULL, NULL);
        if (p->drawn)
                (void) fputs("\r\x1b[K", stderr);
        p->drawn = false;
}
