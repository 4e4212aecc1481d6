# SPDX-License-Identifier: MIT
"""What somebody meets who has /openapi.json and curl only: the description is whole, what it shows works, and a request
that does not fit it is refused with the place and what to do."""
import re

import jsonschema
import pytest

from lib.agentd import Agentd

pytestmark = pytest.mark.sanitized
NOBODY = "0" * 16


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    daemon = Agentd(tmp_path_factory.mktemp("openapi") / "a").start()
    yield daemon
    daemon.kill_everything()
    complaints = daemon.complaints()
    assert not complaints, "the programs complained:\n" + complaints


@pytest.fixture(scope="module")
def document(shared):
    return shared.api("GET", "/openapi.json", expect=200).json


def operations(document):
    return [(m.upper(), path, o) for path, methods in document["paths"].items() for m, o in methods.items()]


def schema_of(document, name):
    return document["components"]["schemas"][name]


def faults(answer):
    assert answer.status == 422 and answer.json["hint"]
    return [(f["loc"], f["type"]) for f in answer.json["detail"]]


# ---- the description

def test_there_is_a_server_a_license_and_a_tag_for_each_operation(document):
    assert document["servers"][0]["url"] == "/" and document["info"]["license"]["identifier"] == "MIT"
    known = {t["name"] for t in document["tags"]}
    used = {tag for _, _, o in operations(document) for tag in o["tags"]}
    assert used == known and all(len(o["tags"]) == 1 for _, _, o in operations(document))
    names = [o["operationId"] for _, _, o in operations(document)]
    assert len(set(names)) == len(names)


def test_every_example_fits_its_schema_and_every_body_has_one(document):
    schemas = document["components"]["schemas"]
    for schema in schemas.values():
        whole = jsonschema.Draft202012Validator({"components": document["components"], **schema})
        for example in schema.get("examples", []):
            whole.validate(example)
    for method, path, o in operations(document):
        body = o.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in body:
            assert schemas[body["$ref"].rsplit("/", 1)[1]].get("examples"), (method, path)


def test_defaults_fit_what_they_are_the_default_of(document):
    n = 0
    for _, _, o in operations(document):
        for p in o["parameters"]:
            if "default" in p["schema"]:
                jsonschema.Draft202012Validator(p["schema"]).validate(p["schema"]["default"])
                n += 1
    assert n > 15
    agent = schema_of(document, "Agent")
    for key, schema in agent["properties"].items():
        if "default" in schema:
            jsonschema.Draft202012Validator(schema).validate(schema["default"])


def test_every_code_of_an_answer_is_in_the_table_of_codes(document):
    codes = document["x-error-codes"]
    for method, path, o in operations(document):
        for status, response in o["responses"].items():
            if status >= "400":
                for code in response["description"].split(", "):
                    assert codes[code]["status"] in range(400, 600), (method, path, code)
    assert all(entry["detail"] for entry in codes.values())
    assert "session.state" in document["x-event-types"]


def test_declared_headers_come(shared, document):
    s = shared.create(variables={"x": 1})
    base = f"/sessions/{s['session_id']}"
    cp = shared.api("POST", base + "/checkpoints", expect=201).json["checkpoint_id"]
    asked = [("GET", base, None, "/sessions/{id}"), ("PATCH", base, {"name": "b"}, "/sessions/{id}"),
             ("GET", base + "/variables", None, "/sessions/{id}/variables"),
             ("PUT", base + "/variables/x", 2, "/sessions/{id}/variables/{name}"),
             ("GET", base + f"/checkpoints/{cp}", None, "/sessions/{id}/checkpoints/{cp}"),
             ("PATCH", base + f"/checkpoints/{cp}", {"label": "l"}, "/sessions/{id}/checkpoints/{cp}"),
             ("POST", base + "/start", None, "/sessions/{id}/start"), ("POST", base + "/stop", None, "/sessions/{id}/stop"),
             ("POST", base + "/fork", {}, "/sessions/{id}/fork"), ("GET", base + "/runs", None, "/sessions/{id}/runs")]
    for method, path, body, template in asked:
        o = document["paths"][template][method.lower()]
        answer = shared.api(method, path, body)
        declared = o["responses"][str(answer.status)].get("headers", {})
        assert ("ETag" in declared) == ("etag" in answer.headers), (method, path)


