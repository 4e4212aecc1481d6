/* SPDX-License-Identifier: MIT */

/* Vectors of entries. Rows say which entry has which vector; an index per model (vectors.h) makes
 * searching fast and is derived from them.
 *
 * Every transaction that changes vectors of live entries also writes a numbered row of what
 * changed, and an index follows by these rows, in the same way when it is seconds behind (a commit
 * was delivered) and when it is hours behind (the daemon was killed, and the file is of the last
 * save). So there is one way for an index to learn, and an index that is behind is never more than
 * that. A file that is not sound, or too old, is made again in the background from all rows, and
 * until then searches look at the rows themselves: slower, and as right.
 *
 * Indexes are saved when the daemon stops and after every SAVE_EVERY changes; only then the change
 * rows that all have are removed. Rejected: the index's own log (a second journal that has to agree
 * with the first), and writing the index's files within each commit (two syncs where one is
 * enough). */

#include "memory/meaning.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/pool.h"
#include "base/str.h"
#include "memory/memory-internal.h"

#define MEANING_MAGIC 0x4d45414eU
#define HASH_SIZE     16
#define PIECE         256
#define SAVE_EVERY    10000
#define AGAIN_USEC    USEC_PER_MINUTE

struct MeaningModel {
        uint64_t id;
        char *name;
        unsigned dimensions;
        VectorIndex *index;
        uint64_t seen;       /* the turn in which refresh() put a vector */
        uint64_t rebuilt_to; /* the row up to which the index is made again; UINT64_MAX: it is whole */
};

struct Meaning {
        uint32_t magic;
        Store *store;
        char *folder;
        MeaningModel **models;
        size_t n_models;
        uint64_t applied, saved; /* changes that the indexes have; that the files have */
        uint64_t last;           /* that ever was, at start */
        uint64_t turn;
        sd_event_source *timer; /* the next piece of an index that is made again */
        Pool *pool;             /* saves; NULL: no loop */
        bool is_saving;
        MeaningModel **being_saved; /* a copy: models may be added meanwhile */
        size_t n_saving;
        uint64_t saving; /* up to here */
        int save_result;
};

