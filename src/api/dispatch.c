/* SPDX-License-Identifier: MIT */

/* The way of every request: which name it was sent to, from which page, who asks, whether that one
 * may, what is asked, of which session; then the handler. Each step either answers with an error or
 * goes on, so a handler sees only requests that are allowed and valid.
 *
 * Permission comes before the input is looked at: who may not ask learns nothing from validation
 * errors. A session of another namespace, and for a run every session but its own, does not exist.
 *
 * Public routes take a short way with nothing allocated: they are asked often and by everybody. */

#include "api/api-internal.h"
#include "base/str.h"

const char api_preflight = 0;

/* ---- browsers ---- */

static bool is_listed(char *const *list, const char *origin) {
        return list && strv_contains(list, origin);
}

static void allow_origin(HttpRequest *req, const char *origin) {
        http_reply_header(req, "Access-Control-Allow-Origin", origin);
        http_reply_header(req, "Access-Control-Expose-Headers",
                          "ETag, Idempotency-Replayed, Link, Retry-After, X-Request-Id");
        http_reply_header(req, "Vary", "Origin");
}

static void answer_preflight(Api *a, HttpRequest *req) {
        const char *origin = http_header(req, "Origin");

        if (origin && is_listed(a->config.config->origins, origin)) {
                allow_origin(req, origin);
                http_reply_header(req, "Access-Control-Allow-Methods",
                                  "GET, POST, PUT, PATCH, DELETE");
                http_reply_header(req, "Access-Control-Allow-Headers",
                                  "Authorization, Content-Type, Idempotency-Key, If-Match, Last-Event-ID, "
                                  "X-Api-Key, X-Request-Id");
                http_reply_header(req, "Access-Control-Max-Age", "600");
        }
        http_reply(req, 204, NULL, NULL);
}

/* A page that a browser shows may not use our being local: neither under a foreign name (DNS
 * rebinding) nor from a foreign page. No browser reaches the unix socket. False: answered. */
static bool check_browser(Api *a, HttpRequest *req, const Route *route) {
        const char *host, *origin = http_header(req, "Origin");
        char *const *origins = a->config.config->origins;

        if (http_peer(req)->kind == PEER_UNIX)
                return true;
        host = http_header(req, "Host");
        if (!auth_host_ok(host, a->config.config->hosts)) {
                api_fail_request(req, ERROR_BAD_HOST, host, NULL);
                return false;
        }
        if (!origin)
                return true;
        if (!streq(route->method, "GET") && !auth_origin_ok(origin, host, origins)) {
                api_fail_request(req, ERROR_BAD_ORIGIN, origin, NULL);
                return false;
        }
        if (is_listed(origins, origin))
                allow_origin(req, origin);
        return true;
}

/* ---- permission ---- */

/* False: answered. */
static bool check_access(const Api *a, HttpRequest *req, const Route *route, const ApiCaller *caller) {
        if (caller->kind == CALLER_RUN && !(route->flags & ROUTE_RUN_OWN))
                api_fail_request(req, ERROR_RUN_FORBIDDEN, NULL, NULL);
        else if (route->access <= caller->scope && route->flags & ROUTE_ALL && caller->namespace_id)
                api_fail_request(req, ERROR_ONE_NAMESPACE,
                                 session_namespace_name(a->sessions, caller->namespace_id), NULL);
        else if (route->access <= caller->scope)
                return true;
        else if (route->access == ACCESS_LOCAL)
                api_fail_request(req, ERROR_LOCAL_ONLY, NULL, NULL);
        else
                api_fail_request(req, ERROR_FORBIDDEN, route_access_to_string(caller->scope),
                                 route_access_to_string(route->access));
        return false;
}

/* ---- the call ---- */

static void call_free(void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);

        api_keyed_done(c);
        field_arena_free(c->arena);
        c->magic = 0;
        free(c);
}

