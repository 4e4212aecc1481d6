/* SPDX-License-Identifier: MIT */

/* The blocking client against a server that says what the test wrote down: a child process that
 * accepts connections one after another, reads a request's head and body, keeps it in a pipe for
 * the parent, and sends the answer. So the bytes on the wire are in the test, on both sides. */

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/test.h"
#include "net/client.h"
#include "net/many.h"

typedef struct Server {
        char *folder;
        char *path;
        pid_t pid;
        int requests; /* what the server read */
} Server;

/* Runs in the child. */
static void read_request(int fd, int requests) {
        char head[8192] = "", *end = NULL, *length;
        size_t have = 0, body = 0;

        while (have + 1 < sizeof(head)) {
                if (!end && (end = strstr(head, "\r\n\r\n"))) {
                        end += 4;
                        length = strstr(head, "Content-Length: ");
                        body = length ? strtoul(length + 16, NULL, 10) : 0;
                }
                if (end && have >= (size_t) (end - head) + body)
                        break;
                ssize_t n = read(fd, head + have, sizeof(head) - 1 - have);
                if (n <= 0)
                        _exit(4);
                have += (size_t) n;
                head[have] = '\0';
        }
        (void) !write(requests, head, have);
}

__attribute__((noreturn)) static void serve(int listener, int requests, const char *const *answers) {
        for (; *answers; answers++) {
                int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0)
                        _exit(5);
                read_request(fd, requests);
                (void) !write(fd, *answers, strlen(*answers));
                (void) close(fd);
        }
        _exit(0);
}

/* answers: NULL-terminated, one for each connection. */
static void server_start(Server *p, const char *const *answers) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int requests[2];

        p->folder = test_folder();
        p->path = path_join(p->folder, "socket");
        assert_true(strlen(p->path) < sizeof(un.sun_path));
        memcpy(un.sun_path, p->path, strlen(p->path));
        _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(listener >= 0);
        assert_int_equal(bind(listener, (struct sockaddr *) &un, sizeof(un)), 0);
        assert_int_equal(listen(listener, 16), 0);
        assert_int_equal(pipe2(requests, O_CLOEXEC | O_NONBLOCK), 0);

        p->pid = fork();
        assert_true(p->pid >= 0);
        if (p->pid == 0)
                serve(listener, requests[1], answers);
        (void) close(requests[1]);
        p->requests = requests[0];
}

static void server_done(Server *p) {
        if (p->pid > 0) {
                (void) kill(p->pid, SIGKILL);
                (void) waitpid(p->pid, NULL, 0);
        }
        p->requests = fd_close(p->requests);
        free(p->path);
        test_folder_done(&p->folder);
}
#define _cleanup_server_   _cleanup_(server_done)
#define _cleanup_response_ _cleanup_(http_response_done)

/* What was asked so far. The answer came after it was written, so it is there. */
static void asked(Server *p, char *text, size_t size) {
        ssize_t n = read(p->requests, text, size - 1);

        assert_true(n > 0);
        text[n] = '\0';
}

static HttpClient *client(const char *path, const char *token) {
        const HttpClientOptions options = { .socket_path = path,
                                            .base_url = "http://agents/prefix/",
                                            .token = token,
                                            .timeout_sec = 10 };
        HttpClient *c = NULL;

        assert_int_equal(http_client_new(&c, &options), 0);
        return c;
}

