/* SPDX-License-Identifier: MIT */
#pragma once

/* The file of a backup: a POSIX tar (ustar, sizes beyond 8 GiB in base 256 as GNU writes them),
 * compressed with zstd, so that `tar --zstd -tvf` shows it and a person can take one file out
 * without agentd. Its last member, manifest.json, has every other member's size and BLAKE2b-256. */

#include "base/buf.h"
#include "base/json.h"

#define ARCHIVE_NAME_MAX  99 /* of a member */
#define ARCHIVE_HASH_SIZE 32
#define ARCHIVE_MANIFEST  "manifest.json"

typedef struct ArchiveWriter ArchiveWriter;

/* Writes to fd, which stays the caller's. */
int archive_writer_new(ArchiveWriter **ret, int fd);
ArchiveWriter *archive_writer_free(ArchiveWriter *w);
DEFINE_CLEANUP(ArchiveWriter *, archive_writer_free);
/* The file as long as it is now; what is appended meanwhile stays out. on_bytes (may be NULL) hears
 * of progress and stops it with a negative errno. -ENAMETOOLONG; -ENODATA: it became shorter. */
int archive_add_file(ArchiveWriter *w,
                     const char *name,
                     int fd,
                     int (*on_bytes)(size_t n, void *userdata),
                     void *userdata);
/* Manifest and end. head: members of the manifest beside "files", as `"a":1,"b":2`. */
int archive_finish(ArchiveWriter *w, JsonSpan head);

typedef struct ArchiveReader ArchiveReader;
int archive_reader_new(ArchiveReader **ret, int fd);
ArchiveReader *archive_reader_free(ArchiveReader *r);
DEFINE_CLEANUP(ArchiveReader *, archive_reader_free);
/* 1: the next member, whose name lives until the call after; 0: the end of a complete archive;
 * -EBADMSG: damaged or cut short; -EMEDIUMTYPE: not such a file. What was not read is skipped. */
int archive_next(ArchiveReader *r, const char **ret_name, uint64_t *ret_size);
/* Up to n bytes of the member; 0 at its end. */
ssize_t archive_read(ArchiveReader *r, void *data, size_t n);
