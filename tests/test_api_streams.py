# SPDX-License-Identifier: MIT
"""Waiting, logs and events: nothing is missed and nothing comes twice, whoever dies, leaves or sleeps."""
import json
import os
import pathlib
import re
import select
import signal
import socket
import threading
import time

import pytest

from lib import load
from lib.agentd import alive, wait_for
from lib.stream import BROKEN, Stream, follow

COUNTER = ["/usr/bin/python3", "-uc",
           "import time\nfor i in range(1, 1000000):\n print('line', i, flush=True)\n time.sleep(0.001)"]
sanitized = pytest.mark.sanitized


def kill_daemon(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


def append(agentd, session, text):
    return agentd.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": text}, expect=201).json["id"]


def n_fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def n_fds_at_rest(pid):
    """Without the connections of earlier requests, which the daemon is about to close."""
    seen = []

    def same():
        seen.append(n_fds(pid))
        return len(seen) >= 10 and len(set(seen[-10:])) == 1
    wait_for(same, what="the same number of descriptors ten times")
    return seen[-1]


def kill_among_readings(agentd, got, times):
    """Kills the daemon so many times, each time after its reader got something."""
    for _ in range(times):
        before = len(got)
        wait_for(lambda: len(got) > before, what="the reader's progress")
        kill_daemon(agentd)


class Background(threading.Thread):
    """Runs a function beside the test; result() gives its value or raises what it raised."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args, self.value, self.error = function, args, None, None
        self.start()

    def run(self):
        try:
            self.value = self.function(*self.args)
        except BaseException as error:  # noqa: B902
            self.error = error

    def result(self, seconds=60):
        self.join(seconds)
        assert not self.is_alive(), "it is not done yet"
        if self.error:
            raise self.error
        return self.value


# ---- waiting for messages ----


def waiting(agentd, session, query):
    """A request that is in the daemon's hands."""
    s = load.open_socket(agentd)
    s.sendall(load.request("GET", f"/sessions/{session}/messages?{query}"))
    return s


def arrived(agentd):
    for _ in range(3):
        assert agentd.request("GET", "/health").status == 200


def answer(s):
    data = b""
    while load.answer_end(data) is None:
        piece = s.recv(65536)
        assert piece, "the daemon hung up"
        data += piece
    s.close()
    return int(data[9:12]), json.loads(data[data.index(b"\r\n\r\n") + 4:])


@sanitized
@pytest.mark.parametrize("query", ["wait=30&after={}", "wait=30"])
def test_wait_is_woken_by_a_message(agentd, query):
    s = agentd.create()["session_id"]
    last = append(agentd, s, "old")
    waiter = waiting(agentd, s, query.format(last))
    arrived(agentd)
    assert not select.select([waiter], [], [], 0.2)[0], "it did not wait"
    begin = time.monotonic()
    new = append(agentd, s, "new")
    status, messages = answer(waiter)
    assert time.monotonic() - begin < 5
    assert status == 200 and [(m["id"], m["content"]) for m in messages] == [(new, "new")]


@sanitized
def test_wait_in_an_empty_conversation(agentd):
    s = agentd.create()["session_id"]
    for query in ("wait=30", "wait=30&after=0000000000000000"):
        waiter = waiting(agentd, agentd.create()["session_id"] if query != "wait=30" else s, query)
        arrived(agentd)
        session = s if query == "wait=30" else agentd.api("GET", "/sessions").json[-1]["session_id"]
        append(agentd, session, "first")
        assert [m["content"] for m in answer(waiter)[1]] == ["first"]


@sanitized
def test_wait_does_not_wait_when_there_is_something(agentd):
    s = agentd.create()["session_id"]
    last = append(agentd, s, "old")
    append(agentd, s, "new")
    begin = time.monotonic()
    messages = agentd.api("GET", f"/sessions/{s}/messages?wait=30&after={last}", expect=200).json
    assert [m["content"] for m in messages] == ["new"] and time.monotonic() - begin < 10


@sanitized
def test_wait_ends_with_its_time(agentd):
    s = agentd.create()["session_id"]
    last = append(agentd, s, "old")
    begin = time.monotonic()
    assert agentd.api("GET", f"/sessions/{s}/messages?wait=1&after={last}", expect=200).json == []
    assert 1 <= time.monotonic() - begin < 10


@sanitized
def test_one_message_wakes_everybody(agentd):
    s = agentd.create()["session_id"]
    waiters = [waiting(agentd, s, "wait=60") for _ in range(100)]
    arrived(agentd)
    append(agentd, s, "for all")
    assert all([m["content"] for m in answer(w)[1]] == ["for all"] for w in waiters)


@sanitized
def test_who_waits_for_a_deleted_session_is_told(agentd):
    s = agentd.create()["session_id"]
    waiter = waiting(agentd, s, "wait=60")
    arrived(agentd)
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    status, body = answer(waiter)
    assert status == 404 and body["code"] == "session_not_found"


@sanitized
def test_who_leaves_while_waiting_costs_nothing(agentd):
    s = agentd.create()["session_id"]
    pid = agentd.daemon_pid
    before = n_fds_at_rest(pid)
    for _ in range(3):
        waiters = [waiting(agentd, s, "wait=300") for _ in range(50)]
        arrived(agentd)
        assert n_fds(pid) >= before + 50
        for w in waiters:
            w.close()
        wait_for(lambda: n_fds(pid) <= before, 20, "the closing of what was left")
    append(agentd, s, "for nobody")
    assert agentd.daemon_pid == pid


# ---- logs ----

SPEAKER = ["/bin/sh", "-c", "echo one; echo two >&2; printf 'a\\033]0;title\\007\\033[31mred\\033[2J\\n'; echo last; exec sleep 1000"]


def logs(agentd, session, query="", accept="text/plain"):
    answer = agentd.api("GET", f"/sessions/{session}/logs?{query}", headers={"Accept": accept}, expect=200)
    assert answer.headers["content-type"].startswith(accept)
    return answer.body.decode().splitlines()


def speaking(agentd):
    s = agentd.run(SPEAKER)["session_id"]
    wait_for(lambda: {"last", "two"} <= set(logs(agentd, s)), what="its last words")
    return s


@sanitized
def test_logs_as_text_are_safe_for_terminals(agentd):
    lines = logs(agentd, speaking(agentd))
    assert [x for x in lines if x in ("one", "last")] == ["one", "last"] and "two" in lines
    assert "a\\x1b]0;title\\x07\033[31mred\\x1b[2J\033[0m" in lines, "colour stays, all else is shown, not done"


@sanitized
def test_logs_as_json_lines_say_everything(agentd):
    s = speaking(agentd)
    run = agentd.api("GET", f"/sessions/{s}/runs").json[0]["run_id"]
    lines = [json.loads(x) for x in logs(agentd, s, accept="application/x-ndjson")]
    said = {x["text"]: x for x in lines}
    assert {"one", "two", "last", "a\033]0;title\007\033[31mred\033[2J"} <= set(said)
    assert said["two"]["stream"] == "stderr" and said["one"]["stream"] == "stdout"
    assert all(x["run"] == run for x in lines)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", said[x]["time"]) for x in ("one", "two"))


@sanitized
def test_logs_can_be_chosen(agentd):
    s = speaking(agentd)
    run = agentd.api("GET", f"/sessions/{s}/runs").json[0]["run_id"]
    assert logs(agentd, s, "lines=1&stream=stdout") == ["last"]
    assert logs(agentd, s, "stream=stderr") == ["two"]
    assert logs(agentd, s, "grep=re") == [x for x in logs(agentd, s) if "re" in x]
    assert logs(agentd, s, f"run={run}") == logs(agentd, s)
    agentd.api("GET", f"/sessions/{s}/logs?run=00000000deadbeef", expect=404)
    assert logs(agentd, s, "since=2100-01-01T00:00:00Z") == []
    assert logs(agentd, s, "until=2001-01-01T00:00:00Z") == []
    assert logs(agentd, s, "lines=0") == []
    agentd.api("GET", f"/sessions/{s}/logs?cursor=nonsense", expect=422)
    assert logs(agentd, agentd.create()["session_id"]) == []


@sanitized
def test_logs_as_events_have_cursors(agentd):
    s = speaking(agentd)
    with Stream(agentd, f"/sessions/{s}/logs") as stream:
        assert stream.status == 200 and stream.content_type.startswith("text/event-stream")
        events = list(stream.events())
    texts = [e["data"]["text"] for e in events]
    assert texts == [json.loads(x)["text"] for x in logs(agentd, s, accept="application/x-ndjson")]
    for i, e in enumerate(events):
        with Stream(agentd, f"/sessions/{s}/logs?cursor={e['id']}") as stream:
            assert [x["data"]["text"] for x in stream.events()] == texts[i + 1:]


@sanitized
@pytest.mark.parametrize("accept", ["text/plain", "application/x-ndjson", "text/event-stream"])
def test_follow_goes_on_with_what_comes(agentd, accept):
    folder = agentd.folder / "w"
    folder.mkdir()
    os.mkfifo(folder / "say")
    s = agentd.run(["/bin/sh", "-c", "exec 3<>say; echo ready; while read x <&3; do echo \"$x\"; done"], workspace=str(folder))["session_id"]
    wait_for(lambda: logs(agentd, s) == ["ready"], what="its first word")
    with Stream(agentd, f"/sessions/{s}/logs?follow=1", accept=accept) as stream:
        lines = stream.lines()

        def next_text():
            for line in lines:
                if accept == "text/plain":
                    return line
                if line.startswith("data: ") or line.startswith("{"):
                    return json.loads(line.removeprefix("data: "))["text"]
        assert next_text() == "ready"
        for word in ("alpha", "beta"):
            (folder / "say").write_text(word + "\n")
            assert next_text() == word


def test_a_follower_with_a_cursor_misses_and_repeats_nothing_across_deaths(agentd):
    s = agentd.run(COUNTER)["session_id"]
    got, done = [], threading.Event()
    reader = Background(follow, agentd, f"/sessions/{s}/logs?follow=1&lines=-1", lambda _: done.is_set(), None, got)
    kill_among_readings(agentd, got, 5)
    done.set()
    got, breaks = reader.result()
    assert [e["data"]["text"] for e in got] == [f"line {i}" for i in range(1, len(got) + 1)]
    assert breaks >= 5 and len({e["id"] for e in got}) == len(got)


# ---- events ----


def page(agentd, path):
    """All events behind path, by following Link."""
    got = []
    while path:
        answer = agentd.api("GET", path, expect=200)
        got += answer.json
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
        path = link and link.group(1)
    return got


@sanitized
def test_events_tell_a_sessions_life(agentd):
    s = agentd.create("s")["session_id"]
    append(agentd, s, "hello")
    agentd.api("PUT", f"/sessions/{s}/variables/v", 1, expect=200)
    agentd.api("PATCH", f"/sessions/{s}", {"name": "t"}, expect=200)
    for word in ("start", "pause"):
        agentd.api("POST", f"/sessions/{s}/{word}", expect=200)
    cp = agentd.api("GET", f"/sessions/{s}/checkpoints").json[0]["checkpoint_id"]
    agentd.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": cp}, expect=200)
    agentd.api("DELETE", f"/sessions/{s}?force=1", expect=200)
    mine = [e for e in page(agentd, "/events") if e["session_id"] == s]
    types = [e["type"] for e in mine]
    for wanted in ("session.created", "message.appended", "variable.changed", "session.changed", "session.state",
                   "checkpoint.created", "session.restored", "session.deleted"):
        assert wanted in types
    assert types[0] == "session.created" and types[-1] == "session.deleted"
    states = [e["data"]["status"] for e in mine if e["type"] == "session.state"]
    assert states[:2] == ["running", "paused"]


@sanitized
def test_events_come_in_pages(agentd):
    s = agentd.create()["session_id"]
    for i in range(25):
        append(agentd, s, f"m{i}")
    every = agentd.api("GET", "/events", expect=200).json
    ids = [e["id"] for e in every]
    assert ids == sorted(set(ids)) and len(ids) >= 26
    assert page(agentd, "/events?limit=7") == every
    assert page(agentd, f"/events?limit=7&after={ids[9]}") == every[10:]
    assert page(agentd, f"/sessions/{s}/events?limit=7") == [e for e in every if e["session_id"] == s]
    assert "link" not in agentd.api("GET", f"/events?limit={len(ids)}").headers
    assert page(agentd, "/events?namespace=default") == [e for e in every if e["namespace"] == "default"]
    agentd.api("GET", "/events?namespace=nowhere", expect=404)


@sanitized
def test_a_stream_begins_now_and_says_what_happens(agentd):
    s, other = agentd.create()["session_id"], agentd.create()["session_id"]
    with Stream(agentd, "/events") as everything, Stream(agentd, f"/sessions/{s}/events") as mine:
        assert everything.content_type.startswith("text/event-stream")
        append(agentd, other, "a")
        append(agentd, s, "b")
        assert [e["data"]["session_id"] for e in everything.take(2)] == [other, s]
        event, = mine.take(1)
    assert event["event"] == "message.appended" == event["data"]["type"] and event["id"] == event["data"]["id"]
    assert event["data"] in agentd.api("GET", f"/sessions/{s}/events").json


def test_events_have_no_gap_across_deaths(agentd):
    s = agentd.create()["session_id"]
    first = agentd.api("GET", "/events").json[-1]["id"]
    done = threading.Event()

    def write():
        n = 0
        while not done.is_set():
            try:
                n += agentd.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": "x"}).status == 201
            except BROKEN:
                pass
        return n
    writer = Background(write)
    got = []
    reader = Background(follow, agentd, "/events", lambda e: e["event"] == "session.deleted", first, got)
    kill_among_readings(agentd, got, 5)
    done.set()
    acknowledged = writer.result()
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    got, breaks = reader.result()
    assert [e["id"] for e in got] == [e["id"] for e in page(agentd, f"/events?after={first}")]
    assert sum(e["event"] == "message.appended" for e in got) >= acknowledged > 0
    assert breaks >= 5 and "reset" not in {e["event"] for e in got}


def many_variables(session, n, length=200):
    """Requests that make an event of some length each."""
    return (load.request("PUT", f"/sessions/{session}/variables/{'v' * length}", i) for i in range(n))


def test_who_comes_back_too_late_is_told_to_reset(make_agentd):
    agentd = make_agentd(env={"AGENTD_EVENTS_MAX": "1000"})
    s = agentd.create()["session_id"]
    first = agentd.api("GET", "/events").json[0]["id"]
    assert load.send_all(agentd, many_variables(s, 3000)) == {200: 3000}

    def oldest():
        return agentd.api("GET", "/events?limit=1").json[0]["id"]
    wait_for(lambda: oldest() != first, what="the forgetting of old events")
    with Stream(agentd, "/events", headers={"Last-Event-ID": first}) as stream:
        reset, next_one = stream.take(2)
    assert reset["event"] == "reset" and "id" not in reset
    assert next_one["event"] == "variable.changed"
    late = agentd.api("GET", f"/events?after={first}&limit=1", expect=200)
    assert late.headers["agentd-events"] == "reset"
    recent = agentd.api("GET", "/events?limit=1000").json[-1]["id"]
    assert "agentd-events" not in agentd.api("GET", f"/events?after={recent}").headers


def drain(s, seconds=30):
    """Everything that still comes until the other side ends."""
    data = b""
    s.settimeout(seconds)
    try:
        while piece := s.recv(1 << 20):
            data += piece
    except ConnectionResetError:
        pass
    return data


def sleeping_reader(agentd, path):
    s = load.open_socket(agentd)
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
              "Connection: close\r\n\r\n".encode())
    return s


