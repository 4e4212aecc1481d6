/* SPDX-License-Identifier: MIT */

/* Answers that a process makes: GET /backup and GET /fsck read whole databases, which may take
 * minutes and must hold up nobody. So the daemon's own program runs as a tool (daemon/tool.h), its
 * stdout is a pipe, and what comes through it goes to the client at the client's pace; the loop
 * never waits for a disk. /proc/self/exe, and not a path: after an upgrade the program of that
 * name may want another schema.
 *
 * A tool writes its first byte when nothing can be wrong any more but the disk. So a failure before
 * it is an ordinary error, with what the tool said on stderr; behind it the connection ends without
 * the stream's end, which clients see.
 *
 * A client that leaves closes the pipe, and the tool ends by that, as it does when the daemon dies:
 * it has files to remove and is not killed. Until it is reaped no other one is started.
 *
 * Rejected: a thread of the pool. SQLite's locks are the process's, what a backup needs of memory
 * would stay with the daemon, and its priority could not be lowered. */

#include "api/tool.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/str.h"

#define TOOL_MAGIC   0x544f4f4cU
#define MESSAGE_SIZE 1024
#define READ_SIZE    ((size_t) 64 * 1024)

struct ApiTool {
        uint32_t magic;
        Api *api;
        ApiToolOptions options;
        ApiCall *call; /* until it is answered */
        ApiStream base;
        ApiPull pull;
        bool has_reader; /* of pull */
        bool is_cut;     /* the answer is to end before it is complete */
        bool is_reaped, is_good;
        int out, message, pidfd;
        sd_event_source *on_out, *on_child;
};

static void tool_free(ApiTool *t) {
        if (!t)
                return;
        sd_event_source_disable_unref(t->on_out);
        sd_event_source_disable_unref(t->on_child);
        fd_close(t->out);
        fd_close(t->message);
        fd_close(t->pidfd);
        if (t->api && t->api->tool == t)
                t->api->tool = NULL;
        t->magic = 0;
        free(t);
}
DEFINE_CLEANUP(ApiTool *, tool_free);

/* Nobody will read more; the tool hears of it by its pipe. */
static void let_go(ApiTool *t) {
        t->on_out = sd_event_source_disable_unref(t->on_out);
        t->out = fd_close(t->out);
        api_stream_done(&t->base);
        if (t->is_reaped)
                tool_free(t);
}

/* ---- the answer ---- */

static int wait_for_more(ApiTool *t) {
        int r = sd_event_source_set_enabled(t->on_out, SD_EVENT_ONESHOT);

        return r < 0 ? r : API_PULL_WAIT;
}

static int tool_next(ApiPull *p, Buf *out) {
        ApiTool *t = container_of(p, ApiTool, pull);

        if (t->is_cut || api_stream_has_expired(&t->base))
                return -ECANCELED;
        while (out->len < API_PIECE) {
                char *to = buf_reserve(out, READ_SIZE);
                if (!to)
                        return -ENOMEM;
                ssize_t n = read(t->out, to, READ_SIZE);
                if (n > 0)
                        out->len += (size_t) n;
                else if (n < 0 && errno != EINTR)
                        return errno != EAGAIN ? errno_neg()
                               : out->len > 0  ? API_PULL_MORE
                                               : wait_for_more(t);
                else if (n == 0 && !t->is_reaped)
                        return API_PULL_WAIT; /* for on_child */
                else if (n == 0)
                        return t->is_good ? API_PULL_END : -EIO;
        }
        return API_PULL_MORE;
}

static ApiPull *tool_done(ApiPull *p) {
        ApiTool *t = container_of(p, ApiTool, pull);

        t->has_reader = false;
        let_go(t);
        return NULL;
}

static ApiCall *take_call(ApiTool *t) {
        ApiCall *c = t->call;

        http_request_on_gone(c->req, NULL, NULL);
        t->call = NULL;
        return c;
}

static void answer(ApiTool *t) {
        ApiCall *c = take_call(t);

        t->pull = (ApiPull){ .next = tool_next, .destroy = tool_done };
        t->has_reader = true;
        http_reply_header(c->req, "Cache-Control", "no-store");
        if (t->options.file_name) {
                _cleanup_free_ char *value =
                        str_printf("attachment; filename=\"%s\"", t->options.file_name);
                if (value)
                        http_reply_header(c->req, "Content-Disposition", value);
        }
        api_reply_pull(c, &t->pull, t->options.content_type);
}

/* What it said, without its name in front and the line's end behind. */
static void fail(ApiTool *t) {
        ApiCall *c = take_call(t);
        char *text = field_arena_alloc(c->arena, MESSAGE_SIZE);
        ssize_t n = text ? pread(t->message, text, MESSAGE_SIZE - 1, 0) : 0;

        if (n > 0) {
                text[n] = '\0';
                text[strcspn(text, "\n")] = '\0';
                c->subject = str_startswith(text, "agentd: ") ?: text;
        }
        if (n <= 0 || str_isempty(c->subject))
                c->subject = "its process ended without a word";
        api_fail(c, ERROR_TOOL_FAILED);
        let_go(t);
}

