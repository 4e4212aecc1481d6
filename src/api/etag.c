/* SPDX-License-Identifier: MIT */

/* ETag, If-None-Match and If-Match (RFC 9110 sections 8.8.3 and 13.1) of what can be edited. A tag
 * is 16 hex digits in quotes, as that of the variables, which is their version. A session and a
 * checkpoint have no version of their own, so their tag is a hash of everything that a reader sees
 * of them, but for a session's heartbeat: it moves with every request of its agent, and nobody
 * edits against it.
 *
 * A tag is compared in the same turn of the loop in which the change is submitted; what is changed
 * by others is in memory by then, committed or not. Checkpoints are not in memory: their change
 * carries what was compared to the database. Rejected: a counter in each row (a write for every
 * message), and times as tags (two changes in one microsecond are one). */

#include <sodium.h>
#include <stdio.h>

#include "api/api-internal.h"
#include "base/id.h"
#include "base/str.h"

static void hash_text(crypto_generichash_state *h, const char *s) {
        crypto_generichash_update(h, (const unsigned char *) (s ? s : ""), s ? strlen(s) + 1 : 0);
        crypto_generichash_update(h, (const unsigned char *) (s ? "1" : "0"), 1);
}

static void tag(crypto_generichash_state *h, char ret[static ETAG_SIZE]) {
        uint8_t bytes[crypto_generichash_BYTES_MIN];
        uint64_t first;
        char id[ID_STRING_SIZE];

        crypto_generichash_final(h, bytes, sizeof(bytes));
        memcpy(&first, bytes, sizeof(first));
        (void) snprintf(ret, ETAG_SIZE, "\"%s\"", id_format(first, id));
}

void api_etag_session(const SessionInfo *i, char ret[static ETAG_SIZE]) {
        uint64_t numbers[] = { i->id,         i->status,   i->substate,       i->updated_at,
                               i->restart_at, i->config,   i->branch,         i->head,
                               i->vars,       i->run,      i->checkpoint,     i->message_count,
                               i->restarts,   i->labels.n, i->tool_call_count };
        crypto_generichash_state h;

        crypto_generichash_init(&h, NULL, 0, crypto_generichash_BYTES_MIN);
        crypto_generichash_update(&h, (const unsigned char *) numbers, sizeof(numbers));
        hash_text(&h, i->name);
        hash_text(&h, i->reason);
        hash_text(&h, i->workspace);
        crypto_generichash_update(&h, (const unsigned char *) i->labels.p, i->labels.n);
        tag(&h, ret);
}

void api_etag_checkpoint(const CheckpointInfo *i, char ret[static ETAG_SIZE]) {
        uint64_t numbers[] = { i->id, i->pinned };
        crypto_generichash_state h;

        crypto_generichash_init(&h, NULL, 0, crypto_generichash_BYTES_MIN);
        crypto_generichash_update(&h, (const unsigned char *) numbers, sizeof(numbers));
        hash_text(&h, i->label);
        tag(&h, ret);
}

void api_etag_version(uint64_t version, char ret[static ETAG_SIZE]) {
        char id[ID_STRING_SIZE];

        (void) snprintf(ret, ETAG_SIZE, "\"%s\"", id_format(version, id));
}

const char *api_etag_text(ApiCall *c, uint64_t version) {
        char *etag = field_arena_alloc(c->arena, ETAG_SIZE);

        if (etag)
                api_etag_version(version, etag);
        return etag ? etag : "another";
}

/* Is the tag in a list of them? Weak ones count only where that is allowed. */
static bool is_in(const char *list, const char *etag, bool weak) {
        size_t n = strlen(etag);

        for (const char *p = list; *p;) {
                p += strspn(p, " \t,");
                bool is_weak = strncmp(p, "W/", 2) == 0;
                size_t item = strcspn(p, ",");
                const char *bare = is_weak ? p + 2 : p;
                if (*p == '*')
                        return true;
                if (strncmp(bare, etag, n) == 0 && (weak || !is_weak))
                        return true;
                p += item;
        }
        return false;
}

bool api_not_modified(ApiCall *c, const char *etag) {
        const char *list = http_header(c->req, "If-None-Match");

        http_reply_header(c->req, "ETag", etag);
        if (!list || !is_in(list, etag, true))
                return false;
        http_reply(c->req, 304, NULL, NULL);
        return true;
}

bool api_if_match(ApiCall *c, const char *etag) {
        const char *list = http_header(c->req, "If-Match");

        if (!list || is_in(list, etag, false))
                return true;
        http_reply_header(c->req, "ETag", etag);
        c->subject = etag;
        api_fail(c, ERROR_PRECONDITION);
        return false;
}
