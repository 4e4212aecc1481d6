/* SPDX-License-Identifier: MIT */
#pragma once

/* The one-time import of the databases of the original AgentRuntime, a Python program whose
 * state.db and memory.db lie at the same place. It is called before the store is opened, with the
 * path that is to be opened, and blocks.
 *
 * The original is never written to: it is kept, byte for byte, as PATH.original (with its journal,
 * if it left one). The new database is made beside it as PATH.import.part, is renamed to
 * PATH.import when it is complete and on disk, and then takes PATH's place. Killed at any moment,
 * PATH is the original or the finished import, and the next start goes on. What was not sound is in
 * PATH.import-report, one line of JSON each: table, key, problem, and what became of it. */

#include "base/macro.h"

typedef enum ImportKind {
        IMPORT_STATE,
        IMPORT_MEMORY, /* after the state: it names sessions (session_aliases_load()) */
} ImportKind;

/* 1: imported now. 0: nothing to import (no file, one of ours, or something that is not the
 * original's: opening it says what). Errors, with a sentence for people in *ret_message:
 *   -EBUSY   the original still runs on it
 *   -EEXIST  PATH.original is there already and is another file
 *   or what the system said; nothing is changed then. Progress and a summary go to the log. */
int import_original(const char *path, ImportKind kind, char **ret_message);
