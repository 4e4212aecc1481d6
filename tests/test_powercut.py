# SPDX-License-Identifier: MIT
"""The power goes, at any moment: what was acknowledged is there, in order, and nothing is half there.

One life of a daemon is recorded call by call (tests/preload/disk-trouble.c). For moments of it, at every sync and
between them, tests/lib/powercut.py makes the disks that a cut could have left; each is looked at by SQLite, and some
by a daemon that starts on them. The default run takes a sample, `long` takes every moment."""
import base64
import os
import random
import shutil
import signal
import sqlite3

import pytest

from lib import powercut
from lib import preload as libraries
from lib.agentd import Agentd, wait_for
from lib.disk import Disk


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return libraries.build("disk-trouble", tmp_path_factory.mktemp("preload"))


def large(seed, n=1_100_000):
    return base64.b85encode(random.Random(seed).randbytes(n)).decode()


class Life:
    """What was asked for, in order, and when (in records of the trace) each answer had come."""

    def __init__(self, agentd, disk, folder):
        self.agentd, self.disk = agentd, disk
        self.work = folder / "work"
        self.work.mkdir()
        self.answered = []  # (records, what, value)
        self.messages, self.trees = [], {}
        self.live()

    def ask(self, what, method, path, body=None, value=None):
        answer = self.agentd.api(method, path, body)
        assert answer.status < 300, answer
        self.answered.append((self.disk.records, what, value))
        return answer.json

    def append(self, text):
        self.messages.append(text)
        body = {"role": "user", "content": text}
        self.ask("message", "POST", f"/sessions/{self.s}/messages", body, len(self.messages))

    def checkpoint(self, i):
        (self.work / "same").write_text("the same\n" * 100)
        (self.work / f"f{i}").write_text(f"{i} {random.Random(i).random()}\n" * 200)
        files = {p.name: p.read_text() for p in self.work.iterdir()}
        cp = self.ask("checkpoint", "POST", f"/sessions/{self.s}/checkpoints", None, i)["checkpoint_id"]
        self.trees[i] = (cp, files)

    def live(self):
        self.s = self.agentd.create("s", workspace=str(self.work))["session_id"]
        self.answered.append((self.disk.records, "session", None))
        for i in range(4):
            self.append(f"small {i}")
            self.ask("variable", "PUT", f"/sessions/{self.s}/variables/v", i, i)
            self.ask("memory", "POST", f"/sessions/{self.s}/memory", {"key": "k", "value": i}, i)
            self.checkpoint(i)
            self.append(large(i))
            if i % 2:
                self.append("row " * 3000 + str(i))
        self.end = self.disk.records

    def due(self, moment, what):
        """The last value of its kind that had been answered by then, or None."""
        values = [v for records, w, v in self.answered if w == what and records <= moment]
        return values[-1] if values else None

    def was_answered(self, moment, what):
        return any(w == what and records <= moment for records, w, v in self.answered)


def wanted(name):
    return not name.startswith(("run", "logs")) and not name.endswith(("-shm", ".db.lock"))


@pytest.fixture(scope="module")
def life(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("life")
    disk = Disk(folder / "disk", library, trace=True)
    agentd = Agentd(folder / "a", env=disk.env)
    agentd.start()
    try:
        life = Life(agentd, disk, folder)
    finally:
        agentd.kill_everything()
    life.records = powercut.read_trace(folder / "disk" / "trace", agentd.data, wanted)
    assert len(life.records) >= life.end > 100
    return life


def disks(life, moments, seed, cuts=1):
    """(moment, image) for each of the moments, each with its own dice."""
    disk, at = powercut.Disk(), 0
    for moment in sorted(moments):
        while at < moment:
            disk.feed(life.records[at])
            at += 1
        for i in range(cuts):
            dice = random.Random(f"{seed} {moment} {i}")
            yield moment, disk.after_a_cut(dice), f"seed {seed}, record {moment}, cut {i}"


def look_with_sqlite(life, moment, image, folder, what):
    powercut.write_image(image, folder)
    if not (folder / "state.db").exists():
        assert not life.was_answered(moment, "session"), what
        return
    db = sqlite3.connect(folder / "state.db")
    try:
        db.execute("PRAGMA synchronous = OFF")
        (tables,), = db.execute("SELECT count(*) FROM sqlite_schema")
        if tables == 0:
            assert not life.was_answered(moment, "session"), what
            return
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], what
        depths = [d for d, in db.execute("SELECT depth FROM nodes ORDER BY depth")]
        due = life.due(moment, "message") or 0
        assert depths == list(range(1, len(depths) + 1)) and due <= len(depths) <= due + 1, (what, due, depths)
        (checkpoints,), = db.execute("SELECT count(*) FROM checkpoints")
        taken = -1 if life.due(moment, "checkpoint") is None else life.due(moment, "checkpoint")
        assert taken + 1 <= checkpoints <= taken + 2, (what, taken, checkpoints)
        for key, encoding in db.execute("SELECT hex(key), encoding FROM bodies"):
            if encoding >= 2:
                key = key.lower()
                path = folder / "bodies" / key[:2] / key[2:]
                assert path.exists() and path.read_bytes() == life.bodies[key], (what, path)
    finally:
        db.close()


