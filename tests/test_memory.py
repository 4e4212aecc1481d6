# SPDX-License-Identifier: MIT
"""Long-term memory: scopes, versions, the past, expiry, preconditions."""
import json
import os
import shutil
import signal
import sqlite3

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


def search(agentd, path, query, expect=200, **body):
    return agentd.api("POST", f"{path}/search", {**({} if query is None else {"query": query}), **body}, expect=expect).json


def test_a_session_finds_what_it_sees_and_nothing_else(shared):
    mine, other = (shared.create(name=name)["session_id"] for name in ("finder", "stranger"))
    for s, scope, key in ((mine, "session", "own"), (mine, "agent", "team"), (other, "session", "hidden"), (other, "agent", "foreign"),
                          (other, "namespace", "common")):
        put(shared, f"/sessions/{s}/memory", key=key, value=f"the walrus of {key}", scope=scope)
    path = f"/sessions/{mine}/memory"
    found = search(shared, path, "where is the walrus?")
    assert {(hit["key"], hit["scope"]) for hit in found["results"]} == {("own", "session"), ("team", "agent"), ("common", "namespace")}
    assert found["mode"] == "text" and found["semantic"] is False
    assert [hit["key"] for hit in search(shared, path, "walrus", scope="agent")["results"]] == ["team"]
    assert [hit["key"] for hit in search(shared, "/memory", "walrus")["results"]] == ["common"]
    explained = search(shared, path, "walrus team", explain=True)["results"]
    assert explained[0]["key"] == "team" and explained[0]["explain"]["text_rank"] == 1 and explained[0]["explain"]["bm25"] > 0
    assert [hit["score"] for hit in explained] == sorted((hit["score"] for hit in explained), reverse=True)


def test_search_filters_limits_and_refuses(shared, session):
    path = f"/sessions/{session}/memory"
    for n in range(30):
        put(shared, path, key=f"f{n:02}", value="ferret", scope="session", metadata={"n": n}, tags=["even"] if n % 2 == 0 else ["odd"])
    assert len(search(shared, path, "ferret")["results"]) == 10
    assert len(search(shared, path, "ferrets", limit=1000)["results"]) == 30
    only = search(shared, path, "ferret", filter={"tags": ["even"], "metadata": {"n": {"gte": 27}}})["results"]
    assert [hit["key"] for hit in only] == ["f28"]
    assert search(shared, path, "ferret", min_score=1)["results"] == []
    assert search(shared, path, "?!")["results"] == []
    for body in ({"query": ""}, {}, {"query": "x", "limit": 0}, {"query": "x", "filter": {"colour": 1}}, {"query": "x", "mode": "magic"},
                 {"query": "x", "scope": "galaxy"}, {"query": "x", "as_of": "yesterday"}, {"query": 5}):
        shared.api("POST", f"{path}/search", body, expect=422)


def test_what_is_stored_is_found_by_the_next_request(shared, session):
    path = f"/sessions/{session}/memory"
    for n in range(50):
        put(shared, path, key="moving", value=f"word{n}", scope="session")
        assert [hit["value"] for hit in search(shared, path, f"word{n}", scope="session")["results"]] == [f"word{n}"]
    first = shared.api("GET", f"{path}/history?key=moving&scope=session&limit=1000", expect=200).json["versions"][-1]
    assert search(shared, path, "word0", scope="session")["results"] == []
    assert search(shared, path, "word0", scope="session", as_of=first["timestamp"])["results"][0]["value"] == "word0"


def test_namespaces_are_walls_for_search_and_history(agentd):
    token = agentd.cli("token", "create", "--namespace", "team", "--scope", "write", "--json")
    assert token.returncode == 0, token.stderr
    agentd.api("POST", "/memory?namespace=team", {"key": "k", "value": "a heron"}, expect=201)
    agentd.api("POST", "/memory", {"key": "k", "value": "a heron too"}, expect=201)
    for namespace, value in (("team", "a heron"), ("default", "a heron too")):
        found = agentd.api("POST", f"/memory/search?namespace={namespace}", {"query": "heron"}, expect=200).json["results"]
        assert [hit["value"] for hit in found] == [value]
        assert len(agentd.api("GET", f"/memory/history?key=k&namespace={namespace}", expect=200).json["versions"]) == 1


def test_nothing_acknowledged_is_unfindable_after_kill(agentd):
    s = agentd.create()["session_id"]
    for n in range(20):
        put(agentd, f"/sessions/{s}/memory", key=f"k{n}", value=f"otter{n}")
    os.kill(agentd.daemon_pid, signal.SIGKILL)
    agentd.wait_ready()
    for n in range(20):
        assert [hit["key"] for hit in search(agentd, "/memory", f"otter{n}")["results"]] == [f"k{n}"]


def test_a_deleted_session_takes_its_memory_along_and_nobody_elses(agentd):
    first, second = (agentd.create(name="same")["session_id"] for _ in range(2))
    for s, scope in ((first, "session"), (second, "session"), (first, "agent"), (first, "namespace")):
        put(agentd, f"/sessions/{s}/memory", key=f"of-{scope}-{s}", value="the quokka", scope=scope)
        put(agentd, f"/sessions/{s}/memory", key=f"of-{scope}-{s}", value="the quokka again", scope=scope)
    agentd.api("DELETE", f"/sessions/{first}", expect=200)
    keys = {hit["key"] for hit in search(agentd, f"/sessions/{second}/memory", "quokka")["results"]}
    assert keys == {f"of-session-{second}", f"of-agent-{first}", f"of-namespace-{first}"}
    with sqlite3.connect(f"file:{agentd.data}/memory.db?mode=ro", uri=True) as db:
        assert db.execute("SELECT COUNT(*) FROM entries").fetchone()[0] == 3
        assert db.execute("SELECT COUNT(*) FROM versions").fetchone()[0] == 3
        assert db.execute("SELECT COUNT(*) FROM search").fetchone()[0] == 6