/* ---- what happens ---- */

static int on_out(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        ApiTool *t = OBJ_CAST(ApiTool, userdata, TOOL_MAGIC);
        int n = 0;

        if (t->has_reader)
                api_pull_wake(&t->pull);
        else if (t->call && ioctl(fd, FIONREAD, &n) == 0 && n > 0)
                answer(t);
        return 0;
}

static int on_child(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        ApiTool *t = OBJ_CAST(ApiTool, userdata, TOOL_MAGIC);
        siginfo_t si = {};
        int n = 0;

        if (waitid(P_PIDFD, (id_t) fd, &si, WEXITED | WNOHANG) == 0 && si.si_pid == 0)
                return 0;
        t->on_child = sd_event_source_disable_unref(t->on_child);
        t->is_reaped = true;
        t->is_good = si.si_code == CLD_EXITED &&
                     (si.si_status == 0 || si.si_status == t->options.also_good);
        if (t->has_reader)
                api_pull_wake(&t->pull);
        else if (!t->call)
                tool_free(t);
        else if (t->is_good || (ioctl(t->out, FIONREAD, &n) == 0 && n > 0))
                answer(t);
        else
                fail(t);
        return 0;
}

static void on_gone(HttpRequest *req, void *userdata) {
        ApiTool *t = OBJ_CAST(ApiTool, userdata, TOOL_MAGIC);

        (void) take_call(t);
        let_go(t);
        http_reply(req, 204, NULL, NULL); /* to nobody: lets go of the request */
}

/* The daemon stops, or the token was revoked. */
static void on_end(ApiStream *base) {
        ApiTool *t = container_of(base, ApiTool, base);

        t->is_cut = true;
        if (t->has_reader) {
                api_pull_wake(&t->pull);
                return;
        }
        if (t->call)
                api_fail(take_call(t), t->api->is_quiescing ? ERROR_SHUTTING_DOWN : ERROR_BAD_TOKEN);
        let_go(t);
}

/* ---- the process ---- */

static int spawn_with(const char *const *argv, int out, int message, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attr;
        sigset_t none;

        int r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawnattr_init(&attr);
        if (r != 0) {
                (void) posix_spawn_file_actions_destroy(&actions);
                return -r;
        }
        sigemptyset(&none);
        r = posix_spawnattr_setsigmask(&attr, &none);
        if (r == 0)
                r = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
        if (r == 0)
                r = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY,
                                                     0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, message, STDERR_FILENO);
        if (r == 0)
                r = posix_spawn(ret, "/proc/self/exe", &actions, &attr, (char **) (uintptr_t) argv,
                                environ);
        (void) posix_spawnattr_destroy(&attr);
        (void) posix_spawn_file_actions_destroy(&actions);
        return -r;
}

static int spawn(ApiTool *t, const char *const *argv) {
        _cleanup_close_ int theirs = -EBADF;
        int pair[2];
        pid_t pid;

        t->message = memfd_create("agentd-tool", MFD_CLOEXEC);
        if (t->message < 0 || pipe2(pair, O_CLOEXEC) < 0)
                return errno_neg();
        t->out = pair[0];
        theirs = pair[1];
        int r = fd_set_nonblock(t->out, true);
        if (r >= 0)
                r = spawn_with(argv, theirs, t->message, &pid);
        if (r < 0)
                return r;
        t->pidfd = pidfd_open(pid, 0); /* our child, not reaped: no race */
        return t->pidfd < 0 ? errno_neg() : 0;
}

static int tool_start(ApiTool *t, const char *const *argv) {
        sd_event *event = t->api->event;
        int r = spawn(t, argv);

        if (r >= 0)
                r = sd_event_add_io(event, &t->on_out, t->out, EPOLLIN, on_out, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->on_out, SD_EVENT_ONESHOT);
        return r < 0 ? r : sd_event_add_io(event, &t->on_child, t->pidfd, EPOLLIN, on_child, t);
}

void api_reply_tool(ApiCall *c, const char *const *argv, const ApiToolOptions *options) {
        if (c->api->tool) {
                api_fail(c, ERROR_TOOL_BUSY);
                return;
        }
        if (http_method(c->req) == HTTP_HEAD) {
                http_reply(c->req, c->route->status, NULL, NULL);
                return;
        }
        _cleanup_(tool_freep) ApiTool *t = calloc(1, sizeof(*t));
        if (!t) {
                api_fail_result(c, -ENOMEM);
                return;
        }
        *t = (ApiTool){
                .magic = TOOL_MAGIC,
                .api = c->api,
                .options = *options,
                .out = -EBADF,
                .message = -EBADF,
                .pidfd = -EBADF,
        };
        if (!api_stream_begin(c, &t->base, on_end))
                return;
        int r = tool_start(t, argv);
        if (r < 0) {
                api_stream_done(&t->base);
                api_fail_result(c, r);
                return;
        }
        t->call = c;
        http_request_on_gone(c->req, on_gone, t);
        c->api->tool = TAKE_PTR(t);
}

void api_tool_forget(Api *a) {
        if (!a->tool)
                return;
        tool_free(a->tool);
        a->tool = NULL;
}
