# SPDX-License-Identifier: MIT
"""What was added beside the inherited routes: editing, forks, restores, archive, lists, variables, workspaces."""
import json
import os
import re
import signal
import stat

import pytest

from lib import load
from lib.agentd import alive, wait_for

UNKNOWN = "00000000deadbeef"
ZERO = "0" * 16
SLEEPER = ["/bin/sleep", "1000"]
sanitized = pytest.mark.sanitized


def get(agentd, path):
    return agentd.api("GET", path, expect=200).json


def verb(agentd, session, word, body=None, status=200):
    return agentd.api("POST", f"/sessions/{session}/{word}", body, expect=status).json


def append(agentd, session, *texts, role="user"):
    return [agentd.api("POST", f"/sessions/{session}/messages", {"role": role, "content": t}, expect=201).json["id"]
            for t in texts][-1]


def checkpoint(agentd, session, label="x"):
    return agentd.api("POST", f"/sessions/{session}/checkpoints?label={label}", expect=201).json["checkpoint_id"]


def checkpoints(agentd, session):
    return get(agentd, f"/sessions/{session}/checkpoints")


def put(agentd, session, name, value, **headers):
    return agentd.api("PUT", f"/sessions/{session}/variables/{name}", value if isinstance(value, str) else json.dumps(value),
                      headers={k.replace("_", "-"): v for k, v in headers.items()})


def texts(messages):
    return [m["content"] for m in messages]


def conversation(agentd, session, query=""):
    return texts(get(agentd, f"/sessions/{session}/messages{query}"))


def new(agentd, name="s", **fields):
    return agentd.create(name, **fields)["session_id"]


def kill_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


def next_page(answer):
    link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
    return link and link.group(1)


def pages(agentd, path):
    found = []
    while path:
        answer = agentd.api("GET", path, expect=200)
        found.append(answer.json)
        path = next_page(answer)
    return found


def ids(sessions):
    return [s["session_id"] for s in sessions]


def running(agentd, session):
    agentd.wait_session(session, lambda s: s["substate"] == "active")
    return get(agentd, f"/sessions/{session}/runs")[-1]


# ---- PATCH ----


@sanitized
def test_patch_changes_what_it_names_and_nothing_else(agentd):
    s = agentd.create("old", system_prompt="p", tools=["t"], labels={"a": "1"}, variables={"v": 1})
    change = {"name": "new", "model": "m2", "system_prompt": "q", "tools": ["x", "y"], "labels": {"b": "2"}}
    for member, value in change.items():
        before = agentd.session(s["session_id"])
        after = agentd.api("PATCH", f"/sessions/{s['session_id']}", {member: value}, expect=200).json
        assert after[member] == value and after["updated_at"] > before["updated_at"]
        assert {k: v for k, v in after.items() if k not in (member, "updated_at")} == \
            {k: v for k, v in before.items() if k not in (member, "updated_at")}
        assert agentd.session(s["session_id"]) == after
    same = agentd.api("PATCH", f"/sessions/{s['session_id']}", {"name": None}, expect=200).json
    assert same["name"] == "new"


@sanitized
@pytest.mark.parametrize("body, where", [({"name": 1}, "name"), ({"name": ""}, "name"), ({"labels": {"a": 1}}, "labels"),
                                         ({"tools": "t"}, "tools"), ({"agent": {"exek": "x"}}, "exek")])
def test_a_wrong_patch_is_422_and_changes_nothing(agentd, body, where):
    s = agentd.create()
    answer = agentd.api("PATCH", f"/sessions/{s['session_id']}", body, expect=422)
    assert where in answer.body.decode()
    assert agentd.session(s["session_id"]) == s


@sanitized
def test_a_new_agent_takes_effect_at_the_next_run(agentd):
    s = agentd.run(["/bin/sh", "-c", "echo first; exec sleep 1000"])["session_id"]
    before = running(agentd, s)
    agentd.api("PATCH", f"/sessions/{s}", {"agent": {"exec": ["/bin/sh", "-c", "echo second; exec sleep 1000"]}}, expect=200)
    assert alive(before["pid"])
    verb(agentd, s, "restart")
    wait_for(lambda: agentd.request("GET", f"/sessions/{s}/logs").body == b"first\nsecond\n", what="the second agent's word")
    assert not alive(before["pid"])


# ---- DELETE ----


@sanitized
def test_delete_removes_the_session_for_good(agentd):
    s, other = new(agentd), new(agentd)
    append(agentd, s, "x")
    checkpoint(agentd, s)
    assert agentd.api("DELETE", f"/sessions/{s}", expect=200).json == {"status": "deleted"}
    for again in range(2):
        for path in ("", "/messages", "/checkpoints", "/runs", "/logs", "/events", "/branches", "/variables"):
            assert agentd.api("GET", f"/sessions/{s}{path}").status == 404
        agentd.api("DELETE", f"/sessions/{s}", expect=404)
        assert ids(get(agentd, "/sessions")) == [other]
        if not again:
            kill_daemon(agentd)


