/* SPDX-License-Identifier: MIT */

/* The room's object: an HTTP server whose router is filled from the table of routes. What matched
 * comes back as the route's row itself, so there is no second table to keep in step. OPTIONS is
 * added for every path, for the pre-flight requests of browsers. */

#include "api/tool.h"
#include "base/log.h"

static int add_routes(Api *a) {
        static const HttpMethod methods[] = { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };

        for (unsigned i = 0; i < _ROUTE_MAX; i++) {
                const Route *route = &route_table[i];
                int r = -EINVAL;

                for (size_t m = 0; m < ELEMENTSOF(methods); m++)
                        if (streq(http_method_to_string(methods[m]), route->method))
                                r = http_router_add(a->router, methods[m], route->path, route);
                if (r < 0)
                        return r;
                r = http_router_add(a->router, HTTP_OPTIONS, route->path, &api_preflight);
                if (r < 0 && r != -EEXIST)
                        return r;
        }
        return 0;
}

static HttpConfig http_config(Api *a) {
        const DaemonConfig *limits = a->config.config;

        return (HttpConfig){
                .request = api_request,
                .replied = metrics_replied,
                .userdata = a,
                .router = a->router,
                .body_max = limits->body_max,
                .body_memory_max = limits->body_memory_max,
                .compress_max = limits->compress_max,
                .connections_max = (unsigned) limits->connections_max,
                .connections_per_ip_max = (unsigned) limits->connections_per_ip,
                .idle_timeout_usec = limits->idle_timeout_usec,
                .request_timeout_usec = limits->request_timeout_usec,
                .error_body = api_error_body,
        };
}

void api_configure(Api *a) {
        HttpConfig http = http_config(a);

        OBJ_CHECK(a, API_MAGIC);
        http_server_configure(a->server, &http);
}

int api_new(Api **ret, sd_event *event, const ApiConfig *config) {
        const DaemonConfig *limits = config->config;
        _cleanup_(api_freep) Api *a = calloc(1, sizeof(*a));

        if (!a)
                return -ENOMEM;
        *a = (Api){
                .magic = API_MAGIC,
                .config = *config,
                .sessions = config->sessions,
                .memory = config->memory,
                .event = sd_event_ref(event),
                .router = http_router_new(),
                .started_monotonic = clock_monotonic(),
                .streams_max = (unsigned) MAX(limits->connections_max * 3 / 4, UINT64_C(4)),
                .openapi = BUF_INIT(API_REPLY_MAX),
                .docs = BUF_INIT(API_REPLY_MAX),
                .metrics = metrics_new(),
        };
        list_init(&a->streams);
        list_init(&a->held);
        list_init(&a->keyed);
        list_init(&a->keyed_again);
        if (!a->router || !a->metrics)
                return -ENOMEM;
        int r = add_routes(a);
        if (r < 0)
                return r;

        HttpConfig http = http_config(a);
        r = api_streams_watch_runs(a);
        if (r < 0)
                return r;
        r = http_server_new(&a->server, event, &http);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(a);
        return 0;
}

void api_quiesce(Api *a) {
        OBJ_CHECK(a, API_MAGIC);
        a->is_quiescing = true;
        api_hold_drop(a);
        api_keyed_drop(a, false);
        LIST_FOREACH(l, &a->streams) {
                ApiStream *s = LIST_ENTRY(l, ApiStream, link);
                s->end(s);
        }
}

void api_close(Api *a) {
        if (!a)
                return;
        api_quiesce(a);
        a->runs = session_unsubscribe(a->runs);
        api_keyed_drop(a, true);
        a->server = http_server_free(a->server);
        api_tool_forget(a);
}

Api *api_free(Api *a) {
        if (!a)
                return NULL;
        api_close(a);
        http_router_free(a->router);
        buf_done(&a->openapi);
        buf_done(&a->docs);
        free(a->metrics);
        sd_event_unref(a->event);
        a->magic = 0;
        free(a);
        return NULL;
}

HttpServer *api_server(Api *a) {
        OBJ_CHECK(a, API_MAGIC);
        return a->server;
}
