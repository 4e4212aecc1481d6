/* SPDX-License-Identifier: MIT */

/* Vector search, measured from outside: one index of made vectors, searched one after the other
 * from one thread. A line of JSON comes out.
 *
 * The vectors are mixtures: points around centres in a space of 96 dimensions, lifted into the
 * wanted number by a random matrix, as embeddings lie near a space of fewer dimensions than they
 * have. How far the best and the tenth best are apart is printed; the larger, the easier.
 *
 * usage: bench-vectors [--codes=1-bit|int8] [--dump] [--cpu] COUNT DIMENSIONS FOLDER
 * --cpu counts the processor's time instead of the clock's: for a machine that is busy with other things.
 * --dump leaves FOLDER/vectors, FOLDER/queries (float32) and FOLDER/best (uint64, ten for each
 * query, the number of a vector from 1 on) for the peers. */

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/str.h"
#include "memory/vectors-internal.h"

enum {
        LATENT = 96,
        QUERIES = 100,
        BEST = 10,
        SCOPE_SHARE = 100, /* every hundredth vector is in the scope of one percent */
        READ_MIB = 512,
};

typedef struct Maker {
        unsigned dimensions;
        size_t n_centres;
        float *lift, *centres;
        uint64_t random;
} Maker;

static const uint64_t scopes[] = { 1, 2 };
static const char *folder;
static bool is_int8, is_dumped, is_cpu_time;

static _Noreturn void die(const char *what, int error) {
        (void) fprintf(stderr, "bench-vectors: %s: %s\n", what, strerrordesc_np(-error));
        exit(EXIT_FAILURE);
}

