/* SPDX-License-Identifier: MIT */
#pragma once

/* The texts of the statements about request_keys, which both databases have. */

/* 1 id, 2 key, 3 request, 4 now, 5 status, 6 result, 7 answer, 8 expired before */
#define REQUEST_KEY_INSERT                                                                         \
        "INSERT INTO request_keys (id, key, request, created_at, status, result, answer) "         \
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET id = excluded.id, "   \
        "request = excluded.request, created_at = excluded.created_at, status = excluded.status, " \
        "result = excluded.result, answer = excluded.answer WHERE request_keys.created_at < ?8"
/* 1 id (used when the key is new), 2 key, 3 request, 4 now, 5 status, 6 answer, 7 expired before */
#define REQUEST_KEY_ANSWER                                                                 \
        "INSERT INTO request_keys (id, key, request, created_at, status, answer) "         \
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET "                 \
        "request = excluded.request, status = excluded.status, answer = excluded.answer, " \
        "result = CASE WHEN created_at < ?7 THEN NULL ELSE result END, "                   \
        "id = CASE WHEN created_at < ?7 THEN excluded.id ELSE id END, "                    \
        "created_at = CASE WHEN created_at < ?7 THEN excluded.created_at ELSE created_at END"
/* 1 key. 0 request, 1 created_at, 2 status, 3 result, 4 answer */
#define REQUEST_KEY_ONE \
        "SELECT request, created_at, status, result, answer FROM request_keys WHERE key = ?1"
/* 1 before, 2 limit: of the oldest rows those made before */
#define REQUEST_KEY_EXPIRE                                                                  \
        "DELETE FROM request_keys WHERE id IN (SELECT id FROM (SELECT id, created_at FROM " \
        "request_keys ORDER BY id LIMIT ?2) WHERE created_at < ?1)"
