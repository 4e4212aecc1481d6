/* SPDX-License-Identifier: MIT */

/* A copy of a database that is in use: by VACUUM INTO, which reads one snapshot through the WAL and
 * holds up no writer; copying the file would miss what is still in the WAL. SQLite's backup API
 * starts over whenever somebody writes, so it may never end on a busy database. The copy gets its
 * name when it is complete and on disk, and replaces an older one of that name. */

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>

#include "base/str.h"
#include "store/store-internal.h"

int store_sync_folder_of(const char *path) {
        _cleanup_free_ char *copy = strdup(path);
        _cleanup_close_ int fd = -EBADF;

        if (!copy)
                return -ENOMEM;
        fd = open(dirname(copy), O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        return fd < 0 || fsync(fd) < 0 ? errno_neg() : 0;
}

static int copy_to(StoreConnection *c, const char *path) {
        _cleanup_close_ int fd = -EBADF;
        char *sql;
        int r;

        /* VACUUM INTO takes an empty file; made here for its mode. */
        fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return errno_neg();
        sql = sqlite3_mprintf("VACUUM INTO %Q", path);
        if (!sql)
                return -ENOMEM;
        r = connection_exec(c, sql);
        sqlite3_free(sql);
        if (r < 0)
                return r;
        return fsync(fd) < 0 ? errno_neg() : 0;
}

int store_copy_database(StoreConnection *c, const char *path) {
        _cleanup_free_ char *part = str_printf("%s.part", path);
        int r;

        if (!part)
                return -ENOMEM;
        r = copy_to(c, part);
        if (r == 0 && rename(part, path) < 0)
                r = errno_neg();
        if (r == 0)
                return store_sync_folder_of(path);
        (void) unlink(part);
        return r;
}
