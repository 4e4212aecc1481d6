/* SPDX-License-Identifier: MIT */
#pragma once

/* Reading one run's three files. */

#include "keeper/protocol.h"
#include "sup/logs.h"

#define LOG_BUFFER_BYTES  (2 * SUP_LOG_LINE_MAX)
#define LOG_BLOCK_RECORDS 4096U

typedef struct LogStream {
        int fd;           /* or -EBADF: no such file (yet) */
        uint64_t pos;     /* begin of the first line that was not delivered */
        uint64_t scanned; /* no newline between pos and here */
        char *buffer;     /* bytes [base, base + n) of the file */
        uint64_t base;
        size_t n;
} LogStream;

typedef struct LogRun {
        uint64_t id;
        int index_fd;
        uint64_t record; /* the next one to look at */
        LogStream stream[2];
        KeeperIndexRecord *block; /* records [block_first, block_first + block_n) */
        uint64_t block_first;
        size_t block_n;
        char notice[80];
} LogRun;

/* folder: LOGS/SESSION. -ENOENT: the run has no files. */
int log_run_open(LogRun **ret, const char *folder, uint64_t run);
LogRun *log_run_free(LogRun *r);
DEFINE_CLEANUP(LogRun *, log_run_free);
/* 1, 0, or negative errno. complete: nothing will be added, so deliver also what has no record or no newline. */
int log_run_next(LogRun *r, bool complete, SupLogLine *ret);
/* Continues at a position that an earlier reader had. */
void log_run_set(LogRun *r, uint64_t out, uint64_t err, uint64_t record);
/* To the begin of lines around a record. */
int log_run_seek_record(LogRun *r, uint64_t record);
/* So far back that at least so many bytes of output follow; 1 if that is the beginning, else 0. */
int log_run_seek_back(LogRun *r, uint64_t bytes);
/* To the first record that is not older (if the clock was never set back). */
int log_run_seek_time(LogRun *r, usec_t since);
