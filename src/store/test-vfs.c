/* SPDX-License-Identifier: MIT */

/* See test-vfs.h. Each file of ours is followed in memory by the real one's, whose methods do the
 * work. Errors are said as SQLite's unix VFS says them: a code and errno. Rejected for the store's
 * own tests: LD_PRELOAD (tests/preload has that for whole daemons), because here a test wants to
 * change its mind between two calls of the thread it tests. */

#include "store/test-vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <string.h>

typedef struct TroubleFile {
        sqlite3_file base;
        bool is_watched;
        _Alignas(8) char real[];
} TroubleFile;

static struct {
        pthread_mutex_t mutex;
        Trouble now;
        uint64_t calls, failures;
} state = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static sqlite3_vfs *real_vfs;

void trouble_set(const Trouble *t) {
        (void) pthread_mutex_lock(&state.mutex);
        state.now = t ? *t : (Trouble){};
        state.calls = state.failures = 0;
        (void) pthread_mutex_unlock(&state.mutex);
}

static uint64_t look(const uint64_t *counter) {
        (void) pthread_mutex_lock(&state.mutex);
        uint64_t n = *counter;
        (void) pthread_mutex_unlock(&state.mutex);
        return n;
}

uint64_t trouble_calls(void) {
        return look(&state.calls);
}

uint64_t trouble_failures(void) {
        return look(&state.failures);
}

/* Counts the call; true if it is to fail, then *ret_error is how. */
static bool fails(sqlite3_file *file, TroubleKind kind, int *ret_error) {
        bool r = false;

        if (!((TroubleFile *) file)->is_watched)
                return false;
        (void) pthread_mutex_lock(&state.mutex);
        if (state.now.kinds & kind) {
                uint64_t n = ++state.calls;
                r = state.now.from > 0 && n >= state.now.from && n <= state.now.upto;
                state.failures += r;
                *ret_error = state.now.error;
        }
        (void) pthread_mutex_unlock(&state.mutex);
        return r;
}

static sqlite3_file *real_of(sqlite3_file *file) {
        return (sqlite3_file *) (void *) ((TroubleFile *) file)->real;
}

/* ---- what may fail ---- */

static int file_write(sqlite3_file *file, const void *data, int n, sqlite3_int64 offset) {
        sqlite3_file *real = real_of(file);
        int error;

        if (!fails(file, TROUBLE_WRITE, &error))
                return real->pMethods->xWrite(real, data, n, offset);
        if (error == 0) {
                (void) real->pMethods->xWrite(real, data, n / 2, offset);
                error = ENOSPC;
        }
        errno = error;
        return error == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
}

/* When it fails, then as bad as it can be: the bytes are in the page cache and stay there. Nobody
 * pulls the plug here, so one that works has nothing to do. */
static int file_sync(sqlite3_file *file, int flags) {
        int error;

        (void) flags;
        if (!fails(file, TROUBLE_SYNC, &error))
                return SQLITE_OK;
        errno = error ? error : ENOSPC;
        return SQLITE_IOERR_FSYNC;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size) {
        sqlite3_file *real = real_of(file);
        int error;

        if (!fails(file, TROUBLE_TRUNCATE, &error))
                return real->pMethods->xTruncate(real, size);
        errno = error ? error : ENOSPC;
        return SQLITE_IOERR_TRUNCATE;
}

/* ---- what is passed on ---- */

static int file_close(sqlite3_file *f) {
        return real_of(f)->pMethods->xClose(real_of(f));
}
static int file_read(sqlite3_file *f, void *data, int n, sqlite3_int64 offset) {
        return real_of(f)->pMethods->xRead(real_of(f), data, n, offset);
}
static int file_size(sqlite3_file *f, sqlite3_int64 *ret) {
        return real_of(f)->pMethods->xFileSize(real_of(f), ret);
}
static int file_lock(sqlite3_file *f, int level) {
        return real_of(f)->pMethods->xLock(real_of(f), level);
}
static int file_unlock(sqlite3_file *f, int level) {
        return real_of(f)->pMethods->xUnlock(real_of(f), level);
}
static int file_reserved(sqlite3_file *f, int *ret) {
        return real_of(f)->pMethods->xCheckReservedLock(real_of(f), ret);
}
static int file_control(sqlite3_file *f, int op, void *arg) {
        return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int file_sector(sqlite3_file *f) {
        return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int file_device(sqlite3_file *f) {
        return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}
static int file_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret) {
        return real_of(f)->pMethods->xShmMap(real_of(f), page, size, extend, ret);
}
static int file_shm_lock(sqlite3_file *f, int offset, int n, int flags) {
        return real_of(f)->pMethods->xShmLock(real_of(f), offset, n, flags);
}
static void file_shm_barrier(sqlite3_file *f) {
        real_of(f)->pMethods->xShmBarrier(real_of(f));
}
static int file_shm_unmap(sqlite3_file *f, int remove) {
        return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static const sqlite3_io_methods methods = {
        .iVersion = 2, /* without the memory maps of version 3 */
        .xClose = file_close,
        .xRead = file_read,
        .xWrite = file_write,
        .xTruncate = file_truncate,
        .xSync = file_sync,
        .xFileSize = file_size,
        .xLock = file_lock,
        .xUnlock = file_unlock,
        .xCheckReservedLock = file_reserved,
        .xFileControl = file_control,
        .xSectorSize = file_sector,
        .xDeviceCharacteristics = file_device,
        .xShmMap = file_shm_map,
        .xShmLock = file_shm_lock,
        .xShmBarrier = file_shm_barrier,
        .xShmUnmap = file_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags) {
        TroubleFile *f = (TroubleFile *) file;

        (void) vfs;
        f->is_watched = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)) != 0;
        int code = real_vfs->xOpen(real_vfs, name, real_of(file), flags, ret_flags);
        f->base.pMethods = real_of(file)->pMethods ? &methods : NULL;
        return code;
}

void trouble_install(void) {
        static sqlite3_vfs vfs;

        if (real_vfs)
                return;
        real_vfs = sqlite3_vfs_find(NULL);
        vfs = *real_vfs;
        vfs.zName = "trouble";
        vfs.szOsFile = (int) sizeof(TroubleFile) + real_vfs->szOsFile;
        vfs.xOpen = vfs_open;
        (void) sqlite3_vfs_register(&vfs, 1);
}