def moments_of(life, n):
    """Around each sync, or a sample of those and of others."""
    syncs = [i for i, r in enumerate(life.records) if r and r[0] in (powercut.SYNC, powercut.SYNC_ALL)]
    around = sorted({m for i in syncs for m in (i, i + 1)} | {len(life.records)})
    between = [i for i in range(len(life.records)) if i not in set(around)]
    if n is None:
        return list(range(len(life.records) + 1)), len(syncs)
    return random.sample(around, min(n, len(around))) + random.sample(between, min(n // 2, len(between))), len(syncs)


@pytest.mark.parametrize("n", [80, pytest.param(None, marks=pytest.mark.long)], ids=["sample", "every"])
def test_after_a_power_cut_the_acknowledged_prefix_is_there(life, tmp_path, n, capsys):
    seed = random.randrange(10**9)
    life.bodies = {}
    # What body files hold in the end is what each must hold whenever a row names it.
    end = powercut.Disk()
    for r in life.records:
        end.feed(r)
    for path, f in end.names.items():
        if path.startswith("bodies/") and f is not None:
            f.sync()
            life.bodies["".join(path.split("/")[1:])] = bytes(f.synced)
    assert len(life.bodies) >= 4
    moments, syncs = moments_of(life, n)
    cuts = 2 if n else 4
    for i, (moment, image, what) in enumerate(disks(life, moments, seed, cuts)):
        look_with_sqlite(life, moment, image, tmp_path / str(i), what)
        shutil.rmtree(tmp_path / str(i))
    with capsys.disabled():
        print(f"\n      {len(life.records)} changes, {syncs} syncs: {len(moments) * cuts} disks looked at", end="")


def check_with_daemon(life, moment, agentd, folder, what):
    due = life.due(moment, "message") or 0
    found = [s for s in agentd.api("GET", "/sessions", expect=200).json if s["session_id"] == life.s]
    if not found:
        assert not life.was_answered(moment, "session"), what
        return
    got = [m["content"] for m in agentd.api("GET", f"/sessions/{life.s}/messages", expect=200).json]
    assert got == life.messages[:len(got)] and due <= len(got) <= due + 1, (what, due, len(got))
    for kind, path in (("variable", "variables/v"), ("memory", "memory?key=k")):
        value = life.due(moment, kind)
        answer = agentd.request("GET", f"/sessions/{life.s}/{path}")
        now = answer.json["value"] if answer.status == 200 else None
        assert now in (value, 0 if value is None else value + 1), (what, kind, answer)
    taken = life.due(moment, "checkpoint")
    if taken is None:
        return
    cp, files = life.trees[taken]
    agentd.api("POST", f"/sessions/{life.s}/fork", {"checkpoint_id": cp, "workspace": str(folder / "fork")}, expect=201)
    assert {p.name: p.read_text() for p in (folder / "fork").iterdir()} == files, what
    agentd.api("POST", f"/sessions/{life.s}/messages", {"role": "user", "content": "afterwards"}, expect=201)


def send(pids, signo):
    for pid in pids:
        try:
            os.kill(pid, signo)
        except ProcessLookupError:
            pass


def all_killed(agentd):
    """Stopped first: keeper and daemon each start the other one anew."""
    pids = agentd.own_pids()
    send(pids, signal.SIGSTOP)
    send({*pids, *agentd.own_pids()}, signal.SIGKILL)
    return not pids


@pytest.mark.parametrize("n", [10, pytest.param(150, marks=pytest.mark.long)], ids=["sample", "many"])
def test_a_daemon_goes_on_where_the_power_was_cut(life, tmp_path, n, capsys):
    seed = random.randrange(10**9)
    moments, _ = moments_of(life, n)
    for i, (moment, image, what) in enumerate(disks(life, moments, seed)):
        folder = tmp_path / str(i)
        powercut.write_image(image, folder / "data")
        agentd = Agentd(folder)
        try:
            agentd.start()
            check_with_daemon(life, moment, agentd, folder, what)
        finally:
            wait_for(lambda: all_killed(agentd), what="the daemon's end")
            agentd.process.wait()
            agentd.log.close()
        shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n      {len(moments)} daemons started on what was left", end="")
