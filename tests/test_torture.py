# SPDX-License-Identifier: MIT
"""Kill everything with -9 at random, again and again, and count what was lost: nothing.

Four agents and two clients write all the time. Each round kills the daemon, the keeper, an agent, or an agent
together with the daemon, after a random few milliseconds of load, and waits for recovery before the next
fault of keeper or daemon. At the end everything that was acknowledged is compared with what is there.
AGENTD_TORTURE_ROUNDS (200) and AGENTD_TORTURE_SEED choose a run; both are printed.
"""
import json
import os
import pathlib
import random
import signal
import sys
import threading
import time
import http.client

import pytest

from lib.agentd import alive, wait_for

AGENT = pathlib.Path(__file__).parent / "agents" / "writer.py"
N_AGENTS = 4


class Client(threading.Thread):
    """Appends numbered messages to a record of its own and remembers what was acknowledged."""

    def __init__(self, agentd, session):
        super().__init__(daemon=True)
        self.agentd, self.session = agentd, session
        self.acked, self.sent = 0, 0
        self.unanswered = 0
        self.open = False
        self.stopping = threading.Event()
        self.error = None

    def post(self, n):
        self.open = True
        try:
            return self.agentd.request("POST", f"/sessions/{self.session}/messages",
                                       {"role": "user", "content": f"message {n}"}, timeout=30).status
        finally:
            self.open = False

    def last(self):
        messages = self.agentd.request("GET", f"/sessions/{self.session}/messages?limit=1", timeout=30).json
        return int(messages[-1]["content"].split()[1]) if messages else 0

    def run(self):
        while not self.stopping.is_set():
            n = self.acked + 1
            try:
                self.sent = n
                status = self.post(n)
                if status not in (201, 503):
                    self.error = f"message {n}: {status}"
                    return
                if status == 201:
                    self.acked = n
                continue
            except (OSError, http.client.HTTPException):
                self.unanswered += 1
            while not self.stopping.is_set():
                try:
                    if self.last() >= n:
                        self.acked = n
                    break
                except (OSError, http.client.HTTPException, ValueError):
                    time.sleep(0.005)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def recovered(agentd, old_daemon=None, old_keeper=None):
    def look():
        try:
            answer = agentd.request("GET", "/ready", timeout=5)
            if answer.status != 200:
                return None
            version = agentd.request("GET", "/version", timeout=5).json
        except (OSError, http.client.HTTPException, ValueError):
            return None
        if version["daemon_pid"] == old_daemon or version["keeper_pid"] in (None, old_keeper):
            return None
        return version
    return wait_for(look, 60, "recovery")


def agent_pid(agentd, session):
    runs = agentd.api("GET", f"/sessions/{session}/runs", expect=200).json
    return runs[-1]["pid"] if runs and runs[-1]["state"] == "alive" else None


def all_messages(agentd, session):
    got, after = [], "0" * 16  # behind nothing: from the first message
    while True:
        page = agentd.api("GET", f"/sessions/{session}/messages?limit=1000&after={after}", expect=200).json
        if not page:
            return got
        got += page
        after = page[-1]["id"]


def numbers(messages):
    return [int(m["content"].split()[1]) for m in messages]


def check_agent(agentd, session, folder, counts):
    assert not (folder / "doubled").exists(), (folder / "doubled").read_text()
    got = numbers(all_messages(agentd, session))
    assert got == list(range(1, len(got) + 1)), "messages lost or doubled"
    variable, memory = 0, {}
    for line in (folder / "acked").read_text().splitlines():
        word, *rest = line.split()
        if word == "message":
            counts["acknowledged"] += 1
            assert int(rest[0]) <= len(got), f"acknowledged {line} is lost"
        elif word == "variable":
            counts["acknowledged"] += 1
            variable = int(rest[0])
        elif word == "memory":
            counts["acknowledged"] += 1
            memory[rest[0]] = int(rest[1])
        elif word == "checkpoint":
            counts["acknowledged"] += 1
            state = agentd.api("GET", f"/sessions/{session}/checkpoints/{rest[0]}/state?messages=1", expect=200).json
            assert state["message_count"] == int(rest[1])
    there = agentd.api("GET", f"/sessions/{session}/variables/place", expect=200).json["value"]
    assert there in (variable, variable + 1), f"variable {there}, acknowledged {variable}"
    for key, value in memory.items():
        assert agentd.api("GET", f"/sessions/{session}/memory?key={key}", expect=200).json["value"] >= value