def test_the_schema_of_an_agent_takes_what_the_daemon_takes_and_no_more(shared, document):
    agent = jsonschema.Draft202012Validator({"components": document["components"], **schema_of(document, "Agent")})
    for given in ({"exec": "true"}, {"exec": ["true", 1], "restart_sec": 1.5, "kill_signal": "TERM", "restart_steps": 3},
                  {"exec": "true", "environment": ["A=b"], "success_exit_status": [3, "SIGUSR1"], "restart": None},
                  {"exec": "true", "environment": {"A": "b"}, "timeout_stop_sec": "1min", "success_exit_status": "1 2"}):
        agent.validate(given)
        shared.api("POST", "/sessions", {"name": "a", "agent": given}, expect=201)
    for wrong in ({}, {"exec": "true", "restart": "sometimes"}, {"exec": "true", "env": {}}, {"exec": None},
                  {"exec": "true", "memory_max": 1}, {"exec": "true", "start_limit_burst": -1}):
        assert not agent.is_valid(wrong), wrong
        shared.api("POST", "/sessions", {"name": "a", "agent": wrong}, expect=422)


def test_the_examples_of_bodies_work(agentd, document):
    def example(name):
        return schema_of(document, name)["examples"][0]

    s = agentd.api("POST", "/sessions", example("SessionCreate"), expect=201).json["session_id"]
    base = f"/sessions/{s}"
    agentd.wait_session(s, lambda x: x["substate"] == "active", what="a process")
    agentd.api("POST", base + "/kill", example("SessionKill"), expect=200)
    agentd.api("PATCH", base, example("SessionPatch"), expect=200)
    m = agentd.api("POST", base + "/messages", example("MessageAppend"), expect=201).json["id"]
    cp = agentd.api("POST", base + "/checkpoints", example("CheckpointCreate"), expect=201).json
    assert cp["label"] == example("CheckpointCreate")["label"]
    agentd.api("PATCH", base + f"/checkpoints/{cp['checkpoint_id']}", example("CheckpointPatch"), expect=200)
    agentd.api("POST", base + "/memory", example("MemorySet"), expect=201)
    agentd.api("POST", "/memory", example("NamespaceMemorySet"), expect=201)
    agentd.api("POST", "/tokens", example("TokenCreate"), expect=201)
    agentd.api("POST", base + "/stop", expect=200)
    point = {"checkpoint_id": cp["checkpoint_id"]}
    agentd.api("POST", base + "/fork", {**example("SessionFork"), **point}, expect=201)
    agentd.api("POST", base + "/restore", {**example("SessionRestore"), "node": m}, expect=200)
    agentd.api("POST", base + "/resume", {**example("SessionResume"), **point}, expect=200)
    agentd.api("DELETE", base + "?force=1", expect=200)


# ---- requests that do not fit

