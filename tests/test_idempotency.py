# SPDX-License-Identifier: MIT
"""Idempotency-Key: what is asked for twice with one key happens once and is answered once, whoever dies meanwhile."""
import concurrent.futures
import http.client
import os
import random
import signal
import threading
import time
import uuid

import pytest

from lib.agentd import wait_for

pytestmark = pytest.mark.sanitized
SLEEPER = {"exec": ["sleep", "600"]}


def keyed(agentd, method, path, body=None, key=None, **more):
    return agentd.api(method, path, body, {"Idempotency-Key": key or str(uuid.uuid4()), **more.pop("headers", {})}, **more)


def twice(agentd, path, body=None, expect=201):
    """Both answers of one request that is sent again."""
    key = str(uuid.uuid4())
    first = keyed(agentd, "POST", path, body, key, expect=expect)
    again = keyed(agentd, "POST", path, body, key, expect=expect)
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"
    assert again.body == first.body
    return first.json


def test_the_same_key_gives_the_first_answer_and_one_effect(agentd):
    s = twice(agentd, "/sessions", {"name": "a", "model": "m"})
    path = "/sessions/" + s["session_id"]
    assert len(agentd.api("GET", "/sessions").json) == 1
    m = twice(agentd, path + "/messages", {"role": "user", "content": "once"})
    assert [x["id"] for x in agentd.api("GET", path + "/messages").json] == [m["id"]]
    c = twice(agentd, path + "/checkpoints?label=x")
    assert [x["checkpoint_id"] for x in agentd.api("GET", path + "/checkpoints").json] == [c["checkpoint_id"]]
    f = twice(agentd, path + "/fork", {"name": "f"})
    assert {x["session_id"] for x in agentd.api("GET", "/sessions").json} == {s["session_id"], f["session_id"]}
    twice(agentd, path + "/memory", {"key": "k", "value": 1})
    twice(agentd, "/memory", {"key": "k", "value": 2})
    entry = agentd.api("GET", path + "/memory?details=1").json["entries"][0]
    assert entry["version"] == 2
    token = twice(agentd, "/tokens", {"name": "t"})
    assert token["token"].startswith("agd_") and len(agentd.api("GET", "/tokens").json) == 1


def test_verbs_are_done_once_and_their_answer_is_the_first(agentd):
    s = agentd.create(agent=SLEEPER)["session_id"]
    path = f"/sessions/{s}"
    twice(agentd, path + "/start", expect=200)
    twice(agentd, path + "/restart", expect=200)
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    assert len(agentd.api("GET", path + "/runs").json) == 2
    stopped = str(uuid.uuid4())
    first = keyed(agentd, "POST", path + "/stop", None, stopped, expect=200)
    agentd.api("POST", path + "/start", expect=200)
    again = keyed(agentd, "POST", path + "/stop", None, stopped, expect=200)
    assert again.body == first.body and first.json["status"] == "stopped"
    assert agentd.session(s)["status"] == "running", "the old key stopped it again"


def test_a_verb_that_had_nothing_to_do_is_not_done_later(agentd):
    s = agentd.create()["session_id"]
    path = f"/sessions/{s}"
    agentd.api("POST", path + "/start", expect=200)
    agentd.api("POST", path + "/stop", expect=200)
    key = str(uuid.uuid4())
    keyed(agentd, "POST", path + "/stop", None, key, expect=200)
    agentd.api("POST", path + "/start", expect=200)
    keyed(agentd, "POST", path + "/stop", None, key, expect=200)
    assert agentd.session(s)["status"] == "running"


def test_a_signal_is_sent_once(agentd, tmp_path):
    note = tmp_path / "signals"
    script = f"trap 'echo x >> {note}' USR1; echo ready; while :; do sleep 0.02; done"
    s = agentd.run(["sh", "-c", script])["session_id"]
    wait_for(lambda: b"ready" in agentd.request("GET", f"/sessions/{s}/logs").body, what="the trap")
    twice(agentd, f"/sessions/{s}/kill", {"signal": "USR1"}, expect=200)
    wait_for(note.exists, what="the first signal")
    keyed(agentd, "POST", f"/sessions/{s}/kill", {"signal": "USR1"}, expect=200)
    wait_for(lambda: note.read_text().count("x") >= 2, what="the second")
    assert note.read_text() == "x\nx\n"