def test_memory_that_a_crash_left_behind_a_session_is_removed_at_the_next_start(agentd):
    """Between the two databases' commits: the session's rows are gone, its memory is not."""
    s, other = (agentd.create()["session_id"] for _ in range(2))
    for session in (s, other):
        put(agentd, f"/sessions/{session}/memory", key="k", value="the quoll", scope="session")
    assert agentd.cli("stop").returncode == 0
    with sqlite3.connect(agentd.data / "memory.db") as db:
        db.execute("UPDATE entries SET scope = 4711 WHERE session = ?", (int(s, 16),))
    agentd.start()

    def left():
        with sqlite3.connect(f"file:{agentd.data}/memory.db?mode=ro", uri=True) as db:
            return [row[0] for row in db.execute("SELECT session FROM entries")]
    wait_for(lambda: left() == [int(other, 16)])
    assert search(agentd, f"/sessions/{other}/memory", "quoll")["results"][0]["scope"] == "session"


def test_vectors_of_the_client_are_searched(shared):
    s = shared.create(name="vectors")["session_id"]
    path = f"/sessions/{s}/memory"
    for key, vector in (("x", [1, 0, 0]), ("xy", [10, 10, 0]), ("z", [0, 0, 1e-30])):
        put(shared, path, key=key, value=f"the {key} axis", embedding=vector, scope="session")
    put(shared, path, key="none", value="no axis", scope="session")
    found = search(shared, path, None, embedding=[2, 1, 0], explain=True)
    assert [hit["key"] for hit in found["results"]] == ["xy", "x", "z"] and found["mode"] == "vector" and found["semantic"] is True
    assert found["results"][0]["score"] == pytest.approx(3 / 10 ** 0.5, abs=1e-6) == found["results"][0]["explain"]["cosine"]
    assert [hit["key"] for hit in search(shared, path, None, embedding=[1, 0, 0], min_score=0.9)["results"]] == ["x"]
    both = search(shared, path, "axis z", embedding=[0, 1, 0], explain=True)
    assert both["mode"] == "hybrid" and {hit["key"] for hit in both["results"]} == {"x", "xy", "z", "none"}
    assert all(0 < hit["score"] <= 1 for hit in both["results"])
    assert search(shared, path, "axis z", embedding=[0, 1, 0], mode="text")["mode"] == "text"
    # a text that changes takes its vector along, one that stays keeps it
    put(shared, path, key="x", value="the x axis", scope="session", tags=["kept"])
    assert search(shared, path, None, embedding=[1, 0, 0], limit=1)["results"][0]["tags"] == ["kept"]
    put(shared, path, key="x", value="another thing", scope="session")
    assert [hit["key"] for hit in search(shared, path, None, embedding=[1, 0, 0])["results"]] == ["xy", "z"]


@pytest.mark.parametrize("body, word", [
    ({"embedding": []}, "at least 1"), ({"embedding": [0, 0]}, "direction"), ({"embedding": [1, "a"]}, "element 1"),
    ({"embedding": [1e400]}, "element 0"), ({"embedding": [1e39]}, "element 0"), ({"embedding": "x"}, "list"), ({"embedding": [1] * 4097}, "4096"),
    ({"model": "m"}, "embedding"),
])
def test_wrong_vectors_are_named_and_change_nothing(shared, session, body, word):
    path = f"/sessions/{session}/memory"
    raw = json.dumps({"key": "v", "value": 1, **body}).replace("Infinity", "1e400")
    answer = shared.api("POST", path, raw, expect=422)
    assert word in answer.json["detail"][0]["msg"], answer.json
    shared.api("GET", f"{path}?key=v", expect=404)


def test_only_vectors_of_one_model_and_length_are_compared(shared, session):
    path = f"/sessions/{session}/memory"
    put(shared, path, key="short", value=1, embedding=[1, 0], scope="session", model="small")
    put(shared, path, key="long", value=1, embedding=[1, 0, 0, 0, 0], scope="session", model="large")
    assert [hit["key"] for hit in search(shared, path, None, embedding=[1, 1], model="small")["results"]] == ["short"]
    for body in ({"embedding": [1, 1]}, {"embedding": [1, 1, 1], "model": "small"}, {"embedding": [1, 1], "model": "large"}):
        answer = shared.api("POST", f"{path}/search", body, expect=422).json
        assert answer["code"] == "no_vectors" and f"{len(body['embedding'])} numbers" in answer["detail"]


def test_vectors_survive_kills_and_the_loss_of_their_files(agentd):
    s = agentd.create()["session_id"]
    path = f"/sessions/{s}/memory"
    def nearest(n):
        return [hit["key"] for hit in search(agentd, path, None, embedding=[1, n / 100], limit=3)["results"]]
    for n in range(200):
        put(agentd, path, key=f"k{n:03}", value=n, embedding=[1, n / 100])
        if n % 50 == 49:
            os.kill(agentd.daemon_pid, signal.SIGKILL)
            agentd.wait_ready()
            assert nearest(n)[0] == f"k{n:03}" and nearest(25)[0] == "k025"
    assert agentd.cli("stop").returncode == 0
    assert list((agentd.data / "vectors").iterdir())
    shutil.rmtree(agentd.data / "vectors")
    agentd.start()
    for n in (0, 77, 199):
        assert nearest(n)[0] == f"k{n:03}"
