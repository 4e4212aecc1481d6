/* SPDX-License-Identifier: MIT */
#pragma once

/* What an index is made of.
 *
 * A scope's vectors lie in a segment: a list of blocks of 32. A slot of a block is written once,
 * then seen, later dead, and never used again; a block whose slots are all dead is dropped, and its
 * place in the file given out again after the next save. So readers need no lock while they scan:
 * under the lock they note the clock and how far each list goes, and a slot is theirs to see if it
 * was there then and has not died before. What they may still look at (lists, codes) is retired,
 * and freed when the last reader that is older is gone.
 *
 * Thread rules: "writer" is the loop thread. Everything below is changed by it under v->lock and
 * read by others under v->lock, unless said otherwise. */

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/map.h"
#include "memory/vector-kernels-internal.h"
#include "memory/vectors.h"

/* --- codes (vector-code.c) ------------------------------------------------------------------- */

/* Turns rows of one dimension into codes. Codes are of the rotated vector: a fixed random rotation
 * spreads outlier dimensions, and makes the error of codes the same for whatever vectors come. */
typedef struct VectorCoder {
        unsigned dimensions;
        size_t row;   /* floats of a row, padded */
        size_t width; /* of a code, in dimensions: bytes of an int8 code */
        uint64_t seed;
        float *signs;
} VectorCoder;

int vector_coder_init(VectorCoder *c, unsigned dimensions, uint64_t seed);
void vector_coder_done(VectorCoder *c);
/* Zeroed memory for n floats, aligned for the kernels; NULL: none. */
void *vector_alloc(size_t bytes);
/* row: c->row floats, of length 1; ret: c->width floats, aligned. */
void vector_rotate(const VectorCoder *c, const float *row, float *ret);
/* The scale: float = code * scale. */
float vector_code8(const VectorCoder *c, const float *rotated, int8_t *ret);
/* A block of 1-bit codes: 32 side values, then the nibbles. Made of its 32 int8 codes. */
size_t vector_bits_bytes(const VectorCoder *c);
void vector_bits_make(const VectorCoder *c, const int8_t *rows, const float *scales, uint8_t *ret);
/* What a search finds no more: its estimate is NaN. */
void vector_bits_clear(const VectorCoder *c, uint8_t *bits, unsigned slot);
void vector_bits_set(const VectorCoder *c, uint8_t *bits, unsigned slot, const int8_t *row, float scale);
/* The query's tables, width / 4 of 16 bytes, and how sums of their entries are read. */
void vector_tables_make(const VectorCoder *c,
                        const float *rotated,
                        uint8_t *ret,
                        VectorEstimate *ret_estimate);

/* --- rows (vector-rows.c) -------------------------------------------------------------------- */

/* The file of float32 rows: a page that says what it is, then blocks of 32 rows. */
typedef struct VectorRows {
        int fd;
        size_t row_bytes, block_bytes;
        void **extents; /* mappings, VECTOR_EXTENT_BLOCKS each; only the writer looks at this */
        size_t n_extents;
} VectorRows;

enum { VECTOR_EXTENT_BLOCKS = 512 };

typedef struct VectorRowsHead {
        char magic[16];
        uint32_t version, byte_order;
        uint32_t dimensions, is_dirty; /* dirty: rows were written since the table was */
        uint64_t stamp;                /* the table that belongs to it says the same */
} VectorRowsHead;

/* path NULL: memory. The file is made if missing. ret_head is zeroed if there is none. */
int vector_rows_open(VectorRows *r, const char *path, size_t row_bytes, VectorRowsHead *ret_head);
void vector_rows_done(VectorRows *r);
/* Throws away all rows. */
int vector_rows_reset(VectorRows *r, const VectorRowsHead *head);
int vector_rows_write_head(VectorRows *r, const VectorRowsHead *head);
/* The 32 rows of a block; may be read once they are written. */
int vector_rows_map(VectorRows *r, uint32_t number, const float **ret);
int vector_rows_write(VectorRows *r, uint32_t number, unsigned slot, const float *row);
/* Zeroes the rows of a mask. */
int vector_rows_wipe(VectorRows *r, uint32_t number, uint32_t mask);
/* Gives the space of a block's slots, from one on, back to a file system that can take it. */
void vector_rows_release(VectorRows *r, uint32_t number, unsigned slot);
/* The file ends behind so many blocks. */
int vector_rows_truncate(VectorRows *r, size_t n_blocks);
int vector_rows_size(const VectorRows *r, uint64_t *ret);
/* Where the first n rows of a block end. */
uint64_t vector_rows_end(const VectorRows *r, uint32_t number, unsigned n);

/* --- retirement (vector-retire.c) ------------------------------------------------------------ */

typedef struct VectorRetired {
        struct VectorRetired *next;
        uint64_t clock;
        void (*done)(VectorIndex *v, struct VectorRetired *r);
} VectorRetired;

typedef struct VectorReader {
        ListLink link; /* oldest first */
        uint64_t clock;
        bool is_reading; /* the reader's own: links are the lock's */
} VectorReader;

