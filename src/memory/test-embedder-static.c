/* SPDX-License-Identifier: MIT */

/* Static models from files that the test makes: vectors are the mean of the tokens' rows; files
 * that are missing, damaged or of two models are refused by name. */

#include <endian.h>
#include <stdio.h>

#include "memory/test-embedder.h"

#define TOKENIZER                                                                                                           \
        "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":" \
        "\"[UNK]\",\"vocab\":{\"[UNK]\":0,\"car\":1,\"automobile\":2,\"tea\":3,\"green\":4}}}"

/* rows of two: unknown, car, automobile, tea, green */
static const float rows[] = { 9, 9, 1, 0, 1, 0.25f, 0, 2, -1, 1 };

typedef struct Fixture {
        TestEmbed t;
        char *folder, *path; /* the model's is within it */
} Fixture;

static int setup(void **state) {
        Fixture *f = calloc(1, sizeof(*f));

        test_embed_setup(&f->t);
        f->folder = test_folder();
        f->path = path_join(f->folder, "toy");
        assert_int_equal(mkdir(f->path, 0700), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        Fixture *f = *state;

        test_embed_teardown(&f->t);
        test_folder_done(&f->folder);
        free(f->path);
        free(f);
        return 0;
}

static void put(const Fixture *f, const char *name, const void *data, size_t n) {
        _cleanup_free_ char *path = path_join(f->path, name);

        assert_int_equal(fs_write_file_atomic(AT_FDCWD, path, data, n, 0600), 0);
}

static void put_model(const Fixture *f, const char *header, const void *data, size_t n_data) {
        _cleanup_buf_ Buf file = BUF_INIT(1u << 20);
        uint64_t n = htole64(strlen(header));

        assert_int_equal(buf_append(&file, &n, sizeof(n)), 0);
        assert_int_equal(buf_puts(&file, header), 0);
        assert_int_equal(buf_append(&file, data, n_data), 0);
        put(f, "model.safetensors", file.data, file.len);
}

static int use(Fixture *f) {
        const EmbedderOptions o = { .kind = EMBEDDER_STATIC, .path = f->path };

        return test_embed_new(&f->t, &o);
}

static void put_good(const Fixture *f) {
        put(f, "tokenizer.json", TOKENIZER, strlen(TOKENIZER));
        put_model(f, "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[5,2],\"data_offsets\":[0,40]}}",
                  rows, sizeof(rows));
}

static void near(const TestEmbed *t, size_t i, float x, float y) {
        assert_non_null(t->vectors[i]);
        assert_true(t->vectors[i][0] > x - 1e-3f && t->vectors[i][0] < x + 1e-3f);
        assert_true(t->vectors[i][1] > y - 1e-3f && t->vectors[i][1] < y + 1e-3f);
}

static void vectors_are_the_mean_of_the_tokens(void **state) {
        static const char *const texts[] = { "Car",           "green TEA", "car car unknownword",
                                             "nothing known", "",          "tea, car!" };
        Fixture *f = *state;

        put_good(f);
        assert_int_equal(use(f), 0);
        assert_int_equal(embedder_dimensions(f->t.embedder), 2);
        assert_true(embedder_is_semantic(f->t.embedder));
        assert_non_null(str_startswith(embedder_model(f->t.embedder), "static:toy:"));
        assert_int_equal(strlen(embedder_model(f->t.embedder)), strlen("static:toy:") + 16);
        test_embed(&f->t, texts, ELEMENTSOF(texts));
        assert_int_equal(f->t.r, 0);
        near(&f->t, 0, 1, 0);
        near(&f->t, 1, -0.3162f, 0.9487f);
        near(&f->t, 2, 1, 0);
        assert_string_equal(f->t.messages[3], "none of its words is in the model's vocabulary");
        assert_string_equal(f->t.messages[4], "the text is empty");
        near(&f->t, 5, 0.4472f, 0.8944f);
}

static void weights_and_mapping_are_used(void **state) {
        static const char *const texts[] = { "car", "automobile", "tea green" };
        Fixture *f = *state;
        struct __attribute__((packed)) {
                uint16_t rows[4]; /* half precision: (1, 0), (0, 1) */
                float weights[5];
                int64_t mapping[5]; /* car and automobile share a row */
        } data = { { 0x3C00, 0, 0, 0x3C00 }, { 1, 1, 1, 3, 0 }, { 0, 0, 0, 1, 0 } };

        put(f, "tokenizer.json", TOKENIZER, strlen(TOKENIZER));
        put_model(f,
                  "{\"embedding.weight\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
                  "\"weights\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[8,28]},"
                  "\"mapping\":{\"dtype\":\"I64\",\"shape\":[5],\"data_offsets\":[28,68]}}",
                  &data, sizeof(data));
        assert_int_equal(use(f), 0);
        test_embed(&f->t, texts, 3);
        near(&f->t, 0, 1, 0);
        near(&f->t, 1, 1, 0);
        near(&f->t, 2, 0, 1);
}

static void other_files_are_another_model(void **state) {
        Fixture *f = *state;
        char before[64];
        float other[ELEMENTSOF(rows)];

        put_good(f);
        assert_int_equal(use(f), 0);
        (void) snprintf(before, sizeof(before), "%s", embedder_model(f->t.embedder));
        assert_int_equal(use(f), 0);
        assert_string_equal(embedder_model(f->t.embedder), before);
        memcpy(other, rows, sizeof(other));
        other[3] = 0.5f;
        put_model(f, "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[5,2],\"data_offsets\":[0,40]}}",
                  other, sizeof(other));
        assert_int_equal(use(f), 0);
        assert_string_not_equal(embedder_model(f->t.embedder), before);
}

static void refused(Fixture *f, int r, const char *file, const char *word) {
        assert_int_equal(use(f), r);
        assert_non_null(str_startswith(f->t.error, f->path));
        assert_non_null(strstr(f->t.error, file));
        assert_non_null(strstr(f->t.error, word));
}

static void files_that_are_none_are_refused_by_name(void **state) {
        static const float bad[] = { 1, 0, 1, 0, __builtin_nanf(""), 1, 1, 1, 1, 1 };
        Fixture *f = *state;

        refused(f, -ENOENT, "model.safetensors", "No such file");
        put_good(f);
        put_model(f, "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[4,2],\"data_offsets\":[0,32]}}",
                  rows, sizeof(rows));
        refused(f, -EUCLEAN, "model.safetensors", "fewer rows");
        put_model(f, "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[5,2],\"data_offsets\":[0,40]}}",
                  rows, 39);
        refused(f, -EUCLEAN, "model.safetensors", "cut off");
        put_model(f, "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[5,2],\"data_offsets\":[0,40]}}",
                  bad, sizeof(bad));
        refused(f, -EUCLEAN, "model.safetensors", "not finite");
        put_model(f, "{\"other\":{\"dtype\":\"F32\",\"shape\":[5,2],\"data_offsets\":[0,40]}}",
                  rows, sizeof(rows));
        refused(f, -EUCLEAN, "model.safetensors", "embeddings");
        put_model(f,
                  "{\"embeddings\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
                  "\"mapping\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]}}",
                  rows, sizeof(rows));
        refused(f, -EUCLEAN, "model.safetensors", "mapping");
        put(f, "tokenizer.json", "{}", 2);
        refused(f, -EUCLEAN, "tokenizer.json", "model");
        free(f->path);
        f->path = strdup("");
        assert_int_equal(use(f), -EINVAL);
}

static void it_may_be_freed_while_the_pool_works(void **state) {
        static const char *const texts[] = { "car", "tea" };
        Fixture *f = *state;

        put_good(f);
        for (unsigned turns = 0; turns < 4; turns++) {
                assert_int_equal(use(f), 0);
                for (unsigned i = 0; i < 5; i++)
                        assert_int_equal(test_embed_start(&f->t, texts, 2), 0);
                for (unsigned i = 0; i < turns; i++)
                        assert_true(sd_event_run(f->t.event, 0) >= 0);
                f->t.embedder = embedder_free(f->t.embedder);
        }
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(vectors_are_the_mean_of_the_tokens),
                TEST(weights_and_mapping_are_used),
                TEST(other_files_are_another_model),
                TEST(files_that_are_none_are_refused_by_name),
                TEST(it_may_be_freed_while_the_pool_works),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