static void again(Meaning *s, usec_t after) {
        if (s->timer && sd_event_source_set_time_relative(s->timer, after) >= 0)
                (void) sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

/* ---- models ---- */

static MeaningModel *model_free(MeaningModel *model) {
        if (!model)
                return NULL;
        vector_index_free(model->index);
        free(model->name);
        free(model);
        return NULL;
}
DEFINE_CLEANUP(MeaningModel *, model_free);

/* NULL: out of memory. Only with a folder. */
static char *model_path(const Meaning *s, const MeaningModel *model) {
        char id[ID_STRING_SIZE];

        return str_printf("%s/%s.vectors", s->folder, id_format(model->id, id));
}

static int model_open(Meaning *s, MeaningModel *model, uint64_t *ret_sequence) {
        _cleanup_free_ char *path = NULL;

        *ret_sequence = 0;
        if (s->folder) {
                if (mkdir(s->folder, 0700) < 0 && errno != EEXIST)
                        return -errno;
                path = model_path(s, model);
                if (!path)
                        return -ENOMEM;
        }
        return vector_index_open(&model->index, path, model->dimensions, ret_sequence);
}

/* What the files had is not ours, or too old. */
static int model_empty(Meaning *s, MeaningModel *model) {
        VectorIndexStats stats;
        uint64_t sequence;

        vector_index_stats(model->index, &stats);
        if (stats.n == 0)
                return 0;
        model->index = vector_index_free(model->index);
        _cleanup_free_ char *path = model_path(s, model);
        if (!path)
                return -ENOMEM;
        if (unlink(path) < 0 && errno != ENOENT)
                return -errno;
        return model_open(s, model, &sequence);
}

static int model_add(Meaning *s, uint64_t id, const char *name, unsigned dimensions, MeaningModel **ret) {
        _cleanup_(model_freep) MeaningModel *model = calloc(1, sizeof(*model));
        MeaningModel **models = reallocarray(s->models, s->n_models + 1, sizeof(MeaningModel *));
        uint64_t sequence;

        if (models)
                s->models = models;
        if (!models || !model)
                return -ENOMEM;
        *model = (MeaningModel){ .id = id, .name = strdup(name), .dimensions = dimensions };
        int r = model->name ? model_open(s, model, &sequence) : -ENOMEM;
        if (r < 0)
                return r;
        /* Of a new model there is nothing to make up for; of an old one the file says how far it is. A file that
         * is ahead of the rows was made from others: the database is a copy of an earlier time. */
        bool fits = sequence > 0 && sequence >= s->saved && sequence <= s->last;
        model->rebuilt_to = ret || fits ? UINT64_MAX : 0;
        if (!ret && !fits) {
                r = model_empty(s, model);
                if (r < 0)
                        return r;
        }
        if (ret)
                *ret = model;
        s->models[s->n_models++] = TAKE_PTR(model);
        return 0;
}

bool meaning_is_used(const Meaning *s) {
        return s->n_models > 0;
}

MeaningModel *meaning_model(const Meaning *s, const char *name, size_t dimensions) {
        for (size_t i = 0; i < s->n_models; i++)
                if (s->models[i]->dimensions == dimensions && streq(s->models[i]->name, name))
                        return s->models[i];
        return NULL;
}

bool meaning_is_ready(const MeaningModel *model) {
        return model->rebuilt_to == UINT64_MAX;
}

VectorIndex *meaning_index(const MeaningModel *model, uint64_t *ret_id, size_t *ret_dimensions) {
        *ret_id = model->id;
        *ret_dimensions = model->dimensions;
        return model->index;
}

/* ---- rows ---- */

static int add_vector(Meaning *s, StoreTxn *txn, const MemorySet *set, uint64_t entry) {
        MeaningModel *model = meaning_model(s, set->model, set->n_embedding);
        uint8_t hash[HASH_SIZE];
        size_t size = set->n_embedding * sizeof(float);
        int r = 0;

        if (!model)
                r = model_add(s, id_new(), set->model, (unsigned) set->n_embedding, &model);
        float *unit = r < 0 ? NULL : malloc(size);
        if (!unit)
                return r < 0 ? r : -ENOMEM;
        memcpy(unit, set->embedding, size);
        vector_normalise(unit, set->n_embedding);
        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) unit, size, NULL, 0);
        STORE_ADD(txn, MEMORY_MODEL_PUT, STORE_ID(model->id), STORE_TEXT(model->name),
                  STORE_INT(model->dimensions), STORE_INT((int64_t) clock_realtime()));
        STORE_ADD(txn, MEMORY_EMBEDDING_PUT, STORE_ID(id_new()), STORE_ID(model->id),
                  STORE_BLOB(hash, sizeof(hash)), STORE_BLOB(unit, size));
        STORE_ADD(txn, MEMORY_VECTOR_PUT, STORE_ID(entry), STORE_ID(model->id),
                  STORE_BLOB(hash, sizeof(hash)));
        free(unit);
        return 0;
}

int meaning_add_set(Meaning *s, StoreTxn *txn, const MemorySet *set, uint64_t entry) {
        if (!set->embedding && !meaning_is_used(s))
                return 0;
        STORE_ADD(txn, MEMORY_VECTORS_STALE, STORE_ID(entry), STORE_TEXT(set->text),
                  STORE_SPAN(set->value));
        int r = set->embedding ? add_vector(s, txn, set, entry) : 0;
        meaning_add_change(s, txn, set->scope, entry);
        return r;
}

void meaning_add_change(Meaning *s, StoreTxn *txn, MemoryScope scope, uint64_t entry) {
        if (meaning_is_used(s))
                STORE_ADD(txn, MEMORY_VECTOR_CHANGED, STORE_INT((int64_t) entry),
                          STORE_ID(memory_segment(scope)));
}

/* ---- indexes follow ---- */

