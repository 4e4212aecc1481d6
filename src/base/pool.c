/* SPDX-License-Identifier: MIT */

/* One mutex, one queue of waiting jobs, one list of finished ones, one eventfd.
 *
 * A worker takes the first waiting job whose key is not being worked on, so jobs of one key keep their
 * order without a queue per key; the walk over the queue is bounded by jobs_max, and jobs are long
 * compared to it. Finished jobs go to a list that the loop thread empties when the eventfd wakes it: done()
 * never runs under the lock and may submit again.
 *
 * Threads are joinable and live in a fixed table of slots. A thread that leaves marks its slot, and the next
 * one to need the slot (or pool_free()) joins it. Detached threads were rejected: nobody could say
 * when the last of them has let go of the mutex. Workers block all signals; those belong to the loop.
 *
 * Rejected: GLib's pool (a dependency), one thread per job (no bound), a condition variable per key. */

#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#include "base/list.h"
#include "base/obj.h"

#define POOL_MAGIC     UINT32_C(0x506f6f6c)
#define POOL_IDLE_USEC USEC_PER_MINUTE

typedef struct Job {
        ListLink link;
        uint64_t key;
        void (*work)(void *job);
        void (*done)(void *job);
        void *job;
} Job;

typedef enum SlotState {
        SLOT_EMPTY,
        SLOT_RUNNING,
        SLOT_LEFT, /* must be joined */
} SlotState;

typedef struct Slot {
        struct Pool *pool; /* NULL: nothing to join */
        pthread_t thread;
        SlotState state;
        uint64_t key; /* being worked on; 0: none */
} Slot;

struct Pool {
        uint32_t magic;
        pthread_mutex_t lock;
        pthread_cond_t wake;   /* something is waiting, or closing */
        pthread_cond_t finish; /* something was finished; only pool_free() waits for it */
        ListLink waiting, finished;
        size_t n_waiting, n_working, jobs_max;
        unsigned n_threads, n_idle, threads_max;
        usec_t idle_usec;
        bool closing;
        int wake_fd;
        sd_event_source *source;
        Slot slots[];
};

static bool key_is_busy(const Pool *p, uint64_t key) {
        for (unsigned i = 0; key != 0 && i < p->threads_max; i++)
                if (p->slots[i].key == key)
                        return true;
        return false;
}

static Job *take_job(Pool *p) {
        LIST_FOREACH(l, &p->waiting) {
                Job *j = LIST_ENTRY(l, Job, link);
                if (key_is_busy(p, j->key))
                        continue;
                list_remove(&j->link);
                p->n_waiting--;
                return j;
        }
        return NULL;
}

static void run_job(Pool *p, Slot *slot, Job *j) {
        slot->key = j->key;
        p->n_working++;
        (void) pthread_mutex_unlock(&p->lock);
        j->work(j->job);
        (void) pthread_mutex_lock(&p->lock);
        slot->key = 0;
        p->n_working--;
        list_append(&p->finished, &j->link);
        /* a job of the same key may have been passed over by the others */
        if (j->key != 0 && p->n_waiting > 0)
                (void) pthread_cond_signal(&p->wake);
        (void) pthread_cond_signal(&p->finish);
        /* cannot fail in a way that matters: a full counter is a wake-up too */
        (void) eventfd_write(p->wake_fd, 1);
}

static struct timespec deadline_of(usec_t span) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        usec_t t = (usec_t) now.tv_sec * USEC_PER_SEC + (usec_t) now.tv_nsec / NSEC_PER_USEC + span;
        return (struct timespec){
                .tv_sec = (time_t) (t / USEC_PER_SEC),
                .tv_nsec = (long) (t % USEC_PER_SEC * NSEC_PER_USEC),
        };
}

/* True: look again. False: nothing came for so long that the thread may leave, or the pool closes. */
static bool wait_for_job(Pool *p) {
        struct timespec until = deadline_of(p->idle_usec);

        if (p->closing)
                return false;
        p->n_idle++;
        int r = pthread_cond_timedwait(&p->wake, &p->lock, &until);
        p->n_idle--;
        return r != ETIMEDOUT || p->n_waiting > 0;
}

static void *thread_main(void *userdata) {
        Slot *slot = userdata;
        Pool *p = OBJ_CAST(Pool, slot->pool, POOL_MAGIC);

        (void) pthread_mutex_lock(&p->lock);
        for (;;) {
                Job *j = take_job(p);
                if (j)
                        run_job(p, slot, j);
                else if (!wait_for_job(p))
                        break;
        }
        slot->state = SLOT_LEFT;
        p->n_threads--;
        (void) pthread_mutex_unlock(&p->lock);
        return NULL;
}

static int start_thread(Pool *p) {
        Slot *slot = p->slots;
        sigset_t all, before;

        while (slot->state == SLOT_RUNNING)
                slot++;
        if (slot->state == SLOT_LEFT) {
                /* its last act under the lock was to say so: this returns at once */
                (void) pthread_join(slot->thread, NULL);
                slot->state = SLOT_EMPTY;
                slot->pool = NULL;
        }
        slot->pool = p;
        /* signals belong to the loop thread */
        (void) sigfillset(&all);
        (void) pthread_sigmask(SIG_SETMASK, &all, &before);
        int r = pthread_create(&slot->thread, NULL, thread_main, slot);
        (void) pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r != 0) {
                slot->pool = NULL;
                return -r;
        }
        slot->state = SLOT_RUNNING;
        p->n_threads++;
        return 0;
}

