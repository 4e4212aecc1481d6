/* SPDX-License-Identifier: MIT */

/* Static embedding models (model2vec's layout): a row of numbers for each token; a text's vector is
 * the weighted mean of its tokens' rows, normalised. Microseconds a text, no server: the only
 * vectors with a meaning that a machine without either can have. The folder is the user's:
 * model.safetensors with `embeddings` [V,D] (or `embedding.weight`), optional `weights` [V] and
 * `mapping` [V] (token to row), and tokenizer.json. Vectors are normalised whatever config.json
 * says, as everywhere.
 *
 * The files are read, not mapped: whoever shortens a mapped file kills the daemon. Rows stay in the
 * type that they have (half precision halves the memory) and are checked once, so that nothing
 * needs a check per text. The model's name has the files' hash in it, so that other files of the
 * same name are another model. */

#include <fcntl.h>
#include <math.h>
#include <sodium.h>

#include "base/fs.h"
#include "base/str.h"
#include "memory/embedder-internal.h"
#include "memory/safetensors.h"
#include "memory/tokenizer.h"

#define TOKENS_MAX    512 /* of a text, as the models were made for */
#define FILE_MAX      ((size_t) 4 << 30)
#define TOKENIZER_MAX ((size_t) 256 << 20)
#define HASH_SHOWN    8

typedef struct StaticModel {
        char *file; /* model.safetensors */
        size_t n_file;
        Tokenizer *tokenizer;
        Tensor embeddings, weights, mapping; /* weights, mapping: no data: none */
} StaticModel;

static void model_free(void *userdata) {
        StaticModel *m = userdata;

        if (!m)
                return;
        tokenizer_free(m->tokenizer);
        free(m->file);
        free(m);
}

static void model_freep(StaticModel **m) {
        model_free(*m);
}

/* ---- one text ---- */

static void add_row(const StaticModel *m, uint32_t token, double *sum) {
        size_t row = m->mapping.data ? (size_t) tensor_number(&m->mapping, token) : token;
        double weight = m->weights.data ? tensor_number(&m->weights, token) : 1;

        tensor_add_row(&m->embeddings, row, weight, sum);
}

static int embed_text(const void *model, unsigned dimensions, EmbedItem *item) {
        const StaticModel *m = model;
        _cleanup_free_ double *sum = calloc(dimensions, sizeof(*sum));
        _cleanup_free_ float *vector = calloc(dimensions, sizeof(*vector));
        uint32_t tokens[TOKENS_MAX];
        double squares = 0;
        size_t n = 0;

        int r = tokenizer_run(m->tokenizer, item->text, item->n, tokens, TOKENS_MAX, &n);
        if (r < 0 || !sum || !vector)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                add_row(m, tokens[i], sum);
        for (unsigned i = 0; i < dimensions; i++)
                squares += sum[i] * sum[i];
        if (squares < 1e-60 || !isfinite(squares)) {
                item->message = strdup(n > 0 ? "the vectors of its words have no direction together"
                                             : "none of its words is in the model's vocabulary");
                return item->message ? 0 : -ENOMEM;
        }
        for (unsigned i = 0; i < dimensions; i++)
                vector[i] = (float) (sum[i] / sqrt(squares));
        item->vector = TAKE_PTR(vector);
        return 0;
}

/* ---- checking the files ---- */

/* What is not finite stays so in a sum; what is finite is far too small to make a double run over, or of no use. */
static int check_embeddings(const StaticModel *m, const char **ret_message) {
        const Tensor *t = &m->embeddings;
        _cleanup_free_ double *sum = NULL;

        if (t->rows == 0 || t->columns == 0 || t->columns > EMBEDDER_DIMENSIONS_MAX) {
                *ret_message = "its table of embeddings is empty, or has more than 4096 columns";
                return -EUCLEAN;
        }
        sum = calloc(t->columns, sizeof(*sum));
        if (!sum)
                return -ENOMEM;
        for (size_t i = 0; i < t->rows; i++)
                tensor_add_row(t, i, 1, sum);
        for (size_t i = 0; i < t->columns; i++)
                if (!isfinite(sum[i])) {
                        *ret_message = "its table of embeddings has numbers that are not finite";
                        return -EUCLEAN;
                }
        return 0;
}

static const char *check_tokens(const StaticModel *m) {
        size_t n = tokenizer_size(m->tokenizer);

        if (m->mapping.data ? n > m->mapping.rows : n > m->embeddings.rows)
                return "it has fewer rows than tokenizer.json has tokens: the two are not of the same model";
        if (m->weights.data && n > m->weights.rows)
                return "it has fewer weights than tokenizer.json has tokens: the two are not of the same model";
        for (size_t i = 0; m->weights.data && i < n; i++)
                if (!isfinite(tensor_number(&m->weights, i)) ||
                    fabs(tensor_number(&m->weights, i)) > 1e6)
                        return "its weights are not all numbers of a sensible size";
        for (size_t i = 0; m->mapping.data && i < n; i++) {
                double row = tensor_number(&m->mapping, i);
                if (!(row >= 0 && row < (double) m->embeddings.rows))
                        return "its mapping leads outside of its table";
        }
        return NULL;
}