static void test_request_says_what_it_should(void **state) {
        static const char *const answers[] = {
                "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
                "Link: </a?after=1>; rel=\"prev\", </a?after=7>; rel=\"next\"\r\n"
                "Content-Length: 2\r\nConnection: close\r\n\r\n{}",
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                NULL,
        };
        _cleanup_server_ Server p;
        char request[4096];

        server_start(&p, answers);
        _cleanup_(http_client_freep) HttpClient *c = client(p.path, "agd_secret");

        _cleanup_response_ HttpResponse r = {};
        assert_int_equal(http_client_request(c, "POST", "/sessions", NULL, "{\"a\":1}", &r), 0);
        assert_int_equal(r.status, 201);
        assert_string_equal(r.body.data, "{}");
        assert_string_equal(r.content_type, "application/json");
        assert_string_equal(r.next_link, "/a?after=7");
        asked(&p, request, sizeof(request));
        assert_memory_equal(request, "POST /prefix/sessions HTTP/1.1\r\n", 32);
        assert_non_null(strstr(request, "Host: agents\r\n"));
        assert_non_null(strstr(request, "Authorization: Bearer agd_secret\r\n"));
        assert_non_null(strstr(request, "Content-Type: application/json\r\n"));
        assert_non_null(strstr(request, "Accept: application/json\r\n"));
        assert_null(strstr(request, "Expect:"));
        assert_non_null(strstr(request, "\r\n\r\n{\"a\":1}"));

        /* The next one knows nothing of the body. An error status is an answer. */
        _cleanup_response_ HttpResponse second = {};
        assert_int_equal(http_client_request(c, "DELETE", "/x", "text/plain", NULL, &second), 0);
        assert_int_equal(second.status, 404);
        assert_string_equal(second.body.data, "");
        assert_null(second.next_link);
        asked(&p, request, sizeof(request));
        assert_memory_equal(request, "DELETE /prefix/x HTTP/1.1\r\n", 27);
        assert_null(strstr(request, "Content-"));
        assert_non_null(strstr(request, "Accept: text/plain\r\n"));
}

static void test_nobody_listening_is_told_apart(void **state) {
        static const char *const answers[] = { "", NULL };
        _cleanup_server_ Server p;
        _cleanup_response_ HttpResponse r = {};

        server_start(&p, answers);
        _cleanup_(http_client_freep) HttpClient *c = client(p.path, NULL);
        assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, &r), -ECONNRESET);
        /* It has left, its socket's file is still there. */
        assert_int_equal(waitpid(p.pid, NULL, 0), p.pid);
        p.pid = 0;
        assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, &r), -ECONNREFUSED);
        assert_int_equal(unlink(p.path), 0);
        assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, &r), -ENOENT);
        assert_int_equal(r.status, 0);
}

static void test_answer_cut_short_is_an_error(void **state) {
        static const char *const answers[] = { "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                                               NULL };
        _cleanup_server_ Server p;
        _cleanup_response_ HttpResponse r = {};

        server_start(&p, answers);
        _cleanup_(http_client_freep) HttpClient *c = client(p.path, NULL);
        assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, &r), -ECONNRESET);
        assert_null(r.body.data);
}

typedef struct Seen {
        Buf text;
        long status;
        size_t stop_after;
} Seen;

static int on_piece(long status, const char *data, size_t n, void *userdata) {
        Seen *seen = userdata;

        seen->status = status;
        assert_int_equal(buf_append(&seen->text, data, n), 0);
        return seen->text.len > seen->stop_after ? 77 : 0;
}

static void test_stream_gives_bytes_until_it_is_told_to_stop(void **state) {
        static const char *const answers[] = {
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                NULL,
        };
        _cleanup_server_ Server p;
        char request[4096];

        server_start(&p, answers);
        _cleanup_(http_client_freep) HttpClient *c = client(p.path, NULL);

        Seen all = { .text = BUF_INIT(1000), .stop_after = 1000 };
        assert_int_equal(
                http_client_stream(c, "GET", "/events", "text/event-stream", "41", on_piece, &all),
                0);
        assert_string_equal(all.text.data, "hello world");
        assert_int_equal(all.status, 200);
        asked(&p, request, sizeof(request));
        assert_non_null(strstr(request, "Last-Event-ID: 41\r\n"));
        assert_non_null(strstr(request, "Accept: text/event-stream\r\n"));
        buf_done(&all.text);

        Seen part = { .text = BUF_INIT(1000), .stop_after = 3 };
        assert_int_equal(http_client_stream(c, "GET", "/events", NULL, NULL, on_piece, &part), 77);
        buf_done(&part.text);

        Seen cut = { .text = BUF_INIT(1000), .stop_after = 1000 };
        assert_int_equal(http_client_stream(c, "GET", "/events", NULL, NULL, on_piece, &cut),
                         -ECONNRESET);
        assert_string_equal(cut.text.data, "hello");
        buf_done(&cut.text);
}

typedef struct Heard {
        int n, error;
        long status;
        char text[64];
} Heard;

