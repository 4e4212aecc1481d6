/* SPDX-License-Identifier: MIT */

/* One object per key with writes under way, with the state after the last of them and how many
 * there are. That is sound because a failed commit takes everything with it that was submitted
 * after it, and nothing new is taken until all those failures were delivered (store.h): so when the
 * last of them has ended, the rows are the truth again. Rejected: asking the database to compute
 * the next version (the answer needs it, and a completion brings no values), and one write of a key
 * at a time (a key that many agents write would cost a sync each). */

#include "memory/flight.h"

#include "base/id.h"
#include "base/map.h"
#include "base/obj.h"
#include "base/str.h"

#define FLIGHT_MAGIC 0x464c4754U

struct Flight {
        uint32_t magic;
        unsigned n; /* writes under way */
        Flights *all;
        KeyState state;
        char *name;
};

struct Flights {
        StrMap *map;
};

Flights *flights_new(void) {
        Flights *f = calloc(1, sizeof(*f));

        if (f)
                f->map = strmap_new();
        return f && f->map ? f : flights_free(f);
}

Flights *flights_free(Flights *f) {
        if (!f)
                return NULL;
        assert(!f->map || strmap_size(f->map) == 0);
        strmap_free(f->map);
        free(f);
        return NULL;
}

static char *name_of(MemoryScope scope, const char *key) {
        char namespace_id[ID_STRING_SIZE], id[ID_STRING_SIZE];

        return str_printf("%s%s%s", id_format(scope.namespace_id, namespace_id),
                          id_format(scope.id, id), key);
}

bool flights_get(const Flights *f, MemoryScope scope, const char *key, KeyState *ret) {
        if (strmap_size(f->map) == 0)
                return false;
        _cleanup_free_ char *name = name_of(scope, key);
        const Flight *flight = name ? strmap_get(f->map, name) : NULL;

        if (flight)
                *ret = flight->state;
        return flight != NULL;
}

static Flight *flight_new(Flights *f, char *name) {
        Flight *flight = calloc(1, sizeof(*flight));

        if (!flight)
                return NULL;
        *flight = (Flight){ .magic = FLIGHT_MAGIC, .all = f, .name = name };
        if (strmap_put(f->map, name, flight) >= 0)
                return flight;
        free(flight);
        return NULL;
}

Flight *flights_begin(Flights *f, MemoryScope scope, const char *key) {
        _cleanup_free_ char *name = name_of(scope, key);
        Flight *flight = name ? strmap_get(f->map, name) : NULL;

        if (!flight && name) {
                flight = flight_new(f, name);
                if (flight)
                        (void) TAKE_PTR(name);
        }
        if (flight)
                flight->n++;
        return flight;
}

void flight_set(Flight *flight, const KeyState *state) {
        OBJ_CHECK(flight, FLIGHT_MAGIC);
        flight->state = *state;
}

void flight_end(Flight *flight) {
        OBJ_CHECK(flight, FLIGHT_MAGIC);
        if (--flight->n > 0)
                return;
        (void) strmap_remove(flight->all->map, flight->name);
        flight->magic = 0;
        free(flight->name);
        free(flight);
}