/* An index that cannot take what it should is made again later, and searches look at the rows. */
static void put(Meaning *s,
                MeaningModel *model,
                uint64_t segment,
                uint64_t entry,
                StoreCursor *c,
                unsigned column) {
        size_t n = 0;
        const void *vector = store_blob(c, column, &n);
        float *copy = n == model->dimensions * sizeof(float) ? malloc(n) : NULL;
        int r = copy ? 0 : -EUCLEAN;

        if (copy) {
                memcpy(copy, vector, n);
                r = vector_index_put(model->index, segment, entry, copy);
                free(copy);
        }
        if (r < 0 && r != -EUCLEAN && r != -EINVAL) {
                if (meaning_is_ready(model))
                        (void) log_warning(r, "An index of vectors is behind; searches take longer");
                model->rebuilt_to = 0;
                again(s, AGAIN_USEC);
        }
}

static MeaningModel *model_of(const Meaning *s, uint64_t id) {
        for (size_t i = 0; i < s->n_models; i++)
                if (s->models[i]->id == id)
                        return s->models[i];
        return NULL;
}

static int refresh(Meaning *s, uint64_t segment, uint64_t entry) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = STORE_QUERY(store_reader(s->store), &c, MEMORY_VECTORS_OF, STORE_ID(entry));

        if (r < 0)
                return r;
        s->turn++;
        while ((r = store_next(c)) > 0) {
                MeaningModel *model = model_of(s, store_id(c, 0));
                if (!model)
                        continue;
                put(s, model, segment, entry, c, 1);
                model->seen = s->turn;
        }
        for (size_t i = 0; i < s->n_models; i++)
                if (s->models[i]->seen != s->turn)
                        (void) vector_index_erase(s->models[i]->index, entry);
        return r;
}

/* The number of changes that were looked at, at most PIECE. */
static int apply_piece(Meaning *s) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int n = 0, r = STORE_QUERY(store_reader(s->store), &c, MEMORY_VECTOR_CHANGES,
                                   STORE_INT((int64_t) s->applied), STORE_INT(PIECE));

        for (; r >= 0 && (r = store_next(c)) > 0; n++) {
                uint64_t segment = store_id(c, 2);
                if (!store_id(c, 1))
                        for (size_t i = 0; i < s->n_models; i++)
                                vector_index_erase_scope(s->models[i]->index, segment);
                else
                        r = refresh(s, segment, store_id(c, 1));
                if (r < 0)
                        break;
                s->applied = (uint64_t) store_int(c, 0);
        }
        return r < 0 ? r : n;
}

static void save_soon(Meaning *s);

void meaning_apply(Meaning *s) {
        int r = PIECE;

        while (r == PIECE)
                r = apply_piece(s);
        if (r < 0)
                again(s, AGAIN_USEC);
        if (s->applied >= s->saved + SAVE_EVERY)
                save_soon(s);
}

/* ---- files ---- */

/* In the pool, or at the end. */
static void save_work(void *userdata) {
        Meaning *s = OBJ_CAST(Meaning, userdata, MEANING_MAGIC);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < s->n_saving; i++)
                r = vector_index_save(s->being_saved[i]->index, s->saving);
        s->save_result = r;
}

static void save_done(void *userdata) {
        Meaning *s = OBJ_CAST(Meaning, userdata, MEANING_MAGIC);

        s->is_saving = false;
        if (s->save_result < 0) {
                (void) log_warning(s->save_result, "Cannot save an index of vectors");
                return;
        }
        s->saved = s->saving;
        StoreTxn *txn = store_txn_new(s->store);
        STORE_ADD(txn, MEMORY_VECTOR_CHANGES_DROP, STORE_INT((int64_t) s->saved));
        (void) store_submit(s->store, txn, NULL, NULL);
}

/* False: there is nothing to save, or not all are whole: what they lack is in the changes. */
static bool begin_save(Meaning *s) {
        if (!s->folder || s->is_saving || s->applied == s->saved)
                return false;
        MeaningModel **list = reallocarray(s->being_saved, s->n_models + 1, sizeof(MeaningModel *));
        if (!list)
                return false;
        s->being_saved = list;
        s->n_saving = 0;
        for (size_t i = 0; i < s->n_models; i++) {
                if (!meaning_is_ready(s->models[i]))
                        return false;
                list[s->n_saving++] = s->models[i];
        }
        s->saving = s->applied;
        s->is_saving = true;
        return true;
}

