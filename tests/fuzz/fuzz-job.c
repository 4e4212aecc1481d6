/* SPDX-License-Identifier: MIT */

/* The exec job, which agentd-exec reads between fork and exec of every agent. What is accepted must
 * serialise again, and the result must be read as the same job and be canonical: serialised once
 * more it is the same bytes. */

#include <stdio.h>

#include "base/str.h"
#include "exec/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void check_again(const ExecJob *job) {
        _cleanup_buf_ Buf first = BUF_INIT(2 * EXEC_JOB_MAX), second = BUF_INIT(2 * EXEC_JOB_MAX);
        _cleanup_(exec_job_done) ExecJob again = {};

        require(exec_job_serialize(job, &first) == 0, "an accepted job does not serialise\n");
        if (first.len > EXEC_JOB_MAX)
                return;
        require(exec_job_parse(first.data, first.len, &again) == 0, "a written job is refused\n");
        require(strv_length(job->argv) == strv_length(again.argv), "an argument is lost\n");
        require(exec_job_serialize(&again, &second) == 0, "a job that was read does not serialise\n");
        require(first.len == second.len && memcmp(first.data, second.data, first.len) == 0,
                "a job changes on its way out and in\n");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_(exec_job_done) ExecJob job = {};
        _cleanup_free_ char *copy = malloc(size > 0 ? size : 1);
        int r;

        require(copy != NULL, "out of memory\n");
        memcpy(copy, data, size);
        r = exec_job_parse(copy, size, &job);
        require(r == 0 || r == -EBADMSG, "an undocumented error\n");
        if (r == 0)
                check_again(&job);
        return 0;
}
