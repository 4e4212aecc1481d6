/* SPDX-License-Identifier: MIT */
#pragma once

/* The log of our own processes, to stderr: `<6>` prefixes under a service manager (JOURNAL_STREAM
 * set), else time and level. One line a call, written by one write(2). Library rooms log at debug
 * only; the function that decides what to do about an error logs it, once. */

#include "base/macro.h"

typedef enum LogLevel {
        LOG_LEVEL_ERROR,
        LOG_LEVEL_WARNING,
        LOG_LEVEL_NOTICE,
        LOG_LEVEL_INFO,
        LOG_LEVEL_DEBUG,
} LogLevel;

/* program: short name in front of each line ("keeper", "agentd"); static memory. */
void log_open(const char *program, LogLevel level);
void log_set_level(LogLevel level);
LogLevel log_level(void);
/* Returns -abs(error), so that `return log_error(r, "…")` passes it on. error 0: none. The text of
 * the error is appended after ": ". */
int log_full(LogLevel level, int error, const char *format, ...) _printf_(3, 4);

#define log_error(e, ...)   log_full(LOG_LEVEL_ERROR, (e), __VA_ARGS__)
#define log_warning(e, ...) log_full(LOG_LEVEL_WARNING, (e), __VA_ARGS__)
#define log_notice(...)     ((void) log_full(LOG_LEVEL_NOTICE, 0, __VA_ARGS__))
#define log_info(...)       ((void) log_full(LOG_LEVEL_INFO, 0, __VA_ARGS__))
#define log_debug(...)                                                                     \
        (log_level() >= LOG_LEVEL_DEBUG ? (void) log_full(LOG_LEVEL_DEBUG, 0, __VA_ARGS__) \
                                        : (void) 0)
