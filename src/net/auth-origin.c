/* SPDX-License-Identifier: MIT */

/* What browsers tell us about the page behind a request. A page of a stranger can make the user's
 * browser send requests to 127.0.0.1; two checks keep it out.
 *
 * Host: a name of the stranger's that resolves to 127.0.0.1 (DNS rebinding) makes his page and this
 * server one origin. So a Host that is a name must be one of ours. IP literals cannot be rebound.
 *
 * Origin: sent with every request that changes something. It must be the very origin under which we
 * were asked. A missing port in either means the default of the origin's scheme: behind a TLS proxy
 * it is "https://x" and "Host: x". The scheme itself is not compared, because only the proxy knows it. */

#include <arpa/inet.h>
#include <limits.h>
#include <strings.h>

#include "base/str.h"
#include "net/auth.h"

#define HOST_NAME_SIZE 256

typedef struct Authority {
        char name[HOST_NAME_SIZE]; /* without brackets and final dot */
        const char *port;          /* digits, or NULL */
        bool is_bracketed;
} Authority;

static bool port_is_valid(const char *port) {
        size_t n = strspn(port, "0123456789");

        return n > 0 && n <= 5 && port[n] == '\0';
}

/* "name", "name:port", "[address]:port". */
static bool authority_parse(const char *s, Authority *ret) {
        Authority a = { .is_bracketed = s[0] == '[' };
        const char *name = a.is_bracketed ? s + 1 : s;
        size_t n = strcspn(name, a.is_bracketed ? "]" : ":");
        const char *rest = name + n;

        if (a.is_bracketed && *rest++ != ']')
                return false;
        if (*rest == ':' && port_is_valid(rest + 1))
                a.port = rest + 1;
        else if (*rest != '\0')
                return false;
        if (n > 0 && name[n - 1] == '.')
                n--;
        if (n == 0 || n >= sizeof(a.name))
                return false;
        memcpy(a.name, name, n);
        *ret = a;
        return true;
}

static bool is_ip_literal(const Authority *a) {
        unsigned char address[sizeof(struct in6_addr)];

        return inet_pton(a->is_bracketed ? AF_INET6 : AF_INET, a->name, address) == 1;
}

static bool ends_with(const char *s, const char *suffix) {
        size_t n = strlen(s), m = strlen(suffix);

        return n > m && strcasecmp(s + n - m, suffix) == 0;
}

/* The kernel's host name, whole or up to its first dot. */
static bool is_own_name(const char *name) {
        char own[HOST_NAME_MAX + 1] = "";

        if (gethostname(own, sizeof(own) - 1) < 0 || own[0] == '\0')
                return false;
        if (strcasecmp(name, own) == 0)
                return true;
        own[strcspn(own, ".")] = '\0';
        return strcasecmp(name, own) == 0;
}

static bool is_listed(char *const *list, const char *s) {
        for (char *const *i = list; i && *i; i++)
                if (strcasecmp(*i, s) == 0)
                        return true;
        return false;
}

bool auth_host_ok(const char *host, char *const *extra) {
        Authority a;

        if (!host)
                return true;
        if (!authority_parse(host, &a))
                return false;
        if (a.is_bracketed || is_ip_literal(&a))
                return is_ip_literal(&a);
        return strcasecmp(a.name, "localhost") == 0 || ends_with(a.name, ".localhost") ||
               is_own_name(a.name) || is_listed(extra, a.name) || is_listed(extra, host);
}

static bool same_host_and_port(const char *origin, const char *host) {
        const char *default_port = "80", *rest = str_startswith(origin, "http://");
        Authority a, b;

        if (!rest) {
                default_port = "443";
                rest = str_startswith(origin, "https://");
        }
        if (!rest || !authority_parse(rest, &a) || !authority_parse(host, &b))
                return false;
        return strcasecmp(a.name, b.name) == 0 &&
               streq(a.port ?: default_port, b.port ?: default_port);
}

bool auth_origin_ok(const char *origin, const char *host, char *const *allowed) {
        if (!origin || is_listed(allowed, origin))
                return true;
        return host && same_host_and_port(origin, host);
}
