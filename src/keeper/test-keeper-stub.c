/* SPDX-License-Identifier: MIT */

/* A daemon for tests: hands the keeper's end of the link and the listening sockets to whoever waits
 * at the socket named by its first argument, and then does nothing until it is killed. So the test
 * itself speaks on the link, while the keeper sees a real child that lives and dies. */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/str.h"
#include "keeper/message.h"

int main(int argc, char *argv[]) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        KeeperMsg msg = { .hello = { .pid = getpid() } };
        int fds[8], fd;
        uint64_t n;

        /* DOOR --keeper-fd 3 --listen-fds N */
        if (argc != 6 || !streq(argv[2], "--keeper-fd") || !streq(argv[3], "3") ||
            !streq(argv[4], "--listen-fds") || str_to_u64(argv[5], &n) < 0 || n >= ELEMENTSOF(fds))
                return 2;
        for (uint64_t i = 0; i < 1 + n; i++)
                fds[i] = 3 + (int) i;
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return 3;
        if (keeper_msg_send(fd, &msg, fds, 1 + n) < 0)
                return 4;
        for (;;)
                (void) pause();
}
