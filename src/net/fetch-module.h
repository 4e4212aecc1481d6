/* SPDX-License-Identifier: MIT */
#pragma once

/* What the module agentd-fetch.so offers to the daemon: requests on its loop, as in net/fetch.h. It
 * exports one symbol, `fetch_module`, of this type. */

#include "net/fetch.h"

#define FETCH_MODULE_VERSION 1
#define FETCH_MODULE_SYMBOL  "fetch_module"

typedef struct FetchEngine FetchEngine;

typedef struct FetchModule {
        unsigned version;
        int (*engine_new)(FetchEngine **ret, sd_event *event);
        FetchEngine *(*engine_free)(FetchEngine *e);
        int (*start)(FetchEngine *e,
                     const FetchRequest *request,
                     FetchDoneFn done,
                     void *userdata,
                     Fetch **ret);
        Fetch *(*cancel)(Fetch *fetch);
} FetchModule;

/* Every Fetch begins with this, so that it can be cancelled without its fetcher. */
typedef struct FetchHead {
        const FetchModule *module;
} FetchHead;
