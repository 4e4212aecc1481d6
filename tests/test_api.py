# SPDX-License-Identifier: MIT
"""Every route: its answer has the declared shape (Agentd.api checks that), and does what it says."""
import http.client
import json
import socket
import threading
import time

import pytest

from lib.agentd import UnixConnection, wait_for

SLEEPER = ["/bin/sh", "-c", "echo out; echo err >&2; exec sleep 1000"]


def say(agentd, session, text, **fields):
    return agentd.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": text, **fields}, expect=201).json


def texts(messages):
    return [m["content"] for m in messages]


class Sse:
    """Reads one text/event-stream."""

    def __init__(self, agentd, path, last_event_id=None):
        self.connection = UnixConnection(agentd.socket, 30)
        headers = {"Accept": "text/event-stream"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        assert self.response.status == 200
        assert self.response.getheader("Content-Type").startswith("text/event-stream")

    def next(self):
        event = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                return None
            line = line.rstrip("\n")
            if line == "" and "data" in event:
                return event
            if line.startswith(":") or line == "" or line.startswith("retry"):
                continue
            name, _, value = line.partition(": ")
            event[name] = value

    def until(self, kind):
        while True:
            event = self.next()
            assert event is not None, "the stream ended"
            if event.get("event") == kind:
                return event

    def close(self):
        self.connection.close()


# ---- the inherited contract ----

def test_session_state_has_the_original_members(agentd):
    s = agentd.api("POST", "/sessions", {"name": "my-agent", "model": "fableforge-14b", "system_prompt": "You are helpful.",
                                         "tools": ["search", "calculator"], "unknown": 1}, expect=201).json
    assert s["name"] == "my-agent" and s["model"] == "fableforge-14b" and s["status"] == "created"
    assert s["system_prompt"] == "You are helpful." and s["tools"] == ["search", "calculator"]
    assert (s["memory"], s["messages"], s["tool_history"]) == ({}, [], [])
    assert len(s["session_id"]) == 16 and int(s["session_id"], 16)
    assert agentd.session(s["session_id"]) == s
    assert agentd.api("GET", "/sessions", expect=200).json == [s]


def test_the_originals_life_of_a_session(agentd):
    s = agentd.create("life")["session_id"]

    def verb(name, status, body=None):
        return agentd.api("POST", f"/sessions/{s}/{name}", body, expect=status).json

    assert verb("pause", 400)["detail"] == f"Session {s} is not running"
    assert verb("resume", 400)["code"] == "wrong_state"
    assert verb("start", 200)["status"] == "running"
    assert verb("start", 400)["detail"] == f"Session {s} is already running"
    assert verb("pause", 200)["status"] == "paused"
    assert verb("resume", 200)["status"] == "running"
    assert verb("stop", 200)["status"] == "stopped"
    assert verb("stop", 200)["status"] == "stopped"
    labels = [c["label"] for c in agentd.api("GET", f"/sessions/{s}/checkpoints", expect=200).json]
    assert labels[0] == "pause-checkpoint" and labels[-1] == "stop-checkpoint"
    assert verb("resume", 200, {"session_id": s})["status"] == "running"
    assert verb("resume", 422, {"session_id": "0" * 16})["code"] == "validation_failed"
    missing = verb("resume", 400, {"session_id": s, "checkpoint_id": "nope"})
    assert missing["detail"] == f"Checkpoint nope not found for session {s}"
    assert verb("resume", 400, {"checkpoint_id": "0" * 15 + "1"})["code"] == "checkpoint_not_found"


def test_unknown_session_texts(agentd):
    for method, path in (("GET", ""), ("POST", "/start"), ("POST", "/pause"), ("POST", "/stop"), ("POST", "/resume"),
                         ("GET", "/memory"), ("GET", "/checkpoints"), ("POST", "/checkpoints")):
        answer = agentd.api(method, "/sessions/nope" + path, expect=404).json
        assert answer["detail"] == "Session nope not found" and answer["code"] == "session_not_found" and answer["hint"]


def test_memory_by_key_and_list(agentd):
    s = agentd.create()["session_id"]
    other = agentd.create()["session_id"]
    assert agentd.api("GET", f"/sessions/{s}/memory", expect=200).json == {"keys": []}
    stored = agentd.api("POST", f"/sessions/{s}/memory", {"key": "user_preference", "value": {"theme": "dark"}}, expect=201).json
    assert stored == {"status": "stored", "key": "user_preference"}
    got = agentd.api("GET", f"/sessions/{s}/memory?key=user_preference", expect=200).json
    assert got["key"] == "user_preference" and got["value"] == {"theme": "dark"} and got["timestamp"].endswith("Z")
    assert agentd.api("GET", f"/sessions/{other}/memory", expect=200).json == {"keys": ["user_preference"]}, "shared by sessions"
    assert agentd.api("GET", f"/sessions/{s}/memory?key=none", expect=404).json["detail"] == "Memory key 'none' not found"
    agentd.api("DELETE", f"/sessions/{s}/memory?key=user_preference", expect=200)
    agentd.api("DELETE", f"/sessions/{s}/memory?key=user_preference", expect=404)
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "", "value": 1}, expect=422)
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "a\nb", "value": 1}, expect=422)
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "k"}, expect=422)


