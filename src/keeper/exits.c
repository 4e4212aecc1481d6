/* SPDX-License-Identifier: MIT */

/* Exits that no daemon has heard of yet, kept over the keeper's own leaving.
 *
 * After `agentd stop` that keeps its agents, the keeper stays for them without a daemon and leaves
 * with the last one: then how they ended would be lost, although it was known exactly. To linger
 * until the next `agentd start` was rejected: a machine would keep a process for nothing, perhaps
 * for ever. So what the table holds goes to RUNTIME/keeper.exits, and the next keeper begins with
 * it; it is in its slots as if it had seen the ends itself.
 *
 * The file belongs to one build on one machine: a struct array behind a header that names version
 * and size. What does not fit is ignored; the daemon then finds these runs lost, as it would
 * without the file. It is left in place until the next leaving, should the next keeper be killed
 * before a daemon could commit; that a daemon hears of an exit twice is normal. An adopting keeper
 * has no use for it: its daemon knows. */

#include "base/fs.h"
#include "base/log.h"
#include "keeper/keeper-internal.h"

#define EXITS_NAME "keeper.exits"

typedef struct Header {
        char magic[8];
        uint32_t version;
        uint32_t record_bytes;
} Header;

typedef struct Record {
        KeeperSlot slot;
        uint32_t fail_step;
        int32_t fail_error;
} Record;

static const Header header = {
        .magic = "agtexit",
        .version = KEEPER_PROTOCOL_VERSION,
        .record_bytes = sizeof(Record),
};

void keeper_exits_save(Keeper *k) {
        _cleanup_buf_ Buf out = BUF_INIT(sizeof(header) + k->max_runs * sizeof(Record));
        int r;

        (void) buf_append(&out, &header, sizeof(header));
        for (unsigned i = 0; i < k->high; i++) {
                const KeeperRun *run = &k->runs[i];
                Record record = { run->slot, run->fail_step, run->fail_error };

                if (!run->used || !keeper_run_has_ended(run))
                        continue;
                record.slot.time_usec = run->ended_usec;
                (void) buf_append(&out, &record, sizeof(record));
        }
        if (out.len <= sizeof(header)) {
                (void) unlinkat(k->dir, EXITS_NAME, 0);
                return;
        }
        r = buf_error(&out);
        if (r >= 0)
                r = fs_write_file_atomic(k->dir, EXITS_NAME, out.data, out.len, 0600);
        if (r < 0)
                (void) log_warning(r, "the ends of %u runs could not be kept", k->n_used);
}

static void restore(Keeper *k, const Record *record) {
        KeeperRun *run;

        if (record->slot.state != KEEPER_RUN_EXITED && record->slot.state != KEEPER_RUN_FAILED)
                return;
        if (keeper_run_find(k, record->slot.run))
                return;
        run = keeper_run_take(k, record->slot.run);
        if (!run)
                return;
        run->slot = record->slot;
        run->ended_usec = record->slot.time_usec;
        run->fail_step = record->fail_step;
        run->fail_error = record->fail_error;
}

void keeper_exits_load(Keeper *k) {
        _cleanup_free_ char *data = NULL;
        size_t n = 0;
        int r;

        r = fs_read_file(k->dir, EXITS_NAME, sizeof(header) + k->max_runs * sizeof(Record), &data,
                         &n);
        if (r == -ENOENT)
                return;
        if (r >= 0 && (n < sizeof(header) || memcmp(data, &header, sizeof(header)) != 0 ||
                       (n - sizeof(header)) % sizeof(Record) != 0))
                r = -EBADMSG;
        if (r < 0) {
                (void) log_warning(r, "the ends of earlier runs are not known");
                return;
        }
        for (size_t at = sizeof(header); at < n; at += sizeof(Record)) {
                Record record;

                memcpy(&record, data + at, sizeof(record));
                restore(k, &record);
        }
}
