/* SPDX-License-Identifier: MIT */

/* One table serves both maps: open addressing with linear probing, a power of two of slots, at most
 * three quarters full. A slot's `word` is the 64-bit key itself, or the keyed hash of a string
 * (never 0, which marks a free slot); strings are compared only when the whole 64-bit hash agrees.
 *
 * Removal shifts the following entries back instead of leaving tombstones: sessions come and go for
 * months and a table full of tombstones would need rehashing at a moment nobody chose. Chaining was
 * rejected for its allocation per entry.
 *
 * SipHash with a random key per process (libsodium's crypto_shorthash) because the strings are
 * names that clients choose; 64-bit keys are our own ids and are only mixed. */

#include "base/map.h"

#include <pthread.h>
#include <sodium.h>

#define MAP_FIRST_SLOTS 16

typedef struct Slot {
        uint64_t word; /* 0: free */
        const char *key;
        void *value;
} Slot;

typedef struct Table {
        Slot *slots;
        size_t n_slots; /* 0 or a power of two */
        size_t n;
} Table;

struct Map {
        Table table;
};

struct StrMap {
        Table table;
};

static uint8_t hash_key[crypto_shorthash_KEYBYTES];
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

/* The finaliser of MurmurHash3: ids that differ only in their upper bits must not meet. */
static uint64_t mix(uint64_t x) {
        x ^= x >> 33;
        x *= UINT64_C(0xff51afd7ed558ccd);
        x ^= x >> 33;
        x *= UINT64_C(0xc4ceb9fe1a85ec53);
        return x ^ x >> 33;
}

static size_t table_home(const Table *t, uint64_t word) {
        return (size_t) mix(word) & (t->n_slots - 1);
}

static bool slot_matches(const Slot *s, uint64_t word, const char *key) {
        return s->word == word && (!key || streq(s->key, key));
}

/* The slot of the key, or the free one where it belongs; the table has slots. */
static Slot *table_probe(const Table *t, uint64_t word, const char *key) {
        size_t i = table_home(t, word);

        while (t->slots[i].word != 0 && !slot_matches(&t->slots[i], word, key))
                i = (i + 1) & (t->n_slots - 1);
        return &t->slots[i];
}

static int table_grow(Table *t) {
        Table grown = { .n = t->n, .n_slots = t->n_slots > 0 ? t->n_slots * 2 : MAP_FIRST_SLOTS };

        grown.slots = calloc(grown.n_slots, sizeof(Slot));
        if (!grown.slots)
                return -ENOMEM;
        for (size_t i = 0; i < t->n_slots; i++)
                if (t->slots[i].word != 0)
                        *table_probe(&grown, t->slots[i].word, t->slots[i].key) = t->slots[i];
        free(t->slots);
        *t = grown;
        return 0;
}

static int table_put(Table *t, uint64_t word, const char *key, void *value) {
        if (t->n_slots > 0) {
                Slot *s = table_probe(t, word, key);
                if (s->word != 0) {
                        s->key = key;
                        s->value = value;
                        return 1;
                }
        }
        if (t->n + 1 > t->n_slots / 4 * 3) {
                int r = table_grow(t);
                if (r < 0)
                        return r;
        }
        *table_probe(t, word, key) = (Slot){ word, key, value };
        t->n++;
        return 0;
}

static void *table_get(const Table *t, uint64_t word, const char *key) {
        return t->n > 0 ? table_probe(t, word, key)->value : NULL;
}

/* Closes the gap at `hole`: an entry moves back unless its home lies behind the hole. */
static void table_shift_back(Table *t, size_t hole) {
        size_t mask = t->n_slots - 1;

        for (size_t i = (hole + 1) & mask; t->slots[i].word != 0; i = (i + 1) & mask) {
                size_t home = table_home(t, t->slots[i].word);
                if (((i - home) & mask) < ((i - hole) & mask))
                        continue;
                t->slots[hole] = t->slots[i];
                hole = i;
        }
        t->slots[hole] = (Slot){};
}

static void *table_remove(Table *t, uint64_t word, const char *key) {
        if (t->n == 0)
                return NULL;

        Slot *s = table_probe(t, word, key);
        if (s->word == 0)
                return NULL;
        void *value = s->value;
        table_shift_back(t, (size_t) (s - t->slots));
        t->n--;
        return value;
}

static const Slot *table_next(const Table *t, size_t *cursor) {
        while (*cursor < t->n_slots) {
                const Slot *s = &t->slots[(*cursor)++];
                if (s->word != 0)
                        return s;
        }
        return NULL;
}

Map *map_new(void) {
        return calloc(1, sizeof(Map));
}

Map *map_free(Map *m) {
        if (m)
                free(m->table.slots);
        free(m);
        return NULL;
}

int map_put(Map *m, uint64_t key, void *value) {
        assert(key != 0);
        return table_put(&m->table, key, NULL, value);
}

void *map_get(const Map *m, uint64_t key) {
        return key != 0 ? table_get(&m->table, key, NULL) : NULL;
}

void *map_remove(Map *m, uint64_t key) {
        return key != 0 ? table_remove(&m->table, key, NULL) : NULL;
}

size_t map_size(const Map *m) {
        return m->table.n;
}

bool map_next(const Map *m, size_t *cursor, uint64_t *ret_key, void **ret_value) {
        const Slot *s = table_next(&m->table, cursor);

        if (!s)
                return false;
        if (ret_key)
                *ret_key = s->word;
        if (ret_value)
                *ret_value = s->value;
        return true;
}

static void hash_key_draw(void) {
        int r = sodium_init();

        assert(r >= 0); /* it fails only without any source of randomness */
        crypto_shorthash_keygen(hash_key);
}

StrMap *strmap_new(void) {
        (void) pthread_once(&hash_key_once, hash_key_draw);
        return calloc(1, sizeof(StrMap));
}

StrMap *strmap_free(StrMap *m) {
        if (m)
                free(m->table.slots);
        free(m);
        return NULL;
}

static uint64_t strmap_hash(const char *key) {
        uint64_t hash;

        static_assert(sizeof(hash) == crypto_shorthash_BYTES, "the hash is one word");
        (void) crypto_shorthash((uint8_t *) &hash, (const uint8_t *) key, strlen(key), hash_key);
        return hash != 0 ? hash : 1;
}

int strmap_put(StrMap *m, const char *key, void *value) {
        return table_put(&m->table, strmap_hash(key), key, value);
}

void *strmap_get(const StrMap *m, const char *key) {
        return table_get(&m->table, strmap_hash(key), key);
}

void *strmap_remove(StrMap *m, const char *key) {
        return table_remove(&m->table, strmap_hash(key), key);
}

size_t strmap_size(const StrMap *m) {
        return m->table.n;
}

bool strmap_next(const StrMap *m, size_t *cursor, const char **ret_key, void **ret_value) {
        const Slot *s = table_next(&m->table, cursor);

        if (!s)
                return false;
        if (ret_key)
                *ret_key = s->key;
        if (ret_value)
                *ret_value = s->value;
        return true;
}
