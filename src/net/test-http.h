/* SPDX-License-Identifier: MIT */
#pragma once

/* A server with a handful of routes and clients on real sockets, all in one thread and one loop: a
 * test writes to a client's socket and then turns the loop until what it waits for is there. */

#include "base/test.h"
#include "net/http.h"

typedef struct TestServer {
        sd_event *event;
        HttpRouter *router;
        HttpServer *server;
        int listen_fd; /* TCP on 127.0.0.1 */
        uint16_t port;
        int unix_fd;
        char *folder;
        char *unix_path;

        /* What the handlers saw and left for the test. */
        unsigned n_requests;
        HttpRequest *held[512]; /* by /hold, in order */
        size_t n_held;
        unsigned n_gone;
        bool reply_when_gone;
        unsigned n_destroyed;
        HttpStream *stream; /* by /stream */
        char stream_text[256];
        bool stream_end;
        bool stream_failed;
        unsigned n_pulls, n_streams_done;
        size_t flood; /* bytes that /flood still has to give */
        bool is_idle;
        Peer peer; /* of the last request */
} TestServer;

/* config may be NULL; request, userdata and router are set here. */
void test_server_start(TestServer *t, const HttpConfig *config);
void test_server_stop(TestServer *t);
#define _cleanup_server_ _cleanup_(test_server_stop)

typedef struct TestClient {
        int fd;
        Buf in;
        bool eof; /* end or reset */
} TestClient;

void test_client_open(TestServer *t, TestClient *c);
void test_client_open_unix(TestServer *t, TestClient *c);
void test_client_done(TestClient *c);
#define _cleanup_client_ _cleanup_(test_client_done)
void test_client_send(TestClient *c, const char *text);
/* Sends all of it, turning the loop while the socket is full; stops at a reset. Returns bytes sent. */
size_t test_client_send_all(TestServer *t, TestClient *c, const void *data, size_t n);
/* Takes what has come, without waiting. */
void test_client_poll(TestClient *c);

/* Turns the loop until the condition holds; fails the test after ten seconds. The condition is
 * looked at after every event, with `c` polled if it is given. */
void test_turn(TestServer *t);
#define TEST_UNTIL(t, condition)                                    \
        do {                                                        \
                for (unsigned _turns = 0; !(condition); _turns++) { \
                        assert_true(_turns < 1000);                 \
                        test_turn(t);                               \
                }                                                   \
        } while (false)

/* Turns the loop until the client has one whole answer (with Content-Length or chunks, or until the
 * end) and returns it as text: head and decoded body. Takes it out of the client's buffer. */
char *test_client_answer(TestServer *t, TestClient *c);
/* The same for an answer to HEAD. */
char *test_client_head(TestServer *t, TestClient *c);
/* Until the connection is closed. */
void test_client_wait_eof(TestServer *t, TestClient *c);

/* send + answer, and the answer must begin with "HTTP/1.1 " and this status. Returns the answer. */
char *test_ask(TestServer *t, TestClient *c, const char *request, unsigned status);
const char *test_body(const char *answer);
