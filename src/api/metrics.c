/* SPDX-License-Identifier: MIT */

/* The text format of Prometheus (version 0.0.4), and what is counted of requests: how many of which
 * route, method and status, and how long until their answer. A route is its pattern, never a path,
 * so the number of series is bounded by the table of routes. What matches no route is one more.
 *
 * Counting is a few additions in the loop thread; buckets are a power-of-two scale from 0.25 ms on,
 * found by the position of the highest bit. A client library was rejected: it would bring locks and
 * allocation for what is an array here. */

#include <math.h>
#include <stdio.h>

#include "api/api-internal.h"
#include "base/str.h"

#define BUCKETS      16 /* up to 250 us << 15, about 8 s */
#define BUCKET_FIRST UINT64_C(250)
#define STATUSES     24 /* of one route; what does not fit is not counted by status */

struct MetricsRoute {
        uint64_t buckets[BUCKETS + 1], duration_usec, n;
        struct {
                unsigned status;
                uint64_t n;
        } statuses[STATUSES];
};

MetricsRoute *metrics_new(void) {
        return calloc(_ROUTE_MAX + 1, sizeof(MetricsRoute));
}

static unsigned bucket_of(usec_t duration) {
        uint64_t scaled = duration > 0 ? (duration - 1) / BUCKET_FIRST : 0;
        unsigned i = scaled > 0 ? 64U - (unsigned) __builtin_clzll(scaled) : 0;

        return MIN(i, (unsigned) BUCKETS);
}

void metrics_replied(
        const void *route_data, HttpMethod method, unsigned status, usec_t duration, void *userdata) {
        Api *a = OBJ_CAST(Api, userdata, API_MAGIC);
        const Route *route = route_data == &api_preflight ? NULL : route_data;
        MetricsRoute *m = &a->metrics[route ? (unsigned) route->id : (unsigned) _ROUTE_MAX];

        m->n++;
        m->duration_usec += duration;
        m->buckets[bucket_of(duration)]++;
        for (size_t i = 0; i < STATUSES; i++)
                if (m->statuses[i].n == 0 || m->statuses[i].status == status) {
                        m->statuses[i].status = status;
                        m->statuses[i].n++;
                        return;
                }
}

/* ---- the text ---- */

void metrics_family(Buf *out, const char *name, const char *type, const char *help) {
        (void) buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Whole numbers as such: what counts bytes or events must not lose its last digits. */
void metrics_sample(Buf *out, const char *name, const char *labels, double value) {
        (void) buf_puts(out, name);
        if (labels)
                (void) buf_printf(out, "{%s}", labels);
        if (fabs(value) < 9007199254740992.0 && value - trunc(value) <= 0 && value - trunc(value) >= 0)
                (void) buf_printf(out, " %.0f\n", value);
        else
                (void) buf_printf(out, " %.9g\n", value);
}

void metrics_one(Buf *out, const char *name, const char *type, const char *help, double value) {
        metrics_family(out, name, type, help);
        metrics_sample(out, name, NULL, value);
}

/* ---- requests ---- */

/* The table's texts are ours: no quote, backslash or line end. HEAD counts as GET. */
static void route_labels(unsigned id, const char *more, char *ret, size_t size) {
        const Route *r = id < _ROUTE_MAX ? &route_table[id] : NULL;

        (void) snprintf(ret, size, "route=\"%s\",method=\"%s\"%s", r ? r->path : "",
                        r ? r->method : "", more);
}

static void write_counts(const Api *a, Buf *out) {
        char labels[256], code[32];

        metrics_family(out, "agentd_http_requests_total", "counter",
                       "Answered requests by route (empty: no route matched), method and status.");
        for (unsigned i = 0; i <= _ROUTE_MAX; i++)
                for (size_t k = 0; k < STATUSES && a->metrics[i].statuses[k].n > 0; k++) {
                        (void) snprintf(code, sizeof(code), ",code=\"%u\"",
                                        a->metrics[i].statuses[k].status);
                        route_labels(i, code, labels, sizeof(labels));
                        metrics_sample(out, "agentd_http_requests_total", labels,
                                       (double) a->metrics[i].statuses[k].n);
                }
}

static void write_histogram(const MetricsRoute *m, unsigned id, Buf *out) {
        char labels[256], le[40];
        uint64_t n = 0;

        for (unsigned k = 0; k < BUCKETS; k++) {
                n += m->buckets[k];
                (void) snprintf(le, sizeof(le), ",le=\"%g\"",
                                (double) (BUCKET_FIRST << k) / (double) USEC_PER_SEC);
                route_labels(id, le, labels, sizeof(labels));
                metrics_sample(out, "agentd_http_request_duration_seconds_bucket", labels,
                               (double) n);
        }
        route_labels(id, ",le=\"+Inf\"", labels, sizeof(labels));
        metrics_sample(out, "agentd_http_request_duration_seconds_bucket", labels, (double) m->n);
        route_labels(id, "", labels, sizeof(labels));
        metrics_sample(out, "agentd_http_request_duration_seconds_sum", labels,
                       (double) m->duration_usec / (double) USEC_PER_SEC);
        metrics_sample(out, "agentd_http_request_duration_seconds_count", labels, (double) m->n);
}

void metrics_write_http(const Api *a, Buf *out) {
        write_counts(a, out);
        metrics_family(out, "agentd_http_request_duration_seconds", "histogram",
                       "Time from the request line to the answer's begin.");
        for (unsigned i = 0; i <= _ROUTE_MAX; i++)
                if (a->metrics[i].n > 0)
                        write_histogram(&a->metrics[i], i, out);
}
