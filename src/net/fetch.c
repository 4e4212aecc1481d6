/* SPDX-License-Identifier: MIT */

/* The daemon's side of requests to others: the module with libcurl is loaded and its engine made at
 * the first request, and everything is handed on to it. A module that could not be loaded is looked
 * for again at the next request, so that installing it needs no new start. */

#include "net/fetch.h"

#include "base/module.h"
#include "base/obj.h"
#include "net/fetch-module.h"

#define FETCHER_MAGIC 0x46744368u

struct Fetcher {
        uint32_t magic;
        sd_event *event;
        char *module_path;
        const FetchModule *module;
        FetchEngine *engine;
        char error[256];
};

int fetcher_new(Fetcher **ret, sd_event *event) {
        Fetcher *f = calloc(1, sizeof(*f));

        if (!f)
                return -ENOMEM;
        f->magic = FETCHER_MAGIC;
        f->event = sd_event_ref(event);
        *ret = f;
        return 0;
}

Fetcher *fetcher_free(Fetcher *f) {
        if (!f)
                return NULL;
        OBJ_CHECK(f, FETCHER_MAGIC);
        if (f->engine)
                f->engine = f->module->engine_free(f->engine);
        sd_event_unref(f->event);
        free(f->module_path);
        f->magic = 0;
        free(f);
        return NULL;
}

int fetcher_set_module(Fetcher *f, const char *path) {
        char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        free(f->module_path);
        f->module_path = copy;
        return 0;
}

const char *fetcher_error(const Fetcher *f) {
        return f->error;
}

static int make_engine(Fetcher *f) {
        static const ModuleName name = {
                .file = "agentd-fetch.so",
                .symbol = FETCH_MODULE_SYMBOL,
                .version = FETCH_MODULE_VERSION,
                .installed_dir = AGENTD_HELPER_DIR,
        };
        const void *module;
        int r = module_load(&name, f->module_path, &module, f->error, sizeof(f->error));

        if (r < 0)
                return r == -ENOMEM ? r : -ELIBACC;
        r = ((const FetchModule *) module)->engine_new(&f->engine, f->event);
        if (r >= 0)
                f->module = module;
        return r;
}

int fetch_start(Fetcher *f, const FetchRequest *request, FetchDoneFn done, void *userdata, Fetch **ret) {
        OBJ_CHECK(f, FETCHER_MAGIC);
        int r = f->engine ? 0 : make_engine(f);

        return r < 0 ? r : f->module->start(f->engine, request, done, userdata, ret);
}

Fetch *fetch_cancel(Fetch *fetch) {
        const FetchHead *head = (const FetchHead *) (const void *) fetch;

        return head ? head->module->cancel(fetch) : NULL;
}
