# SPDX-License-Identifier: MIT
"""A daemon under a mixed load for a long time: memory, descriptors, threads and files must stay where they are.

    AGENTD_BUILD=$PWD/build nice -n 19 /usr/bin/python3 tests/soak.py --seconds 3600 --out soak.jsonl

The load has an end for everything that it begins (sessions are deleted, memory keys come from a fixed set, events are
kept up to a number), so what still grows in the second half of the time is a leak. Growth is the slope of a line
through the samples, times the length of that half: a peak at the end is none, a staircase is. Each sample is a line of
JSON in --out; the summary is a table. Exit status 1: a limit was passed, an answer was wrong, or a process died.
"""
import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import schema  # noqa: E402
from lib.agentd import Agentd, Answer, UnixConnection, wait_for  # noqa: E402
from lib.stream import Stream  # noqa: E402

MIB = 1 << 20
EVENTS_KEPT = 5000
MEMORY_KEYS = 200
CHECKED = 20  # one of so many answers is checked against its schema

# Growth over the second half: name, limit, unit.
LIMITS = {
    "daemon private": (1024, "KiB"),
    "keeper private": (64, "KiB"),
    "daemon descriptors": (8, ""),
    "keeper descriptors": (8, ""),
    "daemon threads": (1, ""),
    "keeper threads": (0.5, ""),
}

CRASHER = ["/bin/sh", "-c", "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.05; done; kill -9 $$"]
FAILER = ["/bin/sh", "-c", "echo no luck >&2; sleep 0.3; exit 7"]
TALKER = ["/bin/sh", "-c", "while :; do echo tick; echo tock >&2; sleep 0.1; done"]
AGENTS = {"crasher": CRASHER, "failer": FAILER, "talker": TALKER}


class Wrong(Exception):
    """An answer that should not have been."""