def test_checkpoints_have_the_original_shape(agentd):
    s = agentd.create()["session_id"]
    made = agentd.api("POST", f"/sessions/{s}/checkpoints?label=my%20checkpoint", expect=201).json
    assert (made["session_id"], made["label"]) == (s, "my checkpoint")
    unlabelled = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json
    assert unlabelled["label"] is None
    assert agentd.api("GET", f"/sessions/{s}/checkpoints", expect=200).json == [made, unlabelled]


def test_health_counts_running_sessions(agentd):
    s = agentd.create()["session_id"]
    assert agentd.api("GET", "/health", expect=200).json["active_sessions"] == 0
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    health = agentd.api("GET", "/health", expect=200).json
    assert health["status"] == "healthy" and health["active_sessions"] == 1 and health["uptime_seconds"] >= 0


# ---- lists ----

def follow_links(agentd, path):
    pages = []
    while path:
        answer = agentd.api("GET", path, expect=200)
        pages.append(answer.json)
        link = answer.headers.get("link")
        path = link[1:link.index(">")] if link else None
    return pages


def test_session_list_filters_and_pages(agentd):
    made = [agentd.create(f"s{i % 3}", labels={"n": str(i), "odd": str(i % 2)})["session_id"] for i in range(7)]
    agentd.api("POST", f"/sessions/{made[0]}/start", expect=200)

    def ids(query):
        return [s["session_id"] for s in agentd.api("GET", "/sessions" + query, expect=200).json]

    assert ids("") == made
    assert ids("?status=running") == made[:1]
    assert ids("?name=s1") == [made[1], made[4]]
    assert ids("?label=odd%3D1") == [made[1], made[3], made[5]]
    assert ids("?label=n") == made
    assert ids("?ref=" + made[3]) == [made[3]]
    assert ids("?ref=s2") == [made[2], made[5]]
    assert ids("?ref=" + made[0][:3]) == made
    assert ids("?ref=nothing") == []
    pages = follow_links(agentd, "/sessions?limit=3&label=n")
    assert [[s["session_id"] for s in p] for p in pages] == [made[:3], made[3:6], made[6:]]
    assert agentd.api("GET", "/sessions?limit=0", expect=422).json["detail"][0]["loc"] == ["query", "limit"]
    assert agentd.api("GET", "/sessions?namespace=nowhere", expect=404).json["code"] == "namespace_not_found"


def test_archived_sessions_are_hidden_but_there(agentd):
    s = agentd.create("old")["session_id"]
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert agentd.api("POST", f"/sessions/{s}/archive", expect=200).json["substate"] == "archived"
    assert agentd.api("GET", "/sessions", expect=200).json == []
    assert [x["session_id"] for x in agentd.api("GET", "/sessions?status=archived", expect=200).json] == [s]
    assert [x["session_id"] for x in agentd.api("GET", "/sessions?ref=old", expect=200).json] == [s]
    assert agentd.api("POST", f"/sessions/{s}/resume", expect=200).json["status"] == "running"


def test_checkpoint_list_pages_and_streams(agentd):
    s = agentd.create()["session_id"]
    made = [agentd.api("POST", f"/sessions/{s}/checkpoints?label=c{i}", expect=201).json["checkpoint_id"] for i in range(300)]
    whole = agentd.api("GET", f"/sessions/{s}/checkpoints", expect=200)
    assert [c["checkpoint_id"] for c in whole.json] == made and "link" not in whole.headers
    pages = follow_links(agentd, f"/sessions/{s}/checkpoints?limit=100")
    assert [len(p) for p in pages] == [100, 100, 100]
    assert [c["checkpoint_id"] for p in pages for c in p] == made