/* Under the lock: from here on the reader sees what is, and nothing that it sees is freed. */
void vector_reader_begin(VectorIndex *v, VectorReader *r);
/* Not under the lock. Nothing if it did not begin, or has ended. */
void vector_reader_end(VectorIndex *v, VectorReader *r);
/* Waits until no reader is older than the clock. Not under the lock. */
void vector_readers_wait(VectorIndex *v, uint64_t clock);
/* Under the lock. done() is called without it, by whichever thread comes by. */
void vector_retire(VectorIndex *v, VectorRetired *r, void (*done)(VectorIndex *v, VectorRetired *r));
/* Frees what nobody can see any more. Not under the lock. */
void vector_reclaim(VectorIndex *v);

/* --- blocks (vector-block.c) ----------------------------------------------------------------- */

/* int8 codes of the first `capacity` slots of a block. A slot's is written before the slot is seen. */
typedef struct VectorCodes {
        VectorRetired retired;
        unsigned capacity;
        float scales[VECTOR_BLOCK]; /* NaN: dead */
        _Alignas(VECTOR_ALIGN) int8_t rows[];
} VectorCodes;

typedef struct VectorSegment VectorSegment;

typedef struct VectorBlock {
        VectorRetired retired;
        VectorSegment *segment;
        size_t position; /* in its list */
        uint32_t number; /* its place in the file */
        unsigned n_alive;
        const float *rows;
        /* One of the two, but for a moment both; readers look at codes first, see vector-scan.c. */
        _Atomic(VectorCodes *) codes;
        _Atomic(uint8_t *) bits;
        uint64_t ids[VECTOR_BLOCK];
        _Atomic uint64_t died[VECTOR_BLOCK]; /* the clock then; UINT64_MAX: it lives, or is unused */
} VectorBlock;

typedef struct VectorEntry {
        VectorBlock *block;
        _Atomic(uint8_t *) bits; /* as the block's, to scan without looking at the block */
} VectorEntry;

typedef struct VectorList {
        VectorRetired retired;
        size_t capacity;
        VectorEntry entries[];
} VectorList;

struct VectorSegment {
        uint64_t scope;
        VectorList *list;
        size_t n_blocks;         /* 0 only while its first vector is put */
        unsigned tail;           /* slots used of the last block; all others are used up */
        size_t n_alive, n_empty; /* n_empty: blocks without a living slot, but for the last */
        size_t cursor;           /* where closing up goes on */
        bool is_large;           /* full blocks have 1-bit codes */
        unsigned candidates;     /* of these, for the best ten; set by vector_tune() */
        size_t tuned_at;         /* n_alive when that was found; 0: never */
};

/* Codes of a block with room for `capacity`, what `from` (may be NULL) has copied. */
VectorCodes *vector_codes_new(const VectorIndex *v, const VectorCodes *from, unsigned capacity);
void vector_codes_free(VectorIndex *v, VectorCodes *codes);
/* Blocks of 1-bit codes, from large pages. Any thread. */
uint8_t *vector_bits_new(VectorIndex *v);
void vector_bits_free(VectorIndex *v, uint8_t *bits);
void vector_slabs_done(VectorIndex *v);

int vector_block_new(VectorIndex *v, uint32_t number, VectorBlock **ret);
void vector_block_free(VectorIndex *v, VectorBlock *b);
/* Writer, not under the lock. Codes with room for a slot, of a block that is not used up. */
int vector_block_reserve(VectorIndex *v, VectorBlock *b, unsigned slot, VectorCodes **ret);
/* Under the lock. Erases a dead slot from the block's codes, by a copy that takes their place. */
void vector_block_clear(VectorIndex *v, VectorBlock *b, unsigned slot);
/* Writer, not under the lock. Gives a used up block 1-bit codes instead of int8 ones. */
int vector_block_seal(VectorIndex *v, VectorBlock *b);

/* --- the index ------------------------------------------------------------------------------- */

typedef struct VectorPlace {
        VectorBlock *block; /* NULL: free, or to be wiped */
        uint32_t unwiped;   /* rows that are dead and still lie in the file */
} VectorPlace;

typedef struct VectorSlab VectorSlab;

struct VectorIndex {
        char *path, *table_path; /* NULL: in memory */
        VectorCoder coder;
        const VectorKernels *kernels;
        VectorRows rows;
        VectorRowsHead head;

        pthread_mutex_t lock;
        pthread_cond_t reader_left;
        uint64_t clock;
        ListLink readers;
        VectorRetired *retired, *retired_last;

        _Atomic uint64_t last_kill; /* the clock then */
        uint64_t n_changes;         /* for is_dirty */
        Map *segments;              /* by scope */
        VectorPlace *places;
        uint32_t *free_numbers;
        size_t n_places, places_capacity, n_free;
        uint32_t *ids; /* hash table of place * 32 + slot + 1; see vector-ids.c */
        size_t ids_slots, n;

        pthread_mutex_t slab_lock;
        VectorSlab *slabs;
        uint8_t *bits_free; /* chained through their first bytes */

        pthread_mutex_t save_lock; /* one save at a time */
        size_t large_from;         /* vectors of a segment from which on it has 1-bit codes */