def check_logs(agentd, session, folder, counts):
    runs = agentd.api("GET", f"/sessions/{session}/runs", expect=200).json
    for run in runs:
        counter = folder / f"lines.{run['number']}"
        known = int(counter.read_text() or 0) if counter.exists() else 0
        text = agentd.request("GET", f"/sessions/{session}/logs?run={run['run_id']}&stream=stdout&lines=-1").body
        lines = text.decode().split("\n")
        assert lines.pop() == "", "the log ends within a line"
        assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1)), \
            f"run {run['number']}: log lines lost or doubled"
        assert known <= len(lines) <= known + 1, f"run {run['number']} wrote {known} lines, the log has {len(lines)}"
        counts["log lines"] += len(lines)
        if run["state"] == "ended":
            if run["result"] == "unknown":
                counts["unknown exits"] += 1
            elif run["result"] == "lost":
                # The daemon died between the run's row and its process.
                assert not lines and run["pid"] is None, f"a run that began was lost: {run}"
                counts["runs that never began"] += 1
            else:
                assert run["exit_signal"] == signal.SIGKILL or run["result"] == "success", run


@pytest.mark.slow
def test_torture_loses_nothing_acknowledged(make_agentd, tmp_path):
    rounds = int(os.environ.get("AGENTD_TORTURE_ROUNDS", "200"))
    seed = int(os.environ.get("AGENTD_TORTURE_SEED", str(random.SystemRandom().randrange(1 << 30))))
    print(f"rounds {rounds}, seed {seed}")
    dice = random.Random(seed)
    agentd = make_agentd(env={"AGENT_RUNTIME_CHECKPOINT_INTERVAL": "2"})
    agents = []
    for i in range(N_AGENTS):
        folder = tmp_path / f"agent{i}"
        folder.mkdir()
        s = agentd.run([sys.executable, str(AGENT)], name=f"writer{i}",
                       agent={"restart": "always", "restart_sec": "20ms", "start_limit_burst": 0,
                              "restart_max_delay_sec": "50ms", "environment": {"AGENTD_WORKSPACE": str(folder)}})
        agents.append((s["session_id"], folder))
    clients = [Client(agentd, agentd.create(f"client{i}")["session_id"]) for i in range(2)]
    for c in clients:
        c.start()
    version = recovered(agentd)
    kinds = {"daemon": 0, "keeper": 0, "agent": 0, "agent and daemon": 0}
    in_flight = 0
    slowest = 0.0
    for _ in range(rounds):
        time.sleep(dice.uniform(0.001, 0.15))
        kind = dice.choice(list(kinds))
        kinds[kind] += 1
        if kind == "keeper":
            kill(version["keeper_pid"])
            version = recovered(agentd, old_keeper=version["keeper_pid"])
            continue
        victim = agent_pid(agentd, dice.choice(agents)[0]) if "agent" in kind else None
        if victim:
            kill(victim)
        if "daemon" in kind:
            time.sleep(dice.uniform(0, 0.003))
            in_flight += any(c.open for c in clients)
            begin = time.monotonic()
            kill(version["daemon_pid"])
            version = recovered(agentd, old_daemon=version["daemon_pid"])
            slowest = max(slowest, time.monotonic() - begin)
    for c in clients:
        c.stopping.set()
        c.join(60)
        assert c.error is None, c.error
    for session, _ in agents:
        agentd.wait_session(session, lambda s: s["status"] == "running" and s["substate"] == "active")
        agentd.api("POST", f"/sessions/{session}/stop", expect=200)
    counts = {"acknowledged": 0, "log lines": 0, "unknown exits": 0, "runs that never began": 0}
    for session, folder in agents:
        check_agent(agentd, session, folder, counts)
        check_logs(agentd, session, folder, counts)
    for c in clients:
        got = numbers(all_messages(agentd, c.session))
        assert got == list(range(1, len(got) + 1)), "a client's messages lost or doubled"
        assert c.acked <= len(got) <= c.sent
        counts["acknowledged"] += c.acked
    assert counts["unknown exits"] <= kinds["keeper"], "an unknown exit status without a keeper's death"
    assert counts["acknowledged"] > rounds
    print(json.dumps({"seed": seed, "kills": kinds, "daemon kills within an open request": in_flight,
                      "slowest recovery s": round(slowest, 3), **counts}))
    assert not [p for p in agentd.own_pids() if p not in (version["daemon_pid"], version["keeper_pid"],
                                                           agentd.process.pid) and alive(p)], "left-over processes"
