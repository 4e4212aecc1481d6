// SPDX-License-Identifier: MIT

// A peer of bench-vectors: the flat (exact) index of faiss over the vectors that --dump left in FOLDER, one
// thread, one query after the other, inner product of normalised vectors. Prints the median in ms and how
// many of the ten best of each query are those that FOLDER/best names.
//
// usage: bench-faiss DIMENSIONS FOLDER

#include <faiss/IndexFlat.h>

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

template <typename T> static std::vector<T> read_all(const std::string &path) {
        std::ifstream file(path, std::ios::binary | std::ios::ate);
        std::vector<T> data(static_cast<size_t>(file.tellg()) / sizeof(T));
        file.seekg(0);
        file.read(reinterpret_cast<char *>(data.data()), static_cast<std::streamsize>(data.size() * sizeof(T)));
        return data;
}

static void normalise(std::vector<float> &data, size_t d) {
        for (size_t i = 0; i < data.size(); i += d) {
                double sum = 0;
                for (size_t j = 0; j < d; j++)
                        sum += double(data[i + j]) * double(data[i + j]);
                for (size_t j = 0; j < d; j++)
                        data[i + j] = float(double(data[i + j]) / std::sqrt(sum));
        }
}

int main(int argc, char **argv) {
        if (argc != 3)
                return 2;
        const size_t d = std::stoul(argv[1]), best_n = 10;
        const std::string folder = argv[2];
        omp_set_num_threads(1);
        auto vectors = read_all<float>(folder + "/vectors");
        auto queries = read_all<float>(folder + "/queries");
        const auto best = read_all<uint64_t>(folder + "/best");
        normalise(vectors, d);
        normalise(queries, d);
        faiss::IndexFlatIP index(static_cast<faiss::Index::idx_t>(d));
        index.add(static_cast<faiss::Index::idx_t>(vectors.size() / d), vectors.data());
        std::vector<double> times;
        size_t same = 0;
        for (size_t q = 0; q < queries.size() / d; q++) {
                std::vector<float> scores(best_n);
                std::vector<faiss::Index::idx_t> ids(best_n);
                const auto begin = std::chrono::steady_clock::now();
                index.search(1, queries.data() + q * d, best_n, scores.data(), ids.data());
                const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
                times.push_back(spent.count());
                const std::set<uint64_t> want(best.begin() + long(q * best_n), best.begin() + long((q + 1) * best_n));
                for (const auto id : ids)
                        same += want.count(static_cast<uint64_t>(id) + 1);
        }
        std::sort(times.begin(), times.end());
        std::printf("%.4f %zu %zu\n", times[times.size() / 2], same, best.size());
        return 0;
}