static void on_heard(int error, long status, const Buf *body, void *userdata) {
        Heard *h = userdata;

        h->n++;
        h->error = error;
        h->status = status;
        (void) snprintf(h->text, sizeof(h->text), "%s", body->data);
}

static void test_many_waits_for_answers_and_for_others_descriptors(void **state) {
        static const char *const answers[] = {
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
                "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", NULL
        };
        _cleanup_server_ Server p;
        _cleanup_(http_many_freep) HttpMany *m = NULL;
        Heard first = {}, second = {}, third = {};
        HttpJob *cancelled;
        int pipes[2];

        server_start(&p, answers);
        assert_int_equal(http_many_new(&m, &(HttpClientOptions){ .socket_path = p.path }), 0);
        HttpJobOptions o = { .path = "/a", .on_done = on_heard, .userdata = &first };
        assert_int_equal(http_many_start(m, &o, NULL), 0);
        while (first.n == 0)
                assert_int_equal(http_many_wait(m, NULL, 0, 10000), 0);
        assert_int_equal(first.status, 200);
        assert_string_equal(first.text, "hello");

        o.userdata = &second;
        assert_int_equal(http_many_start(m, &o, NULL), 0);
        while (second.n == 0)
                assert_int_equal(http_many_wait(m, NULL, 0, 10000), 0);
        assert_int_equal(second.status, 404);
        assert_int_equal(http_many_count(m), 0);

        /* Whoever is cancelled hears nothing; a descriptor of ours ends the wait. */
        o.userdata = &third;
        assert_int_equal(http_many_start(m, &o, &cancelled), 0);
        http_many_cancel(m, cancelled);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(write(pipes[1], "x", 1), 1);
        struct pollfd fd = { .fd = pipes[0] };
        assert_int_equal(http_many_wait(m, &fd, 1, 60000), 0);
        assert_true(fd.revents & POLLIN);
        assert_int_equal(third.n, 0);
        assert_int_equal(http_many_count(m), 0);
        (void) close(pipes[0]);
        (void) close(pipes[1]);
}

static void test_many_tells_that_nobody_listens(void **state) {
        _cleanup_(http_many_freep) HttpMany *m = NULL;
        Heard h = {};

        assert_int_equal(http_many_new(&m, &(HttpClientOptions){ .socket_path = "/nonexistent/s" }),
                         0);
        HttpJobOptions o = { .path = "/", .on_done = on_heard, .userdata = &h };
        assert_int_equal(http_many_start(m, &o, NULL), 0);
        while (h.n == 0)
                assert_int_equal(http_many_wait(m, NULL, 0, 10000), 0);
        assert_int_equal(h.error, -ENOENT);
        /* What is under way at the end is freed without a word. */
        assert_int_equal(http_many_start(m, &o, NULL), 0);
}

static void test_proxy_of_the_environment_is_not_used(void **state) {
        static const char *const answers[] = {
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", NULL
        };
        _cleanup_server_ Server p;
        _cleanup_response_ HttpResponse r = {};

        assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
        server_start(&p, answers);
        _cleanup_(http_client_freep) HttpClient *c = client(p.path, NULL);
        assert_int_equal(http_client_request(c, "GET", "/", NULL, NULL, &r), 0);
        assert_int_equal(unsetenv("http_proxy"), 0);
}

static void test_escape_leaves_nothing_that_means_something(void **state) {
        _cleanup_free_ char *escaped = http_url_escape("aZ09-._~/?#&=+% \303\251\n");

        assert_string_equal(escaped, "aZ09-._~%2F%3F%23%26%3D%2B%25%20%C3%A9%0A");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_request_says_what_it_should),
                cmocka_unit_test(test_nobody_listening_is_told_apart),
                cmocka_unit_test(test_answer_cut_short_is_an_error),
                cmocka_unit_test(test_stream_gives_bytes_until_it_is_told_to_stop),
                cmocka_unit_test(test_many_waits_for_answers_and_for_others_descriptors),
                cmocka_unit_test(test_many_tells_that_nobody_listens),
                cmocka_unit_test(test_proxy_of_the_environment_is_not_used),
                cmocka_unit_test(test_escape_leaves_nothing_that_means_something),
        };
        return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
