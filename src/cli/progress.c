/* SPDX-License-Identifier: MIT */

/* Stopping an agent that does not want to, or a checkpoint of a large workspace, takes seconds in
 * which nothing is to be seen. After half a second a line on stderr says what is waited for and how
 * long, and of many things how far it is; it is taken away when there is something to say.
 *
 * The same wait also ends when there is nobody who could answer.
 *
 * The line is only on a terminal: in a log it would be noise. A bar was rejected: the daemon cannot
 * tell how long an agent will take to end. */

#include <stdio.h>

#include "cli/ask.h"
#include "cli/keeper-link.h"

#define SILENT_USEC (500 * USEC_PER_MSEC)
#define LOOK_USEC   USEC_PER_SEC
#define GONE_USEC   (3 * USEC_PER_SEC)

/* The keeper starts a dead daemon within milliseconds, and one that keeps dying young every few
 * seconds: who sees none for this long waits for an answer that may never come. A daemon that is
 * there is waited for, however long it takes. */
static int look_for_daemon(void *userdata) {
        Progress *p = userdata;
        usec_t now = clock_monotonic();
        pid_t keeper = 0, daemon = 0;

        if (now - p->looked_at < LOOK_USEC)
                return 0;
        p->looked_at = now;
        if (keeper_find(p->cli->config.runtime_dir, &keeper) == 0 || keeper <= 0 ||
            keeper_has_daemon(keeper) || daemon_find(p->cli->config.db, &daemon) != 0)
                p->seen_at = now;
        return now - p->seen_at >= GONE_USEC ? -EHOSTDOWN : 0;
}

void progress_begin(Progress *p, Cli *c, HttpClient *client) {
        *p = (Progress){ .cli = c, .client = client, .from = clock_monotonic() };
        p->looked_at = p->seen_at = p->from;
        if (!c->url)
                http_client_on_second(client, look_for_daemon, p);
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
        http_client_on_second(p->client, NULL, NULL);
        if (p->drawn)
                (void) fputs("\r\x1b[K", stderr);
        p->drawn = false;
}
