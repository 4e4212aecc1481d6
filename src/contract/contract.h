/* SPDX-License-Identifier: MIT */
#pragma once

/* Everything the outside can see, declared once as data: routes with their input and output fields,
 * errors, configuration keys. The daemon routes, validates and documents by it, the CLI builds its
 * verbs and help from it, the tests check every reply against it. Data only: no code that acts. */

#include "base/field.h"

/* ---- errors ---- */

/* Public code words may repeat where the same thing has two statuses (stale_run: 401 for its token,
 * 409 for its writes); a code with its status is unique. */
typedef enum ErrorId {
#define ERROR(id, ...) id,
#include "contract/errors.def"
#undef ERROR
        _ERROR_MAX,
        _ERROR_INVALID = -EINVAL,
} ErrorId;

typedef struct ErrorDef {
        const char *code; /* stable word, "session_not_found" */
        unsigned http;    /* status */
        int exit_status; /* of the CLI: 1 failure, 2 usage, 3 not found, 4 not running, 5 not permitted */
        const char *sentence; /* printf format with at most two %s, e.g. "Session %s not found" */
        const char *hint;     /* what to do; may be NULL */
} ErrorDef;
extern const ErrorDef error_table[_ERROR_MAX];
/* By code word, the first that has it; _ERROR_INVALID. */
ErrorId error_by_code(const char *code);

/* ---- routes ---- */

/* Who may call it. */
typedef enum RouteAccess {
        ACCESS_PUBLIC, /* anybody: /health, /ready */
        ACCESS_READ,   /* token scope read, write or admin; local user */
        ACCESS_WRITE,  /* token scope write or admin; local user */
        ACCESS_ADMIN,  /* token scope admin; local user: tokens */
        ACCESS_LOCAL, /* local user only: what concerns all namespaces, such as stopping the daemon */
        _ROUTE_ACCESS_MAX,
} RouteAccess;

/* "public", "read", … */
const char *route_access_to_string(RouteAccess a);

enum {
        ROUTE_RUN_OWN = 1 << 0,   /* an agent's run may call it for its own session */
        ROUTE_INHERITED = 1 << 1, /* shape is the original's */
        ROUTE_STREAM =
                1 << 2, /* answers with a stream (SSE, plain text, JSON lines or a long array) */
        ROUTE_VERB = 1 << 3,          /* no body is needed */
        ROUTE_BODY_IS_VALUE = 1 << 4, /* the whole body, any JSON value, is the one body field */
        ROUTE_TAGGED = 1 << 6,        /* has an ETag: a GET takes If-None-Match, others If-Match */
        ROUTE_ALL = 1 << 8,           /* concerns all namespaces: not for a token of one */
        ROUTE_PAGE = 1 << 7,          /* who takes text/html is sent to /docs with 302 */
        ROUTE_UNKEYED = 1 << 5, /* a POST that does not look at Idempotency-Key: the gateway's */
};

typedef enum RouteId {
#define ROUTE(id, ...) id,
#include "contract/routes.def"
#undef ROUTE
        _ROUTE_MAX,
} RouteId;

typedef struct Route {
        RouteId id;
        const char *name;   /* operationId: "createSession" */
        const char *method; /* "POST" */
        const char *path;   /* "/sessions/{id}/start" */
        const char *verb;   /* CLI verb ("pause", "memory get"), or NULL */
        RouteAccess access;
        unsigned flags;
        const FieldTable *in; /* path, query, header and body fields (structs in inputs.h); NULL: none */
        size_t in_size;
        unsigned status;       /* of success */
        const FieldTable *out; /* NULL: no JSON body */
        bool out_is_array;
        const ErrorId *errors; /* those beside the general ones; terminated by _ERROR_MAX */
        const char *summary;   /* one sentence */
} Route;
extern const Route route_table[_ROUTE_MAX];
/* By operationId; NULL. */
const Route *route_by_name(const char *name);
/* The path begins with /sessions/{id}: the route acts on one session. */
bool route_has_session(const Route *r);

/* It honours Idempotency-Key. */
bool route_is_keyed(const Route *r);

/* ---- configuration of the daemon ---- */

typedef enum ConfigType {
        CONFIG_STRING,
        CONFIG_PATH, /* absolute after ~ and relative are resolved; a URL and `values` are kept as they are */
        CONFIG_UINT,
        CONFIG_SIZE,
        CONFIG_SPAN, /* usec_t; a bare number is seconds */
        CONFIG_BOOL,
        CONFIG_LIST, /* words separated by white space or commas */
} ConfigType;

typedef struct ConfigDef {
        const char *section; /* of agentd.conf; NULL: cannot be said there */
        const char *name;    /* "CheckpointInterval" */
        const char *env;     /* "AGENT_RUNTIME_CHECKPOINT_INTERVAL" */
        const char *option;  /* "--checkpoint-interval", or NULL */
        ConfigType type;
        const char *fallback; /* default as text; NULL: derived from others, see `doc` */
        const char *values; /* allowed words separated by '|', or NULL; for paths: words that are no path */
        uint64_t min, max; /* CONFIG_UINT, CONFIG_SIZE, CONFIG_SPAN (usec); both 0: no limit */
        size_t offset;     /* into DaemonConfig: see config-keys.h */
        bool reload;       /* a running daemon takes a change up; else it needs a restart */
        const char *doc;
} ConfigDef;
