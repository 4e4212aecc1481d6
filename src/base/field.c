/* SPDX-License-Identifier: MIT */

/* The parts of field.h that know no rows: the arena and the list of errors.
 *
 * The arena is a chain of blocks that are freed together with the request; single strings are never
 * freed, so that the input struct can point into it without saying who owns what. One malloc() per
 * string was rejected: a handler that fails half-way would have to know which strings were reached.
 *
 * Errors have fixed room. A client that sends ten thousand wrong fields learns about the first
 * sixteen; an error list that grows with the input would be one more thing to limit. */

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "base/field-internal.h"
#include "base/str.h"

/* With its head the first block is of a size that the allocator keeps at hand (up to 1032 bytes):
 * most requests need no more, and a larger one costs ten times as much to get and to clear. */
#define ARENA_FIRST_BYTES ((size_t) 960)
#define ARENA_BLOCK_BYTES ((size_t) 4000)
#define INPUT_ECHO_BYTES  1024

typedef struct ArenaBlock {
        struct ArenaBlock *next;
        size_t size, used;
        _Alignas(max_align_t) uint8_t data[];
} ArenaBlock;

struct FieldArena {
        ArenaBlock *blocks; /* the newest first */
};

FieldArena *field_arena_new(void) {
        return calloc(1, sizeof(FieldArena));
}

FieldArena *field_arena_free(FieldArena *a) {
        while (a && a->blocks) {
                ArenaBlock *next = a->blocks->next;
                free(a->blocks);
                a->blocks = next;
        }
        free(a);
        return NULL;
}

static ArenaBlock *arena_block_new(FieldArena *a, size_t size) {
        ArenaBlock *b = calloc(1, sizeof(ArenaBlock) + size);

        if (!b)
                return NULL;
        b->next = a->blocks;
        b->size = size;
        a->blocks = b;
        return b;
}

void *field_arena_alloc(FieldArena *a, size_t n) {
        const size_t align = _Alignof(max_align_t);

        /* no object can be larger; below it the sums cannot overflow */
        if (n > PTRDIFF_MAX - sizeof(ArenaBlock) - align)
                return NULL;

        size_t need = MAX((n + align - 1) / align * align, align);
        ArenaBlock *b = a->blocks;
        if (!b || b->size - b->used < need) {
                size_t size = a->blocks ? ARENA_BLOCK_BYTES : ARENA_FIRST_BYTES;
                b = arena_block_new(a, MAX(need, size / align * align));
                if (!b)
                        return NULL;
        }
        void *p = b->data + b->used;
        b->used += need;
        return p;
}

bool field_next_word(const char **cursor, const char **ret_word, size_t *ret_n) {
        if (!*cursor)
                return false;

        const char *word = *cursor, *bar = strchr(word, '|');
        *ret_word = word;
        *ret_n = bar ? (size_t) (bar - word) : strlen(word);
        *cursor = bar ? bar + 1 : NULL;
        return true;
}

void field_errors_add(FieldErrors *e,
                      const char *type,
                      const char *place,
                      const char *field,
                      JsonSpan input,
                      const char *format,
                      ...) {
        va_list ap;

        if (e->n >= FIELD_ERRORS_MAX)
                return;

        FieldError *item = &e->items[e->n++];
        *item = (FieldError){ .type = type, .place = place, .field = field, .input = input };
        va_start(ap, format);
        (void) vsnprintf(item->msg, sizeof(item->msg), format, ap);
        va_end(ap);
}

/* a.b: two parts. */
static void write_path(const char *path, JsonWriter *w) {
        for (const char *dot; (dot = strchr(path, '.')); path = dot + 1)
                json_w_string_n(w, path, (size_t) (dot - path));
        json_w_string(w, path);
}

static void write_loc(const FieldError *e, JsonWriter *w) {
        uint64_t offset;

        json_w_key(w, "loc");
        json_w_array_begin(w);
        json_w_string(w, e->place);
        if (e->list) {
                json_w_string(w, e->list);
                json_w_uint(w, e->element - 1);
        }
        if (e->field && streq(e->type, "json_invalid") && str_to_u64(e->field, &offset) == 0)
                json_w_uint(w, offset);
        else if (e->field)
                write_path(e->field, w);
        if (e->element > 0 && !e->list)
                json_w_uint(w, e->element - 1);
        if (e->member.p)
                json_w_raw(w, e->member);
        json_w_array_end(w);
}

void field_errors_write(const FieldErrors *e, JsonWriter *w) {
        json_w_object_begin(w);
        json_w_key(w, "detail");
        json_w_array_begin(w);
        for (size_t i = 0; i < e->n; i++) {
                const FieldError *item = &e->items[i];
                json_w_object_begin(w);
                json_w_kv_string(w, "type", item->type);
                write_loc(item, w);
                json_w_kv_string(w, "msg", item->msg);
                json_w_kv_raw(w, "input",
                              item->input.n <= INPUT_ECHO_BYTES ? item->input : JSON_NULL);
                json_w_object_end(w);
        }
        json_w_array_end(w);
        json_w_kv_string(w, "code", "validation_failed");
        json_w_kv_string(w, "hint",
                         "Correct the fields named in detail; /openapi.json describes them.");
        json_w_object_end(w);
}