@sanitized
def test_delete_of_a_running_session_needs_force(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    run = running(agentd, s)
    refused = agentd.api("DELETE", f"/sessions/{s}", expect=400).json
    assert refused["code"] == "session_running" and "force" in refused["hint"]
    assert alive(run["pid"]) and agentd.session(s)["status"] == "running"
    agentd.api("DELETE", f"/sessions/{s}?force=1", expect=200)
    assert not alive(run["pid"])
    agentd.api("GET", f"/sessions/{s}", expect=404)


# ---- restore ----


@sanitized
def test_restore_goes_back_and_overwrites_nothing(agentd):
    s = new(agentd, variables={"v": "old"}, system_prompt="old")
    append(agentd, s, "one", "two")
    cp = checkpoint(agentd, s)
    append(agentd, s, "three")
    put(agentd, s, "v", '"new"')
    agentd.api("PATCH", f"/sessions/{s}", {"system_prompt": "new"}, expect=200)
    then = agentd.session(s)

    back = verb(agentd, s, "restore", {"checkpoint_id": cp})
    assert (texts(back["messages"]), back["memory"], back["system_prompt"]) == (["one", "two"], {"v": "old"}, "old")
    assert (back["status"], back["message_count"]) == ("created", 2)
    assert agentd.session(s) == back and back["branch"] != then["branch"]
    append(agentd, s, "another three")
    assert conversation(agentd, s) == ["one", "two", "another three"]
    assert conversation(agentd, s, f"?branch={then['branch']}") == ["one", "two", "three"]

    undo = [c for c in checkpoints(agentd, s) if c["kind"] == "pre-restore"]
    assert len(undo) == 1
    again = verb(agentd, s, "restore", {"checkpoint_id": undo[0]["checkpoint_id"]})
    for member in ("messages", "memory", "system_prompt", "model", "tools", "tool_history", "message_count"):
        assert again[member] == then[member]
    assert len(get(agentd, f"/sessions/{s}/branches")) == 3


@sanitized
def test_restore_to_a_message(agentd):
    s = new(agentd)
    first = append(agentd, s, "one")
    append(agentd, s, "two", "three")
    assert texts(verb(agentd, s, "restore", {"node": first})["messages"]) == ["one"]
    last = append(agentd, s, "other")
    assert texts(verb(agentd, s, "restore", {"node": last})["messages"]) == ["one", "other"]
    stranger = append(agentd, new(agentd), "mine")
    for node in (stranger, UNKNOWN, "nonsense"):
        assert agentd.api("POST", f"/sessions/{s}/restore", {"node": node}, expect=404).json["code"] == "message_not_found"
    assert conversation(agentd, s) == ["one", "other"]


@sanitized
def test_a_message_brings_the_variables_of_the_checkpoint_before_it(agentd):
    s = new(agentd, variables={"v": 1})
    append(agentd, s, "one")
    checkpoint(agentd, s)
    node = append(agentd, s, "two")
    put(agentd, s, "v", 2)
    append(agentd, s, "three")
    back = verb(agentd, s, "restore", {"node": node})
    assert (texts(back["messages"]), back["memory"]) == (["one", "two"], {"v": 1})


@sanitized
def test_restore_needs_one_target_and_a_session_at_rest(agentd):
    s = new(agentd)
    node, cp = append(agentd, s, "one"), checkpoint(agentd, s)
    for body in ({}, {"node": node, "checkpoint_id": cp}, None):
        agentd.api("POST", f"/sessions/{s}/restore", body, expect=422)
    assert verb(agentd, s, "restore", {"checkpoint_id": UNKNOWN}, 404)["code"] == "checkpoint_not_found"
    verb(agentd, s, "start")
    refused = verb(agentd, s, "restore", {"checkpoint_id": cp}, 400)
    assert refused["code"] == "session_running" and "resume" in refused["hint"]
    verb(agentd, s, "pause")
    assert verb(agentd, s, "restore", {"checkpoint_id": cp})["status"] == "paused"


@sanitized
def test_resume_of_a_running_session_at_a_checkpoint_starts_it_anew(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    before = running(agentd, s)
    append(agentd, s, "one")
    cp = checkpoint(agentd, s)
    append(agentd, s, "two")
    verb(agentd, s, "resume", {"checkpoint_id": cp})
    after = running(agentd, s)
    assert after["number"] == 2 and not alive(before["pid"]) and alive(after["pid"])
    assert conversation(agentd, s) == ["one"]


# ---- fork ----


@sanitized
def test_forks_share_the_past_and_diverge(agentd):
    s = new(agentd, "main", variables={"v": 1}, labels={"a": "1"})
    middle = append(agentd, s, "one", "two")
    cp = checkpoint(agentd, s)
    append(agentd, s, "three")
    put(agentd, s, "v", 2)
    at_cp = verb(agentd, s, "fork", {"checkpoint_id": cp, "name": "a"}, 201)
    at_node = verb(agentd, s, "fork", {"node": middle}, 201)
    now = verb(agentd, s, "fork", None, 201)
    assert (at_cp["name"], at_cp["status"], at_cp["memory"], texts(at_cp["messages"])) == ("a", "created", {"v": 1}, ["one", "two"])
    assert (at_node["name"], texts(at_node["messages"])) == ("main-fork", ["one", "two"])
    assert (texts(now["messages"]), now["memory"]) == (["one", "two", "three"], {"v": 2})
    assert now["messages"] == agentd.session(s)["messages"], "the nodes are not shared"
    assert len({x["session_id"] for x in (at_cp, at_node, now)} | {s}) == 4

    append(agentd, s, "four")
    append(agentd, at_cp["session_id"], "drei")
    put(agentd, at_cp["session_id"], "v", 3)
    assert conversation(agentd, s) == ["one", "two", "three", "four"]
    assert conversation(agentd, at_cp["session_id"]) == ["one", "two", "drei"]
    assert (agentd.session(s)["memory"], agentd.session(at_cp["session_id"])["memory"]) == ({"v": 2}, {"v": 3})
    grandchild = verb(agentd, at_cp["session_id"], "fork", None, 201)
    for victim in (s, at_cp["session_id"]):
        agentd.api("DELETE", f"/sessions/{victim}", expect=200)
    kill_daemon(agentd)
    assert conversation(agentd, grandchild["session_id"]) == ["one", "two", "drei"]
    assert agentd.session(grandchild["session_id"])["memory"] == {"v": 3}
    assert conversation(agentd, now["session_id"]) == ["one", "two", "three"]


@sanitized
def test_a_fork_of_a_running_session_leaves_it_alone(agentd):
    s = agentd.run(SLEEPER)["session_id"]
    run = running(agentd, s)
    append(agentd, s, "one")
    forked = verb(agentd, s, "fork", {"name": "f"}, 201)
    assert forked["status"] == "created" and forked["agent"] == agentd.session(s)["agent"]
    assert alive(run["pid"]) and len(get(agentd, f"/sessions/{s}/runs")) == 1
    verb(agentd, forked["session_id"], "start")
    assert running(agentd, forked["session_id"])["pid"] != run["pid"]


@sanitized
def test_forks_from_nowhere_are_404(agentd):
    s, other = new(agentd), new(agentd)
    foreign_node, foreign_cp = append(agentd, other, "secret"), checkpoint(agentd, other)
    for body in ({"checkpoint_id": foreign_cp}, {"checkpoint_id": UNKNOWN}, {"checkpoint_id": "x"},
                 {"node": foreign_node}, {"node": UNKNOWN}):
        verb(agentd, s, "fork", body, 404)
    agentd.api("POST", f"/sessions/{s}/fork", {"checkpoint_id": foreign_cp, "node": foreign_node}, expect=422)
    assert len(get(agentd, "/sessions")) == 2


# ---- archive ----


@sanitized
def test_an_archived_session_is_hidden_thinned_and_resumable(agentd):
    s, other = new(agentd), new(agentd)
    append(agentd, s, "one")
    made = [checkpoint(agentd, s, f"n{i}") for i in range(10)]
    agentd.api("PATCH", f"/sessions/{s}/checkpoints/{made[1]}", {"pinned": True}, expect=200)
    archived = verb(agentd, s, "archive")
    assert (archived["status"], archived["substate"]) == ("stopped", "archived")
    assert verb(agentd, s, "archive") == archived
    assert ids(get(agentd, "/sessions")) == [other]
    assert ids(get(agentd, "/sessions?status=archived")) == [s]
    assert ids(get(agentd, "/sessions?status=stopped")) == []
    assert [c["checkpoint_id"] for c in checkpoints(agentd, s)] == [made[1]] + made[5:]
    kill_daemon(agentd)
    assert agentd.session(s)["substate"] == "archived" and conversation(agentd, s) == ["one"]
    assert verb(agentd, s, "resume", {"checkpoint_id": made[1]})["status"] == "running"
    assert ids(get(agentd, "/sessions")) == [s, other]


@sanitized
def test_only_a_session_at_rest_is_archived(agentd):
    s = new(agentd)
    for word in ("start", "pause"):
        verb(agentd, s, word)
        refused = verb(agentd, s, "archive", None, 400)
        assert refused["code"] in ("wrong_state", "session_running") and refused["hint"]


@sanitized
def test_a_session_that_was_stopped_for_long_is_archived(make_agentd):
    agentd = make_agentd(env={"AGENT_RUNTIME_SESSION_TIMEOUT": "1"})
    s, created, up = new(agentd, "s"), new(agentd, "c"), new(agentd, "r")
    verb(agentd, up, "start")
    append(agentd, s, "kept")
    verb(agentd, s, "stop")
    kill_daemon(agentd)
    agentd.wait_session(s, lambda x: x["substate"] == "archived")
    assert ids(get(agentd, "/sessions")) == [created, up]
    assert conversation(agentd, s) == ["kept"] and len(checkpoints(agentd, s)) == 1


# ---- lists ----


@sanitized
def test_sessions_are_found_by_what_is_known_of_them(agentd):
    a = new(agentd, "alpha", labels={"team": "red", "tier": "1"})
    b = new(agentd, "beta", labels={"team": "blue"})
    c = new(agentd, "alpha", labels={"team": "red"})
    d = new(agentd, "delta", namespace="other")
    verb(agentd, b, "start")
    for query, wanted in (("", [a, b, c, d]), ("status=created", [a, c, d]), ("status=running", [b]), ("status=error", []),
                          ("name=alpha", [a, c]), ("name=alp", []), ("label=team", [a, b, c]), ("label=team%3Dred", [a, c]),
                          ("label=team%3D", []), ("namespace=other", [d]), ("namespace=default", [a, b, c]),
                          ("name=alpha&label=tier", [a]), ("status=created&namespace=other", [d]),
                          ("ref=beta", [b]), (f"ref={a}", [a]), ("ref=alpha", [a, c]), (f"ref={c[:15]}", None),
                          ("ref=nothing", []), ("name=" + "x" * 100, [])):
        found = ids(get(agentd, f"/sessions?{query}"))
        if wanted is None:
            assert c in found and all(x.startswith(c[:15]) for x in found)
        else:
            assert found == wanted, query
    agentd.api("GET", "/sessions?status=asleep", expect=422)
    assert agentd.api("GET", "/sessions?namespace=nowhere", expect=404).json["code"] == "namespace_not_found"


def test_one_of_many_deletions_at_once_is_the_one(agentd):
    s = new(agentd)
    for n in range(20):
        cp = checkpoint(agentd, s)
        gone = load.send_all(agentd, [load.request("DELETE", f"/sessions/{s}/checkpoints/{cp}")] * 16, connections=16)
        assert gone == {200: 1, 404: 15}, f"round {n}"


def test_a_page_of_any_length_comes_whole(agentd):
    s = new(agentd)
    takes = [load.request("POST", f"/sessions/{s}/checkpoints?label={'x' * 200}")] * 1200
    assert load.send_all(agentd, takes) == {201: len(takes)}
    answer = agentd.api("GET", f"/sessions/{s}/checkpoints?limit=1100", expect=200)
    assert len(answer.body) > 256 * 1024, "it is not longer than a piece of a stream"
    assert len(answer.json) == 1100 and "next" in answer.headers["link"]
    assert len(get(agentd, f"/sessions/{s}/checkpoints?limit=10000")) == len(takes)


@sanitized
def test_lists_come_in_pages(agentd):
    made = [new(agentd, f"s{i}", labels={"even": str(i % 2 == 0)}) for i in range(10)]
    assert [ids(p) for p in pages(agentd, "/sessions?limit=4")] == [made[:4], made[4:8], made[8:]]
    assert [ids(p) for p in pages(agentd, "/sessions?limit=5")] == [made[:5], made[5:]]
    assert [ids(p) for p in pages(agentd, "/sessions?limit=2&label=even%3DTrue")] == [made[0:4:2], made[4:8:2], made[8:9]]
    assert ids(get(agentd, f"/sessions?after={made[6]}")) == made[7:]
    assert "link" not in agentd.api("GET", "/sessions").headers
    for bad in ("limit=0", "limit=x", "limit=-1", "after=x"):
        agentd.api("GET", f"/sessions?{bad}", expect=422)

    s = made[0]
    points = [checkpoint(agentd, s) for _ in range(7)]
    assert [[c["checkpoint_id"] for c in p] for p in pages(agentd, f"/sessions/{s}/checkpoints?limit=3")] == \
        [points[:3], points[3:6], points[6:]]
    for cp in points[:4]:
        verb(agentd, s, "restore", {"checkpoint_id": cp})
    branches = get(agentd, f"/sessions/{s}/branches")
    assert len(branches) == 5 and [b["current"] for b in branches] == [False] * 4 + [True]
    assert sum(pages(agentd, f"/sessions/{s}/branches?limit=2"), []) == branches


@sanitized
def test_messages_come_from_either_end(agentd):
    s = new(agentd)
    every = [append(agentd, s, f"m{i}") for i in range(20)]
    all_texts = [f"m{i}" for i in range(20)]
    assert conversation(agentd, s) == all_texts
    assert conversation(agentd, s, "?limit=3") == all_texts[-3:]
    assert conversation(agentd, s, f"?after={ZERO}&limit=3") == all_texts[:3], "the very first ones"
    assert conversation(agentd, s, f"?after={every[4]}&limit=3") == all_texts[5:8]
    assert conversation(agentd, s, f"?before={every[4]}&limit=3") == all_texts[1:4]
    assert conversation(agentd, s, f"?after={every[2]}&before={every[6]}") == all_texts[3:6]
    assert conversation(agentd, s, f"?after={every[-1]}") == []
    assert [texts(p) for p in pages(agentd, f"/sessions/{s}/messages?after={ZERO}&limit=8")] == \
        [all_texts[:8], all_texts[8:16], all_texts[16:]]
    for query in (f"after={UNKNOWN}", f"before={UNKNOWN}"):
        agentd.api("GET", f"/sessions/{s}/messages?{query}", expect=404)
    agentd.api("GET", f"/sessions/{s}/messages?branch=nope", expect=404)
    empty = new(agentd)
    assert conversation(agentd, empty) == conversation(agentd, empty, f"?after={ZERO}&limit=3") == []


@sanitized
def test_states_carry_as_many_messages_as_wanted(agentd):
    s = new(agentd)
    call = {"name": "t", "arguments": {}, "result": 1}
    for i in range(60):
        body = {"role": "user", "content": f"m{i}", **({"tool_calls": [call]} if i in (5, 55) else {})}
        agentd.api("POST", f"/sessions/{s}/messages", body, expect=201)
    every = [f"m{i}" for i in range(60)]
    for query, wanted, calls in (("", every[-50:], 1), ("?messages=2", every[-2:], 0), ("?messages=all", every, 2),
                                 ("?messages=0", [], 0), ("?messages=1000", every, 2)):
        state = get(agentd, f"/sessions/{s}{query}")
        assert texts(state["messages"]) == wanted and len(state["tool_history"]) == calls
        assert (state["message_count"], state["tool_call_count"]) == (60, 2)
    for query, wanted in (("", []), ("?messages=3", every[-3:]), ("?messages=all", every)):
        state, = get(agentd, f"/sessions{query}")
        assert texts(state["messages"]) == wanted and state["message_count"] == 60
    for bad in ("some", "-1", "1.5"):
        agentd.api("GET", f"/sessions/{s}?messages={bad}", expect=422)


@sanitized
def test_contents_are_kept_as_written(agentd):
    s = new(agentd)
    for content in ('"\\u0000 \\ud800 \\n \U0001f600"', '[ {"type":"thinking", "signature":"a\\/b+c=="} ]', "null", '""', "[]"):
        agentd.api("POST", f"/sessions/{s}/messages", f'{{"role":"assistant","content":{content}}}', expect=201)
        assert f'"content":{content}'.encode() in agentd.request("GET", f"/sessions/{s}/messages?limit=1").body
        assert f'"content":{content}'.encode() in agentd.request("GET", f"/sessions/{s}?messages=1").body
    large = "x" * 3000000
    append(agentd, s, large)
    kill_daemon(agentd)
    assert conversation(agentd, s, "?limit=1") == [large]
    for wrong in ({"role": "user"}, {"content": "x"}, {"role": "", "content": "x"}, {"role": "u", "content": 5},
                  {"role": "u", "content": "x", "tool_calls": [{"arguments": 1}]}):
        agentd.api("POST", f"/sessions/{s}/messages", wrong, expect=422)
    assert agentd.session(s)["message_count"] == 6


# ---- variables ----


@sanitized
def test_variables_are_versioned(agentd):
    s = new(agentd, variables={"a": 1})
    listed = agentd.api("GET", f"/sessions/{s}/variables", expect=200)
    assert listed.json["variables"] == {"a": 1} and listed.headers["etag"] == f'"{listed.json["version"]}"'
    stored = put(agentd, s, "b", {"x": [1.0]})
    assert stored.status == 200 and stored.json["status"] == "stored" and stored.json["name"] == "b"
    assert stored.headers["etag"] == f'"{stored.json["version"]}"' != listed.headers["etag"]
    one = agentd.api("GET", f"/sessions/{s}/variables/b", expect=200)
    assert one.json == {"name": "b", "value": {"x": [1.0]}, "version": stored.json["version"]}
    assert agentd.session(s)["memory"] == {"a": 1, "b": {"x": [1.0]}}
    gone = agentd.api("DELETE", f"/sessions/{s}/variables/a", expect=200).json
    assert gone["status"] == "deleted" and gone["version"] != stored.json["version"]
    assert get(agentd, f"/sessions/{s}/variables")["variables"] == {"b": {"x": [1.0]}}
    for method in ("GET", "DELETE"):
        assert agentd.api(method, f"/sessions/{s}/variables/a", expect=404).json["code"] == "variable_not_found"


@sanitized
def test_if_match_prevents_lost_updates(agentd):
    s = new(agentd)
    empty = agentd.api("GET", f"/sessions/{s}/variables").headers["etag"]
    first = put(agentd, s, "v", 1, If_Match=empty)
    assert first.status == 200
    for stale in (empty, '"' + UNKNOWN + '"', '"x"'):
        refused = put(agentd, s, "v", 2, If_Match=stale)
        assert refused.status == 412 and refused.json["code"] == "version_conflict"
        assert agentd.api("DELETE", f"/sessions/{s}/variables/v", headers={"If-Match": stale}).status == 412
    assert get(agentd, f"/sessions/{s}/variables/v")["value"] == 1
    assert put(agentd, s, "v", 3, If_Match=first.headers["etag"]).status == 200
    assert put(agentd, s, "v", 4, If_Match="*").status == 200
    tag = agentd.api("GET", f"/sessions/{s}/variables/v").headers["etag"]
    agentd.api("DELETE", f"/sessions/{s}/variables/v", headers={"If-Match": tag}, expect=200)


@sanitized
def test_many_versions_of_variables(agentd):
    s = new(agentd)
    points = {}
    for i in range(200):
        assert put(agentd, s, f"v{i % 7}", i).status == 200
        if i % 40 == 0:
            points[checkpoint(agentd, s)] = get(agentd, f"/sessions/{s}/variables")["variables"]
    for cp, wanted in points.items():
        assert get(agentd, f"/sessions/{s}/checkpoints/{cp}/state")["memory"] == wanted
        assert verb(agentd, s, "restore", {"checkpoint_id": cp})["memory"] == wanted


# ---- checkpoints ----


@sanitized
def test_checkpoints_are_labelled_pinned_and_deleted(agentd):
    s, other = new(agentd), new(agentd)
    cp = checkpoint(agentd, s, "first")
    path = f"/sessions/{s}/checkpoints/{cp}"
    assert get(agentd, path) == checkpoints(agentd, s)[0]
    changed = agentd.api("PATCH", path, {"label": "second"}, expect=200).json
    assert (changed["label"], changed["pinned"]) == ("second", False)
    changed = agentd.api("PATCH", path, {"pinned": True}, expect=200).json
    assert (changed["label"], changed["pinned"]) == ("second", True)
    assert get(agentd, path) == changed
    assert agentd.api("PATCH", path, {"pinned": False, "label": None}, expect=200).json["pinned"] is False
    agentd.api("PATCH", path, {"pinned": "yes"}, expect=422)
    for method in ("GET", "PATCH", "DELETE"):
        answer = agentd.api(method, f"/sessions/{other}/checkpoints/{cp}", {} if method == "PATCH" else None, expect=404)
        assert answer.json["detail"] == f"Checkpoint {cp} not found for session {other}"
    assert agentd.api("DELETE", path, expect=200).json == {"status": "deleted"}
    agentd.api("GET", path, expect=404)
    agentd.api("GET", path + "/state", expect=404)
    assert checkpoints(agentd, s) == []


@sanitized
def test_a_checkpoints_state_is_the_session_as_it_was(agentd):
    s = new(agentd, variables={"v": 1}, system_prompt="p", tools=["t"])
    append(agentd, s, *[f"m{i}" for i in range(60)])
    then = get(agentd, f"/sessions/{s}?messages=all")
    cp = checkpoint(agentd, s)
    append(agentd, s, "later")
    put(agentd, s, "v", 2)
    agentd.api("PATCH", f"/sessions/{s}", {"system_prompt": "q", "tools": []}, expect=200)
    state = get(agentd, f"/sessions/{s}/checkpoints/{cp}/state")
    for member in ("session_id", "model", "system_prompt", "tools", "memory", "messages", "tool_history", "message_count", "branch"):
        assert state[member] == then[member], member
    assert texts(get(agentd, f"/sessions/{s}/checkpoints/{cp}/state?messages=2")["messages"]) == ["m58", "m59"]


@sanitized
def test_automatic_checkpoints_are_of_running_sessions_that_changed(make_agentd):
    agentd = make_agentd(env={"AGENT_RUNTIME_CHECKPOINT_INTERVAL": "1"})
    busy, idle, created = new(agentd, "busy"), new(agentd, "idle"), new(agentd, "created")
    for s in (busy, idle):
        verb(agentd, s, "start")
    append(agentd, created, "x")

    def automatic(s):
        return [c for c in checkpoints(agentd, s) if c["kind"] == "auto"]
    for round_ in range(1, 4):
        append(agentd, busy, "x")
        wait_for(lambda: automatic(busy) and automatic(busy)[-1]["node"] == agentd.session(busy)["messages"][-1]["id"],
                 what="an automatic checkpoint")
    assert {c["label"] for c in automatic(busy)} == {"auto-checkpoint"} and len(automatic(busy)) >= 3
    assert len(automatic(idle)) <= 1, "an unchanged session was recorded again"
    assert automatic(created) == []


# ---- runs, signals ----


@sanitized
def test_runs_are_listed_and_found(agentd):
    s, other = agentd.run(SLEEPER)["session_id"], new(agentd)
    running(agentd, s)
    for number in (2, 3):
        verb(agentd, s, "restart")
        wait_for(lambda: running(agentd, s)["number"] == number, what="the next run")
    runs = get(agentd, f"/sessions/{s}/runs")
    assert [(r["number"], r["state"]) for r in runs] == [(1, "ended"), (2, "ended"), (3, "alive")]
    assert sum(pages(agentd, f"/sessions/{s}/runs?limit=2"), []) == runs
    assert get(agentd, f"/sessions/{s}/runs/{runs[0]['run_id']}") == runs[0]
    assert alive(runs[2]["pid"]) and agentd.session(s)["run"] == runs[2]["run_id"]
    for session, run in ((other, runs[0]["run_id"]), (s, UNKNOWN), (s, "x")):
        assert agentd.api("GET", f"/sessions/{session}/runs/{run}", expect=404).json["code"] == "run_not_found"
    assert get(agentd, f"/sessions/{other}/runs") == []


@sanitized
def test_kill_sends_the_signal_that_is_named(agentd):
    s = agentd.run(["/bin/sh", "-c", "trap 'echo got usr1' USR1; echo ready; while :; do sleep 0.01; done"],
                   agent={"restart": "no"})["session_id"]
    wait_for(lambda: b"ready" in agentd.request("GET", f"/sessions/{s}/logs").body, what="its first word")
    verb(agentd, s, "kill", {"signal": "SIGUSR1"})
    wait_for(lambda: b"got usr1" in agentd.request("GET", f"/sessions/{s}/logs").body, what="the signal")
    assert agentd.session(s)["substate"] == "active"
    agentd.api("POST", f"/sessions/{s}/kill", {"signal": "SIGNOPE"}, expect=422)
    verb(agentd, s, "kill", {"signal": "KILL"})
    ended = agentd.wait_session(s, lambda x: x["status"] == "error")
    assert ended["substate"] == "failed"
    assert get(agentd, f"/sessions/{s}/runs")[0]["exit_signal"] == signal.SIGKILL
    assert verb(agentd, s, "kill", None, 409)["code"] == "no_process"
    record = new(agentd)
    for word in ("kill", "restart"):
        assert verb(agentd, record, word, None, 400)["code"] == "no_agent"


# ---- memory beside the inherited routes ----


@sanitized
def test_memory_of_a_namespace(agentd):
    s = new(agentd)
    for key in ("a/1", "a/2", "b"):
        agentd.api("POST", "/memory", {"key": key, "value": {"k": key}}, expect=201)
    assert get(agentd, f"/sessions/{s}/memory") == get(agentd, "/memory") == {"keys": ["a/1", "a/2", "b"]}
    assert get(agentd, "/memory?prefix=a/") == {"keys": ["a/1", "a/2"]}
    assert get(agentd, f"/sessions/{s}/memory?after=a/1") == {"keys": ["a/2", "b"]}
    assert [p["keys"] for p in pages(agentd, "/memory?limit=2")] == [["a/1", "a/2"], ["b"]]
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "b", "value": 2}, expect=201)
    entries = get(agentd, "/memory?details=1&prefix=b")["entries"]
    assert [(e["key"], e["value"], e["version"], e["session_id"]) for e in entries] == [("b", 2, 2, s)]
    assert agentd.api("DELETE", "/memory?key=a/1", expect=200).json == {"status": "deleted", "key": "a/1"}
    assert agentd.api("DELETE", f"/sessions/{s}/memory?key=a/2", expect=200).json == {"status": "deleted", "key": "a/2"}
    for path in ("/memory?key=a/1", f"/sessions/{s}/memory?key=a/2"):
        for method in ("GET", "DELETE"):
            agentd.api(method, path, expect=404)
    other = new(agentd, namespace="other")
    assert get(agentd, f"/sessions/{other}/memory") == get(agentd, "/memory?namespace=other") == {"keys": []}
    agentd.api("POST", "/memory?namespace=other", {"key": "b", "value": "theirs"}, expect=201)
    assert get(agentd, "/memory?key=b")["value"] == 2 and get(agentd, f"/sessions/{other}/memory?key=b")["value"] == "theirs"
    agentd.api("DELETE", "/memory", expect=422)


