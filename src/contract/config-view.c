/* SPDX-License-Identifier: MIT */

/* The configuration for people and programs: as JSON, for `agentd config` and GET /config alike,
 * and as a file with every key in it.
 *
 * The example is made of the table and not kept as a file, because a file would be wrong after the
 * next key. Every key in it is commented out: what somebody uncomments is what differs from the
 * defaults, and a default that a later version changes is not pinned by a copy. */

#include "base/str.h"
#include "contract/config-keys.h"

bool config_value_differs(const DaemonConfig *a, const DaemonConfig *b, size_t index) {
        _cleanup_free_ char *one = config_value_to_string(a, index);
        _cleanup_free_ char *other = config_value_to_string(b, index);

        return one && other && !streq(one, other);
}

static void write_key(JsonWriter *w, const DaemonConfig *c, const DaemonConfig *next, size_t i) {
        const ConfigDef *k = &config_table[i];
        _cleanup_free_ char *value = config_value_to_string(c, i), *later = NULL;
        bool changed = next && config_value_differs(c, next, i);

        if (changed)
                later = config_value_to_string(next, i);
        json_w_object_begin(w);
        json_w_kv_string(w, "section", k->section);
        json_w_kv_string(w, "key", k->name);
        json_w_kv_string(w, "variable", k->env);
        json_w_kv_string(w, "option", k->option);
        json_w_kv_string(w, "value", value ? value : "");
        json_w_kv_string(w, "unit", config_unit(k));
        json_w_kv_string(w, "origin", c->sources[i]);
        json_w_kv_string(w, "default", k->fallback);
        json_w_kv_bool(w, "reload", k->reload);
        json_w_kv_string(w, "changed_to", later);
        json_w_kv_string(w, "changed_by", changed ? next->sources[i] : NULL);
        json_w_kv_string(w, "doc", k->doc);
        json_w_object_end(w);
}

void config_write_json(JsonWriter *w,
                       const DaemonConfig *c,
                       const DaemonConfig *next,
                       const char *error) {
        json_w_object_begin(w);
        json_w_kv_string(w, "file", c->file);
        json_w_key(w, "files");
        json_w_array_begin(w);
        for (char *const *f = c->files; f && *f; f++)
                json_w_string(w, *f);
        json_w_array_end(w);
        json_w_kv_string(w, "error", error);
        json_w_key(w, "keys");
        json_w_array_begin(w);
        for (size_t i = 0; i < config_table_size; i++)
                write_key(w, c, next, i);
        json_w_array_end(w);
        json_w_object_end(w);
}

static void write_example_key(Buf *out, const ConfigDef *k) {
        (void) buf_printf(out, "\n# %c%s",
                          k->doc[0] >= 'a' && k->doc[0] <= 'z' ? k->doc[0] - 32 : k->doc[0],
                          k->doc + 1);
        if (k->values) {
                (void) buf_puts(out, k->type == CONFIG_PATH ? "; a path or " : "; ");
                for (const char *p = k->values; *p; p++)
                        *p == '|' ? (void) buf_puts(out, ", ") : (void) buf_putc(out, *p);
        }
        (void) buf_printf(out, " (%s%s).\n#%s=%s\n", config_unit(k),
                          k->reload ? "" : ", needs a restart", k->name,
                          k->fallback ? k->fallback : "");
}

void config_write_example(Buf *out) {
        (void) buf_puts(
                out,
                "# agentd.conf: the configuration of agentd; see agentd.conf(5).\n"
                "#\n"
                "# Options and environment variables win over this file. Every key is shown with its\n"
                "# default. `agentd config --check FILE` says whether a file is right, `agentd reload`\n"
                "# makes a running daemon read it again, `agentd config` shows what is in effect.\n");
        for (size_t i = 0; i < config_table_size; i++) {
                const char *section = config_table[i].section;
                bool first = section != NULL;

                /* All keys of a section at the place of its first one. */
                for (size_t k = 0; k < i && first; k++)
                        first = !streq_ptr(config_table[k].section, section);
                if (!first)
                        continue;
                (void) buf_printf(out, "\n[%s]\n", section);
                for (size_t k = i; k < config_table_size; k++)
                        if (streq_ptr(config_table[k].section, section))
                                write_example_key(out, &config_table[k]);
        }
}
