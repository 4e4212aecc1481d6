/* SPDX-License-Identifier: MIT */

/* The daemon about itself. Health is asked often, by anybody: it counts nothing that takes longer
 * with more sessions, and reads the oldest heartbeat at most once a second. */

#include "api/handlers.h"
#include "base/str.h"

static bool wants_page(const HttpRequest *req) {
        const char *accept = http_header(req, "Accept");

        return accept && strcasestr(accept, "text/html");
}

/* Relative, so that it holds behind a proxy that serves this under a prefix. */
static void send_to_docs(ApiCall *c) {
        Buf body = BUF_INIT(API_REPLY_MAX);

        http_reply_header(c->req, "Location", "docs");
        (void) buf_puts(&body, "<a href=\"docs\">docs</a>\n");
        api_send(c, 302, "text/html; charset=utf-8", &body);
}

void api_index(ApiCall *c) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        http_reply_header(c->req, "Vary", "Accept");
        if (wants_page(c->req)) {
                send_to_docs(c);
                return;
        }
        json_w_object_begin(&w);
        json_w_kv_string(&w, "name", "agentd");
        json_w_kv_string(&w, "version", AGENTD_VERSION);
        json_w_kv_string(&w, "docs", route_table[ROUTE_DOCS].path);
        json_w_kv_string(&w, "openapi", route_table[ROUTE_OPENAPI].path);
        json_w_kv_string(&w, "health", route_table[ROUTE_HEALTH].path);
        json_w_kv_string(&w, "metrics", route_table[ROUTE_METRICS].path);
        json_w_object_end(&w);
        api_reply(c, &body);
}

static usec_t oldest_heartbeat(Api *a) {
        usec_t now = clock_monotonic();

        if (a->heartbeat_read_at == 0 || now - a->heartbeat_read_at >= USEC_PER_SEC) {
                a->heartbeat = session_oldest_heartbeat(a->sessions);
                a->heartbeat_read_at = now;
        }
        return a->heartbeat;
}

void api_health(ApiCall *c) {
        Api *a = c->api;
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", "healthy");
        json_w_kv_real(&w, "uptime_seconds",
                       (double) (clock_monotonic() - a->started_monotonic) / (double) USEC_PER_SEC);
        json_w_kv_uint(&w, "active_sessions", session_count(a->sessions, SESSION_RUNNING));
        json_w_kv_uint(&w, "error_sessions", session_count(a->sessions, SESSION_ERROR));
        json_w_kv_time(&w, "oldest_heartbeat", oldest_heartbeat(a));
        json_w_kv_uint(&w, "outputs_held", a->config.sup ? sup_manager_n_held(a->config.sup) : 0);
        json_w_object_end(&w);
        api_reply(c, &body);
}

void api_ready(ApiCall *c) {
        if (c->api->config.is_ready(c->api->config.userdata))
                api_reply_status(c, "ready");
        else
                api_fail(c, ERROR_NOT_READY);
}

static void write_urls(JsonWriter *w, const ApiConfig *config) {
        _cleanup_free_ char *socket =
                config->socket_path ? str_printf("unix:%s", config->socket_path) : NULL;

        json_w_key(w, "urls");
        json_w_array_begin(w);
        if (!str_isempty(config->url))
                json_w_string(w, config->url);
        if (socket)
                json_w_string(w, socket);
        json_w_array_end(w);
}

void api_version(ApiCall *c) {
        const ApiConfig *config = &c->api->config;
        pid_t keeper = config->sup ? sup_manager_keeper_pid(config->sup) : 0;
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        json_w_object_begin(&w);
        json_w_kv_string(&w, "version", AGENTD_VERSION);
        json_w_kv_int(&w, "daemon_pid", getpid());
        if (keeper > 0)
                json_w_kv_int(&w, "keeper_pid", keeper);
        else
                json_w_kv_raw(&w, "keeper_pid", JSON_NULL);
        json_w_kv_time(&w, "started_at", config->started_at);
        if (config->port > 0)
                json_w_kv_uint(&w, "port", config->port);
        else
                json_w_kv_raw(&w, "port", JSON_NULL);
        write_urls(&w, config);
        json_w_kv_uint(&w, "state_schema", config->state_schema);
        json_w_kv_uint(&w, "memory_schema", config->memory_schema);
        json_w_object_end(&w);
        api_reply(c, &body);
}

static void stop(ApiCall *c) {
        const ApiConfig config = c->api->config;

        api_reply_status(c, "stopping"); /* c is gone */
        config.shutdown(config.userdata);
}

void api_shutdown(ApiCall *c) {
        api_keyed_first(c, stop);
}

void api_openapi(ApiCall *c) {
        Buf *text = &c->api->openapi;
        int r = text->len > 0 ? 0 : openapi_write(text);

        if (r < 0)
                api_fail_result(c, r);
        else
                http_reply_static(c->req, c->route->status, "application/json", text->data,
                                  text->len);
}

void api_docs(ApiCall *c) {
        Api *a = c->api;
        int r = a->docs.len > 0 ? 0 : docs_write(&a->docs, a->docs_policy, sizeof(a->docs_policy));

        if (r < 0) {
                api_fail_result(c, r);
                return;
        }
        http_reply_header(c->req, "Content-Security-Policy", a->docs_policy);
        http_reply_header(c->req, "X-Content-Type-Options", "nosniff");
        http_reply_header(c->req, "Referrer-Policy", "no-referrer");
        http_reply_static(c->req, c->route->status, "text/html; charset=utf-8", a->docs.data,
                          a->docs.len);
}
