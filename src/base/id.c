/* SPDX-License-Identifier: MIT */

/* One atomic word, the last id given out: the next id is the larger of "the present millisecond,
 * counter zero" and "last + 1". A clock that stands still or goes backwards therefore only runs the
 * counter, and more than 2^22 ids in a millisecond borrow from the next one; order and uniqueness
 * hold in every case. A mutex was rejected because ids are drawn on the loop thread and on the
 * writer's.
 *
 * Random bits inside the id were rejected: one daemon owns a store, so uniqueness needs none, and
 * ids are not secrets (access is checked by token and namespace). */

#include "base/id.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/id-internal.h"
#include "base/str.h"

#define ID_COUNTER_BITS 22
#define ID_EPOCH_USEC   (UINT64_C(1577836800) * USEC_PER_SEC) /* 2020-01-01T00:00Z */

static _Atomic uint64_t last_id;

uint64_t id_of_time(uint64_t usec) {
        return usec <= ID_EPOCH_USEC ? 0 : (usec - ID_EPOCH_USEC) / USEC_PER_MSEC << ID_COUNTER_BITS;
}

uint64_t id_new(void) {
        uint64_t now = id_of_time(clock_realtime()),
                 last = atomic_load_explicit(&last_id, memory_order_relaxed), id;

        do
                id = MAX(now, last + 1);
        while (!atomic_compare_exchange_weak(&last_id, &last, id) || id_alias_is_name(id));
        return id;
}

void id_set_floor(uint64_t largest_known) {
        uint64_t last = atomic_load_explicit(&last_id, memory_order_relaxed);

        while (last < largest_known && !atomic_compare_exchange_weak(&last_id, &last, largest_known))
                ;
}

char *id_format(uint64_t id, char buf[static ID_STRING_SIZE]) {
        uint64_t big_endian = __builtin_bswap64(id_alias_name(id));

        static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bytes are swapped below");
        hex_encode(&big_endian, sizeof(big_endian), buf);
        return buf;
}

int id_parse(const char *s, uint64_t *ret) {
        uint8_t bytes[8];
        uint64_t id = 0;

        if (strnlen(s, ID_STRING_SIZE) != ID_STRING_SIZE - 1 ||
            hex_decode(s, ID_STRING_SIZE - 1, bytes) < 0)
                return -EINVAL;
        for (size_t i = 0; i < sizeof(bytes); i++)
                id = id << 8 | bytes[i];
        *ret = id_alias_id(id);
        return 0;
}