@pytest.mark.parametrize("method, path, body, wrong, meant", [
    ("PATCH", "", {"lables": {}}, "lables", "labels"),
    ("PATCH", "", {"status": "stopped"}, "status", None),
    ("POST", "/kill", {"sig": "TERM"}, "sig", None),
    ("POST", "/fork", {"checkpoint": "x"}, "checkpoint", "checkpoint_id"),
    ("POST", "/restore", {"checkpoint-id": "x"}, "checkpoint-id", "checkpoint_id"),
    ("POST", "/messages", {"role": "tool", "content": "x", "tool_call_id": "c1"}, "tool_call_id", "tool_calls"),
    ("POST", "/tokens", {"scopes": "read"}, "scopes", "scope"),
    ("POST", "/memory", {"key": "k", "value": 1, "namespace": "x"}, "namespace", None),
])
def test_a_member_that_nobody_reads_is_refused_and_nothing_done(shared, method, path, body, wrong, meant):
    s = shared.create(name="n")["session_id"]
    whole = path if path in ("/tokens", "/memory") else f"/sessions/{s}{path}"
    look = [f"/sessions/{s}", "/tokens", "/memory?details=1"] + [f"/sessions/{s}/forks"]
    before = [shared.api("GET", p).json for p in look]
    answer = shared.api(method, whole, body)
    assert (["body", wrong], "extra_forbidden") in faults(answer)
    fault = next(f for f in answer.json["detail"] if f["type"] == "extra_forbidden")
    assert fault["input"] == body[wrong]
    assert (f"did you mean '{meant}'?" in fault["msg"]) if meant else ("did you mean" not in fault["msg"])
    assert [shared.api("GET", p).json for p in look] == before


@pytest.mark.parametrize("body, where", [
    ({"name": "n", "agent": {}}, ["body", "agent", "exec"]),
    ({"name": "n", "agent": {"exec": "x", "restart": 1}}, ["body", "agent", "restart"]),
    ({"name": "n", "model": "m", "labels": {"a": 1}}, ["body", "labels", "a"]),
    ({"name": "n", "model": "m", "tools": ["a", 1]}, ["body", "tools", 1]),
])
def test_a_fault_says_where_it_is_inside(shared, body, where):
    assert [loc for loc, _ in faults(shared.api("POST", "/sessions", body))] == [where]


def test_a_fault_in_a_tool_call_says_in_which(shared):
    s = shared.create()["session_id"]
    calls = [{"name": "a"}, {"arguments": 1}, 7]
    answer = shared.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "", "tool_calls": calls})
    assert [loc for loc, _ in faults(answer)] == [["body", "tool_calls", 1, "name"], ["body", "tool_calls", 2]]


def test_an_unknown_key_of_an_agent_leads_on(shared):
    def message(agent):
        return shared.api("POST", "/sessions", {"name": "n", "agent": agent}, expect=422).json["detail"][0]["msg"]

    assert message({"exec": "x", "env": {}}) == "Unknown key 'env'; did you mean 'environment'?"
    assert message({"exec": "x", "command": "y"}) == "Unknown key 'command'; Agent in /openapi.json lists the keys"


def test_a_hint_is_for_those_who_have_no_command_line_too(shared, document):
    s = shared.create()["session_id"]
    for path in (f"/sessions/{NOBODY}", f"/sessions/{s}/runs/{NOBODY}", f"/sessions/{s}/checkpoints/{NOBODY}",
                 f"/sessions/{s}/variables/x", f"/sessions/{s}/messages?after={'f' * 16}", f"/sessions/{s}/messages?branch=x"):
        assert "GET /sessions" in shared.api("GET", path, expect=404).json["hint"]
    assert [c for c, e in document["x-error-codes"].items() if not e["hint"]] == []
    # By its name there is a way.
    name = shared.create(name="findable")["session_id"]
    assert "?ref=" in shared.api("GET", "/sessions/findable", expect=404).json["hint"]
    assert [x["session_id"] for x in shared.api("GET", "/sessions?ref=findable", expect=200).json] == [name]


# ---- what was silently something else

def test_a_checkpoints_label_may_be_in_the_body(shared):
    path = f"/sessions/{shared.create()['session_id']}/checkpoints"
    assert shared.api("POST", path, {"label": "two"}, expect=201).json["label"] == "two"
    assert shared.api("POST", path + "?label=one", {"label": "two"}, expect=201).json["label"] == "one"
    assert shared.api("POST", path, {"label": None}, expect=201).json["label"] is None
    assert faults(shared.api("POST", path, {"label": 5})) == [(["body", "label"], "string_type")]


