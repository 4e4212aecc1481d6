# SPDX-License-Identifier: MIT
"""Long-term memory: scopes, versions, the past, expiry, preconditions."""
import pytest

from lib.agentd import wait_for


@pytest.fixture
def session(shared):
    return shared.create(name="rememberer")["session_id"]


def put(agentd, path, expect=201, headers=None, **body):
    return agentd.api("POST", path, body, expect=expect, headers=headers)


def test_everything_said_of_an_entry_comes_back(shared, session):
    path = f"/sessions/{session}/memory"
    put(shared, path, key="fact:1", value={"n": 1.0, "big": 12345678901234567890123}, text="the answer", context="asked twice",
        metadata={"source": "user", "line": 7, "ok": True, "none": None}, tags=["a", "ü"], importance=0.25, ttl=3600)
    e = shared.api("GET", f"{path}?key=fact:1&details=1", expect=200).json
    assert e["text"] == "the answer" and e["context"] == "asked twice" and e["tags"] == ["a", "ü"]
    assert e["metadata"] == {"source": "user", "line": 7, "ok": True, "none": None}
    assert e["importance"] == 0.25 and e["version"] == 1 and e["expires_at"] > e["timestamp"]
    assert set(shared.api("GET", f"{path}?key=fact:1", expect=200).json) == {"key", "value", "timestamp"}
    # what is not given again, the entry does not have
    put(shared, path, key="fact:1", value=2)
    e = shared.api("GET", f"{path}?key=fact:1&details=1", expect=200).json
    assert e["version"] == 2 and not {"text", "context", "metadata", "tags", "importance", "expires_at"} & set(e)


def test_scopes_of_a_session_are_walls(shared):
    first, second = (shared.create(name="same")["session_id"] for _ in range(2))
    other = shared.create(name="other")["session_id"]
    for s, scope in ((first, "namespace"), (first, "agent"), (first, "session"), (second, "session"), (other, "agent")):
        put(shared, f"/sessions/{s}/memory", key="wall", value=f"{s} {scope}", scope=scope)

    def get(s, scope):
        return shared.api("GET", f"/sessions/{s}/memory?key=wall&scope={scope}")

    assert get(second, "namespace").json["value"] == get(other, "namespace").json["value"] == f"{first} namespace"
    assert get(second, "agent").json["value"] == f"{first} agent"
    assert get(other, "agent").json["value"] == f"{other} agent"
    assert get(first, "session").json["value"] == f"{first} session"
    assert get(second, "session").json["value"] == f"{second} session"
    assert get(other, "session").status == 404
    shared.api("DELETE", f"/sessions/{first}/memory?key=wall&scope=session", expect=200)
    assert get(second, "session").status == 200


def test_history_and_the_past(shared, session):
    path = f"/sessions/{session}/memory"
    for n in range(1, 4):
        put(shared, path, key="h", value=n, scope="session")
    shared.api("DELETE", f"{path}?key=h&scope=session", expect=200)
    put(shared, path, key="h", value=4, scope="session")
    versions = shared.api("GET", f"{path}/history?key=h&scope=session", expect=200).json["versions"]
    assert [(v["version"], v["value"], v["ended_by"]) for v in versions] == [
        (4, 4, None), (3, 3, "deleted"), (2, 2, "replaced"), (1, 1, "replaced")]
    page = shared.api("GET", f"{path}/history?key=h&scope=session&limit=3", expect=200)
    assert "before=2" in page.headers["link"] and len(page.json["versions"]) == 3
    for v in versions[1:]:
        then = shared.api("GET", f"{path}?key=h&scope=session&as_of={v['timestamp']}", expect=200).json
        assert then["value"] == v["value"]
    shared.api("GET", f"{path}?key=h&scope=session&as_of={versions[1]['ended_at']}", expect=404)
    shared.api("GET", f"{path}/history?key=never", expect=404)
    shared.api("GET", f"{path}?as_of=2026-01-01T00:00:00Z", expect=422)


def test_a_lost_update_is_refused(shared, session):
    path = f"/sessions/{session}/memory"
    first = put(shared, path, key="lost", value=1, headers={"If-None-Match": "*"})
    etag = first.headers["etag"]
    assert put(shared, path, 412, {"If-None-Match": "*"}, key="lost", value=2).headers["etag"] == etag
    second = put(shared, path, key="lost", value=2, headers={"If-Match": etag})
    answer = put(shared, path, 412, {"If-Match": etag}, key="lost", value=3)
    assert answer.headers["etag"] == second.headers["etag"] != etag and "lost" in answer.json["detail"]
    put(shared, path, 412, {"If-Match": '"nonsense"'}, key="lost", value=3)
    put(shared, path, 422, {"If-None-Match": etag}, key="lost", value=3)
    shared.api("DELETE", f"{path}?key=lost", headers={"If-Match": etag}, expect=412)
    assert shared.api("GET", f"{path}?key=lost", headers={"If-None-Match": second.headers["etag"]}).status == 304
    shared.api("DELETE", f"{path}?key=lost", headers={"If-Match": second.headers["etag"]}, expect=200)


@pytest.mark.parametrize("field, value, word", [
    ("scope", "galaxy", "namespace"), ("metadata", {"a": {}}, "object or a list"), ("metadata", [], "dictionary"),
    ("tags", "x", "list"), ("tags", [1], "string"), ("importance", 1.5, "less than or equal to 1"),
    ("importance", "high", "number"), ("ttl", 0, "greater"), ("ttl", 1.5, "integer"), ("text", 5, "string"), ("node", "x", "pattern"),
])
def test_wrong_fields_are_named_and_change_nothing(shared, session, field, value, word):
    path = f"/sessions/{session}/memory"
    answer = put(shared, path, 422, key="wrong", value=1, **{field: value})
    assert answer.json["detail"][0]["loc"][:2] == ["body", field] and word in answer.json["detail"][0]["msg"]
    shared.api("GET", f"{path}?key=wrong", expect=404)


def test_what_expired_is_gone(shared, session):
    path = f"/sessions/{session}/memory"
    put(shared, path, key="short", value=1, ttl=1)
    shared.api("GET", f"{path}?key=short", expect=200)
    wait_for(lambda: shared.api("GET", f"{path}?key=short").status == 404)
    wait_for(lambda: shared.api("GET", f"{path}/history?key=short").json["versions"][0]["ended_by"] == "expired")