static ApiCall *call_new(Api *a, HttpRequest *req, const Route *route, const ApiCaller *caller) {
        size_t head = (sizeof(ApiCall) + 15) & ~(size_t) 15;
        ApiCall *c = calloc(1, head + route->in_size);

        if (!c)
                return NULL;
        *c = (ApiCall){
                .magic = API_CALL_MAGIC,
                .api = a,
                .req = req,
                .route = route,
                .caller = *caller,
                .arena = field_arena_new(),
                .in = (uint8_t *) c + head,
        };
        if (c->arena) {
                http_request_set_data(req, c, call_free);
                return c;
        }
        call_free(c);
        return NULL;
}

/* False: answered. */
static bool find_session(ApiCall *c) {
        uint64_t id = api_id(((const InputSession *) c->in)->id);
        Session *s = id ? session_get(c->api->sessions, id) : NULL;
        bool is_own = c->caller.kind != CALLER_RUN || c->caller.session == id;

        if (!s || !is_own ||
            (c->caller.namespace_id && session_info(s)->namespace_id != c->caller.namespace_id)) {
                api_fail(c, ERROR_SESSION_NOT_FOUND);
                return false;
        }
        c->session = s;
        c->session_id = id;
        if (c->caller.kind == CALLER_RUN)
                session_heartbeat(s);
        return true;
}

/* Shows a session's state, so what it shows must be on disk. Logs, events and long-term memory are
 * read from where only finished writes are. */
static bool must_settle(const Route *route) {
        return streq(route->method, "GET") && route->id != ROUTE_LOGS &&
               route->id != ROUTE_SESSION_EVENTS && route->id != ROUTE_MEMORY_GET &&
               route->id != ROUTE_MEMORY_HISTORY;
}

static void call_handler(ApiCall *c) {
        ApiHandler handler = api_handlers[c->route->id];
        Api *a = c->api;

        if (c->session && must_settle(c->route)) {
                api_settled(c, c->session, handler);
                return;
        }
        api_keyed_enter(c);
        handler(c); /* c may be gone */
        api_keyed_leave(a);
}

void api_call_run(ApiCall *c) {
        if (!route_has_session(c->route) || find_session(c))
                call_handler(c);
}

static void run_call(ApiCall *c) {
        FieldErrors errors = {};
        int r = api_parse(c, &errors);

        if (r == 0)
                r = api_check(c, &errors);
        if (r == 0)
                r = api_keyed_check(c, &errors);
        if (r < 0) {
                api_fail_result(c, r);
                return;
        }
        if (errors.n > 0) {
                api_fail_validation(c, &errors);
                return;
        }
        api_keyed(c);
}

static void run_public(Api *a, HttpRequest *req, const Route *route) {
        ApiCall c = { .magic = API_CALL_MAGIC, .api = a, .req = req, .route = route };

        api_handlers[route->id](&c);
}

void api_request(HttpRequest *req, void *userdata) {
        Api *a = OBJ_CAST(Api, userdata, API_MAGIC);
        const Route *route = http_route_data(req);

        if ((const void *) route == &api_preflight) {
                answer_preflight(a, req);
                return;
        }
        if (!check_browser(a, req, route))
                return;
        if (route->access == ACCESS_PUBLIC) {
                run_public(a, req, route);
                return;
        }
        if (!a->was_ready && !a->config.is_ready(a->config.userdata)) {
                api_hold(a, req);
                return;
        }
        a->was_ready = true;
        api_dispatch(a, req);
}

void api_dispatch(Api *a, HttpRequest *req) {
        const Route *route = http_route_data(req);
        ErrorId error = ERROR_UNAUTHORIZED;
        ApiCaller caller = {};

        if (api_identify(a, req, &caller, &error) < 0) {
                api_fail_request(req, error, NULL, NULL);
                return;
        }
        if (!check_access(a, req, route, &caller))
                return;
        ApiCall *c = call_new(a, req, route, &caller);
        if (c)
                run_call(c);
        else
                api_fail_request(req, ERROR_NO_MEMORY, NULL, NULL);
}