static double now_ms(void) {
        struct timespec t;

        (void) clock_gettime(is_cpu_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static float next(Maker *m) {
        m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (float) (m->random >> 33) / (float) (UINT32_C(1) << 30) - 1;
}

/* Nearly normal, of deviation 1. */
static float normal(Maker *m) {
        return next(m) + next(m) + next(m);
}

static float *floats(size_t n) {
        float *p = vector_alloc(n * sizeof(float));

        if (!p)
                die("memory", -ENOMEM);
        return p;
}

static void maker_init(Maker *m, unsigned dimensions, size_t count) {
        *m = (Maker){ .dimensions = dimensions,
                      .n_centres = MAX(count / 50, (size_t) 20),
                      .random = 1 };
        m->lift = floats((size_t) LATENT * dimensions);
        for (size_t i = 0; i < (size_t) LATENT * dimensions; i++)
                m->lift[i] = normal(m);
        m->centres = floats(m->n_centres * LATENT);
        for (size_t i = 0; i < m->n_centres * LATENT; i++)
                m->centres[i] = normal(m);
}

static void make(Maker *m, float *ret) {
        float latent[LATENT];
        const float *centre = m->centres + (m->random >> 20) % m->n_centres * LATENT;

        for (unsigned i = 0; i < LATENT; i++)
                latent[i] = centre[i] + 0.9F * normal(m);
        memset(ret, 0, m->dimensions * sizeof(float));
        for (unsigned i = 0; i < LATENT; i++) {
                const float *row = m->lift + (size_t) i * m->dimensions;
                for (unsigned d = 0; d < m->dimensions; d++)
                        ret[d] += latent[i] * row[d];
        }
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

static double part_of(double *times, size_t n, unsigned percent) {
        qsort(times, n, sizeof(*times), compare);
        return times[MIN(n - 1, n * percent / 100)];
}

static int open_dump(const char *name) {
        _cleanup_free_ char *path = path_join(folder, name);
        int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;

        if (fd < 0)
                die(name, errno_neg());
        return fd;
}

static void dump(int fd, const void *data, size_t n) {
        int r = is_dumped ? fd_write_all(fd, data, n) : 0;

        if (r < 0)
                die("dump", r);
}

static VectorIndex *open_index(unsigned dimensions, uint64_t *ret_sequence) {
        _cleanup_free_ char *path = path_join(folder, "index");
        VectorIndex *v = NULL;
        int r = path ? vector_index_open(&v, path, dimensions, ret_sequence) : -ENOMEM;

        if (r < 0)
                die("index", r);
        if (is_int8)
                v->large_from = SIZE_MAX;
        return v;
}

/* Putting and saving, without making the vectors; in seconds. */
static double build(VectorIndex *v, Maker *m, size_t count) {
        _cleanup_free_ float *x = floats(m->dimensions);
        _cleanup_close_ int fd = is_dumped ? open_dump("vectors") : -EBADF;
        double spent = 0;

        for (size_t i = 1; i <= count; i++) {
                make(m, x);
                dump(fd, x, m->dimensions * sizeof(float));
                double begin = now_ms();
                int r = vector_index_put(v, scopes[i % SCOPE_SHARE == 0], i, x);
                spent += now_ms() - begin;
                if (r < 0)
                        die("put", r);
        }
        double begin = now_ms();
        int r = vector_index_save(v, 1);
        if (r < 0)
                die("save", r);
        return (spent + now_ms() - begin) / 1e3;
}

typedef struct Result {
        double least, p50, p99;
        VectorHit hits[QUERIES][BEST];
        VectorSearchStats stats;
} Result;

/* The first round is to warm up; the last is counted. */
static void search(VectorIndex *v, const float *queries, const VectorQuery *how, size_t n, Result *ret) {
        double times[QUERIES];
        size_t dimensions = how->n;

        for (int round = 0; round < 2; round++)
                for (size_t i = 0; i < n; i++) {
                        VectorQuery q = *how;
                        size_t n_hits;

                        q.vector = queries + i * dimensions;
                        double begin = now_ms();
                        int r = vector_index_search(v, &q, ret->hits[i], &n_hits, &ret->stats);
                        times[i] = now_ms() - begin;
                        if (r < 0)
                                die("search", r);
                        if (n_hits != BEST)
                                die("search found less than ten", -ENODATA);
                }
        ret->least = part_of(times, n, 0);
        ret->p50 = part_of(times, n, 50);
        ret->p99 = part_of(times, n, 99);
}

static double recall(const Result *exact, const Result *other) {
        size_t found = 0;

        for (size_t i = 0; i < QUERIES; i++)
                for (size_t j = 0; j < BEST; j++)
                        found += other->hits[i][j].score >= exact->hits[i][BEST - 1].score - 1e-6F;
        return (double) found / (QUERIES * BEST);
}

static double gap(const Result *exact) {
        double sum = 0;

        for (size_t i = 0; i < QUERIES; i++)
                sum += (double) (exact->hits[i][0].score - exact->hits[i][BEST - 1].score);
        return sum / QUERIES;
}

/* What one thread reads from memory in a second, the best of some times, in GB. */
static double bandwidth(void) {
        size_t n = ((size_t) READ_MIB << 20) / sizeof(float);
        _cleanup_free_ float *a = floats(n);
        const VectorKernels *k = vector_kernels();
        double best = 0;
        volatile float sum = 0;

        for (size_t i = 0; i < n; i++)
                a[i] = (float) i;
        for (int round = 0; round < 4; round++) {
                double begin = now_ms();
                /* the other side stays in the cache */
                for (size_t i = 0; i + 4096 <= n; i += 4096)
                        sum = sum + k->dot(a + i, a, 4096);
                best = MAX(best, (double) READ_MIB * 1048576 / (now_ms() - begin) / 1e6);
        }
        return best;
}

static double reopen(VectorIndex **v, unsigned dimensions) {
        uint64_t sequence;

        *v = vector_index_free(*v);
        double begin = now_ms();
        *v = open_index(dimensions, &sequence);
        if (sequence != 1)
                die("the saved index was not taken", -EBADMSG);
        return now_ms() - begin;
}

static void write_best(const Result *exact) {
        _cleanup_close_ int fd = open_dump("best");

        for (size_t i = 0; i < QUERIES; i++)
                for (size_t j = 0; j < BEST; j++)
                        dump(fd, &exact->hits[i][j].id, sizeof(uint64_t));
}

static void measure(size_t count, unsigned dimensions) {
        static Result exact, coded, scoped, scoped_exact;
        uint64_t sequence;
        VectorIndexStats stats;
        Maker m;

        maker_init(&m, dimensions, count);
        float *queries = floats((size_t) QUERIES * dimensions);
        for (size_t i = 0; i < QUERIES; i++)
                make(&m, queries + i * dimensions);
        VectorIndex *v = open_index(dimensions, &sequence);
        double build_sec = build(v, &m, count);
        double open_ms = reopen(&v, dimensions);

        VectorQuery q = {
                .n = dimensions, .scopes = scopes, .n_scopes = 2, .limit = BEST, .min_score = -1
        };
        search(v, queries, &q, QUERIES, &coded);
        q.exact = true;
        search(v, queries, &q, QUERIES, &exact);
        q.scopes = scopes + 1;
        q.n_scopes = 1;
        search(v, queries, &q, QUERIES, &scoped_exact);
        q.exact = false;
        search(v, queries, &q, QUERIES, &scoped);
        vector_index_stats(v, &stats);
        if (is_dumped) {
                _cleanup_close_ int fd = open_dump("queries");
                dump(fd, queries, (size_t) QUERIES * dimensions * sizeof(float));
                write_best(&exact);
        }
        double gb = bandwidth();
        (void) printf(
                "{\"count\":%zu,\"dimensions\":%u,\"simd\":\"%s\",\"tier\":\"%s\",\"gap\":%.4f,"
                "\"build_sec\":%.3f,\"open_ms\":%.2f,\"hot_bytes\":%zu,\"file_bytes\":%zu,"
                "\"candidates\":%zu,\"least_ms\":%.4f,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"recall\":%.4f,"
                "\"exact_p50_ms\":%.4f,\"scope_p50_ms\":%.4f,\"scope_recall\":%.4f,"
                "\"bandwidth_gb\":%.2f,\"bandwidth_share\":%.3f,\"exact_share\":%.3f}\n",
                count, dimensions, stats.simd, coded.stats.tier, gap(&exact), build_sec, open_ms,
                stats.hot_bytes, stats.file_bytes, coded.stats.candidates, coded.least, coded.p50,
                coded.p99, recall(&exact, &coded), exact.p50, scoped.p50,
                recall(&scoped_exact, &scoped), gb, (double) stats.hot_bytes / 1e6 / coded.p50 / gb,
                (double) count * dimensions * sizeof(float) / 1e6 / exact.p50 / gb);
        (void) vector_index_free(v);
        free(queries);
        free(m.lift);
        free(m.centres);
}

int main(int argc, char **argv) {
        int i = 1;

        for (; i < argc && argv[i][0] == '-'; i++) {
                is_int8 = is_int8 || streq(argv[i], "--codes=int8");
                is_dumped = is_dumped || streq(argv[i], "--dump");
                is_cpu_time = is_cpu_time || streq(argv[i], "--cpu");
        }
        uint64_t count, dimensions;
        if (argc - i != 3 || str_to_u64(argv[i], &count) < 0 ||
            str_to_u64(argv[i + 1], &dimensions) < 0 || count < 1000 || dimensions == 0 ||
            dimensions > VECTOR_DIMENSIONS_MAX) {
                (void) fputs(
                        "usage: bench-vectors [--codes=1-bit|int8] [--dump] [--cpu] COUNT DIMENSIONS FOLDER\n",
                        stderr);
                return EXIT_FAILURE;
        }
        folder = argv[i + 2];
        measure((size_t) count, (unsigned) dimensions);
        return EXIT_SUCCESS;
}
