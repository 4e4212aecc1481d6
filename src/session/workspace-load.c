/* SPDX-License-Identifier: MIT */

/* Loading the module, once per manager and only when a workspace is first used: libgit2 and what it
 * needs are several MiB that most daemons would carry for nothing. The module is never unloaded:
 * libraries below libgit2 leave thread-local destructors behind that would run into unmapped code.
 */

#include <dlfcn.h>
#include <stdio.h>

#include "base/fs.h"
#include "session/workspace-internal.h"

#define MODULE_NAME "agentd-workspace.so"

static int load(const char *path, const WorkspaceModule **ret, char *error, size_t error_size) {
        if (access(path, F_OK) < 0)
                return errno_neg();
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!library) {
                (void) snprintf(error, error_size, "%s", dlerror());
                return -ELIBACC;
        }
        const WorkspaceModule *module = dlsym(library, WORKSPACE_MODULE_SYMBOL);
        if (!module || module->version != WORKSPACE_MODULE_VERSION) {
                (void) snprintf(error, error_size, "%s is of another version of agentd", path);
                return -ELIBBAD;
        }
        *ret = module;
        return 0;
}

int workspace_module_load(const char *path, const WorkspaceModule **ret, char *error, size_t error_size) {
        _cleanup_free_ char *program_dir = NULL, *beside = NULL;

        (void) snprintf(error, error_size, "%s is not installed", path ? path : MODULE_NAME);
        if (path)
                return load(path, ret, error, error_size);
        int r = path_of_program_dir(&program_dir);
        if (r < 0)
                return r;
        beside = path_join(program_dir, MODULE_NAME);
        if (!beside)
                return -ENOMEM;
        r = load(beside, ret, error, error_size);
        if (r == -ENOENT)
                r = load(AGENTD_HELPER_DIR "/" MODULE_NAME, ret, error, error_size);
        return r;
}
