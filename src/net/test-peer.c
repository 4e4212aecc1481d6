/* SPDX-License-Identifier: MIT */

/* Who is at the other end: a child process connects, as somebody else or from another cgroup, and
 * the parent asks the kernel. The child waits on a pipe until it was looked at. */

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/test.h"
#include "net/auth.h"

typedef struct Listener {
        int fd;
        int domain;
        struct sockaddr_storage address;
        socklen_t n;
} Listener;

typedef struct Child {
        pid_t pid;
        int hold; /* closed: it may go */
} Child;

typedef struct ChildPlan {
        uid_t uid;         /* 0: as we are */
        int cgroup_fd;     /* < 0: as we are; else an open cgroup.procs */
        bool leaves_early; /* sends a request and exits */
} ChildPlan;

static bool listener_open(Listener *l, const void *address, socklen_t n) {
        *l = (Listener){ .n = sizeof(l->address) };
        l->domain = ((const struct sockaddr *) address)->sa_family;
        l->fd = socket(l->domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (l->fd < 0 || bind(l->fd, address, n) < 0) {
                l->fd = fd_close(l->fd);
                return false;
        }
        assert_int_equal(listen(l->fd, 16), 0);
        assert_int_equal(getsockname(l->fd, (struct sockaddr *) &l->address, &l->n), 0);
        return true;
}

static void listener_done(Listener *l) {
        l->fd = fd_close(l->fd);
}
#define _cleanup_listener_ _cleanup_(listener_done)

static void listen_v4(Listener *l) {
        const struct sockaddr_in in = { .sin_family = AF_INET,
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        assert_true(listener_open(l, &in, sizeof(in)));
}

/* An abstract name chosen by the kernel: nobody's file permissions matter. */
static void listen_unix(Listener *l) {
        const sa_family_t family = AF_UNIX;

        assert_true(listener_open(l, &family, sizeof(family)));
}

static void child_write(int fd, const char *text) {
        if (write(fd, text, strlen(text)) < 0)
                _exit(3);
}

/* Runs in the child: no assertions, which would go on with the parent's tests. */
__attribute__((noreturn)) static void child_main(
        const ChildPlan *plan, const void *address, socklen_t n, int domain, int hold) {
        char c;

        if (plan->cgroup_fd >= 0)
                child_write(plan->cgroup_fd, "0");
        if (plan->uid != 0 && setresuid(plan->uid, plan->uid, plan->uid) < 0)
                _exit(1);
        int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, address, n) < 0)
                _exit(2);
        child_write(fd, "GET / HTTP/1.1\r\n\r\n");
        if (!plan->leaves_early)
                (void) !read(hold, &c, 1);
        _exit(0);
}

static void child_start(Child *child, const ChildPlan *plan, const void *address, socklen_t n) {
        int hold[2];

        assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
        child->pid = fork();
        assert_true(child->pid >= 0);
        if (child->pid == 0) {
                (void) close(hold[1]);
                child_main(plan, address, n, ((const struct sockaddr *) address)->sa_family, hold[0]);
        }
        (void) close(hold[0]);
        child->hold = hold[1];
}

static void child_end(Child *child) {
        int status;

        child->hold = fd_close(child->hold);
        assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
}

/* Lets a child connect, asks for it while it lives (or after it has gone), and waits for it. */
static Peer identify_child(Listener *l, const ChildPlan *plan, const void *address, socklen_t n) {
        Child child;
        Peer peer;

        child_start(&child, plan, address, n);
        _cleanup_close_ int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fd >= 0);
        if (plan->leaves_early)
                child_end(&child);
        peer_identify(fd, &peer);
        if (!plan->leaves_early)
                child_end(&child);
        return peer;
}

static const ChildPlan as_we_are = { .cgroup_fd = -1 };

static void test_loopback_peer_is_known_by_its_socket(void **state) {
        _cleanup_listener_ Listener l;
        char prefix[] = "127.0.0.1:";

        listen_v4(&l);
        Peer peer = identify_child(&l, &as_we_are, &l.address, l.n);
        assert_int_equal(peer.kind, PEER_LOCAL);
        assert_true(peer.flags & PEER_HAS_UID);
        assert_int_equal(peer.uid, geteuid());
        assert_memory_equal(peer.address, prefix, strlen(prefix));
}

static void test_unix_peer_is_known_by_its_credentials(void **state) {
        _cleanup_listener_ Listener l;

        listen_unix(&l);
        Peer peer = identify_child(&l, &as_we_are, &l.address, l.n);
        assert_int_equal(peer.kind, PEER_UNIX);
        assert_true(peer.flags & PEER_HAS_UID);
        assert_int_equal(peer.uid, geteuid());
        assert_true(peer.pid > 0 && peer.pid != getpid());
        assert_string_equal(peer.address, "unix");
}