        /* The writer's. */
        float *unit, *rotated;
        int8_t *code;
        float scale;
};

enum {
        VECTOR_LARGE_FROM = 4096,
        VECTOR_CANDIDATES = 320, /* until it is tuned */
        VECTOR_CANDIDATES_MIN = 64,
        VECTOR_CANDIDATES_MAX = 8192,
};

static inline uint32_t vector_slot_of(const VectorBlock *b, unsigned slot) {
        return b->number * VECTOR_BLOCK + slot;
}

static inline bool vector_sees(const VectorBlock *b, unsigned slot, uint64_t clock) {
        return atomic_load_explicit(&b->died[slot], memory_order_relaxed) > clock;
}

static inline const float *vector_row(const VectorIndex *v, const VectorBlock *b, unsigned slot) {
        return b->rows + slot * v->coder.row;
}

/* Under the lock, all three. */
bool vector_ids_find(const VectorIndex *v, uint64_t id, VectorBlock **ret, unsigned *ret_slot);
void vector_ids_put(VectorIndex *v, const VectorBlock *b, unsigned slot);
void vector_ids_remove(VectorIndex *v, uint64_t id);
/* So that n more can be put without an error. */
int vector_ids_reserve(VectorIndex *v, size_t n);
/* After many were killed at once: n are left. */
void vector_ids_rebuild(VectorIndex *v, size_t n);

/* A place for a block: a free one or a new one; it counts as taken when its block is set. */
int vector_place_take(VectorIndex *v, uint32_t *ret);
int vector_places_reserve(VectorIndex *v, size_t n);

VectorSegment *vector_segment_free(VectorIndex *v, VectorSegment *s);
int vector_segment_get(VectorIndex *v, uint64_t scope, VectorSegment **ret);
/* Writer. Room for one more block in the list. */
int vector_segment_reserve(VectorIndex *v, VectorSegment *s);
/* Under the lock; there is room for it. */
void vector_segment_add(VectorIndex *v, VectorSegment *s, VectorBlock *b);
/* Under the lock. Forgets the segment with all its blocks. */
void vector_segment_retire(VectorIndex *v, VectorSegment *s);
/* Writer. Gives all used up blocks 1-bit codes if the segment is large enough. */
int vector_segment_settle(VectorIndex *v, VectorSegment *s);
/* Under the lock. A slot dies at v->clock; the block may go, its segment too. Its id must be out of
 * the table, or be another slot's by now. */
void vector_kill(VectorIndex *v, VectorBlock *b, unsigned slot);

/* Writer. Moves what lives in one sparse block of the scope, if a quarter of its slots is dead. */
void vector_close_up(VectorIndex *v, uint64_t scope);

/* --- the table: what is saved beside the rows (vector-table-write.c, vector-table-read.c) -------- */

enum { VECTOR_FORMAT = 1, VECTOR_BYTE_ORDER = 0x01020304 };

/* All parts are multiples of 8 bytes. Behind the head: n_unwiped VectorTableUnwiped, then segments,
 * each with its blocks, then the checksum of all that. */
typedef struct VectorTableHead {
        char magic[16];
        uint32_t version, byte_order;
        uint32_t dimensions, unused;
        uint64_t stamp, sequence, seed;
        uint64_t n_segments, n_unwiped;
} VectorTableHead;

/* Rows that are dead in this table; they may not be wiped yet. */
typedef struct VectorTableUnwiped {
        uint32_t number, mask;
} VectorTableUnwiped;

typedef struct VectorTableSegment {
        uint64_t scope, n_blocks, tuned_at;
        uint32_t tail, is_large, candidates, unused;
} VectorTableSegment;

/* Then its n ids; then 32 scales and n int8 codes, or vector_bits_bytes() of bits. */
typedef struct VectorTableBlock {
        uint32_t number, n;
        uint32_t alive; /* a bit for each slot */
        uint32_t is_bits;
} VectorTableBlock;

extern const char vector_rows_magic[16], vector_table_magic[16];

uint64_t vector_checksum(uint64_t before, const void *data, size_t n);

/* What a save writes: noted under the lock, written without it. */
typedef struct VectorPicture {
        VectorReader reader;
        VectorTableHead head;
        struct VectorPictureSegment {
                const VectorList *list;
                VectorTableSegment head;
        } * segments;
        VectorTableUnwiped *unwiped;
        uint64_t n_changes;
} VectorPicture;

int vector_picture_take(VectorIndex *v, uint64_t sequence, VectorPicture *ret);
void vector_picture_done(VectorIndex *v, VectorPicture *p);
int vector_table_write(VectorIndex *v, const VectorPicture *p, int fd);

/* 0 and the empty index holds what the table says; -EBADMSG: it is not sound, or not of these rows.
 * The index may then hold a part: vector_index_empty() it. */
int vector_table_read(VectorIndex *v, const void *data, size_t n, uint64_t *ret_sequence);
/* Forgets all vectors. No reader is there. */
int vector_index_empty(VectorIndex *v);

/* Finds out how many candidates the 1-bit codes of each segment need (vector-tune.c). */
int vector_tune(VectorIndex *v);
