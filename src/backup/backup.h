/* SPDX-License-Identifier: MIT */
#pragma once

/* A backup: one file (archive.h) with state.db, memory.db, the bodies that state.db names, the
 * workspaces' objects and, if asked for, the logs; consistent as of one moment, though the daemon
 * goes on writing. These functions are a process's of their own (`agentd-daemon --backup`): they
 * read the databases as SQLite lets any process read them, and block. */

#include "base/macro.h"

/* Where the data is. */
typedef struct BackupPlaces {
        const char *state, *memory; /* the databases */
        const char *data_dir;
} BackupPlaces;

typedef struct BackupOptions {
        bool logs;   /* with the logs of runs */
        bool verify; /* read it back and check it before it gets its name */
        /* Bytes read so far; a negative errno ends it. May be NULL. */
        int (*progress)(uint64_t bytes, void *userdata);
        void *userdata;
} BackupOptions;

typedef struct BackupResult {
        uint64_t files, bytes; /* in it */
        uint64_t size;         /* of the backup's file */
} BackupResult;

/* Writes path (mode 0600), which must not exist: under another name until it is complete, synced and, if
 * asked for, verified. Errors with a sentence in *ret_message: -EEXIST, -ENOENT (no database)… */
int backup_write(const BackupPlaces *p,
                 const char *path,
                 const BackupOptions *o,
                 BackupResult *ret,
                 char **ret_message);
/* The same to fd, which may be a pipe, once all of it is made: in a folder of its own below the
 * data folder, where nothing is left of it afterwards, nor of those that were killed. -EPIPE soon
 * after the pipe's reader left. */
int backup_send(const BackupPlaces *p,
                int fd,
                const BackupOptions *o,
                BackupResult *ret,
                char **ret_message);
/* Reads all of it and compares with its manifest. -EMEDIUMTYPE: no backup; -EBADMSG: damaged. */
int backup_verify(const char *path, BackupResult *ret, char **ret_message);

/* Puts a backup into a folder, after all of it was read, checked and is on disk beside the place it
 * goes to. -EBUSY: a daemon runs there; -ENOTEMPTY: there is data already, unless RESTORE_FORCE,
 * which moves it to *ret_old (fresh; NULL: there was none). Runs that were alive are marked as of
 * another machine: nobody will look for their processes, and their sessions come back as after a
 * power cut. */
typedef enum RestoreFlags {
        RESTORE_FORCE = 1 << 0, /* move away what is there */
        RESTORE_STOPPED =
                1 << 1, /* what was running or paused is stopped: no agent starts by itself */
} RestoreFlags;
int backup_restore(const char *path,
                   const char *dir,
                   unsigned flags,
                   BackupResult *ret,
                   char **ret_old,
                   char **ret_message);
