# SPDX-License-Identifier: MIT
"""Each call that changes a file fails, in each kind of request: a full, a broken and a read-only disk.

Every kind of request is made once undisturbed, to count its calls to the disk (tests/preload/disk-trouble.c); then the
first, the second, the third of them fails, alone or with all that follow. Promised each time: the answer is 507 or 503
and says what to do; what was refused is nowhere to be seen and nothing acknowledged is lost; reading goes on; without a
restart the same request works when the trouble is over; and after kill -9 the same is there as before it.
The default run takes a sample, `long` takes every call with every error."""
import base64
import errno
import os
import random
import select
import signal
import time

import pytest

from lib import disk as calls
from lib import load
from lib.agentd import alive, wait_for
from lib.disk import disk, library  # noqa: F401 (fixtures)

ERRORS = {"ENOSPC": (errno.ENOSPC, False), "EIO": (errno.EIO, False), "EROFS": (errno.EROFS, False),
          "EDQUOT": (errno.EDQUOT, False), "short": (errno.ENOSPC, True)}
FULL = (errno.ENOSPC, errno.EDQUOT)
SAMPLES = 6


@pytest.fixture
def agentd(make_agentd, disk):
    yield make_agentd(env=disk.env)
    disk.heal()


def large(seed, n=1_200_000):
    """A text that does not compress to less than a file of its own."""
    return base64.b85encode(random.Random(seed).randbytes(n)).decode()


class Requests:
    """One kind of request at a time, on sessions that stay the same."""

    def __init__(self, agentd, folder):
        self.agentd, self.folder, self.n = agentd, folder, 0
        self.work = folder / "work"
        self.work.mkdir()
        self.write_files()
        self.s = agentd.create("s", workspace=str(self.work))["session_id"]
        agentd.api("POST", f"/sessions/{self.s}/messages", {"role": "user", "content": "first"}, expect=201)
        self.cp = agentd.api("POST", f"/sessions/{self.s}/checkpoints", expect=201).json["checkpoint_id"]
        self.plain = agentd.create("plain")["session_id"]

    def post(self, path, body=None, method="POST"):
        return self.agentd.api(method, path, body)

    def write_files(self):
        for i in range(3):
            (self.work / f"f{i}").write_text(f"{i} {self.n} {random.random()}\n" * 50)

    def create(self):
        return self.post("/sessions", {"name": f"new{self.n}", "model": "m", "variables": {"a": 1}})

    def append_small(self):
        return self.post(f"/sessions/{self.s}/messages", {"role": "user", "content": f"m{self.n}"})

    def append_row(self):
        return self.post(f"/sessions/{self.s}/messages", {"role": "user", "content": large(self.n, 50_000)})

    def append_file(self):
        return self.post(f"/sessions/{self.s}/messages", {"role": "user", "content": large(self.n)})

    def variable(self):
        return self.post(f"/sessions/{self.s}/variables/v", self.n, "PUT")

    def memory(self):
        return self.post(f"/sessions/{self.s}/memory", {"key": "k", "value": self.n})

    def token(self):
        return self.post("/tokens", {"name": f"t{self.n}"})

    def prepare_checkpoint(self):
        self.write_files()

    def checkpoint(self):
        return self.post(f"/sessions/{self.s}/checkpoints")

    def prepare_restore(self):
        self.write_files()
        self.append_small()

    def restore(self):
        return self.post(f"/sessions/{self.s}/restore", {"checkpoint_id": self.cp})

    def fork(self):
        return self.post(f"/sessions/{self.s}/fork", {"checkpoint_id": self.cp, "name": f"fork{self.n}",
                                                      "workspace": str(self.folder / f"fork{self.n}")})

    def prepare_delete(self):
        # What the last deletion leaves to the background may still be failing, and take a neighbour of its commit along.
        def made():
            answer = self.agentd.request("POST", "/sessions", {"name": "gone", "model": "m"})
            return answer.json["session_id"] if answer.status == 201 else None
        self.gone = wait_for(made, what="a session to delete")

    def delete(self):
        return self.post(f"/sessions/{self.gone}", method="DELETE")

    KINDS = ("create", "append_small", "append_row", "append_file", "variable", "memory", "token", "checkpoint",
             "restore", "fork", "delete")

    def prepare(self, kind):
        self.n += 1
        getattr(self, f"prepare_{kind}", lambda: None)()

    def __call__(self, kind):
        return getattr(self, kind)()

    def files(self, folder=None):
        return {p.name: p.read_text() for p in sorted((folder or self.work).iterdir())}

    def truth(self):
        """All that can be read."""
        a, get = self.agentd, lambda path: self.agentd.api("GET", path, expect=200).json
        sessions = get("/sessions?messages=all")
        found = [sessions, get("/tokens"), get("/memory"), get("/events?limit=1000")[-20:]]
        for s in sessions:
            path = f"/sessions/{s['session_id']}"
            found += [get(path + "/checkpoints"), get(path + "/branches"), get(path + "/variables")]
            found += [m["content"] for m in get(path + "/messages")]
        assert a.api("GET", f"/sessions/{self.s}/memory").status == 200
        return found


