/* SPDX-License-Identifier: MIT */
#pragma once

/* What the command line, and the daemon for its clients, has the daemon's program do in a process
 * of its own, because it needs the databases and not the daemon:
 *   --tool=backup STATE MEMORY DATA FILE [--logs] [--verify]
 *   --tool=send-backup STATE MEMORY DATA [--logs] [--verify]   to stdout
 *   --tool=verify-backup FILE
 *   --tool=restore-backup DIR FILE [--force]
 *   --tool=fsck STATE MEMORY DATA [--repair] [--json|--array]
 * Returns the exit status. */
int tool_main(int argc, char **argv);