def test_another_request_with_the_key_is_refused(agentd):
    s = agentd.create()["session_id"]
    key, body = "k", {"role": "user", "content": "a"}
    keyed(agentd, "POST", f"/sessions/{s}/messages", body, key, expect=201)
    for path, other in ((f"/sessions/{s}/messages", {**body, "content": "b"}), (f"/sessions/{s}/checkpoints", None),
                        ("/sessions", {"name": "x", "model": "m"}), ("/memory", {"key": "k", "value": 1})):
        answer = keyed(agentd, "POST", path, other, key, expect=409)
        assert answer.json["code"] == "idempotency_key_reused" and "new key" in answer.json["hint"]
    keyed(agentd, "POST", "/memory", {"key": "k", "value": 1}, "k2", expect=201)
    keyed(agentd, "POST", "/memory?namespace=default", {"key": "k", "value": 1}, "k2", expect=409)
    keyed(agentd, "POST", f"/sessions/{s}/messages", body, "k2", expect=409)


def test_a_failure_without_an_effect_may_be_tried_again(agentd):
    key = "later"
    s = agentd.create()["session_id"]
    keyed(agentd, "POST", f"/sessions/{s}/pause", None, key, expect=400)
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    answer = keyed(agentd, "POST", f"/sessions/{s}/pause", None, key, expect=200)
    assert "idempotency-replayed" not in answer.headers


def test_keys_of_one_caller_are_nothing_to_another(agentd):
    a, b = (agentd.api("POST", "/tokens", {"scope": "admin"}, expect=201).json["token"] for _ in range(2))
    body = {"name": "mine"}
    got = [keyed(agentd, "POST", "/tokens", body, "same", headers={"Authorization": f"Bearer {t}"}, expect=201)
           for t in (a, b, a)]
    assert got[0].json["token_id"] != got[1].json["token_id"] and got[2].body == got[0].body
    assert got[2].headers["cache-control"] == "no-store"
    keyed(agentd, "POST", "/tokens", body, "same", expect=201)
    assert len(agentd.api("GET", "/tokens").json) == 5


def test_answers_are_not_readable_in_the_database(agentd):
    secret = twice(agentd, "/tokens", {"name": "t"})["token"].encode()
    files = [p for p in agentd.data.iterdir() if p.name.startswith("state.db")]
    assert files and not any(secret in p.read_bytes() for p in files)


def test_a_bad_key_is_named(agentd):
    answer = keyed(agentd, "POST", "/sessions", {"name": "a", "model": "m"}, "x" * 256, expect=422)
    assert answer.json["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    answer = agentd.api("POST", "/sessions", {"name": "a", "model": "m"}, {"Idempotency-Key": ""}, expect=422)
    assert answer.json["detail"][0]["loc"] == ["header", "Idempotency-Key"]
    assert agentd.api("GET", "/sessions").json == []


def test_duplicates_at_the_same_time_wait_for_the_first(agentd):
    s = agentd.run(["sh", "-c", "trap 'sleep 0.3; exit' TERM; echo ready; while :; do sleep 0.02; done"])["session_id"]
    wait_for(lambda: b"ready" in agentd.request("GET", f"/sessions/{s}/logs").body, what="the trap")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: keyed(agentd, "POST", f"/sessions/{s}/restart", None, "r", expect=200), range(8)))
    assert len({a.body for a in answers}) == 1
    assert sorted("idempotency-replayed" in a.headers for a in answers) == [False] + [True] * 7
    assert len(agentd.api("GET", f"/sessions/{s}/runs").json) == 2


def test_large_answers_are_made_again(make_agentd):
    agentd = make_agentd(env={"AGENTD_IDEMPOTENCY_ANSWER_MAX": "1K"})
    text = "x" * 5000
    s = twice(agentd, "/sessions", {"name": "a", "model": "m", "system_prompt": text})
    path = "/sessions/" + s["session_id"]
    assert twice(agentd, path + "/messages", {"role": "user", "content": text})["content"] == text
    assert len(agentd.api("GET", path + "/messages").json) == 1
    key = str(uuid.uuid4())
    keyed(agentd, "POST", path + "/fork", {}, key, expect=201)
    fork = keyed(agentd, "POST", path + "/fork", {}, key, expect=201).json["session_id"]
    agentd.api("DELETE", f"/sessions/{fork}", expect=200)
    answer = keyed(agentd, "POST", path + "/fork", {}, key, expect=404)
    assert fork in answer.json["detail"]
    assert len(agentd.api("GET", "/sessions").json) == 1