def check_refusal(answer, error, kind):
    assert answer.status == (507 if error in FULL else 503), (kind, os.strerror(error), answer)
    body = answer.json
    assert body["code"] in (("disk_full",) if error in FULL else ("store_failed", "workspace_failed")), (kind, body)
    assert body["detail"] and body["hint"], (kind, body)


def check_truth(requests, kind, before, files, what):
    """The trouble is over."""
    if requests.files() == files and requests.truth() == before:
        return
    assert kind == "restore", f"{what}: something refused shows"
    # A restore takes several commits. What it wrote over must be in the checkpoint that it took before.
    path = f"/sessions/{requests.s}"
    newest = max(requests.agentd.api("GET", f"{path}/checkpoints", expect=200).json, key=lambda c: c["created_at"])
    assert newest["kind"] != "manual", (what, newest)
    aside = requests.folder / f"aside{requests.n}"
    body = {"checkpoint_id": newest["checkpoint_id"], "workspace": str(aside)}
    copy = requests.agentd.api("POST", f"{path}/fork", body, expect=201).json
    assert requests.files(aside) == files, f"{what}: files were written over and are lost"
    before_messages = next(s["messages"] for s in before[0] if s["session_id"] == requests.s)
    assert [m["content"] for m in copy["messages"]] == [m["content"] for m in before_messages], what


def fail_once_each(agentd, disk, requests, kind, every, say):
    """How many calls there were and how often the request was refused."""
    pattern = f"{agentd.data}/*"
    requests.prepare(kind)
    assert requests(kind).status < 300
    requests.prepare(kind)
    disk.rule.set(pattern, calls.ANY)
    assert requests(kind).status < 300
    n = disk.rule.calls
    assert n >= 2, f"{kind} touches no disk?"
    numbers = list(range(1, n + 1)) if every else sorted(random.sample(range(1, n + 1), min(n, SAMPLES)))
    refused = 0
    for k in numbers:
        for name in ERRORS if every else random.sample(list(ERRORS), 1):
            error, is_short = ERRORS[name]
            if kind.startswith("append") and requests.n % 8 == 0:
                assert requests.restore().status == 200  # lest ever more is read each time
            last = random.choice((k, calls.FOREVER))
            requests.prepare(kind)
            before, files = requests.truth(), requests.files()
            disk.rule.set(pattern, calls.ANY, error=error, first=k, last=last, is_short=is_short)
            answer = requests(kind)
            failures = disk.rule.failures
            if answer.status >= 300:
                assert failures > 0
                check_refusal(answer, error, kind)
                refused += 1
                disk.rule.off()
                check_truth(requests, kind, before, files, f"{kind}, call {k} of {n}, {name}")
            disk.rule.off()
            if answer.status < 300 or kind == "fork":  # whose folder may have files now
                requests.prepare(kind)
            again = requests(kind)
            assert again.status < 300, f"{kind} after call {k} of {n} failed with {name}: {again!r}"
    say(f"{kind}: {n} calls, {refused} of {len(numbers) * (len(ERRORS) if every else 1)} requests refused")
    return refused


