/* SPDX-License-Identifier: MIT */

/* From one configuration to the next while the daemon runs, and through its crash.
 *
 * Taking up is per key: a key that may change takes the new value, any other keeps the old one,
 * also if both come from the same file. To refuse the whole file because one of its changes needs a
 * restart was rejected: the other changes are right, and what waits is said.
 *
 * What runs is written down as the JSON that GET /config shows, and read again by the daemon that
 * follows one that crashed: a file that was edited meanwhile must not give the next daemon another
 * database in the middle of everything, or keep it from starting because of a slip. */

#include "base/str.h"
#include "contract/config-internal.h"

static void swap_bytes(void *a, void *b, size_t n) {
        uint8_t *x = a, *y = b;

        for (size_t i = 0; i < n; i++) {
                uint8_t t = x[i];
                x[i] = y[i];
                y[i] = t;
        }
}

static size_t member_size(ConfigType type) {
        switch (type) {
        case CONFIG_STRING:
        case CONFIG_PATH:
                return sizeof(char *);
        case CONFIG_LIST:
                return sizeof(char **);
        case CONFIG_UINT:
        case CONFIG_SIZE:
                return sizeof(uint64_t);
        case CONFIG_SPAN:
                return sizeof(usec_t);
        case CONFIG_BOOL:
                return sizeof(bool);
        }
        return 0;
}

void config_take(DaemonConfig *running,
                 DaemonConfig *next,
                 ConfigChange changes[static CONFIG_KEYS_MAX]) {
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];
                bool differs = config_value_differs(running, next, i);

                changes[i] = !differs ? CONFIG_SAME : k->reload ? CONFIG_APPLIED : CONFIG_WAITS;
                if (changes[i] == CONFIG_WAITS)
                        continue;
                swap_bytes((uint8_t *) running + k->offset, (uint8_t *) next + k->offset,
                           member_size(k->type));
                swap_bytes(&running->sources[i], &next->sources[i], sizeof(char *));
        }
        swap_bytes(&running->files, &next->files, sizeof(char **));
}

/* ---- through a crash ---- */

static int say_member(ConfigTexts *t, JsonSpan key) {
        _cleanup_free_ char *env = NULL, *value = NULL, *origin = NULL;
        JsonSpan v = json_get(key, "variable"), text = json_get(key, "value"),
                 o = json_get(key, "origin");
        size_t i;

        if (!json_is(v, JSON_KIND_STRING) || !json_is(text, JSON_KIND_STRING) ||
            !json_is(o, JSON_KIND_STRING))
                return -EINVAL;
        int r = json_string_dup(v, &env, NULL);
        if (r >= 0)
                r = json_string_dup(text, &value, NULL);
        if (r >= 0)
                r = json_string_dup(o, &origin, NULL);
        /* Another version's key is left out, and so is a path that there was none of. */
        if (r < 0 || config_index_by_env(env, &i) < 0 ||
            (*value == '\0' && config_table[i].type == CONFIG_PATH))
                return r;
        return config_say(t, i, value, origin);
}

int config_say_json(ConfigTexts *t, JsonSpan json) {
        JsonSpan files = json_get(json, "files"), keys = json_get(json, "keys"), item;
        int r = json_is(files, JSON_KIND_ARRAY) && json_is(keys, JSON_KIND_ARRAY) ? 0 : -EINVAL;

        JsonIter it = json_iter(files);
        while (r >= 0 && json_next(&it, NULL, &item)) {
                _cleanup_free_ char *file = NULL;
                r = json_is(item, JSON_KIND_STRING) ? json_string_dup(item, &file, NULL) : -EINVAL;
                if (r >= 0)
                        r = strv_extend(&t->files, file);
        }
        it = json_iter(keys);
        while (r >= 0 && json_next(&it, NULL, &item))
                r = json_is(item, JSON_KIND_OBJECT) ? say_member(t, item) : -EINVAL;
        return r;
}