def test_memory_list_by_prefix_page_and_details(agentd):
    s = agentd.create()["session_id"]
    for i in range(12):
        agentd.api("POST", f"/sessions/{s}/memory", {"key": f"p/{i:02}", "value": i}, expect=201)
    agentd.api("POST", "/memory", {"key": "q", "value": None}, expect=201)
    pages = follow_links(agentd, f"/sessions/{s}/memory?prefix=p/&limit=5")
    assert [p["keys"] for p in pages] == [[f"p/{i:02}" for i in r] for r in (range(5), range(5, 10), range(10, 12))]
    details = agentd.api("GET", "/memory?details=1&after=p/10", expect=200).json["entries"]
    assert [(e["key"], e["value"], e["version"]) for e in details] == [("p/11", 11, 1), ("q", None, 1)]
    assert details[0]["session_id"] == s and details[1]["session_id"] is None
    assert agentd.api("GET", "/memory?key=q", expect=200).json["value"] is None
    agentd.api("DELETE", "/memory?key=q", expect=200)
    agentd.api("GET", "/memory?key=q", expect=404)
    agentd.api("POST", "/memory?namespace=nowhere", {"key": "q", "value": 1}, expect=404)


# ---- conversation ----

def test_messages_are_read_from_both_ends(agentd):
    s = agentd.create()["session_id"]
    made = [say(agentd, s, f"m{i}") for i in range(10)]
    path = f"/sessions/{s}/messages"
    assert agentd.api("GET", path, expect=200).json == made
    assert texts(agentd.api("GET", path + "?limit=3", expect=200).json) == ["m7", "m8", "m9"]
    assert texts(agentd.api("GET", f"{path}?limit=3&before={made[5]['id']}", expect=200).json) == ["m2", "m3", "m4"]
    pages = follow_links(agentd, f"{path}?limit=4&after={'0' * 16}")
    assert [texts(p) for p in pages] == [["m0", "m1", "m2", "m3"], ["m4", "m5", "m6", "m7"], ["m8", "m9"]]
    assert agentd.api("GET", f"{path}?after={made[9]['id']}", expect=200).json == []
    assert agentd.api("GET", f"{path}?after={s}", expect=404).json["code"] == "message_not_found"
    agentd.api("GET", path + "?after=x", expect=422)
    assert texts(agentd.api("GET", f"/sessions/{s}/memory/short-term?limit=2", expect=200).json) == ["m8", "m9"]


def test_message_values_come_back_as_written(agentd):
    s = agentd.create()["session_id"]
    content = '[{"type":"text","text":"a\\u0000\\ud800"},{"n":1.0}]'
    calls = '[{"name":"t","arguments":{"x":12345678901234567890},"result":1e5}, {"name":"u"}]'
    answer = agentd.api("POST", f"/sessions/{s}/messages", f'{{"role":"assistant","content":{content},"tool_calls":{calls}}}', expect=201)
    for body in (answer.body, agentd.request("GET", f"/sessions/{s}/messages").body, agentd.request("GET", f"/sessions/{s}").body):
        assert content.encode() in body and calls.encode() in body
    state = agentd.session(s)
    assert state["tool_call_count"] == 2 and [t["name"] for t in state["tool_history"]] == ["t", "u"]
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "assistant", "content": None, "tool_calls": []}, expect=201)
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user"}, expect=422)
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": 5}, expect=422)
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "x", "tool_calls": [{"arguments": 1}]}, expect=422)


def test_a_session_carries_its_last_messages(agentd):
    s = agentd.create()["session_id"]
    for i in range(60):
        say(agentd, s, f"m{i}", tool_calls=[{"name": f"t{i}"}])
    assert texts(agentd.session(s)["messages"]) == [f"m{i}" for i in range(10, 60)]
    for query, n in (("0", 0), ("3", 3), ("all", 60), ("1000", 60)):
        state = agentd.api("GET", f"/sessions/{s}?messages={query}", expect=200).json
        assert texts(state["messages"]) == [f"m{i}" for i in range(60 - n, 60)]
        assert [t["name"] for t in state["tool_history"]] == [f"t{i}" for i in range(60 - n, 60)]
        assert state["message_count"] == 60
    listed = agentd.api("GET", "/sessions", expect=200).json[0]
    assert listed["messages"] == [] and listed["message_count"] == 60 and listed["tool_call_count"] == 60
    assert texts(agentd.api("GET", "/sessions?messages=2", expect=200).json[0]["messages"]) == ["m58", "m59"]
    agentd.api("GET", f"/sessions/{s}?messages=many", expect=422)


