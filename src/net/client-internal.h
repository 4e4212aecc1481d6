/* SPDX-License-Identifier: MIT */
#pragma once

/* What the blocking client and the one for many requests side by side have in common: a curl handle
 * that is set up as ours are, and its errors as errno. */

#include <curl/curl.h>

#include "net/client.h"

static inline void http_slist_freep(struct curl_slist **list) {
        curl_slist_free_all(*list);
}
#define _cleanup_slist_ _cleanup_(http_slist_freep)

/* NULL: no memory. options->base_url and token are not looked at. */
CURL *http_curl_new(const HttpClientOptions *options);
/* The URL that paths are appended to, without a slash at its end; fresh memory or NULL. */
char *http_base_url(const HttpClientOptions *options);
/* As http_client_request() documents them; 0 for CURLE_OK. */
int http_curl_error(CURL *curl, CURLcode code);
/* body must live until the exchange has ended. */
void http_curl_method(CURL *curl, const char *method, const char *body);
/* authorization: a whole header line, or NULL. The caller frees the list. */
int http_curl_headers(const char *authorization,
                      const char *accept,
                      const char *last_event_id,
                      bool has_body,
                      struct curl_slist **ret);
