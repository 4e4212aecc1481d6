/* SPDX-License-Identifier: MIT */

/* What a run uses.
 *
 * The cgroup's own figures where there are any: they count what has already exited and what is
 * shared only once. cpu.stat is always there, pids.current and memory.current only with their
 * controllers; what is missing is summed over /proc. Resident sets count shared pages several
 * times, so such a sum is an upper bound. */

#include "sup/sup-internal.h"

#define PIDS_MAX 4096U

static int run_pids(const SupRun *r, pid_t *pids) {
        if (r->cgroup)
                return cgroup_pids(r->cgroup, 0, pids, PIDS_MAX);
        if (r->identity.pid <= 0 || r->leader_gone)
                return 0;
        int n = proc_descendants(r->identity.pid, pids + 1, PIDS_MAX - 1);
        pids[0] = r->identity.pid;
        return n < 0 ? n : n + 1;
}

static int from_proc(const SupRun *r, SupUsage *ret) {
        _cleanup_free_ pid_t *pids = calloc(PIDS_MAX, sizeof(pid_t));
        SupUsage u = {};
        ProcStat s;

        if (!pids)
                return -ENOMEM;
        int n = run_pids(r, pids);
        if (n < 0)
                return n;
        for (int i = 0; i < MIN(n, (int) PIDS_MAX); i++) {
                if (proc_stat(pids[i], &s) < 0)
                        continue;
                u.tasks += s.threads;
                u.cpu_usec += s.cpu_usec;
                u.memory_bytes += proc_resident(pids[i]);
        }
        *ret = u;
        return 0;
}

int sup_run_usage(const SupRun *r, SupUsage *ret) {
        uint64_t tasks, memory, cpu;
        SupUsage u = {};

        OBJ_CHECK(r, SUP_RUN_MAGIC);
        if (r->state == SUP_RUN_QUEUED || r->state == SUP_RUN_ENDED) {
                *ret = u;
                return 0;
        }
        bool has_tasks = r->cgroup && cgroup_read_u64(r->cgroup, "pids.current", NULL, &tasks) == 0;
        bool has_memory =
                r->cgroup && cgroup_read_u64(r->cgroup, "memory.current", NULL, &memory) == 0;
        bool has_cpu = r->cgroup && cgroup_read_u64(r->cgroup, "cpu.stat", "usage_usec", &cpu) == 0;
        if (!has_tasks || !has_memory || !has_cpu) {
                int e = from_proc(r, &u);
                if (e < 0)
                        return e;
        }
        if (has_tasks)
                u.tasks = (unsigned) tasks;
        if (has_memory)
                u.memory_bytes = memory;
        if (has_cpu)
                u.cpu_usec = cpu;
        *ret = u;
        return 0;
}

int sup_manager_usage(const SupManager *m, SupUsage *ret) {
        SupUsage u = { .memory_bytes = UINT64_MAX, .cpu_usec = UINT64_MAX };
        uint64_t tasks = 0;

        OBJ_CHECK(m, SUP_MANAGER_MAGIC);
        if (!m->cgroups)
                return -EOPNOTSUPP;
        (void) cgroup_read_u64(m->cgroups->path, "cpu.stat", "usage_usec", &u.cpu_usec);
        (void) cgroup_read_u64(m->cgroups->path, "memory.current", NULL, &u.memory_bytes);
        (void) cgroup_read_u64(m->cgroups->path, "pids.current", NULL, &tasks);
        u.tasks = (unsigned) tasks;
        *ret = u;
        return 0;
}