def test_large_states_are_streamed_whole(agentd):
    s = agentd.create()["session_id"]
    big = "x" * 200000
    for i in range(20):
        say(agentd, s, f"{i} {big}", tool_calls=[{"name": f"t{i}", "result": big}])
    state = agentd.api("GET", f"/sessions/{s}?messages=all", expect=200)
    assert state.headers.get("transfer-encoding") == "chunked"
    assert [m["content"].split()[0] for m in state.json["messages"]] == [str(i) for i in range(20)]
    assert [t["name"] for t in state.json["tool_history"]] == [f"t{i}" for i in range(20)]
    listed = agentd.api("GET", "/sessions?messages=all", expect=200).json
    assert listed[0]["messages"] == state.json["messages"]
    assert len(agentd.api("GET", f"/sessions/{s}/messages", expect=200).json) == 20


def test_wait_answers_when_a_message_comes_and_when_time_is_over(agentd):
    s = agentd.create()["session_id"]
    first = say(agentd, s, "first")
    path = f"/sessions/{s}/messages?wait=20"
    got = []
    waiters = [threading.Thread(target=lambda q=q: got.append(texts(agentd.api("GET", path + q, timeout=60).json)))
               for q in ("", f"&after={first['id']}")]
    for w in waiters:
        w.start()
    time.sleep(0.2)  # lets both wait; a message that comes earlier is found all the same
    say(agentd, s, "second")
    for w in waiters:
        w.join(30)
    assert ["second"] in got and all(g in (["second"], []) for g in got)
    assert texts(agentd.api("GET", f"/sessions/{s}/messages?wait=20&after={first['id']}", expect=200).json) == ["second"]
    begin = time.monotonic()
    assert agentd.api("GET", f"/sessions/{s}/messages?wait=1", expect=200).json == []
    assert time.monotonic() - begin >= 0.9
    agentd.api("GET", f"/sessions/{s}/messages?wait=301", expect=422)


def test_a_waiting_client_that_leaves_is_forgotten(agentd):
    s = agentd.create()["session_id"]
    for _ in range(50):
        c = UnixConnection(agentd.socket, 30)
        c.request("GET", f"/sessions/{s}/messages?wait=300")
        c.close()
    say(agentd, s, "x")
    assert agentd.request("GET", "/health").status == 200


# ---- variables ----

def test_variables_and_their_version(agentd):
    s = agentd.create(variables={"a": 1})["session_id"]
    whole = agentd.api("GET", f"/sessions/{s}/variables", expect=200)
    assert whole.json["variables"] == {"a": 1} and whole.headers["etag"] == f'"{whole.json["version"]}"'
    put = agentd.api("PUT", f"/sessions/{s}/variables/b%2Fc", "[1.0]", {"If-Match": whole.headers["etag"]}, expect=200)
    assert put.json["status"] == "stored" and put.json["name"] == "b/c" and put.json["version"] != whole.json["version"]
    lost = agentd.api("PUT", f"/sessions/{s}/variables/a", "2", {"If-Match": whole.headers["etag"]}, expect=412)
    assert lost.json["code"] == "version_conflict"
    got = agentd.api("GET", f"/sessions/{s}/variables/b%2Fc", expect=200)
    assert b'"value":[1.0]' in got.body and got.headers["etag"] == put.headers["etag"]
    assert agentd.session(s)["memory"] == {"a": 1, "b/c": [1.0]}
    agentd.api("DELETE", f"/sessions/{s}/variables/a", headers={"If-Match": "nonsense"}, expect=412)
    agentd.api("DELETE", f"/sessions/{s}/variables/a", headers={"If-Match": "*"}, expect=200)
    assert agentd.api("DELETE", f"/sessions/{s}/variables/a", expect=404).json["code"] == "variable_not_found"
    agentd.api("GET", f"/sessions/{s}/variables/a", expect=404)
    agentd.api("PUT", f"/sessions/{s}/variables/a", "nonsense", expect=422)
    agentd.api("PUT", f"/sessions/{s}/variables/a", "", expect=422)


def test_if_match_on_no_variables_yet(agentd):
    s = agentd.create()["session_id"]
    none = agentd.api("GET", f"/sessions/{s}/variables", expect=200).headers["etag"]
    agentd.api("PUT", f"/sessions/{s}/variables/a", "1", {"If-Match": none}, expect=200)
    agentd.api("PUT", f"/sessions/{s}/variables/a", "2", {"If-Match": none}, expect=412)


