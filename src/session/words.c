/* SPDX-License-Identifier: MIT */

/* The public words of every enum of this room, one table each, indexed by the number that is
 * stored. The numbers are the database's; the words are the API's; neither may change. A table that
 * is short of a word does not compile, because its size is asserted. Deriving the words from the
 * names of the C constants by macro was rejected: then renaming a constant would change the API
 * without a sound. */

#include "session/session-internal.h"

static const char *const status_words[] = {
        [SESSION_CREATED] = "created", [SESSION_RUNNING] = "running", [SESSION_PAUSED] = "paused",
        [SESSION_STOPPED] = "stopped", [SESSION_ERROR] = "error",
};
static_assert(ELEMENTSOF(status_words) == _SESSION_STATUS_MAX, "a status has no word");

static const char *const substate_words[] = {
        [SUBSTATE_NEW] = "new",           [SUBSTATE_QUEUED] = "queued",
        [SUBSTATE_STARTING] = "starting", [SUBSTATE_ACTIVE] = "active",
        [SUBSTATE_IDLE] = "idle",         [SUBSTATE_WAITING] = "waiting",
        [SUBSTATE_BACKOFF] = "backoff",   [SUBSTATE_STOPPING] = "stopping",
        [SUBSTATE_FROZEN] = "frozen",     [SUBSTATE_PARKED] = "parked",
        [SUBSTATE_BUDGET] = "budget",     [SUBSTATE_CREDENTIALS] = "credentials",
        [SUBSTATE_EXITED] = "exited",     [SUBSTATE_ARCHIVED] = "archived",
        [SUBSTATE_FAILED] = "failed",     [SUBSTATE_OOM] = "oom",
        [SUBSTATE_WATCHDOG] = "watchdog", [SUBSTATE_SANDBOX] = "sandbox",
        [SUBSTATE_LOST] = "lost",         [SUBSTATE_QUARANTINED] = "quarantined",
};
static_assert(ELEMENTSOF(substate_words) == _SUBSTATE_MAX, "a substate has no word");

static const char *const kind_words[] = {
        [CHECKPOINT_MANUAL] = "manual",     [CHECKPOINT_AUTO] = "auto",
        [CHECKPOINT_PAUSE] = "pause",       [CHECKPOINT_STOP] = "stop",
        [CHECKPOINT_SHUTDOWN] = "shutdown", [CHECKPOINT_PRE_RESTORE] = "pre-restore",
};
static_assert(ELEMENTSOF(kind_words) == _CHECKPOINT_KIND_MAX, "a kind of checkpoint has no word");

static const char *const event_words[] = {
#define EVENT(id, word, doc) [id] = (word),
#include "session/events.def"
#undef EVENT
};
static_assert(ELEMENTSOF(event_words) == _SESSION_EVENT_MAX, "an event has no word");

const char *session_status_to_string(SessionStatus s) {
        assert(s >= 0 && s < _SESSION_STATUS_MAX);
        return status_words[s];
}

SessionStatus session_status_from_string(const char *s) {
        for (size_t i = 0; i < ELEMENTSOF(status_words); i++)
                if (streq(status_words[i], s))
                        return (SessionStatus) i;
        return _SESSION_STATUS_INVALID;
}

const char *session_substate_to_string(SessionSubstate s) {
        assert(s >= 0 && s < _SUBSTATE_MAX);
        return substate_words[s];
}

const char *checkpoint_kind_to_string(CheckpointKind k) {
        assert(k < _CHECKPOINT_KIND_MAX);
        return kind_words[k];
}

const char *session_event_doc(unsigned type) {
        static const char *const docs[] = {
#define EVENT(id, word, doc) [id] = (doc),
#include "session/events.def"
#undef EVENT
        };

        assert(type < _SESSION_EVENT_MAX);
        return docs[type];
}

const char *session_event_to_string(unsigned type) {
        assert(type < _SESSION_EVENT_MAX);
        return event_words[type];
}