class Meter:
    """What the load did and how long it took, collected from all its threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = 0
        self.statuses = collections.Counter()
        self.latencies = collections.defaultdict(list)
        self.wrong = []

    def note(self, what, status, seconds):
        with self.lock:
            self.requests += 1
            self.statuses[status] += 1
            self.latencies[what].append(seconds * 1000)

    def fail(self, text):
        with self.lock:
            self.wrong.append(text)

    def take_latencies(self):
        with self.lock:
            taken, self.latencies = self.latencies, collections.defaultdict(list)
            return taken


class Load(threading.Thread):
    """A client that goes round and round with one keep-alive connection."""

    def __init__(self, soak, seed, turn):
        super().__init__(daemon=True, name=turn.__name__)
        self.soak, self.turn, self.dice = soak, turn, random.Random(seed)
        self.connection = None

    def run(self):
        while not self.soak.stopping.is_set():
            try:
                self.turn(self)
            except (Wrong, AssertionError, OSError, http.client.HTTPException, ValueError, KeyError) as error:
                if not self.soak.stopping.is_set():
                    self.soak.meter.fail(f"{self.name}: {type(error).__name__}: {error}")
                self.hang_up()
        self.hang_up()

    def hang_up(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def exchange(self, method, path, body, headers):
        for attempt in range(2):
            fresh = self.connection is None
            if fresh:
                self.connection = UnixConnection(self.soak.agentd.socket, 60)
            try:
                return self.soak.agentd._exchange(self.connection, method, path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # A connection without a request for 30 s is closed, which may cross with the next request.
                self.hang_up()
                if fresh or attempt == 1:
                    raise
        raise AssertionError("not reached")

    def ask(self, method, path, body=None, expect=(200, 201), headers=None, what="other"):
        self.soak.stopping.wait(self.soak.pause * self.dice.uniform(0, 2))
        begin = time.monotonic()
        answer = self.exchange(method, path, body, headers)
        self.soak.meter.note(what, answer.status, time.monotonic() - begin)
        if answer.status not in expect:
            raise Wrong(f"{method} {path}: {answer!r}")
        if self.dice.randrange(CHECKED) == 0:
            self.soak.check(method, path, answer)
        return answer.json if answer.headers.get("content-type", "").startswith("application/json") else answer.body


# ---- the turns of each load ----

def text(load):
    """Mostly small, sometimes of a size that is stored in another way."""
    n = load.dice.choices([load.dice.randrange(200), 5000, 100_000], [90, 9, 1])[0]
    return f"{load.dice.random()} " + "x" * n


def conversation(load):
    ask = load.ask
    s = ask("POST", "/sessions", {"name": "soak", "model": "m", "variables": {"a": 1}, "labels": {"for": "soak"}})
    one = f"/sessions/{s['session_id']}"
    for i in range(load.dice.randrange(5, 40)):
        ask("POST", f"{one}/messages", {"role": "user", "content": text(load)}, what="append")
        if i % 5 == 0:
            ask("PUT", f"{one}/variables/v{i % 15}", {"n": i})
    cp = ask("POST", f"{one}/checkpoints?label=here", what="checkpoint")["checkpoint_id"]
    had = ask("GET", f"{one}?messages=1")["message_count"]
    for _ in range(3):
        ask("POST", f"{one}/messages", {"role": "assistant", "content": text(load)}, what="append")
    ask("POST", f"{one}/restore", {"checkpoint_id": cp}, what="restore")
    if ask("GET", f"{one}?messages=1")["message_count"] != had:
        raise Wrong("a restore brought back another number of messages")
    fork = ask("POST", f"{one}/fork", {"checkpoint_id": cp, "name": "fork"}, what="fork")["session_id"]
    ask("POST", f"/sessions/{fork}/messages", {"role": "user", "content": "of the fork"}, what="append")
    ask("GET", f"{one}/checkpoints/{cp}/state?messages=all")
    ask("GET", f"{one}/messages?limit=10")
    ask("GET", f"{one}/branches")
    ask("PATCH", one, {"name": "renamed"})
    ask("POST", f"{one}/start")
    ask("POST", f"{one}/pause")
    ask("POST", f"{one}/resume", {})
    ask("POST", f"{one}/stop")
    if load.dice.randrange(2):
        ask("POST", f"{one}/archive")
    for each in (one, f"/sessions/{fork}"):
        ask("DELETE", each)


def memory(load):
    key = f"key-{load.dice.randrange(MEMORY_KEYS)}"
    value = {"n": load.dice.random(), "text": text(load)[:2000]}
    load.ask("POST", "/memory", {"key": key, "value": value}, what="memory")
    load.ask("GET", f"/memory?key={key}", expect=(200, 404))
    if load.dice.randrange(3) == 0:
        load.ask("DELETE", f"/memory?key={key}", expect=(200, 404))
    load.ask("GET", "/memory?prefix=key-1&limit=50")


def agents(load):
    kind = load.dice.choice(list(AGENTS))
    agent = {"exec": AGENTS[kind], "restart": "always", "restart_sec": "100ms", "restart_max_delay_sec": "500ms",
             "start_limit_burst": 0, "timeout_stop_sec": "2s"}
    s = load.ask("POST", "/sessions", {"name": kind, "model": "m", "agent": agent, "start": True})
    one = f"/sessions/{s['session_id']}"
    load.soak.living.append(s["session_id"])
    for _ in range(load.dice.randrange(2, 8)):
        load.soak.stopping.wait(load.dice.uniform(0.1, 1))
        verb = load.dice.choice(["kill", "restart", "pause", "look"])
        if verb == "kill":
            load.ask("POST", f"{one}/kill", {"signal": "SIGKILL"}, expect=(200, 409))
        elif verb == "pause":
            load.ask("POST", f"{one}/pause", expect=(200, 400, 409))
            load.ask("POST", f"{one}/resume", {}, expect=(200, 400, 409))
        elif verb == "restart":
            load.ask("POST", f"{one}/restart", expect=(200, 400), what="restart")
        load.ask("GET", f"{one}/logs?lines=20")
        load.ask("GET", f"{one}/runs")
    load.soak.living.remove(s["session_id"])
    load.ask("POST", f"{one}/stop")
    load.ask("DELETE", one)


def workspaces(load):
    """Files of one folder, so that what is recorded is always the same; forks go to a folder that is emptied."""
    base = load.soak.agentd.folder / "workspaces"
    folder, other = base / "one", base / "two"
    shutil.rmtree(base, ignore_errors=True)
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "sub" / "b").write_text("b" * 5000)
    s = load.ask("POST", "/sessions", {"name": "files", "model": "m", "workspace": str(folder)})
    one = f"/sessions/{s['session_id']}"
    cp = load.ask("POST", f"{one}/checkpoints", what="checkpoint with files")["checkpoint_id"]
    (folder / "a").write_text("changed")
    (folder / "c").write_text(str(load.dice.randrange(50)))
    load.ask("POST", f"{one}/checkpoints", what="checkpoint with files")
    load.ask("POST", f"{one}/restore", {"checkpoint_id": cp}, what="restore with files")
    if (folder / "a").read_text() != "a" or (folder / "c").exists():
        raise Wrong("a restore brought back other files")
    fork = load.ask("POST", f"{one}/fork", {"checkpoint_id": cp, "workspace": str(other)})["session_id"]
    load.ask("DELETE", f"/sessions/{fork}")
    load.ask("DELETE", one)
    load.soak.stopping.wait(0.5)


def streams(load):
    """Opened, read for a while, and cut in the middle."""
    agentd = load.soak.agentd
    living = list(load.soak.living)
    paths = ["/events"] + [f"/sessions/{s}/{what}" for s in living[-2:] for what in ("logs?follow=1", "events")]
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(Stream(agentd, load.dice.choice(paths), timeout=5)) for _ in range(4)]
        for stream in opened:
            if stream.status not in (200, 404):
                raise Wrong(f"a stream answered {stream.status}")
            if stream.status == 200:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    for _, _ in zip(stream.lines(), range(load.dice.randrange(1, 30))):
                        if load.soak.stopping.is_set():
                            return
        load.soak.meter.note("stream", 200, 0)
    with contextlib.suppress(OSError):
        half = UnixConnection(agentd.socket, 1)
        half.connect()
        half.sock.sendall(b"GET /sessions HTT"[:load.dice.randrange(1, 17)])
        half.close()


def lookers(load):
    load.ask("GET", "/health", what="health")
    load.ask("GET", "/sessions?limit=100", what="list")
    load.ask("GET", f"/events?limit={load.dice.randrange(1, 200)}")
    load.ask("GET", "/sessions/0000000000000001", expect=(404,))
    load.ask("POST", "/sessions", {"name": 1}, expect=(422,))
    load.ask("POST", "/sessions", b"{" * load.dice.randrange(1, 300), expect=(422,))
    if load.dice.randrange(50) == 0:
        load.ask("GET", "/openapi.json")
    made = load.ask("POST", "/tokens", {"name": "soak", "scope": "read", "expires": "1h"})
    load.ask("GET", "/version", headers={"Authorization": "Bearer " + made["token"]})
    load.ask("DELETE", f"/tokens/{made['token_id']}")


TURNS = [conversation, conversation, memory, agents, agents, agents, workspaces, streams, lookers]


# ---- samples ----

def status_of(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", f.read(), re.M))
    with open(f"/proc/{pid}/status") as f:
        threads = int(re.search(r"^Threads:\s+(\d+)", f.read(), re.M)[1])
    return {"rss": int(sizes["Rss"]), "pss": int(sizes["Pss"]), "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "private": int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"]), "threads": threads}


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def folder_size(folder):
    return sum(size_of(pathlib.Path(top) / name) for top, _, names in os.walk(folder) for name in names)


def database(file):
    """Bytes of the file, of what is live in it, and of its log."""
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)
    try:
        pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0]
                             for name in ("page_count", "freelist_count", "page_size"))
    finally:
        db.close()
    return {"bytes": pages * size, "live": (pages - free) * size, "wal": size_of(file.with_name(file.name + "-wal"))}


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))] if values else None


def growth(points):
    """Of a line through the (time, value) points, from the first to the last time."""
    if len(points) < 3:
        return 0.0
    times, values = zip(*points)
    return statistics.linear_regression(times, values).slope * (times[-1] - times[0])


class Soak:
    def __init__(self, folder, seed, pause):
        self.agentd = Agentd(folder, env={"AGENTD_EVENTS_MAX": str(EVENTS_KEPT),
                                          "AGENT_RUNTIME_CHECKPOINT_INTERVAL": "5"})
        self.meter, self.stopping, self.pause = Meter(), threading.Event(), pause
        self.living, self.samples = [], []
        self.agentd.start()
        self.version = self.agentd.version()
        self.schema = schema.OpenApi(self.agentd.request("GET", "/openapi.json").json)
        self.schema_lock = threading.Lock()
        self.loads = [Load(self, f"{seed}/{i}", turn) for i, turn in enumerate(TURNS)]

    def check(self, method, path, answer):
        with self.schema_lock:
            self.schema.check(method, path.partition("?")[0], Answer(answer.status, answer.headers, answer.body))

    def sample(self, begin):
        row = {"t": round(time.monotonic() - begin, 1), "requests": self.meter.requests}
        for name in ("daemon", "keeper"):
            for key, value in status_of(self.version[f"{name}_pid"]).items():
                row[f"{name} {key}"] = value
        for name in ("state", "memory"):
            for key, value in database(self.agentd.data / f"{name}.db").items():
                row[f"{name} {key}"] = value
        row["folder bytes"] = folder_size(self.agentd.data)
        for what, values in self.meter.take_latencies().items():
            row[f"{what} p50"], row[f"{what} p99"] = quantile(values, 0.5), quantile(values, 0.99)
        self.samples.append(row)
        return row

    def same_processes(self):
        version = self.agentd.version()
        return all(version[p] == self.version[p] for p in ("daemon_pid", "keeper_pid"))

    def run(self, seconds, every, out):
        begin = time.monotonic()
        for load in self.loads:
            load.start()
        while time.monotonic() - begin < seconds and not self.meter.wrong:
            self.stopping.wait(min(every, max(0.0, begin + seconds - time.monotonic())))
            print(json.dumps(self.sample(begin)), file=out, flush=True)
        self.stopping.set()
        for load in self.loads:
            load.join(60)
        if any(load.is_alive() for load in self.loads):
            self.meter.fail("a request did not come back")
        if not self.same_processes():
            self.meter.fail("the daemon or the keeper died")
        self.finish()

    def finish(self):
        """Everything is deleted; then nothing of it may be left in the daemon."""
        for path in ("/sessions", "/sessions?status=archived"):
            for s in self.agentd.request("GET", path).json:
                self.agentd.request("DELETE", f"/sessions/{s['session_id']}?force=1")
        wait_for(lambda: not self.agentd.request("GET", "/sessions").json, what="the deletions")
        pids = {self.version["daemon_pid"], self.version["keeper_pid"], self.agentd.process.pid}
        wait_for(lambda: set(self.agentd.own_pids()) <= pids, what="the ends of all agents")

    def verdict(self, with_growth):
        """Lines of a table, and what is wrong."""
        half = self.samples[len(self.samples) // 2:]
        wrong = list(self.meter.wrong)
        lines = ["| | at half time | at the end | growth by slope | limit |", "|---|---|---|---|---|"]
        for name, (limit, unit) in LIMITS.items():
            grown = growth([(s["t"], s[name]) for s in half])
            lines.append(f"| {name} | {half[0][name]} {unit} | {half[-1][name]} {unit} | {grown:+.1f} | {limit} |")
            if with_growth and grown > limit:
                wrong.append(f"{name} grew by {grown:.1f} {unit} in the second half, more than {limit}")
        for name in ("daemon rss", "daemon pss", "keeper pss"):
            lines.append(f"| {name} | {half[0][name]} KiB | {half[-1][name]} KiB | "
                         f"{growth([(s['t'], s[name]) for s in half]):+.1f} | |")
        for name in ("state bytes", "state live", "state wal", "memory bytes", "memory wal", "folder bytes"):
            lines.append(f"| {name} | {half[0][name] / MIB:.2f} MiB | {half[-1][name] / MIB:.2f} MiB | "
                         f"{growth([(s['t'], s[name]) for s in half]) / MIB:+.2f} | |")
        last = self.samples[-1]
        if last["state bytes"] > 4 * last["state live"] + 16 * MIB:
            wrong.append(f"state.db has {last['state bytes']} bytes for {last['state live']} live ones")
        wal = max(s["state wal"] for s in self.samples)
        if wal > 64 * MIB:
            wrong.append(f"the log of state.db grew to {wal} bytes")
        return lines + ["", f"highest WAL {wal / MIB:.1f} MiB", *self.speeds()], wrong

    def speeds(self):
        names = sorted({key[:-4] for s in self.samples for key in s if key.endswith(" p50")} - {"stream"})
        for name in names:
            p50 = [s[f"{name} p50"] for s in self.samples if s.get(f"{name} p50") is not None]
            p99 = [s[f"{name} p99"] for s in self.samples if s.get(f"{name} p99") is not None]
            yield (f"{name}: p50 {statistics.median(p50):.2f} ms, p99 {statistics.median(p99):.1f} ms "
                   f"(worst interval {max(p99):.1f} ms)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=float(os.environ.get("AGENTD_SOAK_SECONDS", "3600")))
    parser.add_argument("--every", type=float, default=10, help="seconds between two samples")
    parser.add_argument("--pause", type=float, default=0.02, help="mean seconds between two requests of a client")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--out", type=argparse.FileType("w"), default=os.devnull, help="a line of JSON for each sample")
    parser.add_argument("--only-answers", action="store_true", help="do not judge growth: for runs too short to tell")
    args = parser.parse_args()
    print(f"seed {args.seed}, {args.seconds:.0f} s", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    with tempfile.TemporaryDirectory(prefix="agentd-soak-") as folder:
        soak = Soak(folder, args.seed, args.pause)
        try:
            soak.run(args.seconds, args.every, args.out)
            lines, wrong = soak.verdict(not args.only_answers)
        finally:
            soak.agentd.kill_everything()
        if soak.agentd.complaints():
            wrong.append(soak.agentd.complaints())
        print("\n".join(lines))
        print(f"{soak.meter.requests} requests, by status {dict(sorted(soak.meter.statuses.items()))}")
        for text_of in wrong[:20]:
            print("WRONG " + text_of)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
