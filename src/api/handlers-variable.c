/* SPDX-License-Identifier: MIT */

/* Variables. The version of all of them together is their ETag: who read several and writes one can
 * be sure that none of them changed (If-Match). */

#include "api/handlers.h"
#include "base/str.h"

/* Says what the version is now. */
static void fail_version(ApiCall *c) {
        c->subject = api_etag_text(c, session_info(c->session)->vars);
        api_fail(c, ERROR_VERSION_CONFLICT);
}

/* If-Match as a version in *ret; 0: any. False: it does not match, or is none of ours, and that was answered. */
static bool parse_if_match(ApiCall *c, FieldStr header, uint64_t *ret) {
        const char *s = header.s;
        size_t n = header.n;

        *ret = 0;
        if (!s || streq(s, "*"))
                return true;
        if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
                s++;
                n -= 2;
        }
        char id[32] = "";
        if (n < sizeof(id))
                memcpy(id, s, n);
        *ret = api_id((FieldStr){ id, strlen(id) });
        /* Version 0: there were none yet. That is no number to the session room, so it is compared here. */
        bool matches =
                *ret != 0 || (streq(id, "0000000000000000") && session_info(c->session)->vars == 0);
        if (!matches)
                fail_version(c);
        return matches;
}

/* If-None-Match: *, which is all that a write can mean. False: it is there, and that was answered. */
static bool check_is_new(ApiCall *c) {
        const InputVariable *in = c->in;
        Buf value = BUF_INIT(API_REPLY_MAX);

        if (!in->if_none_match.s)
                return true;
        int r = session_var(c->api->sessions, session_info(c->session)->vars, in->name.s, &value);
        buf_done(&value);
        if (r == -ENOENT)
                return true;
        if (r < 0)
                api_fail_result(c, r);
        else
                api_fail(c, ERROR_VARIABLE_EXISTS);
        return false;
}

void api_variable_list(ApiCall *c) {
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);
        char etag[ETAG_SIZE];

        api_etag_version(c->info.vars, etag);
        if (api_not_modified(c, etag))
                return;
        json_w_object_begin(&w);
        json_w_kv_id(&w, "version", c->info.vars);
        json_w_key(&w, "variables");
        int r = session_vars(c->api->sessions, c->info.vars, &body);
        json_w_object_end(&w);
        if (r < 0) {
                buf_done(&body);
                api_fail_result(c, r);
                return;
        }
        api_reply(c, &body);
}

void api_variable_get(ApiCall *c) {
        const InputVariable *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        c->subject = in->name.s;
        json_w_object_begin(&w);
        json_w_kv_string(&w, "name", in->name.s);
        json_w_key(&w, "value");
        int r = session_var(c->api->sessions, c->info.vars, in->name.s, &body);
        w.comma = true;
        json_w_kv_id(&w, "version", c->info.vars);
        json_w_object_end(&w);
        if (r >= 0) {
                char etag[ETAG_SIZE];

                api_etag_version(c->info.vars, etag);
                if (api_not_modified(c, etag))
                        buf_done(&body);
                else
                        api_reply(c, &body);
                return;
        }
        buf_done(&body);
        if (r == -ENOENT)
                api_fail(c, ERROR_VARIABLE_NOT_FOUND);
        else
                api_fail_result(c, r);
}

static void on_changed(int r, Session *s, uint64_t id, void *userdata) {
        ApiCall *c = OBJ_CAST(ApiCall, userdata, API_CALL_MAGIC);
        const InputVariable *in = c->in;
        Buf body = BUF_INIT(API_REPLY_MAX);
        JsonWriter w = JSON_WRITER(&body);

        if (r != 0) {
                api_fail_result(c, r);
                return;
        }
        json_w_object_begin(&w);
        json_w_kv_string(&w, "status", c->route->id == ROUTE_VARIABLE_PUT ? "stored" : "deleted");
        json_w_kv_string(&w, "name", in->name.s);
        json_w_kv_id(&w, "version", id);
        json_w_object_end(&w);
        api_reply_etag(c, id);
        api_reply(c, &body);
}

static void change(ApiCall *c, JsonSpan value) {
        const InputVariable *in = c->in;
        uint64_t version;

        c->subject = in->name.s;
        if (!check_is_new(c) || !parse_if_match(c, in->if_match, &version))
                return;
        int r = session_var_set(c->session, c->caller.run, in->name.s, value, version, on_changed, c);
        if (r == -ENOENT)
                api_fail(c, ERROR_VARIABLE_NOT_FOUND);
        else
                api_submitted(c, r);
}

void api_variable_put(ApiCall *c) {
        change(c, ((const InputVariable *) c->in)->value);
}

void api_variable_delete(ApiCall *c) {
        change(c, (JsonSpan){});
}
