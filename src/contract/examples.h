/* SPDX-License-Identifier: MIT */
#pragma once

/* One valid value of each shape, for the description of the API. tests/test_openapi.py holds each
 * against its own schema, and sends those of requests. */

#define EXAMPLE_AGENT                                                                              \
        "{\"exec\":[\"python3\",\"worker.py\"],\"restart\":\"on-failure\",\"restart_sec\":\"2s\"," \
        "\"environment\":{\"LOG\":\"debug\"},\"timeout_stop_sec\":60}"
#define EXAMPLE_SESSION_CREATE                                                                        \
        "{\"name\":\"worker\",\"agent\":{\"exec\":[\"sleep\",\"60\"]},\"labels\":{\"team\":\"red\"}," \
        "\"variables\":{\"step\":1},\"start\":true}"
#define EXAMPLE_SESSION_PATCH   "{\"name\":\"worker-2\",\"labels\":{\"team\":\"blue\"}}"
#define EXAMPLE_SESSION_RESUME  "{\"checkpoint_id\":\"0ca9536b28c00000\"}"
#define EXAMPLE_SESSION_KILL    "{\"signal\":\"SIGUSR1\"}"
#define EXAMPLE_SESSION_FORK    "{\"checkpoint_id\":\"0ca9536b28c00000\",\"name\":\"second-try\"}"
#define EXAMPLE_SESSION_RESTORE "{\"node\":\"0ca95330d9c00000\"}"
#define EXAMPLE_MESSAGE_APPEND                                                              \
        "{\"role\":\"assistant\",\"content\":\"I look.\",\"tool_calls\":[{\"name\":\"ls\"," \
        "\"arguments\":{\"path\":\".\"},\"result\":[\"a.txt\"]}]}"
#define EXAMPLE_CHECKPOINT_CREATE "{\"label\":\"before the rewrite\"}"
#define EXAMPLE_CHECKPOINT_PATCH  "{\"label\":\"good\",\"pinned\":true}"
#define EXAMPLE_MEMORY_SET        "{\"key\":\"user_preference\",\"value\":{\"theme\":\"dark\"}}"
#define EXAMPLE_MEMORY_SEARCH \
        "{\"query\":\"which theme do they like?\",\"limit\":5,\"filter\":{\"prefix\":\"user\"}}"
#define EXAMPLE_TOKEN_CREATE \
        "{\"namespace\":\"team\",\"scope\":\"read\",\"name\":\"dashboard\",\"expires\":\"30d\"}"

#define EXAMPLE_MESSAGE                                                                           \
        "{\"id\":\"0ca95330d9c00000\",\"role\":\"user\",\"content\":\"hello\",\"tool_calls\":[]," \
        "\"timestamp\":\"2026-11-22T14:40:36.199844Z\",\"parent\":null,\"run\":null}"
#define EXAMPLE_SESSION                                                                                        \
        "{\"session_id\":\"0ca9531b5c000000\",\"name\":\"worker\",\"model\":null,\"system_prompt\":null,"      \
        "\"tools\":[],\"agent\":{\"exec\":[\"sleep\",\"60\"]},\"status\":\"running\",\"substate\":\"active\"," \
        "\"reason\":null,\"memory\":{\"step\":1},\"created_at\":\"2026-11-22T14:40:14.192878Z\","              \
        "\"updated_at\":\"2026-11-22T14:40:14.220218Z\",\"namespace\":\"default\","                            \
        "\"labels\":{\"team\":\"red\"},\"workspace\":null,\"branch\":\"0ca9531b5c000002\","                    \
        "\"run\":\"0ca9531b5c000004\",\"restarts\":0,\"heartbeat_at\":\"2026-11-22T14:40:14.220218Z\","        \
        "\"restart_at\":null,\"last_checkpoint\":null,\"message_count\":1,\"tool_call_count\":0,"              \
        "\"messages\":[" EXAMPLE_MESSAGE "],\"tool_history\":[]}"
#define EXAMPLE_CHECKPOINT                                                                             \
        "{\"checkpoint_id\":\"0ca9536b28c00000\",\"session_id\":\"0ca9531b5c000000\","                 \
        "\"created_at\":\"2026-11-22T14:41:35.907900Z\",\"label\":\"one\",\"kind\":\"manual\","        \
        "\"pinned\":false,\"branch\":\"0ca9531b5c000002\",\"node\":\"0ca95330d9c00000\",\"run\":null," \
        "\"message_count\":1,\"tool_call_count\":0,\"workspace_tree\":null,\"files_skipped\":0,"       \
        "\"files_note\":null}"
#define EXAMPLE_RUN                                                                                    \
        "{\"run_id\":\"0ca9531b5c000004\",\"session_id\":\"0ca9531b5c000000\",\"number\":1,"           \
        "\"state\":\"ended\",\"pid\":null,\"created_at\":\"2026-11-22T14:40:14.192878Z\","             \
        "\"started_at\":\"2026-11-22T14:40:14.220218Z\",\"ended_at\":\"2026-11-22T14:43:02.731565Z\"," \
        "\"result\":\"signal\",\"exit_code\":null,\"exit_signal\":15,\"leftovers\":0,"                 \
        "\"reason\":\"killed by SIGTERM\",\"tasks\":null,\"memory_bytes\":null,\"cpu_usec\":null,"     \
        "\"output_held\":null,\"output_held_since\":null}"
#define EXAMPLE_EVENT                                                                                       \
        "{\"id\":\"0ca9536ea1c00002\",\"type\":\"session.state\",\"time\":\"2026-11-22T14:41:39.463186Z\"," \
        "\"session_id\":\"0ca9531b5c000000\",\"namespace\":\"default\","                                    \
        "\"data\":{\"status\":\"stopped\",\"substate\":\"exited\",\"previous\":\"running\"}}"
#define EXAMPLE_LOG_LINE                                                                                \
        "{\"run\":\"0ca9531b5c000004\",\"stream\":\"stdout\",\"time\":\"2026-11-22T14:42:49.215395Z\"," \
        "\"text\":\"line 155\"}"
#define EXAMPLE_VALIDATION_ERROR                                                                         \
        "{\"type\":\"missing\",\"loc\":[\"body\",\"tool_calls\",0,\"name\"],\"msg\":\"Field required\"," \
        "\"input\":{\"arguments\":{}}}"
#define EXAMPLE_ERROR                                                                        \
        "{\"detail\":\"Session 0000000000000000 not found\",\"code\":\"session_not_found\"," \
        "\"hint\":\"GET /sessions or `agentd list` shows the sessions.\"}"