def test_a_reader_that_sleeps_is_cut_and_others_go_on(make_agentd):
    agentd = make_agentd(env={"AGENTD_IDLE_TIMEOUT": "1"})
    s = agentd.create()["session_id"]
    first = agentd.api("GET", "/events").json[-1]["id"]
    pid = agentd.daemon_pid
    before = n_fds(pid)
    sleeper = sleeping_reader(agentd, "/events")
    n = 5000
    with Stream(agentd, "/events") as stream:
        awake = Background(stream.take, n)
        assert load.send_all(agentd, many_variables(s, n)) == {200: n}
        ids = [e["id"] for e in awake.result()]
    wait_for(lambda: n_fds(pid) <= before, 30, "the cutting of the sleeper")
    seen = re.findall(rb"^id: ([0-9a-f]{16})\r?$", drain(sleeper), re.M)
    assert 0 < len(seen) < n, "the sleeper was not cut"
    last = seen[-2].decode()  # the very last may be cut off in its middle
    got, breaks = follow(agentd, "/events", lambda e: e["id"] == ids[-1], last=last)
    assert [x.decode() for x in seen[:-1]] + [e["id"] for e in got] == \
        [e["id"] for e in page(agentd, f"/events?after={first}")] and breaks == 0


@pytest.mark.slow
def test_a_reader_that_is_far_behind_is_told_so(make_agentd):
    agentd = make_agentd(env={"AGENTD_IDLE_TIMEOUT": "1h"})
    s = agentd.create()["session_id"]
    sleeper = sleeping_reader(agentd, "/events")
    n = 105000
    message = load.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": ""})
    assert load.send_all(agentd, [message] * n) == {201: n}
    assert b"event: slow" in drain(sleeper)[-200:]
    assert agentd.request("GET", "/health").status == 200


def test_two_hundred_readers_all_see_everything(agentd):
    s = agentd.create()["session_id"]
    pid = agentd.daemon_pid
    before = n_fds(pid)
    streams = [Stream(agentd, "/events") for _ in range(200)]
    sent = [append(agentd, s, f"m{i}") for i in range(20)]
    for stream in streams:
        assert [e["data"]["data"]["node"] for e in stream.take(20)] == sent
    for stream in streams:
        stream.close()
    wait_for(lambda: n_fds(pid) <= before, 20, "the closing of what was left")


@sanitized
def test_streams_end_when_the_daemon_stops(agentd):
    s = agentd.run(["/bin/sleep", "1000"], agent={"on_daemon_stop": "stop"})["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    with Stream(agentd, "/events") as events, Stream(agentd, f"/sessions/{s}/logs?follow=1") as lines:
        waiter = waiting(agentd, s, "wait=300")
        arrived(agentd)
        agentd.request("POST", "/shutdown")
        list(events.events())
        list(lines.lines())
        assert answer(waiter)[0] in (200, 503)
