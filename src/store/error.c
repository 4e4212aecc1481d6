/* SPDX-License-Identifier: MIT */

/* SQLite's error codes as ours.
 *
 * The callers of the store decide by errno: a full disk is a different answer to a client than a
 * broken one. SQLite knows SQLITE_FULL only for ENOSPC; a quota, a file size limit or a file system
 * that became read-only all arrive as SQLITE_IOERR, and the errno behind it is looked for.
 * sqlite3_system_errno() does not have it when a COMMIT fails (3.40) but what an earlier failure
 * left there; errno itself does, so it is asked first. It may also be left from a call whose
 * failure meant nothing, so only what can stop a write is believed. */

#include <stdarg.h>
#include <stdio.h>

#include "store/store-internal.h"

static int io_error(sqlite3 *db, int last_errno) {
        static const int known[] = { ENOSPC, EDQUOT, EFBIG, EROFS, ENODEV, ENOMEM, EIO };
        int candidates[] = { last_errno, db ? sqlite3_system_errno(db) : 0 };

        ARRAY_FOREACH(c, candidates)
                ARRAY_FOREACH(k, known)
                        if (*k == *c)
                                return -*k;
        return -EIO;
}

static int open_error(sqlite3 *db) {
        int e = db ? sqlite3_system_errno(db) : 0;

        return e > 0 ? -e : -EIO;
}

int store_sqlite_error(sqlite3 *db, int code) {
        static const struct {
                int code;
                int error;
        } table[] = {
                { SQLITE_CONSTRAINT, STORE_E_CONFLICT },
                { SQLITE_FULL, -ENOSPC },
                { SQLITE_READONLY, -EROFS },
                { SQLITE_CORRUPT, -EUCLEAN },
                { SQLITE_NOTADB, -EUCLEAN },
                { SQLITE_NOMEM, -ENOMEM },
                { SQLITE_BUSY, -EBUSY },
                { SQLITE_LOCKED, -EBUSY },
                { SQLITE_TOOBIG, -E2BIG },
                { SQLITE_MISMATCH, -EINVAL },
                { SQLITE_PERM, -EACCES },
                { SQLITE_INTERRUPT, -ECANCELED },
        };
        int last_errno = errno;

        if (code == SQLITE_IOERR_NOMEM)
                return -ENOMEM;
        if ((code & 0xff) == SQLITE_IOERR)
                return io_error(db, last_errno);
        if ((code & 0xff) == SQLITE_CANTOPEN)
                return open_error(db);
        ARRAY_FOREACH(row, table)
                if (row->code == (code & 0xff))
                        return row->error;
        return -EIO;
}

int store_fail(char **ret_message, int r, const char *format, ...) {
        va_list ap;

        if (!ret_message)
                return r;
        free(*ret_message);
        va_start(ap, format);
        if (vasprintf(ret_message, format, ap) < 0)
                *ret_message = NULL;
        va_end(ap);
        return r;
}
