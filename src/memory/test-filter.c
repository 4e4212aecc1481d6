/* SPDX-License-Identifier: MIT */

/* Which entries a filter lets through. */

#include "base/test.h"
#include "memory/filter.h"

static const MemoryEntry entry = {
        .key = "fact:1",
        .updated_at = 1800000000 * USEC_PER_SEC,
        .metadata = JSON_LITERAL("{\"n\": 5, \"s\": \"b\\u0065e\", \"t\": true, \"z\": null}"),
        .tags = JSON_LITERAL("[\"red\",\"gr\\u00fcn\"]"),
        .importance = 0.5,
};

static bool holds(const char *json) {
        char message[FILTER_MESSAGE_SIZE];
        MemoryFilter f;

        assert_int_equal(filter_parse((JsonSpan){ json, strlen(json) }, &f, message), 0);
        return filter_holds(&f, &entry);
}

static void test_every_part_can_hold_and_fail(void **state) {
        static const struct {
                const char *yes, *no;
        } pairs[] = {
                { "{}", "{\"prefix\":\"fact:2\"}" },
                { "{\"prefix\":\"fact:\"}", "{\"prefix\":\"fact:11\"}" },
                { "{\"tags\":[\"red\",\"gr\xc3\xbcn\"]}", "{\"tags\":[\"red\",\"blue\"]}" },
                { "{\"any_tags\":[\"blue\",\"red\"]}", "{\"any_tags\":[\"blue\"]}" },
                { "{\"tags\":[],\"any_tags\":[]}", "{\"tags\":[\"Red\"]}" },
                { "{\"since\":\"2027-01-15T08:00:00Z\"}", "{\"since\":\"2027-01-15T08:00:01Z\"}" },
                { "{\"until\":\"2027-01-15T08:00:01Z\"}", "{\"until\":\"2027-01-15T08:00:00Z\"}" },
                { "{\"min_importance\":0.5}", "{\"min_importance\":0.6}" },
                { "{\"metadata\":{\"n\":5.0}}", "{\"metadata\":{\"n\":\"5\"}}" },
                { "{\"metadata\":{\"s\":\"bee\"}}", "{\"metadata\":{\"s\":\"be\"}}" },
                { "{\"metadata\":{\"t\":true}}", "{\"metadata\":{\"t\":false}}" },
                { "{\"metadata\":{\"z\":null}}", "{\"metadata\":{\"y\":null}}" },
                { "{\"metadata\":{\"n\":{\"gt\":4,\"lt\":6}}}", "{\"metadata\":{\"n\":{\"gt\":5}}}" },
                { "{\"metadata\":{\"n\":{\"gte\":5,\"lte\":5}}}",
                  "{\"metadata\":{\"n\":{\"lt\":5}}}" },
                { "{\"metadata\":{\"s\":{\"gt\":\"a\"}}}", "{\"metadata\":{\"s\":{\"gt\":5}}}" },
                { "{\"metadata\":{\"n\":{\"in\":[1,5]}}}", "{\"metadata\":{\"n\":{\"in\":[]}}}" },
                { "{\"metadata\":{\"q\":{\"nin\":[1]}}}", "{\"metadata\":{\"n\":{\"nin\":[5]}}}" },
                { "{\"metadata\":{\"q\":{\"ne\":1}}}", "{\"metadata\":{\"n\":{\"ne\":5}}}" },
                { "{\"metadata\":{\"q\":{\"exists\":false}}}",
                  "{\"metadata\":{\"n\":{\"exists\":false}}}" },
                { "{\"metadata\":{\"s\":{\"contains\":\"ee\"}}}",
                  "{\"metadata\":{\"n\":{\"contains\":\"5\"}}}" },
                { "{\"metadata\":{\"s\":{\"contains\":\"\"}}}",
                  "{\"metadata\":{\"q\":{\"contains\":\"\"}}}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                assert_true(holds(pairs[i].yes));
                assert_false(holds(pairs[i].no));
        }
}

static void test_what_is_wrong_is_named(void **state) {
        static const struct {
                const char *json, *word;
        } wrong[] = {
                { "{\"metadatum\":{}}", "metadatum" },
                { "{\"prefix\":5}", "prefix" },
                { "{\"tags\":\"red\"}", "tags" },
                { "{\"any_tags\":[1]}", "any_tags" },
                { "{\"since\":\"yesterday\"}", "since" },
                { "{\"until\":5}", "until" },
                { "{\"min_importance\":\"high\"}", "min_importance" },
                { "{\"metadata\":[]}", "metadata" },
                { "{\"metadata\":{\"n\":[1]}}", "in" },
                { "{\"metadata\":{\"n\":{\"$gt\":1}}}", "$gt" },
                { "{\"metadata\":{\"n\":{\"in\":1}}}", "a list" },
                { "{\"metadata\":{\"n\":{\"gt\":[1]}}}", "a single value" },
                { "{\"metadata\":{\"n\":{\"exists\":1}}}", "true or false" },
        };

        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                char message[FILTER_MESSAGE_SIZE] = "";
                MemoryFilter f;
                JsonSpan json = { wrong[i].json, strlen(wrong[i].json) };
                assert_int_equal(filter_parse(json, &f, message), -EINVAL);
                assert_non_null(strstr(message, wrong[i].word));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_part_can_hold_and_fail),
                cmocka_unit_test(test_what_is_wrong_is_named),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