# ---- going back ----

def test_restore_fork_and_state_of_a_checkpoint(agentd):
    s = agentd.create("origin", variables={"v": 1})["session_id"]
    one = say(agentd, s, "one")
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints?label=here", expect=201).json["checkpoint_id"]
    say(agentd, s, "two")
    agentd.api("PUT", f"/sessions/{s}/variables/v", "2", expect=200)

    point = agentd.api("GET", f"/sessions/{s}/checkpoints/{cp}/state", expect=200).json
    assert texts(point["messages"]) == ["one"] and point["memory"] == {"v": 1} and point["session_id"] == s
    assert agentd.api("GET", f"/sessions/{s}/checkpoints/{cp}", expect=200).json["message_count"] == 1

    fork = agentd.api("POST", f"/sessions/{s}/fork", {"checkpoint_id": cp, "name": "side"}, expect=201).json
    assert fork["session_id"] != s and fork["name"] == "side" and fork["status"] == "created"
    assert texts(fork["messages"]) == ["one"] and fork["memory"] == {"v": 1}
    now = agentd.api("POST", f"/sessions/{s}/fork", expect=201).json
    assert now["name"] == "origin-fork" and texts(now["messages"]) == ["one", "two"] and now["memory"] == {"v": 2}

    back = agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}, expect=200).json
    assert texts(back["messages"]) == ["one"] and back["memory"] == {"v": 1}
    branches = agentd.api("GET", f"/sessions/{s}/branches", expect=200).json
    assert [b["current"] for b in branches] == [False, True]
    old = agentd.api("GET", f"/sessions/{s}/messages?branch={branches[0]['branch_id']}", expect=200).json
    assert texts(old) == ["one", "two"]
    assert texts(agentd.api("GET", f"/sessions/{s}/messages?branch={branches[0]['name']}", expect=200).json) == ["one", "two"]
    agentd.api("GET", f"/sessions/{s}/messages?branch=none", expect=404)
    to_node = agentd.api("POST", f"/sessions/{s}/restore", {"node": old[1]["id"]}, expect=200).json
    assert texts(to_node["messages"]) == ["one", "two"]
    at_node = agentd.api("POST", f"/sessions/{s}/fork", {"node": one["id"]}, expect=201).json
    assert texts(at_node["messages"]) == ["one"]

    agentd.api("POST", f"/sessions/{s}/restore", {}, expect=422)
    agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp, "node": one["id"]}, expect=422)
    assert agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": "x"}, expect=404).json["code"] == "checkpoint_not_found"
    assert agentd.api("POST", f"/sessions/{s}/fork", {"node": s}, expect=404).json["code"] == "message_not_found"
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    refused = agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}, expect=400).json
    assert refused["code"] == "session_running" and "ause" in refused["hint"]
    assert texts(agentd.api("POST", f"/sessions/{s}/resume", {"checkpoint_id": cp}, expect=200).json["messages"]) == ["one"]


def test_checkpoints_can_be_labelled_pinned_and_deleted(agentd):
    s = agentd.create()["session_id"]
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    path = f"/sessions/{s}/checkpoints/{cp}"
    changed = agentd.api("PATCH", path, {"label": "new", "pinned": True}, expect=200).json
    assert changed["label"] == "new" and changed["pinned"] is True
    assert agentd.api("PATCH", path, {"pinned": False}, expect=200).json["label"] == "new"
    agentd.api("PATCH", path, {"pinned": 3}, expect=422)
    agentd.api("DELETE", path, expect=200)
    for method in ("GET", "PATCH", "DELETE"):
        assert agentd.api(method, path, expect=404).json["detail"] == f"Checkpoint {cp} not found for session {s}"
    agentd.api("GET", path + "/state", expect=404)


def test_sessions_are_edited_and_deleted(agentd):
    s = agentd.create("before", labels={"a": "b"})["session_id"]
    changed = agentd.api("PATCH", f"/sessions/{s}", {"name": "after", "model": "m2", "tools": ["t"], "labels": {"c": "d"}}, expect=200).json
    assert (changed["name"], changed["model"], changed["tools"], changed["labels"]) == ("after", "m2", ["t"], {"c": "d"})
    assert agentd.session(s) == changed
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    assert agentd.api("DELETE", f"/sessions/{s}", expect=400).json["code"] == "session_running"
    agentd.api("DELETE", f"/sessions/{s}?force=1", expect=200)
    agentd.api("GET", f"/sessions/{s}", expect=404)


