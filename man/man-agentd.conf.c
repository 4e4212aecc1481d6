/* SPDX-License-Identifier: MIT */

/* Prints agentd.conf(5) in the language of scdoc, from the table that the file is read by. The
 * words around the table say the same as docs/configuration.md, shorter. */

#include "base/str.h"
#include "contract/config-keys.h"
#include "man/scdoc.h"

static const char *type_name(ConfigType type) {
        switch (type) {
        case CONFIG_STRING:
                return "word";
        case CONFIG_PATH:
                return "path";
        case CONFIG_UINT:
                return "number";
        case CONFIG_SIZE:
                return "size";
        case CONFIG_SPAN:
                return "time span";
        case CONFIG_LIST:
                return "list of words";
        case CONFIG_BOOL:
                return "yes or no";
        }
        return "?";
}

static void print_key(const ConfigDef *k) {
        sc_bold(k->name);
        (void) fputs("=\n\t", stdout);
        sc_sentence(k->doc, 1);
        if (k->type == CONFIG_STRING && k->values)
                (void) fputs(" One of ", stdout);
        else
                (void) printf(" A %s%s", type_name(k->type), k->values ? ", or " : "");
        sc_text(k->values ? k->values : "", 1);
        if (k->fallback && *k->fallback) {
                (void) fputs("; default ", stdout);
                sc_text(k->fallback, 1);
        }
        (void) fputs(k->reload ? "; taken up by a reload" : "; counts after a restart", stdout);
        (void) fputs(". Environment: ", stdout);
        sc_text(k->env, 1);
        if (k->option) {
                (void) fputs("; option: ", stdout);
                sc_text(k->option, 1);
        }
        (void) fputs(".\n\n", stdout);
}

/* The table is in the order of topics, not of sections: a section's keys may be apart in it. */
static void print_section(size_t first) {
        const char *section = config_table[first].section;

        for (size_t i = 0; i < first; i++)
                if (streq_ptr(config_table[i].section, section))
                        return;
        (void) printf("# [%s] SECTION\n\n", section);
        for (size_t i = first; i < config_table_size; i++)
                if (streq_ptr(config_table[i].section, section))
                        print_key(&config_table[i]);
}

int main(void) {
        (void) puts(
                "agentd.conf(5)\n\n# NAME\n\nagentd.conf - configuration of agentd\n\n"
                "# DESCRIPTION\n\n"
                "A value comes from the first of these places that names it: an option of *agentd start*; an "
                "environment variable; a drop-in, which is a file *agentd.conf.d/\\*.conf* beside this one, the "
                "last in the order of names first; this file; the default.\n\n"
                "The file is the one that *\\-\\-config* or AGENTD_CONFIG names, and then it must exist; else "
                "_agentd.conf_ in the folder of CONFIGURATION_DIRECTORY, in _~/.agent_runtime_, or, for root, in "
                "_/etc/agentd_.\n\n"
                "Sections are in brackets, lines are *Key=Value*. A *#* or *;* begins a comment line; a line that "
                "ends in a backslash goes on in the next one. A later value replaces an earlier one, a list grows; an "
                "empty value takes back what was said before. Time spans are 90s, 5min, 2h or plain seconds; sizes "
                "take K, M and G.\n\n"
                "*agentd config* shows each value and where it came from, *agentd config \\-\\-check* says whether a "
                "file is right, *agentd config \\-\\-example* prints one with every key. *agentd reload* lets a "
                "running daemon take up what can change while it runs, and names what waits for a restart. A mistake "
                "stops the start, or changes nothing on a reload, and is told with file and line.\n");
        for (size_t i = 0; i < config_table_size; i++)
                if (config_table[i].section)
                        print_section(i);
        (void) puts("# SEE ALSO\n\n*agentd*(1), *agentd-api*(7)");
        return 0;
}
