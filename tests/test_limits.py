# SPDX-License-Identifier: MIT
"""What a client can make grow has its limit, and who comes to it is told which one and what to do."""
import json

import pytest

pytestmark = pytest.mark.sanitized


def limited(answer, *texts):
    assert answer.status == 429 and answer.json["code"].endswith("limit_reached")
    for text in texts:
        assert text in answer.json["detail"] + answer.json["hint"]


def put(agentd, session, name, value):
    return agentd.api("PUT", f"/sessions/{session}/variables/{name}", json.dumps(value))


def test_tokens_of_a_namespace(make_agentd):
    agentd = make_agentd(env={"AGENTD_MAX_TOKENS": "2"})
    made = [agentd.api("POST", "/tokens", {"scope": "read"}, expect=201).json for _ in range(2)]
    limited(agentd.api("POST", "/tokens", {}), "tokens", "AGENTD_MAX_TOKENS")
    assert len(agentd.api("GET", "/tokens").json) == 2
    agentd.create("elsewhere", namespace="other")
    agentd.api("POST", "/tokens", {"namespace": "other"}, expect=201)
    agentd.api("DELETE", f"/tokens/{made[0]['token_id']}", expect=200)
    agentd.api("POST", "/tokens", {}, expect=201)


def test_checkpoints_of_a_session_but_not_those_that_save_it(make_agentd):
    agentd = make_agentd(env={"AGENTD_MAX_CHECKPOINTS": "2"})
    s = agentd.create()["session_id"]
    made = [agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"] for _ in range(2)]
    limited(agentd.api("POST", f"/sessions/{s}/checkpoints"), s, "AGENTD_MAX_CHECKPOINTS")
    assert agentd.cli("checkpoint", s).returncode == 1
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    assert [c["kind"] for c in agentd.api("GET", f"/sessions/{s}/checkpoints").json] == ["manual", "manual", "stop"]
    for cp in made:
        agentd.api("DELETE", f"/sessions/{s}/checkpoints/{cp}", expect=200)
    agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201)


def test_variables_of_a_session_in_number(make_agentd):
    agentd = make_agentd(env={"AGENTD_MAX_VARIABLES": "3"})
    s = agentd.create(variables={"a": 1})["session_id"]
    assert put(agentd, s, "b", 1).status == put(agentd, s, "c", 1).status == 200
    limited(put(agentd, s, "d", 1), "AGENTD_MAX_VARIABLES")
    for i in range(5):
        assert put(agentd, s, "c", i).status == 200, "a value of one that is there"
    agentd.api("DELETE", f"/sessions/{s}/variables/a", expect=200)
    assert put(agentd, s, "d", 1).status == 200
    limited(put(agentd, s, "e", 1))
    assert sorted(agentd.session(s)["memory"]) == ["b", "c", "d"]
    body = {"name": "x", "model": "m", "variables": {str(i): i for i in range(4)}}
    limited(agentd.api("POST", "/sessions", body), "AGENTD_MAX_VARIABLES")


def test_variables_of_a_session_in_bytes_also_after_a_restore(make_agentd):
    agentd = make_agentd(env={"AGENTD_VARIABLES_BYTES": "4096"})
    s = agentd.create()["session_id"]
    assert put(agentd, s, "a", "x" * 3000).status == 200
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    limited(put(agentd, s, "b", "x" * 2000), "AGENTD_VARIABLES_BYTES")
    for _ in range(5):
        assert put(agentd, s, "a", "y").status == 200
    assert put(agentd, s, "b", "x" * 2000).status == 200
    agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}, expect=200)
    limited(put(agentd, s, "b", "x" * 2000))
    assert put(agentd, s, "b", "x" * 500).status == 200
