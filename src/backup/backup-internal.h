/* SPDX-License-Identifier: MIT */
#pragma once

/* What the files of this room share. */

#include "base/json.h"
#include "base/map.h"
#include "store/store.h"

#define BACKUP_FORMAT 1

enum {
        SNAPSHOT_DATA_VERSION, /* 0 changes when another connection commits */
        SNAPSHOT_BODY_FILES,   /* 0 key; of state.db: bodies that are files */
        SNAPSHOT_VERSION,      /* 0 of the schema */
};
extern const StoreSchema snapshot_schema;

/* Takes message over; returns r. */
int backup_say(char **ret_message, int r, char *message);
int backup_sync_folder_of(const char *path);

/* ---- check.c ---- */

/* What was read, by name, and whether the manifest agrees. */
typedef struct BackupCheck BackupCheck;
int backup_check_new(BackupCheck **ret);
BackupCheck *backup_check_free(BackupCheck *c);
DEFINE_CLEANUP(BackupCheck *, backup_check_free);
/* Reads all members; into the folder dir_fd, unless that is negative. */
int backup_check_read(BackupCheck *c, int fd, int dir_fd);
/* After it. -EBADMSG; -EOVERFLOW: of a newer agentd. */
int backup_check_manifest(const BackupCheck *c, unsigned state_schema, unsigned memory_schema);
bool backup_check_has(const BackupCheck *c, const char *name);
void backup_check_totals(const BackupCheck *c, uint64_t *ret_files, uint64_t *ret_bytes);