static int optional_tensor(const Safetensors *s,
                           const char *name,
                           Tensor *ret,
                           const char **ret_message) {
        int r = safetensors_get(s, name, ret, ret_message);

        if (r >= 0 && ret->columns != 1) {
                *ret_message = "its weights or its mapping are not a list";
                return -EUCLEAN;
        }
        return r == -ENOENT ? 0 : r;
}

static int read_tensors(StaticModel *m, const char **ret_message) {
        static const char *const names[] = { "embeddings", "embedding.weight" };
        Safetensors s;

        int r = safetensors_open(&s, m->file, m->n_file, ret_message);
        if (r < 0)
                return r;
        r = -ENOENT;
        for (size_t i = 0; i < ELEMENTSOF(names) && r == -ENOENT; i++)
                r = safetensors_get(&s, names[i], &m->embeddings, ret_message);
        if (r == -ENOENT) {
                *ret_message = "it has no tensor \"embeddings\": it is no static model";
                r = -EUCLEAN;
        }
        if (r >= 0)
                r = optional_tensor(&s, "weights", &m->weights, ret_message);
        if (r >= 0)
                r = optional_tensor(&s, "mapping", &m->mapping, ret_message);
        if (r < 0)
                return r;
        r = check_embeddings(m, ret_message);
        if (r < 0)
                return r;
        *ret_message = check_tokens(m);
        return *ret_message ? -EUCLEAN : 0;
}

/* ---- reading them ---- */

static int read_file(const char *folder,
                     const char *name,
                     size_t max,
                     char **ret,
                     size_t *ret_n,
                     char **ret_message) {
        _cleanup_free_ char *path = path_join(folder, name);

        if (!path)
                return -ENOMEM;
        int r = fs_read_file(AT_FDCWD, path, max, ret, ret_n);
        if (r < 0)
                *ret_message = str_printf("%s: %s", path, strerrordesc_np(-r));
        return r;
}

static void hash_files(const StaticModel *m,
                       const char *tokenizer,
                       size_t n,
                       char ret[static 2 * HASH_SHOWN + 1]) {
        uint8_t hash[crypto_hash_sha256_BYTES];
        crypto_hash_sha256_state state;

        (void) crypto_hash_sha256_init(&state);
        (void) crypto_hash_sha256_update(&state, (const uint8_t *) m->file, m->n_file);
        (void) crypto_hash_sha256_update(&state, (const uint8_t *) tokenizer, n);
        (void) crypto_hash_sha256_final(&state, hash);
        hex_encode(hash, HASH_SHOWN, ret);
}

/* "static:NAME:HASH", with the folder's name. */
static char *name_of(const char *folder, const char *hash) {
        size_t n = strlen(folder);

        while (n > 1 && folder[n - 1] == '/')
                n--;
        const char *slash = memrchr(folder, '/', n);
        const char *base = slash && n > 1 ? slash + 1 : folder;
        return str_printf("static:%.*s:%s", (int) (folder + n - base), base, hash);
}

static int load(StaticModel *m, const char *folder, char **ret_name, char **ret_message) {
        char hash[2 * HASH_SHOWN + 1];
        _cleanup_free_ char *json = NULL;
        const char *file = "tokenizer.json", *wrong = NULL;
        size_t n;

        int r = read_file(folder, "model.safetensors", FILE_MAX, &m->file, &m->n_file, ret_message);
        if (r >= 0)
                r = read_file(folder, file, TOKENIZER_MAX, &json, &n, ret_message);
        if (r < 0)
                return r;
        r = tokenizer_new(&m->tokenizer, json, n, &wrong);
        if (r >= 0) {
                file = "model.safetensors";
                r = read_tensors(m, &wrong);
        }
        if (r < 0) {
                *ret_message = wrong ? str_printf("%s/%s: %s", folder, file, wrong) : NULL;
                return r;
        }
        hash_files(m, json, n, hash);
        *ret_name = name_of(folder, hash);
        return *ret_name ? 0 : -ENOMEM;
}

int embedder_static_init(Embedder *e, const EmbedderOptions *o, char **ret_message) {
        _cleanup_(model_freep) StaticModel *m = calloc(1, sizeof(*m));

        if (!m)
                return -ENOMEM;
        if (str_isempty(o->path)) {
                *ret_message = strdup("a static embedding model needs the path of its folder");
                return -EINVAL;
        }
        int r = load(m, o->path, &e->model, ret_message);
        if (r < 0)
                return r;
        e->dimensions = (unsigned) m->embeddings.columns;
        e->is_semantic = true;
        r = embedder_compute_init(e, embed_text, m, model_free);
        if (r >= 0)
                (void) TAKE_PTR(m);
        return r;
}
