/* SPDX-License-Identifier: MIT */
#pragma once

/* The building blocks of "who is asking": peers, tokens, Host and Origin. What a caller may do with
 * it is decided by the API room. */

#include "net/http.h"

/* Fills *ret for a connected socket that was just accepted. TCP over loopback: one
 * NETLINK_SOCK_DIAG exact query (source and destination swapped: the peer's own socket), counted
 * only if it is ESTABLISHED and has an inode: a peer that already closed shows uid 0 and must not
 * pass. INET_DIAG_CGROUP_ID gives the socket's cgroup. Unix: SO_PEERCRED, and SO_PEERPIDFD with
 * PIDFD_GET_INFO for the cgroup (else /proc/PID/cgroup compared before and after). Never fails:
 * what is not known is not flagged. */
void peer_identify(int fd, Peer *ret);

#define AUTH_TOKEN_BYTES 32
#define AUTH_TOKEN_SIZE  (2 * AUTH_TOKEN_BYTES + sizeof("agd_")) /* "agd_" + hex + NUL */
#define AUTH_HASH_BYTES  32

/* A new secret: 256 random bits in hex behind the prefix `agd_`, so that secret scanners can know it. */
void auth_token_new(char ret[static AUTH_TOKEN_SIZE]);
/* BLAKE2b-256 of the token text: what is stored. */
void auth_token_hash(const char *token, uint8_t ret[static AUTH_HASH_BYTES]);
/* Constant time. */
bool auth_hash_equal(const uint8_t a[static AUTH_HASH_BYTES],
                     const uint8_t b[static AUTH_HASH_BYTES]);
/* The token of `Authorization: Bearer X` or `X-Api-Key: X`, or NULL; points into the header. */
const char *auth_bearer(const HttpRequest *req);

/* Does the Host header name this machine: an IP literal, localhost, *.localhost, the host's own name, or one of
 * extra (NULL-terminated, may be NULL)? Absent Host (HTTP/1.0, unix socket clients): true. */
bool auth_host_ok(const char *host, char *const *extra);
/* Is an Origin header acceptable for a state-changing request: absent, or same host and port as
 * Host, or listed in allowed? `null` and foreign ones are not. */
bool auth_origin_ok(const char *origin, const char *host, char *const *allowed);
