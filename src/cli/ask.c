/* SPDX-License-Identifier: MIT */

/* One question, one answer.
 *
 * A GET or POST whose connection breaks is asked again: when the daemon dies its keeper starts
 * another within milliseconds and holds the listening sockets meanwhile, so the second try is
 * simply answered. A POST has an Idempotency-Key, so what it does is done once. Anything else is
 * not repeated, since the first may have taken effect; the person decides.
 *
 * Lists come in pages; all are put together before anything is printed, so that --json is one array
 * and a table knows how wide its columns are. */

#include "cli/ask.h"

#include <poll.h>
#include <sys/random.h>

#include "base/str.h"

#define TRIES          5
#define TRY_AGAIN_MSEC 100
#define LIST_MAX       ((size_t) 512 * 1024 * 1024)

void reply_done(Reply *r) {
        http_response_done(&r->http);
        r->json = (JsonSpan){};
}

HttpClientOptions ask_options(const Cli *c) {
        return (HttpClientOptions){
                .socket_path = c->url ? NULL : c->socket_path,
                .base_url = c->url,
                .token = str_isempty(getenv("AGENTD_TOKEN")) ? NULL : getenv("AGENTD_TOKEN"),
                .timeout_sec = c->verb->flags & VERB_SLOW ? 0 : ANSWER_SEC,
        };
}

int ask_client(Cli *c, HttpClient **ret) {
        HttpClientOptions options = ask_options(c);

        if (!c->client) {
                int r = http_client_new(&c->client, &options);
                if (r < 0)
                        return cli_error(c, CLI_FAILURE, "cannot make a connection: %s",
                                         strerror(-r));
        }
        *ret = c->client;
        return 0;
}

#define KEY_BYTES 16

/* Stopping the daemon is not for the next one, which a second try would reach. A signal is sent
 * without anything being written; to keep a key for it would make that fail on a full disk, just
 * when an agent that filled it is to be ended. */
static bool is_keyed(const char *method, const char *path) {
        const char *verb = strrchr(path, '/');

        return streq(method, "POST") && !streq(path, "/shutdown") && !(verb && streq(verb, "/kill"));
}

static bool may_ask_again(const char *method, bool has_key, int error) {
        return (has_key || streq(method, "GET")) && (error == -ECONNRESET || error == -EPIPE);
}

/* Without random bytes there is no key, and no second try. */
static bool key_new(char ret[static 2 * KEY_BYTES + 1]) {
        uint8_t random[KEY_BYTES];

        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return false;
        hex_encode(random, sizeof(random), ret);
        return true;
}

static int exchange(Cli *c, const char *method, const char *path, const char *body, HttpResponse *ret) {
        HttpClient *client = NULL;
        char key[2 * KEY_BYTES + 1];
        bool has_key = is_keyed(method, path) && key_new(key);

        int r = ask_client(c, &client);
        if (r != 0)
                return r;
        Progress progress;
        progress_begin(&progress, c, client);
        http_client_set_key(client, has_key ? key : NULL);
        for (unsigned i = 0; i < TRIES; i++) {
                if (i > 0)
                        (void) poll(NULL, 0, TRY_AGAIN_MSEC);
                r = http_client_request(client, method, path, NULL, body, ret);
                if (!may_ask_again(method, has_key, r))
                        break;
        }
        http_client_set_key(client, NULL);
        progress_end(&progress);
        return r < 0 ? ask_no_answer(c, r) : 0;
}

int ask(Cli *c, const char *method, const char *path, const char *body, Reply *ret) {
        _cleanup_reply_ Reply reply = {};

        int r = exchange(c, method, path, body, &reply.http);
        if (r != 0)
                return r;
        const Buf *b = &reply.http.body;
        if (reply.http.status < 200 || reply.http.status > 299)
                return ask_refused(c, reply.http.status, b->data, b->len);
        if (json_check(b->data, b->len, JSON_DEPTH_MAX, &reply.json, NULL) < 0)
                return cli_error(c, CLI_FAILURE,
                                 "the answer to %s %s is no JSON; is that an agentd?", method, path);
        *ret = reply;
        reply = (Reply){};
        return 0;
}

/* The part of a link's target that is ours: with a prefix or host in front as well. */
static const char *path_of_link(const char *link) {
        const char *host = strstr(link, "://"), *slash = host ? strchr(host + 3, '/') : link;

        return slash ? slash : "/";
}

int ask_list(Cli *c, const char *path, Buf *buf, JsonSpan *ret) {
        JsonWriter w = JSON_WRITER(buf);

        *buf = BUF_INIT(LIST_MAX);
        json_w_array_begin(&w);
        for (;;) {
                _cleanup_reply_ Reply page = {};
                JsonSpan item;

                int r = ask(c, "GET", path, NULL, &page);
                if (r != 0)
                        return r;
                if (!json_is(page.json, JSON_KIND_ARRAY))
                        return cli_error(c, CLI_FAILURE, "the answer to GET %s is no list", path);
                JsonIter it = json_iter(page.json);
                while (json_next(&it, NULL, &item))
                        json_w_raw(&w, item);
                if (!page.http.next_link)
                        break;
                path = cli_text(c, "%s", path_of_link(page.http.next_link));
        }
        json_w_array_end(&w);
        if (buf_error(buf) < 0)
                cli_out_of_memory();
        *ret = (JsonSpan){ buf->data, buf->len };
        return 0;
}

void query_add(Buf *path, const char *name, const char *value) {
        if (!value)
                return;
        _cleanup_free_ char *escaped = http_url_escape(value);
        if (!escaped)
                cli_out_of_memory();
        if (path->len == 0 || !strchr(path->data, '?'))
                (void) buf_putc(path, '?');
        else
                (void) buf_putc(path, '&');
        if (buf_printf(path, "%s=%s", name, escaped) < 0)
                cli_out_of_memory();
}