def test_the_answer_outlives_what_it_is_about(agentd):
    s = agentd.create()["session_id"]
    body = {"role": "user", "content": "hello"}
    first = keyed(agentd, "POST", f"/sessions/{s}/messages", body, "m", expect=201)
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    assert keyed(agentd, "POST", f"/sessions/{s}/messages", body, "m", expect=201).body == first.body


# ---- kills ----

class Killer(threading.Thread):
    """Kills the daemon at random moments; its keeper starts another."""

    def __init__(self, agentd, rng):
        super().__init__(daemon=True)
        self.agentd, self.rng = agentd, rng
        self.over = threading.Event()
        self.kills = 0

    def run(self):
        while not self.over.wait(self.rng.uniform(0.01, 0.05)):
            try:
                os.kill(self.agentd.version()["daemon_pid"], signal.SIGKILL)
                self.kills += 1
            except (OSError, http.client.HTTPException, AssertionError, ValueError):
                pass


def until_answered(agentd, path, body, key):
    """Asks again with the same key until there is an answer; also when the first was lost on purpose."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        try:
            answer = agentd.request("POST", path, body, {"Idempotency-Key": key}, timeout=30)
        except (OSError, http.client.HTTPException):
            continue
        if answer.status != 503:
            return answer
    raise AssertionError("no answer: " + path)


@pytest.mark.slow
def test_two_hundred_requests_under_kills_have_one_effect_each(agentd):
    seed = int(os.environ.get("AGENTD_TORTURE_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    s = agentd.create("target")["session_id"]
    path = f"/sessions/{s}"
    kinds = [
        lambda n: ("/sessions", {"name": f"new-{n}", "model": "m"}),
        lambda n: (path + "/messages", {"role": "user", "content": f"message {n}"}),
        lambda n: (path + "/memory", {"key": f"key-{n}", "value": n}),
        lambda n: (path + f"/checkpoints?label=label-{n}", None),
        lambda n: (path + "/fork", {"name": f"fork-{n}"}),
        lambda n: ("/tokens", {"name": f"token-{n}"}),
    ]
    requests = [(n, *kinds[n % len(kinds)](n), str(uuid.uuid4())) for n in range(200)]
    killer = Killer(agentd, random.Random(seed))
    killer.start()

    def send(r):
        time.sleep(0.01)  # so that a fast machine is not through before it was killed
        first = until_answered(agentd, r[1], r[2], r[3])
        return first, until_answered(agentd, r[1], r[2], r[3])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(send, requests))
    killer.over.set()
    killer.join()
    agentd.wait_ready()
    print("kills", killer.kills)
    assert killer.kills >= 5
    assert {a.status for both in answers for a in both} == {201}
    assert all(first.body == again.body for first, again in answers)

    numbers = {kind: {n for n, *_ in requests if n % len(kinds) == kind} for kind in range(len(kinds))}
    names = [x["name"] for x in agentd.api("GET", "/sessions").json]
    assert sorted(names) == sorted(["target"] + [f"new-{n}" for n in numbers[0]] + [f"fork-{n}" for n in numbers[4]])
    messages = [m["content"] for m in agentd.api("GET", path + "/messages").json]
    assert sorted(messages) == sorted(f"message {n}" for n in numbers[1])
    entries = agentd.api("GET", path + "/memory?details=1").json["entries"]
    assert {e["key"]: e["version"] for e in entries} == {f"key-{n}": 1 for n in numbers[2]}
    labels = [c["label"] for c in agentd.api("GET", path + "/checkpoints").json]
    assert sorted(x for x in labels if x.startswith("label-")) == sorted(f"label-{n}" for n in numbers[3])
    assert sorted(t["name"] for t in agentd.api("GET", "/tokens").json) == sorted(f"token-{n}" for n in numbers[5])


def test_the_command_line_asks_again_without_doing_it_twice(agentd):
    rng = random.Random(1)
    for n in range(8):
        agentd.wait_ready()
        pid = agentd.daemon_pid
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            made = pool.submit(agentd.cli, "create", "--name", f"s{n}", "--model", "m")
            time.sleep(rng.uniform(0, 0.02))
            os.kill(pid, signal.SIGKILL)
        assert made.result().returncode == 0, made.result().stderr
    agentd.wait_ready()
    assert [s["name"] for s in agentd.api("GET", "/sessions").json] == [f"s{n}" for n in range(8)]