def test_a_variable_can_be_set_only_if_there_is_none(shared):
    path = f"/sessions/{shared.create()['session_id']}/variables/lock"
    new = {"If-None-Match": "*"}
    shared.api("PUT", path, '"mine"', headers=new, expect=200)
    taken = shared.api("PUT", path, '"theirs"', headers=new, expect=412).json
    assert taken["code"] == "variable_exists" and "'lock'" in taken["detail"]
    assert shared.api("GET", path, expect=200).json["value"] == "mine"
    shared.api("DELETE", path, expect=200)
    shared.api("PUT", path, '"theirs"', headers=new, expect=200)
    other = shared.api("PUT", path, 1, headers={"If-None-Match": '"0ca9536884c00000"'})
    assert faults(other) == [(["header", "If-None-Match"], "value_error")]


def test_a_lost_race_for_variables_says_what_their_tag_is_now(shared):
    path = f"/sessions/{shared.create()['session_id']}/variables/x"
    old = shared.api("PUT", path, 1, expect=200).headers["etag"]
    now = shared.api("PUT", path, 2, expect=200).headers["etag"]
    for have in (old, "nonsense"):
        answer = shared.api("PUT", path, 3, headers={"If-Match": have}, expect=412).json
        assert now in answer["detail"] and "quotes" in answer["hint"]
    shared.api("PUT", path, 3, headers={"If-Match": now}, expect=200)


def test_logs_of_a_run_that_is_not_there_are_404(shared):
    s, other = (shared.run(["true"])["session_id"] for _ in range(2))
    runs = [shared.api("GET", f"/sessions/{x}/runs", expect=200).json[0]["run_id"] for x in (s, other)]
    shared.api("GET", f"/sessions/{s}/logs?run={runs[0]}", expect=200)
    for run in (runs[1], NOBODY):
        answer = shared.api("GET", f"/sessions/{s}/logs?run={run}", expect=404).json
        assert answer["code"] == "run_not_found" and run in answer["detail"]


def test_a_wrong_cursor_is_shown_with_its_place(shared):
    path = f"/sessions/{shared.create()['session_id']}/logs"
    fault = shared.api("GET", path + "?cursor=x", expect=422).json["detail"][0]
    assert (fault["loc"], fault["input"]) == (["query", "cursor"], "x")
    fault = shared.api("GET", path, headers={"Last-Event-ID": "y"}, expect=422).json["detail"][0]
    assert (fault["loc"], fault["input"]) == (["header", "Last-Event-ID"], "y")


def test_a_plus_in_a_time_is_explained(shared):
    path = f"/sessions/{shared.create()['session_id']}/logs?since=2026-11-22T14:00:00"
    assert "%2B" in shared.api("GET", path + "+01:00", expect=422).json["detail"][0]["msg"]
    shared.api("GET", path + "%2B01:00", expect=200)


def test_a_last_event_id_that_is_none_is_refused_and_zero_is_the_beginning(shared):
    path = f"/sessions/{shared.create()['session_id']}/events"
    for accept in ("text/event-stream", "application/json"):
        answer = shared.api("GET", path, headers={"Last-Event-ID": "zz", "Accept": accept})
        assert faults(answer) == [(["header", "Last-Event-ID"], "value_error")]
    last = shared.api("GET", path, expect=200).json[-1]["id"]
    from_start = shared.api("GET", f"{path}?after={last}", headers={"Last-Event-ID": NOBODY}, expect=200).json
    assert [e["type"] for e in from_start][0] == "session.created"


def test_a_body_that_is_too_large_says_what_fits(shared):
    answer = shared.api("POST", "/sessions", {"name": "n", "model": "m", "system_prompt": "x" * (9 << 20)}, expect=413)
    assert re.search(r"larger than \d+ bytes", answer.json["detail"]) and "AGENTD_BODY_MAX" in answer.json["hint"]
