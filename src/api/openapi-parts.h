/* SPDX-License-Identifier: MIT */
#pragma once

/* The parts of the description that are not made from the rows of a route; openapi.c puts them together. */

#include "base/json.h"
#include "contract/inputs.h"

/* The members info, servers and tags. */
void openapi_write_head(JsonWriter *w);
/* The members x-error-codes and x-event-types. */
void openapi_write_words(JsonWriter *w);
/* The schema of an agent, by the unit keys that are built. */
void openapi_write_agent(JsonWriter *w);

/* Which tag the operations of a path have; every path has one. */
const char *openapi_tag(const char *path);
/* What an operation does beyond its summary, or NULL. */
const char *openapi_note(RouteId id);
/* The member headers of a route's success, or of an error of that status; nothing if there are none. */
void openapi_write_headers(JsonWriter *w, const Route *r);
void openapi_write_error_headers(JsonWriter *w, unsigned status);