/* Takes what is finished and runs its done(); true if there was something. */
static bool deliver(Pool *p) {
        ListLink done;

        list_init(&done);
        (void) pthread_mutex_lock(&p->lock);
        LIST_FOREACH(l, &p->finished) {
                list_remove(l);
                list_append(&done, l);
        }
        (void) pthread_mutex_unlock(&p->lock);

        bool any = !list_is_empty(&done);
        while (!list_is_empty(&done)) {
                _cleanup_free_ Job *j = LIST_ENTRY(done.next, Job, link);
                list_remove(&j->link);
                if (j->done)
                        j->done(j->job);
        }
        return any;
}

static int on_wake(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        Pool *p = OBJ_CAST(Pool, userdata, POOL_MAGIC);
        uint64_t count;

        /* An error here would end the source, and with it all jobs; what is not read wakes us again. */
        (void) !read(fd, &count, sizeof(count));
        (void) deliver(p);
        return 0;
}

static int init_sync(Pool *p) {
        pthread_condattr_t attr;
        int r;

        (void) pthread_mutex_init(&p->lock, NULL);
        (void) pthread_cond_init(&p->finish, NULL);
        (void) pthread_condattr_init(&attr);
        r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        assert(r == 0);
        r = pthread_cond_init(&p->wake, &attr);
        (void) pthread_condattr_destroy(&attr);
        return -r;
}

int pool_new(Pool **ret, sd_event *event, unsigned threads_max, size_t jobs_max) {
        assert(threads_max > 0 && jobs_max > 0);

        _cleanup_(pool_freep) Pool *p = calloc(1, sizeof(Pool) + threads_max * sizeof(Slot));
        if (!p)
                return -ENOMEM;
        p->magic = POOL_MAGIC;
        p->wake_fd = -EBADF;
        p->threads_max = threads_max;
        p->jobs_max = jobs_max;
        p->idle_usec = POOL_IDLE_USEC;
        list_init(&p->waiting);
        list_init(&p->finished);

        int r = init_sync(p);
        if (r < 0)
                return r;
        p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (p->wake_fd < 0)
                return errno_neg();
        r = sd_event_add_io(event, &p->source, p->wake_fd, EPOLLIN, on_wake, p);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(p->source, "pool");
        *ret = TAKE_PTR(p);
        return 0;
}

/* A job finds a thread, an idle one that no waiting job counts on or a new one; a busy one will do
 * if there is any. */
static int ensure_thread(Pool *p) {
        if (p->n_idle > p->n_waiting || p->n_threads == p->threads_max)
                return 0;
        int r = start_thread(p);
        return p->n_threads > 0 ? 0 : r;
}

/* Waits until a job was finished, or returns false because none is left. */
static bool wait_for_finish(Pool *p) {
        (void) pthread_mutex_lock(&p->lock);
        while (list_is_empty(&p->finished) && (p->n_waiting > 0 || p->n_working > 0))
                (void) pthread_cond_wait(&p->finish, &p->lock);
        bool any = !list_is_empty(&p->finished);
        (void) pthread_mutex_unlock(&p->lock);
        return any;
}

Pool *pool_free(Pool *p) {
        if (!p)
                return NULL;

        OBJ_CHECK(p, POOL_MAGIC);
        while (wait_for_finish(p))
                (void) deliver(p);
        (void) pthread_mutex_lock(&p->lock);
        p->closing = true;
        (void) pthread_cond_broadcast(&p->wake);
        (void) pthread_mutex_unlock(&p->lock);
        for (unsigned i = 0; i < p->threads_max; i++)
                if (p->slots[i].pool)
                        (void) pthread_join(p->slots[i].thread, NULL);
        (void) sd_event_source_disable_unref(p->source);
        p->wake_fd = fd_close(p->wake_fd);
        (void) pthread_cond_destroy(&p->wake);
        (void) pthread_cond_destroy(&p->finish);
        (void) pthread_mutex_destroy(&p->lock);
        p->magic = 0;
        free(p);
        return NULL;
}

int pool_submit(Pool *p, uint64_t key, void (*work)(void *job), void (*done)(void *job), void *job) {
        OBJ_CHECK(p, POOL_MAGIC);
        assert(work);

        _cleanup_free_ Job *j = calloc(1, sizeof(Job));
        if (!j)
                return -ENOMEM;
        *j = (Job){ .key = key, .work = work, .done = done, .job = job };

        (void) pthread_mutex_lock(&p->lock);
        int r = p->n_waiting < p->jobs_max ? ensure_thread(p) : -EAGAIN;
        if (r == 0) {
                list_append(&p->waiting, &j->link);
                p->n_waiting++;
                (void) pthread_cond_signal(&p->wake);
                j = NULL;
        }
        (void) pthread_mutex_unlock(&p->lock);
        return r;
}

unsigned pool_threads(Pool *p) {
        (void) pthread_mutex_lock(&p->lock);
        unsigned n = p->n_threads;
        (void) pthread_mutex_unlock(&p->lock);
        return n;
}

void pool_set_idle(Pool *p, usec_t idle_usec) {
        (void) pthread_mutex_lock(&p->lock);
        p->idle_usec = idle_usec;
        (void) pthread_mutex_unlock(&p->lock);
}