static void test_ipv6_and_mapped_peers_are_known_too(void **state) {
        _cleanup_listener_ Listener l;
        const struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

        if (!listener_open(&l, &any, sizeof(any))) {
                print_message("no IPv6 here, skipped\n");
                skip();
        }
        four.sin_port = six.sin6_port = ((struct sockaddr_in6 *) &l.address)->sin6_port;

        Peer peer = identify_child(&l, &as_we_are, &four, sizeof(four));
        assert_int_equal(peer.kind, PEER_LOCAL);
        assert_true(peer.flags & PEER_HAS_UID);
        assert_memory_equal(peer.address, "127.0.0.1:", 10);

        peer = identify_child(&l, &as_we_are, &six, sizeof(six));
        assert_int_equal(peer.kind, PEER_LOCAL);
        assert_true(peer.flags & PEER_HAS_UID);
        assert_memory_equal(peer.address, "[::1]:", 6);
}

static void test_peer_that_closed_before_we_look_has_no_uid(void **state) {
        _cleanup_listener_ Listener l;
        const ChildPlan hasty = { .cgroup_fd = -1, .leaves_early = true };

        listen_v4(&l);
        for (unsigned i = 0; i < 20; i++) {
                Peer peer = identify_child(&l, &hasty, &l.address, l.n);
                assert_int_equal(peer.kind, PEER_LOCAL);
                assert_int_equal(peer.flags, 0);
        }
}

static void test_another_user_is_told_apart(void **state) {
        const ChildPlan nobody = { .uid = 65534, .cgroup_fd = -1 };

        if (geteuid() != 0) {
                print_message("not root, skipped\n");
                skip();
        }
        for (unsigned over_unix = 0; over_unix < 2; over_unix++) {
                _cleanup_listener_ Listener l;

                if (over_unix)
                        listen_unix(&l);
                else
                        listen_v4(&l);
                Peer peer = identify_child(&l, &nobody, &l.address, l.n);
                assert_true(peer.flags & PEER_HAS_UID);
                assert_int_equal(peer.uid, 65534);
        }
}

/* ---- cgroups ---- */

/* A fresh cgroup below our own, or NULL if there is no cgroup v2 or we may not. */
static char *cgroup_make(void) {
        static const char *const roots[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
        _cleanup_free_ char *text = NULL;
        struct statfs s;

        if (fs_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL) < 0)
                return NULL;
        char *own = strstr(text, "0::");
        if (!own)
                return NULL;
        own += 3;
        own[strcspn(own, "\n")] = '\0';

        ARRAY_FOREACH(root, roots) {
                if (statfs(*root, &s) < 0 || s.f_type != CGROUP2_SUPER_MAGIC)
                        continue;
                _cleanup_free_ char *path = str_printf("%s%s/agentd-test-%d", *root, own, getpid());
                assert_non_null(path);
                if (mkdir(path, 0755) >= 0)
                        return TAKE_PTR(path);
        }
        return NULL;
}

static void cgroup_donep(char **path) {
        if (*path)
                assert_int_equal(rmdir(*path), 0);
        free(*path);
}

static void expect_cgroup(void (*start)(Listener *l), bool leaves_early) {
        _cleanup_(cgroup_donep) char *folder = cgroup_make();
        _cleanup_listener_ Listener l;
        struct stat st;

        if (!folder) {
                print_message("no writable cgroup v2, skipped\n");
                skip();
        }
        _cleanup_free_ char *procs = path_join(folder, "cgroup.procs");
        _cleanup_close_ int fd = open(procs, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(stat(folder, &st), 0);

        start(&l);
        const ChildPlan inside = { .cgroup_fd = fd, .leaves_early = leaves_early };
        Peer peer = identify_child(&l, &inside, &l.address, l.n);
        if (leaves_early) {
                /* Not knowing is fine, being wrong is not. */
                assert_true(!(peer.flags & PEER_HAS_CGROUP) || peer.cgroup_id == st.st_ino);
                return;
        }
        assert_true(peer.flags & PEER_HAS_CGROUP);
        assert_int_equal(peer.cgroup_id, st.st_ino);

        /* And somebody outside is outside. */
        peer = identify_child(&l, &as_we_are, &l.address, l.n);
        assert_true(peer.flags & PEER_HAS_CGROUP);
        assert_int_not_equal(peer.cgroup_id, st.st_ino);
}

static void test_cgroup_of_a_loopback_peer_is_known(void **state) {
        expect_cgroup(listen_v4, false);
}

static void test_cgroup_of_a_unix_peer_is_known(void **state) {
        expect_cgroup(listen_unix, false);
}

static void test_cgroup_of_a_unix_peer_that_ended_is_not_mistaken(void **state) {
        expect_cgroup(listen_unix, true);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_loopback_peer_is_known_by_its_socket),
                cmocka_unit_test(test_unix_peer_is_known_by_its_credentials),
                cmocka_unit_test(test_ipv6_and_mapped_peers_are_known_too),
                cmocka_unit_test(test_peer_that_closed_before_we_look_has_no_uid),
                cmocka_unit_test(test_another_user_is_told_apart),
                cmocka_unit_test(test_cgroup_of_a_loopback_peer_is_known),
                cmocka_unit_test(test_cgroup_of_a_unix_peer_is_known),
                cmocka_unit_test(test_cgroup_of_a_unix_peer_that_ended_is_not_mistaken),
        };
        return cmocka_run_group_tests_name("peer", tests, NULL, NULL);
}
