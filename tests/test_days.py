# SPDX-License-Identifier: MIT
"""A month within seconds: everything that waits for a time comes at its time, and nothing grows.

The daemon runs with tests/preload/fake-clock.c; each step puts its clock forward by ten minutes."""
import datetime
import mmap
import os
import struct

import pytest

from lib import preload
from lib.agentd import wait_for
from soak import growth, status_of

STEP = 600
PER_DAY = 86400 // STEP
HOUR, DAY = 3600, 86400


class Clock:
    def __init__(self, file):
        file.write_bytes(bytes(8))
        self.file = open(file, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 8)
        self.ahead = 0

    def forward(self, seconds):
        self.ahead += seconds
        self.map[:8] = struct.pack("=q", self.ahead * 10**9)


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


@pytest.fixture
def agentd(make_agentd, tmp_path, clock):
    library = preload.build("fake-clock", tmp_path)
    return make_agentd(env={"LD_PRELOAD": str(library), "FAKE_CLOCK": clock.file.name, "AGENTD_EVENTS_AGE": "2d",
                            "AGENT_RUNTIME_CHECKPOINT_INTERVAL": str(STEP), "AGENT_RUNTIME_SESSION_TIMEOUT": "3d"})


def when(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def ages(agentd, session):
    """Of a session's automatic checkpoints, newest first, from the newest on."""
    times = [when(c["created_at"]) for c in agentd.api("GET", f"/sessions/{session}/checkpoints", expect=200).json
             if c["label"] == "auto-checkpoint"]
    return [max(times) - t for t in reversed(times)]


def step(agentd, clock, session, n):
    """Something changes, ten minutes pass, and the daemon notices."""
    agentd.request("POST", f"/sessions/{session}/messages", {"role": "user", "content": f"message {n}"})
    agentd.request("PUT", f"/sessions/{session}/variables/n", n)
    clock.forward(STEP + 1)
    assert agentd.request("GET", "/health").status == 200


def check_thinned(agentd, session, days):
    kept = ages(agentd, session)
    assert len(kept) < 80
    assert [round(a / STEP) for a in kept[:10]] == list(range(10)), "the last ten are not all there"
    hourly = [a for a in kept[10:] if a <= DAY]
    assert all(0.5 * HOUR < b - a < 1.6 * HOUR for a, b in zip(hourly, hourly[1:])), hourly
    assert 20 <= len(hourly) <= 25
    daily = [a for a in kept[10:] if a > DAY + HOUR]
    gaps = [b - a for a, b in zip(daily, daily[1:])]
    assert all(0.9 * DAY < gap < 1.1 * DAY for gap in gaps[:-1]), daily
    assert gaps[-1] < 1.1 * DAY, "the first day was a short one"
    assert min(days, 30) - 3 <= len(daily) <= 31


def pass_days(agentd, clock, days):
    running = agentd.create("running", start=True)["session_id"]
    stopped = agentd.create("stopped", start=True)["session_id"]
    agentd.api("POST", f"/sessions/{stopped}/stop", expect=200)
    token = agentd.api("POST", "/tokens", {"name": "half a day", "expires": "12h"}, expect=201).json["token"]
    mine = {"Authorization": "Bearer " + token}
    failing = agentd.run(["/bin/sh", "-c", "exit 9"], name="failing", agent={
        "restart": "always", "restart_sec": "30min", "restart_steps": 0, "start_limit_burst": 0})["session_id"]
    pid, samples = agentd.daemon_pid, []
    for n in range(days * PER_DAY):
        step(agentd, clock, running, n)
        if n == PER_DAY // 2 - 3:
            assert agentd.tcp("GET", "/sessions", headers=mine).status == 200
        if n == PER_DAY // 2 + 1:
            assert agentd.tcp("GET", "/sessions", headers=mine).status == 401
        if n == 3 * PER_DAY - 6:
            assert agentd.session(stopped)["substate"] == "exited"
        if n % (PER_DAY // 4) == 0:
            samples.append((n, status_of(pid)))
    if days > 3:
        agentd.wait_session(stopped, lambda s: s["substate"] == "archived", what="its archiving")
        assert stopped not in [s["session_id"] for s in agentd.api("GET", "/sessions").json]
    check_thinned(agentd, running, days)
    runs = agentd.api("GET", f"/sessions/{failing}/runs?limit=10000", expect=200).json
    assert days * 24 * 2 * 0.5 <= len(runs) <= days * 24 * 2 + 2, f"{len(runs)} restarts, one each half an hour"
    events = agentd.api("GET", "/events?after=0000000000000001&limit=10", expect=200)
    oldest = min(when(e["time"]) for e in events.json)
    now = when(agentd.session(running)["updated_at"])
    assert now - oldest < 2 * DAY + 2 * HOUR, "older events than those of two days are kept"
    assert agentd.session(running)["message_count"] == days * PER_DAY
    assert agentd.daemon_pid == pid
    return samples


def check_flat(samples):
    half = samples[len(samples) // 2:]
    for name, limit in (("private", 1024), ("descriptors", 2), ("threads", 1)):
        grown = growth([(n, s[name]) for n, s in half])
        print(f"{name}: {half[0][1][name]} .. {half[-1][1][name]}, slope {grown:+.1f}")
        assert grown <= limit, f"{name} grew by {grown:.1f} in the second half"


def test_what_waits_for_hours_and_days_comes_at_its_time(agentd, clock):
    pass_days(agentd, clock, 4)


@pytest.mark.long
def test_a_month_leaves_memory_and_descriptors_as_they_were(agentd, clock):
    check_flat(pass_days(agentd, clock, int(os.environ.get("AGENTD_DAYS", "30"))))
