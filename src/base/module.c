/* SPDX-License-Identifier: MIT */

/* Loading modules. They are never unloaded: libraries below them leave thread-local destructors and
 * detached threads behind that would run into unmapped code. Symbols stay local, so that two
 * modules may carry their own copies of our base functions. */

#include "base/module.h"

#include <dlfcn.h>
#include <stdio.h>

#include "base/fs.h"

static int load(
        const ModuleName *name, const char *path, const void **ret, char *error, size_t error_size) {
        if (access(path, F_OK) < 0)
                return errno_neg();
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library) {
                (void) snprintf(error, error_size, "%s", dlerror());
                return -ELIBACC;
        }
        const void *table = dlsym(library, name->symbol);
        if (!table || *(const unsigned *) table != name->version) {
                (void) snprintf(error, error_size, "%s is of another version of agentd", path);
                return -ELIBBAD;
        }
        *ret = table;
        return 0;
}

int module_load(
        const ModuleName *name, const char *path, const void **ret, char *error, size_t error_size) {
        _cleanup_free_ char *program_dir = NULL, *beside = NULL, *installed = NULL;

        (void) snprintf(error, error_size, "%s is not installed", path ? path : name->file);
        if (path)
                return load(name, path, ret, error, error_size);
        int r = path_of_program_dir(&program_dir);
        if (r < 0)
                return r;
        beside = path_join(program_dir, name->file);
        installed = path_join(name->installed_dir, name->file);
        if (!beside || !installed)
                return -ENOMEM;
        r = load(name, beside, ret, error, error_size);
        if (r == -ENOENT)
                r = load(name, installed, ret, error, error_size);
        return r;
}
