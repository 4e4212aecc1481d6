/* SPDX-License-Identifier: MIT */

/* The loop's side of a store: opening, submitting, delivering.
 *
 * Counters, limits and the order of completions live here and are touched by the loop thread only;
 * what is shared with the writer's thread is in writer.c under its mutex. Completions come through
 * one eventfd: one wake-up per commit, however many transactions were in it.
 *
 * After a failed commit there is a moment in which objects in memory hold what is not in the
 * database. Whatever was submitted in it, also by the completions that learn of the failure, may
 * build on that; so all of it fails, and nothing is taken, until the owner was told to read again.
 * Only then the writer goes on. */

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "store/store-internal.h"

#define STORE_MAGIC             0x524f5453u /* "STOR" */
#define QUEUE_MAX_DEFAULT       ((size_t) 65536)
#define QUEUE_MAX_BYTES_DEFAULT ((size_t) 128 << 20)
#define WAL_MAX_BYTES_DEFAULT   ((uint64_t) 16 << 20)

struct Store {
        uint32_t magic;
        const StoreSchema *schema;
        StoreOptions options;
        char *path;
        char *wal_path;
        char *ram_folder; /* memory: */
        int lock_fd;
        int event_fd;
        sd_event_source *source;
        StoreReader *reader;
        Writer writer;
        size_t n_queued, queued_bytes;
        uint64_t last_commit;
        bool delivering;
        int refusing; /* error of the failed commit that is being delivered */
};

/* ---- delivering ---- */

static void complete(Store *s, StoreTxn *t) {
        StoreDoneFn done = t->done;
        void *userdata = t->userdata;
        uint64_t number = t->commit;
        int r = t->result;

        s->n_queued--;
        s->queued_bytes -= txn_size(t);
        store_txn_free(t);
        if (number > 0)
                s->last_commit = number;
        if (done)
                done(r, number, userdata);
}

/* From here to the end of the delivery nothing is accepted; what waits shares the fate of the group. */
static void lose_queue(Store *s, TxnList *list, int error) {
        TxnList queue;

        s->refusing = error;
        writer_take_queue(&s->writer, &queue);
        for (StoreTxn *t = queue.head; t; t = t->next)
                t->result = error;
        txn_list_splice(list, &queue);
}

static void deliver(Store *s) {
        StoreTxn *t;
        TxnList list;
        int failed;

        writer_take_done(&s->writer, &list, &failed);
        s->delivering = true;
        while ((t = txn_list_pop(&list))) {
                if (t->lost && s->refusing == 0)
                        lose_queue(s, &list, failed);
                complete(s, t);
        }
        s->delivering = false;
        if (s->refusing == 0)
                return;
        s->refusing = 0;
        writer_resume(&s->writer);
        if (s->options.on_failed)
                s->options.on_failed(failed, s->options.userdata);
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Store *s = OBJ_CAST(Store, userdata, STORE_MAGIC);
        eventfd_t n;

        (void) eventfd_read(fd, &n);
        deliver(s);
        return 0;
}

int store_flush(Store *s) {
        struct pollfd p = { .events = POLLIN };
        eventfd_t n;

        OBJ_CHECK(s, STORE_MAGIC);
        assert(!s->delivering);
        p.fd = s->event_fd;
        while (s->n_queued > 0) {
                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        return errno_neg();
                if (eventfd_read(s->event_fd, &n) == 0)
                        deliver(s);
        }
        return 0;
}

/* ---- submitting ---- */

StoreTxn *store_txn_new(Store *s) {
        OBJ_CHECK(s, STORE_MAGIC);
        return txn_new(s->schema);
}

static int admit(Store *s, const StoreTxn *t) {
        if (t->error < 0)
                return t->error;
        if (s->refusing < 0)
                return s->refusing;
        if (s->n_queued >= s->options.queue_max)
                return -EAGAIN;
        if (s->n_queued > 0 && s->queued_bytes + txn_size(t) > s->options.queue_max_bytes)
                return -EAGAIN;
        return 0;
}

int store_submit(Store *s, StoreTxn *txn, StoreDoneFn done, void *userdata) {
        _cleanup_(store_txn_freep) StoreTxn *t = txn;
        int r;

        OBJ_CHECK(s, STORE_MAGIC);
        if (!t)
                return -ENOMEM;
        r = admit(s, t);
        if (r < 0)
                return r;
        t->done = done;
        t->userdata = userdata;
        s->n_queued++;
        s->queued_bytes += txn_size(t);
        writer_submit(&s->writer, TAKE_PTR(t));
        return 0;
}

int store_barrier(Store *s, StoreDoneFn done, void *userdata) {
        return store_submit(s, store_txn_new(s), done, userdata);
}

/* ---- asking ---- */

uint64_t store_last_commit(const Store *s) {
        OBJ_CHECK(s, STORE_MAGIC);
        return s->last_commit;
}

static uint64_t file_size(const char *path) {
        struct stat st;

        return stat(path, &st) == 0 ? (uint64_t) st.st_size : 0;
}

void store_stats(const Store *s, StoreStats *ret) {
        const Writer *w = &s->writer;

        OBJ_CHECK(s, STORE_MAGIC);
        *ret = (StoreStats){
                .transactions = w->n_transactions,
                .commits = w->n_commits,
                .failures = w->n_failures,
                .queued = s->n_queued,
                .sync_usec = w->commit_usec,
                .db_bytes = file_size(s->path),
                .wal_bytes = file_size(s->wal_path),
        };
}

int store_reader_open(StoreReader **ret, Store *s) {
        OBJ_CHECK(s, STORE_MAGIC);
        return reader_open(ret, s->path, s->schema, s->options.cache_bytes);
}

