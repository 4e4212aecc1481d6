/* SPDX-License-Identifier: MIT */

/* A main() for fuzz targets without a fuzzer: feeds every file of the given folders to the target
 * once, in the ordinary test run and with any compiler. A crash found by fuzzing becomes a file in
 * the corpus and is a regression test from then on. An empty folder is a failure: a test that reads
 * nothing proves nothing. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/fs.h"

#define INPUT_BYTES_MAX (16 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(int dir_fd, const char *name) {
        _cleanup_free_ char *data = NULL;
        size_t n;
        int r = fs_read_file(dir_fd, name, INPUT_BYTES_MAX, &data, &n);

        if (r < 0) {
                (void) fprintf(stderr, "%s: %s\n", name, strerrordesc_np(-r));
                return r;
        }
        (void) LLVMFuzzerTestOneInput((const uint8_t *) data, n);
        return 0;
}

/* The number of files fed, or an error. */
static int replay_folder(const char *path) {
        _cleanup_(dir_closep) DIR *dir = opendir(path);
        int n = 0;

        if (!dir) {
                (void) fprintf(stderr, "%s: %s\n", path, strerrordesc_np(errno));
                return errno_neg();
        }
        for (const struct dirent *e = readdir(dir); e; e = readdir(dir)) {
                if (e->d_name[0] == '.')
                        continue;
                int r = replay_file(dirfd(dir), e->d_name);
                if (r < 0)
                        return r;
                n++;
        }
        if (n == 0)
                (void) fprintf(stderr, "%s: no files\n", path);
        return n;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (replay_folder(argv[i]) <= 0)
                        return EXIT_FAILURE;
        return argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
}