static void save_soon(Meaning *s) {
        if (s->pool && begin_save(s) && pool_submit(s->pool, 0, save_work, save_done, s) < 0)
                s->is_saving = false;
}

/* One piece of one index that is made again; 1: there is more, 0: it is whole. */
static int rebuild_piece(Meaning *s, MeaningModel *model) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int n = 0,
            r = STORE_QUERY(store_reader(s->store), &c, MEMORY_VECTOR_ROWS, STORE_ID(model->id),
                            STORE_INT((int64_t) model->rebuilt_to), STORE_INT(PIECE));

        for (; r >= 0 && (r = store_next(c)) > 0; n++) {
                model->rebuilt_to = store_id(c, 0);
                put(s, model, store_id(c, 2) ?: store_id(c, 1), store_id(c, 0), c, 3);
                if (model->rebuilt_to == 0)
                        return -EAGAIN;
        }
        if (r >= 0 && n < PIECE)
                model->rebuilt_to = UINT64_MAX;
        return r < 0 ? r : n == PIECE;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Meaning *s = OBJ_CAST(Meaning, userdata, MEANING_MAGIC);
        int r = 0;

        for (size_t i = 0; i < s->n_models && r == 0; i++)
                if (!meaning_is_ready(s->models[i]))
                        r = rebuild_piece(s, s->models[i]);
        if (r == 0)
                meaning_apply(s);
        else
                again(s, r < 0 ? AGAIN_USEC : 0);
        return 0;
}

/* Changes up to *ret were removed: files that say less are too old. */
static int query_saved(Meaning *s) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(store_reader(s->store), &c, MEMORY_VECTOR_CHANGES_RANGE, NULL, 0);

        if (r >= 0)
                r = store_next(c);
        if (r > 0)
                s->last = (uint64_t) store_int(c, 1);
        if (r > 0) /* the first that is there */
                s->saved = store_is_null(c, 0) ? (uint64_t) store_int(c, 1)
                                               : (uint64_t) store_int(c, 0) - 1;
        s->applied = s->saved;
        return MIN(r, 0);
}

static int load_models(Meaning *s) {
        _cleanup_(store_cursor_freep) StoreCursor *c = NULL;
        int r = store_query(store_reader(s->store), &c, MEMORY_MODELS, NULL, 0);

        while (r >= 0 && (r = store_next(c)) > 0)
                r = model_add(s, store_id(c, 0), store_text(c, 1, NULL), (unsigned) store_int(c, 2),
                              NULL);
        return r;
}

int meaning_new(Meaning **ret, sd_event *event, Store *store, const char *folder) {
        Meaning *s = calloc(1, sizeof(*s));
        int r = 0;

        if (!s)
                return -ENOMEM;
        *s = (Meaning){ .magic = MEANING_MAGIC,
                        .store = store,
                        .folder = folder ? strdup(folder) : NULL };
        if (folder && !s->folder)
                r = -ENOMEM;
        if (r >= 0)
                r = query_saved(s);
        if (r >= 0)
                r = load_models(s);
        if (r >= 0 && event)
                r = sd_event_add_time_relative(event, &s->timer, CLOCK_MONOTONIC, 0, 0, on_timer, s);
        if (r >= 0 && event)
                r = pool_new(&s->pool, event, 1, 1);
        if (r < 0) {
                meaning_free(s);
                return r;
        }
        meaning_apply(s);
        *ret = s;
        return 0;
}

Meaning *meaning_free(Meaning *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->timer);
        s->pool = pool_free(s->pool);
        if (begin_save(s)) {
                save_work(s);
                save_done(s);
        }
        for (size_t i = 0; i < s->n_models; i++)
                model_free(s->models[i]);
        free(s->models);
        free(s->being_saved);
        free(s->folder);
        s->magic = 0;
        free(s);
        return NULL;
}