def test_what_is_not_built_says_so(agentd):
    answer = agentd.api("POST", "/sessions", {"name": "a", "unit": "coder@issue42"}, expect=422).json
    assert "not built in this version" in answer["detail"][0]["msg"]


@pytest.mark.parametrize("workspace", ["relative", "/does/not/exist", "/etc/passwd"])
def test_workspaces_must_be_folders(agentd, workspace):
    answer = agentd.api("POST", "/sessions", {"name": "a", "model": "m", "workspace": workspace}, expect=422).json
    assert answer["detail"][0]["loc"] == ["body", "workspace"]


def test_a_fork_needs_a_folder_that_can_take_its_files(agentd):
    workspace, full = agentd.folder / "w", agentd.folder / "full"
    for folder in (workspace, full):
        folder.mkdir()
        (folder / "file").write_text("x")
    s = agentd.create("w", workspace=str(workspace))["session_id"]
    assert agentd.api("POST", f"/sessions/{s}/fork", expect=409).json["code"] == "workspace_required"
    assert agentd.api("POST", f"/sessions/{s}/fork", {"workspace": str(workspace)}, expect=409).json["code"] == "workspace_busy"
    for folder in (full, full / "file", full / "file" / "below"):
        refused = agentd.api("POST", f"/sessions/{s}/fork", {"workspace": str(folder)}, expect=409).json
        assert refused["code"] == "workspace_unusable", refused
    assert agentd.api("POST", f"/sessions/{s}/fork", {"workspace": "w2"}, expect=422).json["detail"][0]["loc"] == ["body", "workspace"]
    fork = agentd.api("POST", f"/sessions/{s}/fork", {"workspace": str(agentd.folder / "w2")}, expect=201).json
    assert (agentd.folder / "w2" / "file").read_text() == "x" and fork["workspace"] == str(agentd.folder / "w2")
    assert len(agentd.api("GET", "/sessions").json) == 2


# ---- runs, logs, events ----

