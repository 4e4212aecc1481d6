/* SPDX-License-Identifier: MIT */
#pragma once

/* A small bounded pool of worker threads for what must not run on the loop thread (snapshots,
 * scans). A job's work() runs in a worker, then its done() on the loop thread, woken by an eventfd.
 * Jobs with the same non-zero key run one after the other, in order. Threads are made when needed
 * and leave after a minute of idleness. */

#include <systemd/sd-event.h>

#include "base/clock.h"

typedef struct Pool Pool;

/* event is referenced. threads_max and jobs_max must not be 0. */
int pool_new(Pool **ret, sd_event *event, unsigned threads_max, size_t jobs_max);
/* Finishes all jobs (work and done) first, also those that a done() submits meanwhile. */
Pool *pool_free(Pool *p);
DEFINE_CLEANUP(Pool *, pool_free);

/* From the loop thread only. done may be NULL. -EAGAIN when jobs_max are waiting; the error of
 * making the first thread (with at least one thread alive, failing to make more is no error). On an
 * error neither work() nor done() is called. */
int pool_submit(Pool *p, uint64_t key, void (*work)(void *job), void (*done)(void *job), void *job);

/* Threads that exist, for metrics and tests. */
unsigned pool_threads(Pool *p);
/* How long a thread waits for work before it leaves; the default is a minute. */
void pool_set_idle(Pool *p, usec_t idle_usec);