def after_a_kill(agentd, requests):
    before = requests.truth()
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()
    after = requests.truth()
    after[3] = before[3]  # the start is an event
    assert after == before


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["sample", "every"])
@pytest.mark.parametrize("kind", Requests.KINDS)
def test_a_disk_that_fails_at_any_call_loses_and_invents_nothing(agentd, disk, tmp_path, kind, every, capsys):
    def say(text):
        with capsys.disabled():
            print(f"\n      {text}", end="")
    requests = Requests(agentd, tmp_path)
    pid = agentd.daemon_pid
    assert fail_once_each(agentd, disk, requests, kind, every, say) > 0
    assert agentd.daemon_pid == pid, "the daemon was started again"
    after_a_kill(agentd, requests)


# ---- a slow disk ----


def in_the_background(agentd, session, text):
    s = load.open_socket(agentd)
    s.sendall(load.request("POST", f"/sessions/{session}/messages", {"role": "user", "content": text}))
    return s


def finish(s):
    data = b""
    while load.answer_end(data) is None:
        piece = s.recv(65536)
        assert piece, "the daemon hung up"
        data += piece
    s.close()
    return int(data[9:12])


def test_nobody_waits_for_another_sessions_large_message_on_a_slow_disk(agentd, disk, capsys):
    busy, other = agentd.create("busy")["session_id"], agentd.create("other")["session_id"]
    disk.rule.set(f"{agentd.data}/bodies/*", calls.SYNC)
    disk.rule.put(hold=1)
    held = in_the_background(agentd, busy, large(1))
    wait_for(lambda: disk.rule.calls > 0, what="the sync of the large message's file")
    behind = [in_the_background(agentd, busy, f"behind {i}") for i in range(3)]
    times = []
    for i in range(20):
        begin = time.monotonic()
        agentd.api("POST", f"/sessions/{other}/messages", {"role": "user", "content": f"m{i}"}, timeout=10, expect=201)
        agentd.api("GET", f"/sessions/{busy}/messages", timeout=10, expect=200)
        times.append(time.monotonic() - begin)
    assert agentd.api("GET", f"/sessions/{busy}/messages", expect=200).json == [], "a message shows that is not on disk"
    assert not select.select([held, *behind], [], [], 0)[0], "an answer came before its turn"
    disk.rule.put(hold=0)
    assert [finish(s) for s in (held, *behind)] == [201] * 4
    got = [m["content"] for m in agentd.api("GET", f"/sessions/{busy}/messages", expect=200).json]
    assert got[0] == large(1) and sorted(got[1:]) == [f"behind {i}" for i in range(3)]
    with capsys.disabled():
        print(f"\n      an append and a read took {sorted(times)[10] * 1000:.1f} ms (median) meanwhile", end="")


def test_a_large_message_waits_for_nothing_when_its_session_is_deleted(agentd, disk):
    s = agentd.create("s")["session_id"]
    disk.rule.set(f"{agentd.data}/bodies/*", calls.SYNC)
    disk.rule.put(hold=1)
    held = in_the_background(agentd, s, large(2))
    wait_for(lambda: disk.rule.calls > 0, what="the sync of the large message's file")
    behind = in_the_background(agentd, s, "behind")
    agentd.api("GET", "/health", expect=200)
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    assert finish(held) == finish(behind) == 404
    disk.rule.put(hold=0)
    t = agentd.create("t")["session_id"]
    agentd.api("POST", f"/sessions/{t}/messages", {"role": "user", "content": large(2)}, expect=201)
    assert agentd.api("GET", f"/sessions/{t}/messages", expect=200).json[0]["content"] == large(2)


# ---- leaving on a full disk ----


def test_a_stop_does_not_wait_for_room_on_a_full_disk(agentd, disk):
    s = agentd.run(["/bin/sleep", "1000"], agent={"on_daemon_stop": "stop"})["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    disk.rule.set(f"{agentd.data}/*", calls.WRITE | calls.TRUNCATE | calls.OPEN, error=errno.ENOSPC)
    begin = time.monotonic()
    stopped = agentd.stop(seconds=60)
    assert stopped.returncode == 0, stopped
    assert time.monotonic() - begin < 30
    wait_for(lambda: not agentd.own_pids(), what="the end of all processes")
    disk.heal()
    agentd.start()
    agentd.wait_session(s, lambda x: x["status"] == "running" and x["substate"] == "active", what="the agent goes on")
