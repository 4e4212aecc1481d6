/* SPDX-License-Identifier: MIT */
#pragma once

/* For the tests of embedders: a loop, a pool, and what came of a call. */

#include "base/test.h"
#include "memory/embedder.h"

#define TEST_TEXTS_MAX 600

typedef struct TestEmbed {
        sd_event *event;
        Pool *pool;
        Fetcher *fetcher;
        Embedder *embedder;
        char *error; /* of embedder_new() */
        /* the last call */
        unsigned n_done, dimensions;
        int r;
        size_t n;
        char *message;
        float *vectors[TEST_TEXTS_MAX];
        char *messages[TEST_TEXTS_MAX];
        void (*also)(struct TestEmbed *t);
} TestEmbed;

void test_embed_setup(TestEmbed *t);
void test_embed_teardown(TestEmbed *t);
/* Replaces the embedder. */
int test_embed_new(TestEmbed *t, const EmbedderOptions *options);
void test_embed_clear(TestEmbed *t);
int test_embed_start(TestEmbed *t, const char *const *texts, size_t n);
void test_embed_wait(TestEmbed *t, unsigned n_done);
/* Start and wait; asserts that it can be started. */
void test_embed(TestEmbed *t, const char *const *texts, size_t n);
double test_embed_cosine(const TestEmbed *t, size_t a, size_t b);
/* Every vector there is has length 1. */
void test_embed_check(const TestEmbed *t);
