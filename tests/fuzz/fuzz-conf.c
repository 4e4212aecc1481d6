/* SPDX-License-Identifier: MIT */

/* agentd.conf as bytes, to the settings a daemon would run with: encoding, sections, keys, units,
 * lists and what follows from them (ini is only the first of these steps). What is accepted is
 * within its limits, and is the same again after it was told as JSON and read back, as a daemon
 * does that goes on after a crash. What is refused is refused with the file, and in words that may
 * be shown on a terminal. */

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/str.h"
#include "contract/config-keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition, const char *what) {
        if (condition)
                return;
        (void) fputs(what, stderr);
        abort();
}

static void check_limits(const DaemonConfig *c) {
        for (size_t i = 0; i < config_table_size; i++) {
                const ConfigDef *k = &config_table[i];
                bool is_number =
                        k->type == CONFIG_UINT || k->type == CONFIG_SIZE || k->type == CONFIG_SPAN;
                _cleanup_free_ char *text = config_value_to_string(c, i);

                require(text != NULL, "a value that cannot be told\n");
                require(c->sources[i] != NULL, "a value from nowhere\n");
                if (!is_number || (k->min == 0 && k->max == 0))
                        continue;
                uint64_t v;
                memcpy(&v, (const uint8_t *) c + k->offset, sizeof(v));
                require(v >= k->min && v <= k->max, "a value beyond its limits\n");
        }
}

static void check_again(const DaemonConfig *c) {
        _cleanup_(config_done) DaemonConfig again = {};
        _cleanup_buf_ Buf text = BUF_INIT((size_t) 64 << 20);
        JsonWriter w = JSON_WRITER(&text);
        JsonSpan json;

        config_write_json(&w, c, NULL, NULL);
        require(buf_error(&text) == 0, "it cannot be told\n");
        require(json_check(text.data, text.len, JSON_DEPTH_MAX, &json, NULL) == 0, "it is no JSON\n");
        require(config_load_json(&again, json) == 0, "what was told cannot be read\n");
        for (size_t i = 0; i < config_table_size; i++)
                require(!config_value_differs(c, &again, i),
                        "a value is another one when read again\n");
}

static void check_message(const char *message, const char *path) {
        require(message != NULL && *message, "refused without a reason\n");
        /* What follows from several settings names the variable that mends it. */
        require(strstr(message, path) || strstr(message, "AGENTD_"), "refused without the file\n");
        for (const char *p = message; *p; p++)
                require(((unsigned char) *p >= ' ' && *p != 0x7f) || *p == '\t',
                        "a reason that is unfit for a terminal\n");
}

static void load(const char *path, unsigned flags) {
        _cleanup_(config_done) DaemonConfig c = {};
        _cleanup_free_ char *message = NULL, *file = str_printf("AGENTD_CONFIG=%s", path);
        char *const environment[] = { file, NULL };

        require(file != NULL, "out of memory\n");
        int r = config_load_from(&c, NULL, environment, flags, &message);
        require(r == 0 || r == -EINVAL, "an undocumented error\n");
        if (message)
                check_message(message, path);
        require(r == 0 || message, "refused without a reason\n");
        require(r < 0 || !message || flags & CONFIG_LENIENT, "accepted with a complaint\n");
        if (r < 0)
                return;
        check_limits(&c);
        check_again(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        int fd = memfd_create("agentd.conf", MFD_CLOEXEC);
        _cleanup_free_ char *path = str_printf("/proc/self/fd/%d", fd);

        require(fd >= 0 && path && fchmod(fd, 0600) == 0, "no file\n");
        require(pwrite(fd, data, size, 0) == (ssize_t) size, "no room\n");
        load(path, 0);
        load(path, CONFIG_LENIENT);
        (void) close(fd);
        return 0;
}