StoreReader *store_reader(Store *s) {
        OBJ_CHECK(s, STORE_MAGIC);
        return s->reader;
}

/* ---- opening and closing ---- */

static int set_path(Store *s, const char *url, char **ret_message) {
        int r;

        if (streq(url, "memory:")) {
                r = store_ram_folder(&s->ram_folder);
                if (r < 0)
                        return store_fail(ret_message, r, "cannot make a folder in memory: %s",
                                          strerror(-r));
                s->path = path_join(s->ram_folder, "db");
        } else if (str_startswith(url, "postgres:") || str_startswith(url, "postgresql:"))
                return store_fail(ret_message, -EPROTONOSUPPORT,
                                  "this agentd was built without PostgreSQL: give the path of a file");
        else if (str_isempty(url) || strstr(url, "://"))
                return store_fail(ret_message, -EPROTONOSUPPORT,
                                  "\"%s\" is neither a path nor memory:", url);
        else {
                r = path_absolute(url, &s->path);
                if (r < 0)
                        return store_fail(ret_message, r, "bad path %s: %s", url, strerror(-r));
        }
        s->wal_path = s->path ? str_printf("%s-wal", s->path) : NULL;
        return s->wal_path ? 0 : -ENOMEM;
}

/* What a killed process had written and not synced is read as committed, so it is made so, before
 * anything is built on it or shown. */
static int sync_found(Store *s, char **ret_message) {
        int r = wal_sync(&s->writer.connection);

        if (r == 0)
                r = store_sync_folder_of(s->path);
        if (r == 0)
                return 0;
        return store_fail(ret_message, r, "cannot sync %s to its disk: %s", s->path, strerror(-r));
}

static int open_database(Store *s, char **ret_message) {
        StoreConnection *c = &s->writer.connection;
        StoreConnectionKind kind =
                s->ram_folder ? STORE_CONNECTION_RAM_WRITER : STORE_CONNECTION_WRITER;
        unsigned version;
        bool unclean = false;
        int r;

        r = store_lock(s->path, &s->lock_fd, ret_message);
        if (r == 0)
                r = store_check_file(s->path, &unclean, ret_message);
        if (r < 0)
                return r;
        r = connection_open(c, s->path, s->schema, kind, s->options.cache_bytes);
        if (r < 0)
                return store_fail(ret_message, r, "cannot open %s: %s", s->path,
                                  r == -EUCLEAN ? "it is corrupt" : strerror(-r));
        r = store_check_database(c, s->path, unclean, &version, ret_message);
        if (r == 0)
                r = store_migrate(c, s->path, version, ret_message);
        return r == 0 && unclean && !s->ram_folder ? sync_found(s, ret_message) : r;
}

static int start(Store *s, sd_event *event) {
        Writer *w = &s->writer;
        int r;

        s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (s->event_fd < 0)
                return errno_neg();
        w->event_fd = s->event_fd;
        w->group_max = s->options.group_max;
        w->wal_max_bytes = s->options.wal_max_bytes;
        r = reader_open(&s->reader, s->path, s->schema, s->options.cache_bytes);
        if (r == 0 && event)
                r = sd_event_add_io(event, &s->source, s->event_fd, EPOLLIN, on_done, s);
        if (r >= 0)
                r = writer_start(w, &s->last_commit);
        return r;
}

static int open_all(Store *s, sd_event *event, const char *url, char **ret_message) {
        int r;

        r = set_path(s, url, ret_message);
        if (r == 0)
                r = open_database(s, ret_message);
        if (r < 0)
                return r;
        r = start(s, event);
        if (r < 0)
                return store_fail(ret_message, r, "cannot start with %s: %s", s->path, strerror(-r));
        return 0;
}

int store_open(Store **ret,
               sd_event *event,
               const char *url,
               const StoreSchema *schema,
               const StoreOptions *options,
               char **ret_message) {
        _cleanup_free_ char *message = NULL;
        Store *s = calloc(1, sizeof(*s));
        int r;

        assert(url && schema && schema->n_migrations > 0);
        if (!s)
                return -ENOMEM;
        s->magic = STORE_MAGIC;
        s->lock_fd = s->event_fd = -EBADF;
        s->schema = schema;
        if (options)
                s->options = *options;
        s->options.queue_max = s->options.queue_max ?: QUEUE_MAX_DEFAULT;
        s->options.queue_max_bytes = s->options.queue_max_bytes ?: QUEUE_MAX_BYTES_DEFAULT;
        s->options.wal_max_bytes = s->options.wal_max_bytes ?: WAL_MAX_BYTES_DEFAULT;
        r = open_all(s, event, url, &message);
        if (r == 0) {
                *ret = s;
                return 0;
        }
        if (!message)
                (void) store_fail(&message, r, "cannot open %s: %s", url, strerror(-r));
        store_free(s);
        if (ret_message)
                *ret_message = TAKE_PTR(message);
        return r;
}

Store *store_free(Store *s) {
        bool was_running;

        if (!s)
                return NULL;
        OBJ_CHECK(s, STORE_MAGIC);
        was_running = s->writer.running;
        (void) store_flush(s);
        writer_stop(&s->writer);
        sd_event_source_disable_unref(s->source);
        store_reader_free(s->reader);
        connection_close(&s->writer.connection, was_running);
        s->event_fd = fd_close(s->event_fd);
        if (s->ram_folder)
                (void) fs_remove_tree(AT_FDCWD, s->ram_folder);
        s->lock_fd = fd_close(s->lock_fd);
        free(s->ram_folder);
        free(s->wal_path);
        free(s->path);
        s->magic = 0;
        free(s);
        return NULL;
}