# ---- workspaces ----


def tree(folder):
    """What is in a folder: contents, modes, links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_dir():
            found[name] = ("folder",)
        else:
            found[name] = ("file", path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))
    return found


def fill(folder):
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "a.txt").write_text("a\n")
    (folder / "src" / "b.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "src" / "deep" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "src" / "deep" / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/b.bin")
    (folder / "na\u00efve name").write_text("")


def change(folder):
    (folder / "a.txt").write_text("A\n")
    (folder / "src" / "b.bin").unlink()
    (folder / "src" / "deep" / "run.sh").chmod(0o644)
    (folder / "link").unlink()
    (folder / "link").mkdir()
    (folder / "link" / "new").write_text("new")
    (folder / "fresh").write_text("fresh")
    (folder / "empty").rmdir()


@pytest.fixture
def workspace(agentd):
    folder = agentd.folder / "workspace"
    folder.mkdir()
    fill(folder)
    return folder


@sanitized
def test_a_restore_brings_back_exactly_the_files(agentd, workspace):
    s = new(agentd, workspace=str(workspace))
    assert agentd.session(s)["workspace"] == str(workspace)
    then = tree(workspace)
    cp = checkpoint(agentd, s)
    assert re.fullmatch("[0-9a-f]{40}", get(agentd, f"/sessions/{s}/checkpoints/{cp}")["workspace_tree"])
    change(workspace)
    changed = tree(workspace)
    assert changed != then
    verb(agentd, s, "restore", {"checkpoint_id": cp})
    assert tree(workspace) == then
    undo = [c for c in checkpoints(agentd, s) if c["kind"] == "pre-restore"][-1]["checkpoint_id"]
    verb(agentd, s, "restore", {"checkpoint_id": undo})
    assert tree(workspace) == changed


@sanitized
def test_equal_files_are_an_equal_tree(agentd, workspace):
    s = new(agentd, workspace=str(workspace))
    one, two = checkpoint(agentd, s), checkpoint(agentd, s)
    (workspace / "a.txt").write_text("other\n")
    three = checkpoint(agentd, s)
    (workspace / "a.txt").write_text("a\n")
    four = checkpoint(agentd, s)
    trees = [get(agentd, f"/sessions/{s}/checkpoints/{cp}")["workspace_tree"] for cp in (one, two, three, four)]
    assert trees[0] == trees[1] == trees[3] != trees[2]


@sanitized
def test_ignored_files_and_the_agents_own_git_are_left_alone(agentd, workspace):
    (workspace / ".gitignore").write_text("*.log\n")
    (workspace / "noise.log").write_text("before")
    (workspace / ".git").mkdir()
    (workspace / ".git" / "HEAD").write_text("ref: refs/heads/before\n")
    s = new(agentd, workspace=str(workspace))
    cp = checkpoint(agentd, s)
    (workspace / "noise.log").write_text("after")
    (workspace / ".git" / "HEAD").write_text("ref: refs/heads/after\n")
    (workspace / "a.txt").unlink()
    verb(agentd, s, "restore", {"checkpoint_id": cp})
    assert (workspace / "a.txt").read_text() == "a\n"
    assert (workspace / "noise.log").read_text() == "after"
    assert (workspace / ".git" / "HEAD").read_text() == "ref: refs/heads/after\n"


@sanitized
def test_a_fork_needs_a_folder_of_its_own_and_gets_the_files_of_its_point(agentd, workspace):
    s = new(agentd, workspace=str(workspace))
    append(agentd, s, "one")
    then = tree(workspace)
    cp = checkpoint(agentd, s)
    change(workspace)
    append(agentd, s, "two")
    changed = tree(workspace)
    assert verb(agentd, s, "fork", {"checkpoint_id": cp}, 409)["code"] == "workspace_required"
    fork = verb(agentd, s, "fork", {"checkpoint_id": cp, "workspace": str(agentd.folder / "fork")}, 201)
    assert tree(agentd.folder / "fork") == then and texts(fork["messages"]) == ["one"]
    assert tree(workspace) == changed, "the fork touched its source"
    now = verb(agentd, s, "fork", {"workspace": str(agentd.folder / "now")}, 201)
    assert tree(agentd.folder / "now") == changed and texts(now["messages"]) == ["one", "two"]
    taken = agentd.api("POST", f"/sessions/{s}/fork", {"checkpoint_id": cp, "workspace": str(agentd.folder / "fork")})
    assert taken.status in (409, 422), taken
    assert tree(agentd.folder / "fork") == then
    (agentd.folder / "fork" / "a.txt").write_text("mine")
    verb(agentd, s, "restore", {"checkpoint_id": cp})
    assert tree(workspace) == then and (agentd.folder / "fork" / "a.txt").read_text() == "mine"


@sanitized
def test_pause_and_stop_record_the_files(agentd, workspace):
    s = agentd.run(["/bin/sh", "-c", "echo by the agent > made; exec sleep 1000"], workspace=str(workspace))["session_id"]
    wait_for(lambda: (workspace / "made").exists() and (workspace / "made").read_text(), what="the agent's file")
    running(agentd, s)
    verb(agentd, s, "stop")
    (workspace / "made").unlink()
    cp = checkpoints(agentd, s)[-1]
    assert cp["kind"] == "stop"
    verb(agentd, s, "restore", {"checkpoint_id": cp["checkpoint_id"]})
    assert (workspace / "made").read_text() == "by the agent\n"


@sanitized
@pytest.mark.parametrize("bad", ["relative/path", "/no/such/folder", "/etc/passwd", ""])
def test_a_workspace_must_be_an_existing_folder(agentd, bad):
    error = agentd.api("POST", "/sessions", {"name": "x", "model": "m", "workspace": bad}, expect=422).json["detail"][0]
    assert error["loc"] == ["body", "workspace"]


# ---- all of it survives ----


def everything(agentd):
    """All that the API tells about all sessions."""
    told = {}
    for s in get(agentd, "/sessions?messages=all") + get(agentd, "/sessions?status=archived&messages=all"):
        session = s["session_id"]
        told[session] = {"state": s}
        for part in ("checkpoints", "branches", "runs", "variables", "events", "memory"):
            told[session][part] = get(agentd, f"/sessions/{session}/{part}")
        for cp in told[session]["checkpoints"]:
            told[cp["checkpoint_id"]] = get(agentd, f"/sessions/{session}/checkpoints/{cp['checkpoint_id']}/state")
        for branch in told[session]["branches"]:
            told[branch["branch_id"]] = get(agentd, f"/sessions/{session}/messages?branch={branch['branch_id']}")
        told[session]["logs"] = agentd.request("GET", f"/sessions/{session}/logs").body
    told["memory"] = get(agentd, "/memory?details=1")
    told["tokens"] = get(agentd, "/tokens")
    return told


@sanitized
def test_everything_is_there_after_a_kill(agentd, workspace):
    made = {word: new(agentd, word, labels={"l": word}, variables={"w": word}, workspace=str(workspace) if word == "stop" else None)
            for word in ("created", "start", "pause", "stop", "archive")}
    agent = agentd.run(SLEEPER, "agent")["session_id"]
    running(agentd, agent)
    for word, s in made.items():
        first = append(agentd, s, "one", "two")
        cp = checkpoint(agentd, s, word)
        append(agentd, s, "three" * 5000)
        put(agentd, s, "v", {"a": [1, 2]})
        verb(agentd, s, "restore", {"checkpoint_id": cp})
        verb(agentd, s, "restore", {"node": first})
        agentd.api("POST", f"/sessions/{s}/memory", {"key": word, "value": word}, expect=201)
        if word == "pause":
            verb(agentd, s, "start")
        if word != "created":
            verb(agentd, s, word)
    verb(agentd, made["created"], "fork", {"name": "fork"}, 201)
    agentd.api("POST", "/tokens", {"name": "t"}, expect=201)
    before = everything(agentd)
    kill_daemon(agentd)
    after = everything(agentd)
    for told in (before, after):
        for s in (*made.values(), agent):
            told[s]["state"].pop("heartbeat_at")  # a sign of life goes on
    assert after == before