def test_runs_and_signals(agentd):
    s = agentd.run(SLEEPER, agent={"restart": "no"})["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    run = agentd.api("GET", f"/sessions/{s}/runs", expect=200).json[0]
    assert run["state"] == "alive" and run["number"] == 1 and run["pid"] > 1
    assert agentd.api("GET", f"/sessions/{s}/runs/{run['run_id']}", expect=200).json == run
    agentd.api("GET", f"/sessions/{s}/runs/{s}", expect=404)
    agentd.api("POST", f"/sessions/{s}/kill", {"signal": "SIGNOPE"}, expect=422)
    agentd.api("POST", f"/sessions/{s}/kill", {"signal": "USR1"}, expect=200)
    agentd.wait_session(s, lambda x: x["status"] == "error")
    ended = agentd.api("GET", f"/sessions/{s}/runs/{run['run_id']}", expect=200).json
    assert (ended["state"], ended["result"], ended["exit_signal"]) == ("ended", "signal", 10)
    assert agentd.api("POST", f"/sessions/{s}/kill", expect=409).json["code"] == "no_process"
    record = agentd.create()["session_id"]
    assert agentd.api("POST", f"/sessions/{record}/kill", expect=400).json["code"] == "no_agent"


def test_restart_makes_a_new_run(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    agentd.api("POST", f"/sessions/{s}/restart", expect=200)
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    assert [r["number"] for r in agentd.api("GET", f"/sessions/{s}/runs", expect=200).json] == [1, 2]


def test_logs_as_text_json_lines_and_events(agentd):
    script = "echo one; echo two >&2; printf 'tail'"
    s = agentd.run(["/bin/sh", "-c", script], agent={"restart": "no"})["session_id"]
    agentd.wait_session(s, lambda x: x["status"] == "stopped")
    path = f"/sessions/{s}/logs"
    text = agentd.request("GET", path)
    assert text.headers["content-type"].startswith("text/plain") and sorted(text.body.decode().split()) == ["one", "tail", "two"]
    lines = [json.loads(x) for x in agentd.request("GET", path, headers={"Accept": "application/x-ndjson"}).body.splitlines()]
    assert {(x["stream"], x["text"]) for x in lines} == {("stdout", "one"), ("stderr", "two"), ("stdout", "tail")}
    assert agentd.request("GET", path + "?stream=stderr").body == b"two\n"
    assert agentd.request("GET", path + "?grep=on").body == b"one\n"
    assert agentd.request("GET", path + "?lines=1").body.count(b"\n") == 1
    assert agentd.request("GET", path + "?lines=0").body == b""
    assert agentd.request("GET", path + "?run=" + lines[0]["run"]).body == text.body
    agentd.api("GET", path + "?stream=x", expect=422)
    agentd.api("GET", path + "?cursor=nonsense", expect=422)
    first = Sse(agentd, path)
    event = first.next()
    rest = []
    behind = Sse(agentd, path, last_event_id=event["id"])
    while (e := behind.next()):
        rest.append(json.loads(e["data"])["text"])
    assert sorted(rest + [json.loads(event["data"])["text"]]) == ["one", "tail", "two"]
    first.close()


def test_followed_logs_show_what_comes(agentd):
    folder = agentd.folder / "w"
    folder.mkdir()
    s = agentd.run(["/bin/sh", "-c", "mkfifo go; exec 3<>go; echo ready; while read x <&3; do echo got $x; done"], workspace=str(folder))["session_id"]
    wait_for(lambda: (folder / "go").exists(), what="the fifo")
    c = UnixConnection(agentd.socket, 30)
    c.request("GET", f"/sessions/{s}/logs?follow=1")
    response = c.getresponse()
    assert response.readline() == b"ready\n"
    for i in range(5):
        (folder / "go").write_text(f"{i}\n")
        assert response.readline() == f"got {i}\n".encode()
    c.close()


def test_events_are_followed_without_a_gap(agentd):
    live = Sse(agentd, "/events")
    s = agentd.create("watched")["session_id"]
    created = live.until("session.created")
    assert json.loads(created["data"])["session_id"] == s
    say(agentd, s, "hello")
    message = live.until("message.appended")
    assert message["id"] > created["id"]
    live.close()
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    again = Sse(agentd, "/events", last_event_id=created["id"])
    assert again.next()["id"] == message["id"]
    assert json.loads(again.until("session.state")["data"])["data"]["status"] == "running"
    again.close()
    page = agentd.api("GET", f"/sessions/{s}/events?limit=2", expect=200)
    assert [e["type"] for e in page.json][0] == "session.created" and "link" in page.headers
    pages = follow_links(agentd, f"/events?limit=2&after={created['id']}")
    ids = [e["id"] for p in pages for e in p]
    assert ids == sorted(ids) and ids[0] == message["id"]


def test_a_reader_that_does_not_read_stops_nobody(agentd):
    lazy = Sse(agentd, "/events")
    s = agentd.create()["session_id"]
    for i in range(300):
        say(agentd, s, "x" * 1000)
    assert agentd.request("GET", "/health", timeout=5).status == 200
    seen = 0
    while seen < 300:
        assert lazy.until("message.appended")
        seen += 1
    lazy.close()


def test_streams_end_when_the_daemon_stops(agentd):
    s = agentd.create()["session_id"]
    events = Sse(agentd, "/events")
    waiting = UnixConnection(agentd.socket, 60)
    waiting.request("GET", f"/sessions/{s}/messages?wait=300")
    agentd.request("POST", "/shutdown")
    while events.next():
        pass
    assert json.loads(waiting.getresponse().read()) == []
    agentd.process.wait(timeout=30)


# ---- tokens and the daemon ----

def test_tokens_are_made_listed_and_revoked(agentd):
    made = agentd.api("POST", "/tokens", {"namespace": "team", "scope": "admin", "name": "x", "expires": "1h"}, expect=201).json
    assert made["token"].startswith("agd_") and made["expires_at"] > made["created_at"]
    admin = {"Authorization": "Bearer " + made["token"]}
    listed = agentd.tcp("GET", "/tokens", headers=admin).json
    assert [t["token_id"] for t in listed] == [made["token_id"]] and "token" not in listed[0]
    outside = agentd.api("POST", "/tokens", {"scope": "read"}, expect=201).json
    assert agentd.tcp("DELETE", f"/tokens/{outside['token_id']}", headers=admin).status == 404
    assert agentd.tcp("POST", "/tokens", {"namespace": "default"}, headers=admin).status == 404
    assert agentd.tcp("POST", "/shutdown", headers=admin).status == 403
    agentd.api("POST", "/tokens", {"scope": "root"}, expect=422)
    agentd.api("POST", "/tokens", {"expires": "soon"}, expect=422)
    agentd.api("POST", "/tokens", {"namespace": "../x"}, expect=422)
    agentd.api("DELETE", f"/tokens/{made['token_id']}", expect=200)
    agentd.api("DELETE", f"/tokens/{made['token_id']}", expect=404)
    assert agentd.tcp("GET", "/tokens", headers=admin).status == 401


def test_tokens_come_in_pages_oldest_first(agentd):
    made = [agentd.api("POST", "/tokens", {"name": f"t{n}"}, expect=201).json["token_id"] for n in range(7)]
    other = agentd.api("POST", "/tokens", {"namespace": "team"}, expect=201).json["token_id"]

    def ids(path):
        return [[t["token_id"] for t in page] for page in follow_links(agentd, path)]
    assert ids("/tokens") == [made + [other]]
    assert ids("/tokens?limit=3") == [made[:3], made[3:6], made[6:] + [other]]
    assert ids("/tokens?limit=4&namespace=default") == [made[:4], made[4:]]
    assert ids(f"/tokens?after={made[5]}") == [[made[6], other]] and ids(f"/tokens?after={other}") == [[]]
    for bad in ("limit=0", "limit=x", "after=x"):
        assert agentd.api("GET", f"/tokens?{bad}", expect=422).json["detail"][0]["loc"][0] == "query"
    assert agentd.cli("token", "list", "-q").stdout.split() == made + [other]


def test_forks_come_in_pages_oldest_first(agentd):
    s = agentd.create("source")["session_id"]
    node = agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "m"}, expect=201).json["id"]
    made = [agentd.api("POST", f"/sessions/{s}/fork", {"node": node}, expect=201).json["session_id"] for _ in range(5)]
    pages = follow_links(agentd, f"/sessions/{s}/forks?limit=2")
    assert [[f["session_id"] for f in p] for p in pages] == [made[:2], made[2:4], made[4:]]
    rest = agentd.api("GET", f"/sessions/{s}/forks?after={pages[0][1]['branch_id']}", expect=200).json
    assert [f["session_id"] for f in rest] == made[2:]
    agentd.api("DELETE", f"/sessions/{made[0]}", expect=200)
    assert sum(follow_links(agentd, f"/sessions/{s}/forks?limit=1"), []) == sum(pages, [])[1:]


