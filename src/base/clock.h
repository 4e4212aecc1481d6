/* SPDX-License-Identifier: MIT */
#pragma once

/* Time. Everything is usec_t: microseconds, unsigned. Wall clock (realtime) for people and for what
 * is stored; monotonic for timers. Tests may put both under their control with clock_fake(). */

#include "base/macro.h"

typedef uint64_t usec_t;

#define USEC_INFINITY   ((usec_t) UINT64_MAX)
#define USEC_PER_MSEC   ((usec_t) 1000)
#define USEC_PER_SEC    ((usec_t) 1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR   (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY    (24 * USEC_PER_HOUR)
#define NSEC_PER_USEC   ((uint64_t) 1000)

usec_t clock_realtime(void);
usec_t clock_monotonic(void);

/* From now on both clocks return these values until the next call; USEC_INFINITY twice gives the
 * real clocks back. For tests only; not thread-safe against concurrent readers beyond being atomic.
 */
void clock_fake(usec_t realtime_usec, usec_t monotonic_usec);

#define CLOCK_RFC3339_SIZE sizeof("2026-11-22T07:53:36.123456Z")

/* RFC 3339 in UTC with microseconds and Z, NUL-terminated, into buf of CLOCK_RFC3339_SIZE; returns
 * buf. */
char *clock_format_rfc3339(usec_t t, char buf[static CLOCK_RFC3339_SIZE]);

/* RFC 3339 with Z or offset, fraction optional; also `YYYY-MM-DD HH:MM:SS[.ffffff]` without a zone,
 * read as UTC. What is finer than a microsecond is cut. -EINVAL otherwise and before 1970. */
int clock_parse_rfc3339(const char *s, usec_t *ret);

/* A span in systemd's syntax: `100ms`, `5min 30s`, `2h`, `1.5s`, `infinity`; a bare number is
 * seconds. -EINVAL for anything else, -ERANGE on overflow. */
int clock_parse_span(const char *s, usec_t *ret);

/* `1min 30s`, `2h 5min`, `350ms`; at most two units; for people. Returns buf. */
char *clock_format_span(usec_t span, char *buf, size_t size);
