/* SPDX-License-Identifier: MIT */
#pragma once

/* The keys of unit files and of the `agent` object of a request: one row each. The parser (sup/spec), the
 * help, the manual and the checks read these rows; nobody lists a key a second time.
 *
 * A key that is described but that this version does not do yet has built = false and is refused with a
 * message that says so: accepting it silently would promise a limit or a wall that is not there. */

#include "base/macro.h"

typedef enum UnitKeyType {
        UNIT_KEY_COMMAND,     /* a line with systemd's quoting, or an array of strings */
        UNIT_KEY_ENVIRONMENT, /* object NAME → string, array of NAME=value, or quoted assignments */
        UNIT_KEY_PATH,        /* absolute, or beginning with ~ */
        UNIT_KEY_WORD,        /* one of `values` */
        UNIT_KEY_SPAN,        /* seconds as a number, or `5min 30s`, `infinity` */
        UNIT_KEY_COUNT,       /* an integer, not negative */
        UNIT_KEY_EXIT_SET,    /* exit statuses and signals: `1 2 SIGKILL`, or an array */
        UNIT_KEY_SIGNAL,      /* `SIGTERM`, `TERM` or 15 */
        UNIT_KEY_SIZE,        /* bytes with K, M, G, T */
        UNIT_KEY_BOOL,
        UNIT_KEY_TEXT,
        UNIT_KEY_LIST, /* words */
        _UNIT_KEY_TYPE_MAX,
        _UNIT_KEY_TYPE_INVALID = -EINVAL,
} UnitKeyType;

typedef struct UnitKey {
        const char *section;  /* of the unit file: "Service" */
        const char *name;     /* in the unit file: "RestartSec" */
        const char *api_name; /* in the API: "restart_sec" */
        const char *loc;      /* where a request's error is: "agent.restart_sec" */
        UnitKeyType type;
        const char *values;   /* UNIT_KEY_WORD: the words, separated by '|'; else NULL */
        const char *fallback; /* what absence means, as one would write it; NULL: nothing */
        const char *doc;      /* one phrase for people */
        bool built;
} UnitKey;

extern const UnitKey unit_keys[];
extern const size_t n_unit_keys;

/* The row of an API name, or NULL. */
const UnitKey *unit_key_find(const char *api_name);
/* The API name nearest to a misspelled one (the unit-file spelling `RestartSec` finds its row too),
 * or NULL if nothing is near. */
const char *unit_key_nearest(const char *word);
/* "a duration", …: what is expected, for messages. */
const char *unit_key_type_to_string(UnitKeyType t);
