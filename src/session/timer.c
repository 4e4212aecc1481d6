/* SPDX-License-Identifier: MIT */

/* Deadlines: one heap for all sessions, one timer of the event loop for the heap. A session has at
 * most one entry, its earliest deadline; what is due is worked out again from the session itself
 * when it fires, so an entry that is too early does no harm and nothing has to be kept in step. A
 * session that has not changed since its last checkpoint has none: ten thousand idle sessions wake
 * nobody.
 *
 * Stored times (end of a back-off, of the session timeout) are wall clock and are turned into
 * monotonic ones when they are armed, so that setting the clock does not fire them all. */

#include "session/session-internal.h"

#define DUE_AT_ONCE 256 /* at most so many before other events have their turn */

usec_t monotonic_of(usec_t realtime) {
        usec_t now = clock_realtime();

        return clock_monotonic() + (realtime > now ? realtime - now : 0);
}

static usec_t deadline_backoff(const Session *s) {
        return s->info.substate == SUBSTATE_BACKOFF ? monotonic_of(s->info.restart_at)
                                                    : USEC_INFINITY;
}

static usec_t deadline_archive(const Session *s) {
        usec_t timeout = s->manager->config.session_timeout_usec;

        if (s->info.substate != SUBSTATE_EXITED || timeout == 0)
                return USEC_INFINITY;
        return monotonic_of(s->info.stopped_at + timeout);
}

static usec_t deadline_checkpoint(const Session *s) {
        usec_t interval = s->manager->config.checkpoint_interval_usec;

        if (s->info.status != SESSION_RUNNING || s->changed_since == 0 || interval == 0)
                return USEC_INFINITY;
        return s->changed_since + interval;
}

int manager_rearm(SessionManager *m) {
        HeapItem *first = heap_peek(&m->heap);

        if (!first)
                return sd_event_source_set_enabled(m->timer, SD_EVENT_OFF);

        usec_t now = clock_monotonic();
        int r = sd_event_source_set_time_relative(m->timer,
                                                  first->deadline > now ? first->deadline - now : 0);
        return r < 0 ? r : sd_event_source_set_enabled(m->timer, SD_EVENT_ONESHOT);
}

static void arm(SessionManager *m, HeapItem *item, usec_t deadline) {
        HeapItem *first = heap_peek(&m->heap);

        if (deadline == USEC_INFINITY)
                heap_remove(&m->heap, item);
        else
                (void) heap_set(&m->heap, item,
                                deadline); /* without memory it waits for the next change */
        if (first != heap_peek(&m->heap) || first == item)
                (void) manager_rearm(m);
}

static usec_t session_deadline(const Session *s) {
        if (s->is_deleting || s->manager->is_shutting_down)
                return USEC_INFINITY;
        usec_t state = MIN(deadline_backoff(s), deadline_archive(s));
        usec_t files = MIN(deadline_checkpoint(s), unfinished_deadline(s));
        return MIN(state, files);
}

void session_rearm(Session *s) {
        arm(s->manager, &s->timer, session_deadline(s));
}

/* After a failed commit: what is due would fail again at once, as fast as the disk can say no. */
void session_rearm_later(Session *s) {
        usec_t deadline = session_deadline(s), soon = clock_monotonic() + USEC_PER_SEC;

        arm(s->manager, &s->timer, MAX(deadline, soon));
}

void session_retry(Session *s) {
        arm(s->manager, &s->timer, clock_monotonic() + USEC_PER_SEC);
}

void events_arm(SessionManager *m, usec_t deadline) {
        arm(m, &m->events_timer, deadline);
}

void void_intents_arm(SessionManager *m) {
        if (!m->is_closing)
                arm(m, &m->intents_timer, clock_monotonic() + USEC_PER_SEC);
}

void sweep_arm(SessionManager *m, usec_t deadline) {
        if (!m->is_closing && !m->is_shutting_down)
                arm(m, &m->sweep_timer, deadline);
}

void collect_arm(SessionManager *m, usec_t deadline) {
        if (!m->is_closing && !m->is_shutting_down)
                arm(m, &m->collect_timer, deadline);
}

static void session_due(Session *s, usec_t now) {
        int r = 0;

        heap_remove(&s->manager->heap, &s->timer);
        if (deadline_backoff(s) <= now)
                r = session_backoff_due(s);
        else if (deadline_archive(s) <= now)
                r = session_archive(s, NULL, NULL);
        else if (unfinished_deadline(s) <= now)
                r = unfinished_due(s);
        else if (deadline_checkpoint(s) <= now)
                r = session_checkpoint_auto(s);
        /* Refused, or it waits behind another verb. */
        if (r != 0 || session_deadline(s) <= now)
                session_retry(s);
        else if (s->timer.index == 0)
                session_rearm(s);
}

void session_manager_tick(SessionManager *m) {
        usec_t now = clock_monotonic();
        HeapItem *first;

        for (unsigned n = 0; n < DUE_AT_ONCE; n++) {
                first = heap_peek(&m->heap);
                if (!first || first->deadline > now)
                        break;
                if (first == &m->events_timer) {
                        heap_remove(&m->heap, first);
                        events_due(m);
                } else if (first == &m->intents_timer) {
                        heap_remove(&m->heap, first);
                        void_intents_sweep(m);
                } else if (first == &m->sweep_timer) {
                        heap_remove(&m->heap, first);
                        sweep_due(m);
                } else if (first == &m->collect_timer) {
                        heap_remove(&m->heap, first);
                        collect_due(m);
                } else
                        session_due(container_of(first, Session, timer), now);
        }
        (void) manager_rearm(m);
}

void session_manager_configure(SessionManager *m, const SessionConfig *config) {
        bool other_spans = m->config.checkpoint_interval_usec != config->checkpoint_interval_usec ||
                           m->config.session_timeout_usec != config->session_timeout_usec;

        OBJ_CHECK(m, SESSION_MANAGER_MAGIC);
        m->config.checkpoint_interval_usec = config->checkpoint_interval_usec;
        m->config.session_timeout_usec = config->session_timeout_usec;
        m->config.events_max = config->events_max;
        m->config.events_age_usec = config->events_age_usec;
        m->config.sessions_max = config->sessions_max;
        m->config.message_max = config->message_max;
        m->config.tokens_max = config->tokens_max;
        m->config.checkpoints_max = config->checkpoints_max;
        m->config.variables_max = config->variables_max;
        m->config.variables_bytes_max = config->variables_bytes_max;
        collect_set_interval(m, config->collect_interval_usec);
        if (m->is_shutting_down)
                return;
        for (size_t i = 0; other_spans && i < m->n_sorted; i++)
                session_rearm(m->sorted[i]);
        if (m->n_events > 0)
                events_arm(m, clock_monotonic());
}