def test_an_expired_token_is_refused(agentd):
    made = agentd.api("POST", "/tokens", {"scope": "read", "expires": "100ms"}, expect=201).json
    headers = {"Authorization": "Bearer " + made["token"]}
    wait_for(lambda: agentd.tcp("GET", "/version", headers=headers).status == 401, 10, "the token's end")


def test_request_ids_are_echoed(agentd):
    assert agentd.request("GET", "/health", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert agentd.request("GET", "/sessions/nope", headers={"X-Request-Id": "abc-2"}).headers["x-request-id"] == "abc-2"


def test_preflight_answers_configured_origins_only(make_agentd):
    agentd = make_agentd(env={"AGENTD_ORIGINS": "https://panel.example"})
    ask = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}
    good = agentd.tcp("OPTIONS", "/sessions/x/variables/y", headers={"Origin": "https://panel.example", **ask})
    assert good.status == 204 and "PUT" in good.headers["access-control-allow-methods"]
    bad = agentd.tcp("OPTIONS", "/sessions", headers={"Origin": "https://evil.example", **ask})
    assert bad.status == 204 and "access-control-allow-origin" not in bad.headers


def test_version_and_description(agentd):
    version = agentd.api("GET", "/version", expect=200).json
    assert version["daemon_pid"] > 1 and version["keeper_pid"] > 1 and version["port"] > 0
    assert version["state_schema"] >= 1 and version["memory_schema"] >= 1
    document = agentd.api("GET", "/openapi.json", expect=200).json
    assert document["openapi"] == "3.1.0" and document["paths"]["/sessions"]["post"]["x-cli-verb"] == "create"


def test_many_sessions_are_listed_while_others_are_made(agentd):
    stop = threading.Event()
    errors = []

    def make():
        while not stop.is_set():
            if agentd.request("POST", "/sessions", {"name": "n", "model": "m"}).status != 201:
                errors.append("create")

    makers = [threading.Thread(target=make) for _ in range(4)]
    for m in makers:
        m.start()
    last = 0
    for _ in range(30):
        answer = agentd.request("GET", "/sessions")
        ids = [s["session_id"] for s in answer.json]
        assert ids == sorted(ids) and len(ids) >= last
        last = len(ids)
    stop.set()
    for m in makers:
        m.join()
    assert not errors
