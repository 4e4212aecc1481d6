/* SPDX-License-Identifier: MIT */

/* Who is at the other end, by the kernel's word and not by what the client says. Loopback is
 * decided by the address: 127.0.0.0/8 and ::1 never come from outside. A connection from this
 * machine to its own outer address counts as remote; nothing is lost by that but convenience.
 *
 * IPv4 in an IPv6 socket (::ffff:127.0.0.1) is turned into plain IPv4 first: the client's own
 * socket is an IPv4 one, and all further steps need to know one form only.
 *
 * Nothing here fails: what cannot be found out is not flagged, and not known is not trusted. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "net/auth.h"
#include "net/peer-internal.h"

static void unmap_v4(struct sockaddr_storage *addr) {
        struct sockaddr_in6 in6;
        struct sockaddr_in in = { .sin_family = AF_INET };

        if (addr->ss_family != AF_INET6)
                return;
        memcpy(&in6, addr, sizeof(in6));
        if (!IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
                return;
        in.sin_port = in6.sin6_port;
        in.sin_addr.s_addr = in6.sin6_addr.s6_addr32[3];
        memcpy(addr, &in, sizeof(in));
}

static bool is_loopback(const struct sockaddr_storage *addr) {
        const struct sockaddr_in *in = (const void *) addr;
        const struct sockaddr_in6 *in6 = (const void *) addr;

        if (addr->ss_family == AF_INET)
                return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        return addr->ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static void format_address(const struct sockaddr_storage *addr, Peer *ret) {
        const struct sockaddr_in *in = (const void *) addr;
        const struct sockaddr_in6 *in6 = (const void *) addr;
        char text[INET6_ADDRSTRLEN] = "?";

        if (addr->ss_family == AF_INET) {
                (void) inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
                (void) snprintf(ret->address, sizeof(ret->address), "%s:%u", text,
                                ntohs(in->sin_port));
        } else {
                (void) inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
                (void) snprintf(ret->address, sizeof(ret->address), "[%s]:%u", text,
                                ntohs(in6->sin6_port));
        }
}

static void identify_tcp(int fd, struct sockaddr_storage *peer, Peer *ret) {
        struct sockaddr_storage own = {};
        socklen_t n = sizeof(own);

        unmap_v4(peer);
        format_address(peer, ret);
        if (!is_loopback(peer))
                return;

        ret->kind = PEER_LOCAL;
        if (getsockname(fd, (struct sockaddr *) &own, &n) < 0)
                return;
        unmap_v4(&own);
        if (own.ss_family == peer->ss_family)
                peer_ask_sock_diag(peer, &own, ret);
}

void peer_identify(int fd, Peer *ret) {
        struct sockaddr_storage peer = {};
        socklen_t n = sizeof(peer);
        Peer p = { .kind = PEER_REMOTE, .address = "?" };

        if (getpeername(fd, (struct sockaddr *) &peer, &n) >= 0) {
                if (peer.ss_family == AF_UNIX)
                        peer_ask_credentials(fd, &p);
                else if (peer.ss_family == AF_INET || peer.ss_family == AF_INET6)
                        identify_tcp(fd, &peer, &p);
        }
        *ret = p;
}
