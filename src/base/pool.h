/* SPDX-License-Identifier: MIT */
#pragma once

/* A small bounded pool of worker threads for what must not run on the loop thread (snapshots,
 * scans). A job's work() runs in a worker, then its done() on the loop thread, woken by an eventfd.
 * Jobs with the same non-zero key run one after the other, in order. Threads are made when needed
 * and leave after a minute of idleness. */

#include <systemd/sd-event.h>

#include "base/macro.h"

typedef struct Pool Pool;

int pool_new(Pool **ret, sd_event *event, unsigned threads_max, size_t jobs_max);
/* Finishes all jobs (work and done) first. */
Pool *pool_free(Pool *p);
DEFINE_CLEANUP(Pool *, pool_free);
/* -EAGAIN when jobs_max are waiting. */
int pool_submit(Pool *p, uint64_t key, void (*work)(void *job), void (*done)(void *job), void *job);
