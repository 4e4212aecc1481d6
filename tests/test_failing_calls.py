# SPDX-License-Identifier: MIT
"""Allocations and system calls fail, one by one: what was asked is done or refused, and what was said is true.

Needs a build with -Dfail_calls=true (tests/failing/fail-calls.c); `script/test` makes one, with sanitizers. Each scenario
first counts the calls that a program makes in it, and then goes through it again for each of them, with that one failing.
Afterwards: no crash, no descriptor more than before, nothing lost that was acknowledged, no agent twice or left over, and the same
again without a failing call works. The default run takes a sample (AGENTD_FAIL_SEED chooses it), `script/test long` all.
"""
import collections
import errno
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import time

import pytest

from lib.agentd import BUILD, alive, wait_for
from lib.failing import Calls
from test_crash_corners import agents, begun

PATIENCE = 20
DAEMON, KEEPER, EXEC, CLI = "agentd-daemon", "agentd-keeper", "agentd-exec", "agentd"
UNREADABLE = [os.strerror(e) for e in (errno.EACCES, errno.EIO, errno.EPERM)]
BROKEN = (OSError, http.client.HTTPException)
CRASH = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|ended by signal (?!9\b)\d+|core dumped")
ONE_ERROR = ("malloc", "calloc", "realloc", "reallocarray", "strdup", "strndup")
ONLY = os.environ["AGENTD_FAIL_ONLY"].split(":") if "AGENTD_FAIL_ONLY" in os.environ else None  # program:first[:last]
VERBOSE = "AGENTD_FAIL_VERBOSE" in os.environ
AGENT = ["/bin/sh", "-c", "echo $$ >> begun; exec sleep 1000"]

if b"FAIL_CALLS" not in (BUILD / "agentd-daemon").read_bytes():
    pytest.skip("not a build with -Dfail_calls=true", allow_module_level=True)


class Wrong(AssertionError):
    """Something that must not be, whatever fails."""


class Rig:
    """A daemon whose calls can be made to fail, and what it said since the last look."""

    def __init__(self, agentd, calls, folder):
        self.agentd, self.calls, self.folder = agentd, calls, folder
        self.seen, self.turn = 0, 0
        self.outcomes = collections.Counter()
        self.wrong = []

    def ask(self, method, path, body=None, timeout=PATIENCE):
        """The answer, or None if the connection ended without one."""
        try:
            return self.agentd.request(method, path, body, timeout=timeout)
        except (TimeoutError, socket.timeout):
            raise Wrong(f"{method} {path}: no answer in {timeout} s") from None
        except BROKEN:
            return None

    def must(self, method, path, body=None):
        try:
            answer = self.agentd.api(method, path, body, timeout=PATIENCE)
        except BROKEN as error:
            raise Wrong(f"afterwards {method} {path} is not answered: {error!r}") from None
        if answer.status not in (200, 201):
            raise Wrong(f"afterwards {method} {path} is refused: {answer!r}")
        return answer.json

    def said(self):
        text = self.agentd.log_text()
        new, self.seen = text[self.seen:], len(text)
        return new

    def descriptors(self):
        version = self.agentd.version()
        return tuple(len(os.listdir(f"/proc/{version[p]}/fd")) for p in ("daemon_pid", "keeper_pid"))

    def settle(self, expected):
        """Descriptors are back where they were; a connection's end may take a moment."""
        end = time.monotonic() + 5
        while (now := self.descriptors()) > expected or now[1] > expected[1]:
            if time.monotonic() > end:
                raise Wrong(f"descriptors of daemon and keeper: {expected} before, {now} afterwards")
            time.sleep(0.02)


def outcome_of(answer):
    if answer is None:
        return "cut"
    if answer.status in (200, 201, 202):
        return "done"
    try:
        words = answer.json
    except ValueError:
        raise Wrong(f"an error that is no JSON: {answer!r}") from None
    if not words.get("detail") or not words.get("code"):
        raise Wrong(f"an error without a word: {answer!r}")
    return f"refused {answer.status} {words['code']}"


class Scenario:
    """prepare() brings about the state, act() is what calls fail in, check() judges what came of it, repeat() must
    work afterwards. One daemon does for all points."""

    programs = (DAEMON,)

    def prepare(self, rig):
        pass

    def act(self, rig):
        raise NotImplementedError

    def check(self, rig, outcome):
        pass

    def repeat(self, rig):
        if (outcome := self.act(rig)) != "done":
            raise Wrong(f"afterwards it is {outcome}")


class Create(Scenario):
    def act(self, rig):
        rig.turn += 1
        self.name = f"create {rig.turn}"
        body = {"name": self.name, "model": "m", "labels": {"a": "b"}, "variables": {"v": 1}}
        return outcome_of(rig.ask("POST", "/sessions", body))

    def check(self, rig, outcome):
        there = [s for s in rig.must("GET", "/sessions") if s["name"] == self.name]
        if len(there) > 1 or (outcome == "done" and not there):
            raise Wrong(f"answered {outcome}, and there are {len(there)}")
        for s in there:
            rig.must("DELETE", f"/sessions/{s['session_id']}")

    def repeat(self, rig):
        super().repeat(rig)
        self.check(rig, "done")


class OnSession(Scenario):
    """Something that changes one session; look() gives what may have changed, and it must be one of two."""

    fields = {}

    def prepare(self, rig):
        self.id = rig.must("POST", "/sessions", {"name": "one", "model": "m", **self.fields})["session_id"]
        self.path = f"/sessions/{self.id}"
        self.node = rig.must("POST", f"{self.path}/messages", {"role": "user", "content": "first"})["id"]
        rig.must("POST", f"{self.path}/messages", {"role": "user", "content": "second"})
        self.before = self.look(rig)

    def act(self, rig):
        return outcome_of(rig.ask(*self.change()))

    def check(self, rig, outcome):
        now = self.look(rig)
        if outcome == "done" and now == self.before:
            raise Wrong(f"acknowledged, but it is still {now}")
        if now not in (self.before, self.after()):
            raise Wrong(f"{outcome}: {self.before} became {now}")

    def repeat(self, rig):
        answer = rig.ask(*self.change())
        if outcome_of(answer) != "done":
            raise Wrong(f"afterwards it is refused: {answer!r}")
        rig.must("DELETE", self.path)


class Append(OnSession):
    def change(self):
        return "POST", f"{self.path}/messages", {"role": "user", "content": "x" * 6000}

    def look(self, rig):
        return len(rig.must("GET", f"{self.path}/messages"))

    def after(self):
        return self.before + 1


class Variable(OnSession):
    def change(self):
        return "PUT", f"{self.path}/variables/v", {"some": "thing"}

    def look(self, rig):
        return rig.must("GET", f"{self.path}/variables")["variables"]

    def after(self):
        return {"v": {"some": "thing"}}


class Memory(OnSession):
    def change(self):
        return "POST", f"{self.path}/memory", {"key": f"key {self.id}", "value": 1}

    def look(self, rig):
        return rig.must("GET", f"{self.path}/memory?prefix=key%20{self.id}")["keys"]

    def after(self):
        return [f"key {self.id}"]


class Checkpoint(OnSession):
    def change(self):
        return "POST", f"{self.path}/checkpoints?label=x", None

    def look(self, rig):
        return len(rig.must("GET", f"{self.path}/checkpoints"))

    def after(self):
        return self.before + 1


class CheckpointFiles(Checkpoint):
    def prepare(self, rig):
        folder = rig.folder / "workspace"
        folder.mkdir(exist_ok=True)
        for name in "abc":
            (folder / name).write_text(f"{name} {time.monotonic()}")
        self.fields = {"workspace": str(folder)}
        super().prepare(rig)


    def trees(self, rig):
        return [c["workspace_tree"] for c in rig.must("GET", f"{self.path}/checkpoints")]

    def check(self, rig, outcome):
        """What it says it has recorded is what another one records, with which nothing fails."""
        super().check(rig, outcome)
        rig.must("POST", f"{self.path}/checkpoints")
        *earlier, right = self.trees(rig)
        failed = rig.calls.failed(DAEMON)
        if failed and failed.error in UNREADABLE:
            return  # a file that cannot be read is left out, as docs/workspaces.md says
        if right is None or any(tree != right for tree in earlier):
            raise Wrong(f"{outcome}: {earlier} was recorded, {right} is right")


class RestoreFiles(CheckpointFiles):
    """Either nothing or everything; an interrupted one is finished by the next."""

    def prepare(self, rig):
        super().prepare(rig)
        self.files = {f.name: f.read_text() for f in (rig.folder / "workspace").iterdir()}
        self.cp = rig.must("POST", f"{self.path}/checkpoints")["checkpoint_id"]
        (rig.folder / "workspace" / "a").write_text("changed")
        (rig.folder / "workspace" / "d").write_text("new")
        (rig.folder / "workspace" / "b").unlink()

    def change(self):
        return "POST", f"{self.path}/restore", {"checkpoint_id": self.cp}

    def check(self, rig, outcome):
        now = {f.name: f.read_text() for f in (rig.folder / "workspace").iterdir()}
        changed = {**self.files, "a": "changed", "d": "new"}
        del changed["b"]
        failed = rig.calls.failed(DAEMON)
        if failed and failed.error in UNREADABLE:
            return  # a path that cannot be brought back is left as it is, as docs/workspaces.md says
        if now not in (self.files, changed) or (outcome == "done" and now != self.files):
            raise Wrong(f"{outcome}: the files are {now}")
        if outcome == "done" and None in self.trees(rig):
            raise Wrong("files were written over that no checkpoint has")

    def repeat(self, rig):
        super().repeat(rig)
        now = {f.name: f.read_text() for f in (rig.folder / "workspace").iterdir()}
        if now != self.files:
            raise Wrong(f"afterwards the files are {now}")


class Fork(OnSession):
    def change(self):
        return "POST", f"{self.path}/fork", {"node": self.node, "name": f"fork of {self.id}"}

    def look(self, rig):
        return len([s for s in rig.must("GET", "/sessions") if s["name"] == f"fork of {self.id}"])

    def after(self):
        return 1


class Restore(OnSession):
    def change(self):
        return "POST", f"{self.path}/restore", {"node": self.node}

    def look(self, rig):
        return [m["content"] for m in rig.must("GET", f"{self.path}/messages")]

    def after(self):
        return ["first"]


class Read(OnSession):
    """Nothing changes; what is answered is right."""

    def change(self):
        return "GET", f"{self.path}?messages=all", None

    def look(self, rig):
        return None

    def act(self, rig):
        answer = rig.ask(*self.change())
        if answer is not None and answer.status == 200 and len(answer.json["messages"]) != 2:
            raise Wrong(f"a wrong answer: {answer!r}")
        return outcome_of(answer)

    def check(self, rig, outcome):
        pass


class WithAgent(Scenario):
    """At the end there is one process if the session says so, else none."""

    programs = (EXEC, KEEPER, DAEMON)
    restart = "no"

    def create(self, rig, start):
        rig.turn += 1
        self.folder = rig.folder / f"turn{rig.turn}"
        self.folder.mkdir()
        body = {"name": "agent", "model": "m", "start": start,
                "agent": {"exec": AGENT, "restart": self.restart, "restart_sec": "10ms", "timeout_stop_sec": "5s",
                          "working_directory": str(self.folder)}}
        return body

    def prepare(self, rig):
        self.id = rig.must("POST", "/sessions", self.create(rig, True))["session_id"]
        self.path = f"/sessions/{self.id}"
        self.settled(rig)
        wait_for(lambda: begun(self.folder), PATIENCE, "its first line")

    def state(self, rig):
        return rig.must("GET", self.path)

    def settled(self, rig):
        """Calls may be failing while it waits."""
        last = None

        def look():
            nonlocal last
            last = answer = rig.ask("GET", self.path)
            if answer is None or answer.status != 200:
                return None
            s = answer.json
            return s if s["substate"] not in ("queued", "starting", "stopping", "backoff") else None
        try:
            return wait_for(look, PATIENCE, "a settled state")
        except AssertionError as error:
            raise Wrong(f"{error}; the last answer: {last!r}") from None

    def check_processes(self, rig):
        s = self.settled(rig)
        wanted = 1 if s["status"] == "running" else 0
        if wanted:
            wait_for(lambda: begun(self.folder), PATIENCE, "its first line")
        try:
            wait_for(lambda: len(agents(rig.agentd)) == wanted, 5, "processes")
        except AssertionError:
            raise Wrong(f"{s['status']}/{s['substate']}, and these processes: {agents(rig.agentd)}") from None
        if s["status"] == "error" and not s.get("reason"):
            raise Wrong("an error without a reason")
        return s

    def check(self, rig, outcome):
        self.check_processes(rig)

    def repeat(self, rig):
        s = self.state(rig)
        if s["status"] in ("running", "paused"):
            rig.must("POST", f"{self.path}/stop")
        else:
            rig.must("POST", f"{self.path}/start")
            if self.settled(rig)["status"] != "running":
                raise Wrong(f"afterwards it does not start: {self.state(rig)['reason']}")
            rig.must("POST", f"{self.path}/stop")
        wait_for(lambda: not agents(rig.agentd), 5, "the end of all processes")
        rig.must("DELETE", self.path)


class Spawn(WithAgent):
    def prepare(self, rig):
        self.id = rig.must("POST", "/sessions", self.create(rig, False))["session_id"]
        self.path = f"/sessions/{self.id}"

    def act(self, rig):
        outcome = outcome_of(rig.ask("POST", f"{self.path}/start"))
        if outcome == "done":
            s = self.settled(rig)
            if s["status"] == "running":
                wait_for(lambda: begun(self.folder), PATIENCE, "its first line")
            return "done" if s["status"] == "running" else f"{s['status']}/{s['substate']}: {s['reason']}"
        return outcome

    def check(self, rig, outcome):
        self.check_processes(rig)
        if len(begun(self.folder)) > 1:
            raise Wrong("it began twice")


class Stop(WithAgent):
    def act(self, rig):
        return outcome_of(rig.ask("POST", f"{self.path}/stop"))

    def check(self, rig, outcome):
        s = self.check_processes(rig)
        if outcome == "done" and s["status"] != "stopped":
            raise Wrong(f"stopped, but {s['status']}")


class Freeze(WithAgent):
    def act(self, rig):
        first = outcome_of(rig.ask("POST", f"{self.path}/pause"))
        second = outcome_of(rig.ask("POST", f"{self.path}/resume"))
        return first if first == second else f"{first}, {second}"

    def check(self, rig, outcome):
        s = self.settled(rig)
        if s["status"] == "paused":
            return
        # What cannot be frozen is parked, and begins again with the resume.
        if len(agents(rig.agentd)) != 1 or len(begun(self.folder)) > 2:
            raise Wrong(f"processes: {agents(rig.agentd)}, begun: {begun(self.folder)}")


class End(WithAgent):
    """The agent dies by itself and is started again."""

    restart = "always"

    def act(self, rig):
        before = begun(self.folder)
        os.kill(before[-1], signal.SIGKILL)

        def again():
            answer = rig.ask("GET", self.path)
            if answer is None or answer.status != 200:
                return None
            s = answer.json
            return s if len(begun(self.folder)) > len(before) or s["status"] != "running" else None
        s = wait_for(again, PATIENCE, "its next begin")
        return "done" if s["status"] == "running" else f"{s['status']}/{s['substate']}: {s['reason']}"

    def check(self, rig, outcome):
        self.check_processes(rig)
        runs = rig.must("GET", f"{self.path}/runs")
        if runs[0]["state"] != "ended" or (runs[0]["exit_signal"] != 9 and runs[0]["result"] not in ("unknown", "lost")):
            raise Wrong(f"a wrong end: {runs[0]}")


class Output(WithAgent):
    """Lines arrive whole, once and in order."""

    programs = (KEEPER, DAEMON)

    def create(self, rig, start):
        body = super().create(rig, start)
        os.mkfifo(self.folder / "go")
        script = "echo $$ >> begun; read x < go; i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000"
        body["agent"]["exec"] = ["/bin/sh", "-c", script]
        return body

    def lines(self, rig):
        answer = rig.ask("GET", f"{self.path}/logs?stream=stdout&lines=-1")
        return answer.body.decode().splitlines() if answer is not None and answer.status == 200 else None

    def act(self, rig):
        (self.folder / "go").write_text("now\n")
        wanted = [f"line {i}" for i in range(300)]
        wait_for(lambda: self.lines(rig) == wanted, PATIENCE, "300 lines in the log")
        return "done"

    def repeat(self, rig):
        rig.must("POST", f"{self.path}/stop")
        rig.must("DELETE", self.path)


class Death(WithAgent):
    """The daemon or the keeper is killed; the agent lives on and is known again."""

    victim = "daemon_pid"
    programs = (DAEMON, KEEPER)
    restart = "always"

    def prepare(self, rig):
        super().prepare(rig)
        self.old = rig.agentd.version()[self.victim]

    def act(self, rig):
        old = self.old
        os.kill(old, signal.SIGKILL)

        def back():
            try:
                if rig.agentd.request("GET", "/ready", timeout=5).status != 200:
                    return None
                version = rig.agentd.request("GET", "/version", timeout=5).json
            except (*BROKEN, ValueError):
                return None
            return version.get(self.victim) not in (None, old)
        wait_for(back, PATIENCE, "recovery")
        s = self.settled(rig)
        return "done" if s["status"] == "running" and len(begun(self.folder)) == 1 else f"agent: {s['substate']}, {s['reason']}"

    def check(self, rig, outcome):
        s = self.check_processes(rig)
        if s["status"] != "running":
            raise Wrong(f"an agent that is always restarted is {s['status']}: {s['reason']}")
        try:  # one that was begun again is there before its first line
            wait_for(lambda: agents(rig.agentd) == [begun(self.folder)[-1]], 5, "its first line")
        except AssertionError:
            raise Wrong(f"processes {agents(rig.agentd)}, begun {begun(self.folder)}") from None


class KeeperDeath(Death):
    victim = "keeper_pid"


SCENARIOS = {
    "create": Create, "append": Append, "variable": Variable, "memory": Memory, "checkpoint": Checkpoint,
    "checkpoint of files": CheckpointFiles,
    "restore of files": RestoreFiles, "fork": Fork, "restore": Restore, "read": Read, "spawn": Spawn, "stop": Stop,
    "freeze": Freeze, "end": End, "output": Output, "daemon's death": Death, "keeper's death": KeeperDeath,
}


def follow(rig, program):
    """Some calls come behind the answer: until one has failed, or none was made for a while."""
    before = -1
    for _ in range(50):
        if rig.calls.failed(program) or (now := rig.calls.count(program)) == before:
            return
        before = now
        time.sleep(0.1)


def count(rig, scenario, program):
    scenario.prepare(rig)
    rig.calls.arm(program)
    outcome = scenario.act(rig)
    follow(rig, program)
    rig.calls.disarm()
    assert outcome == "done", outcome
    scenario.check(rig, outcome)
    scenario.repeat(rig)
    return rig.calls.count(program)


def point(rig, scenario, program, number, which):
    """One call fails. Gives what failed and what came of it; nothing failed: None."""
    scenario.prepare(rig)
    before = rig.descriptors()
    rig.said()
    rig.calls.arm(program, number, which)
    try:
        outcome = scenario.act(rig)
    except AssertionError as error:
        outcome = f"WRONG {error}"
    follow(rig, program)
    rig.calls.disarm()
    failed = rig.calls.failed(program)
    if outcome.startswith("WRONG"):
        raise Wrong(outcome[6:])
    scenario.check(rig, outcome)
    scenario.repeat(rig)
    rig.settle(before)
    if crash := CRASH.search(said := rig.said()):
        raise Wrong(said[max(0, crash.start() - 200):crash.end() + 3000])
    return (failed, outcome) if failed else None


def go_through(make, scenario, share, dice, report):
    """A new daemon after everything that went wrong."""
    rig = make()
    for program in scenario.programs:
        n = count(rig, scenario, program)
        if VERBOSE:
            print(f"{program}: {n} calls", flush=True)
        chosen = [i + 1 for i in range(n) if dice.random() < share]
        if ONLY:
            chosen = [i for i in chosen if ONLY[0] == program and int(ONLY[1]) <= i <= int(ONLY[-1])]
        for number in chosen:
            which = dice.randrange(2)
            try:
                result = point(rig, scenario, program, number, which)
                if share == 1 and result and result[0].call not in ONE_ERROR:
                    report.add(*result)
                    result = point(rig, scenario, program, number, 1 - which)
            except AssertionError as error:
                failed = rig.calls.failed(program)
                if failed and failed.number != number:
                    failed = None  # it was not armed yet
                what = f"{failed.call} ({failed.error}) in {failed.where}" if failed else "nothing"
                report.wrong.append(f"call {number} of {program}: {what}: {error}")
                print("WRONG", report.wrong[-1], flush=True)
                rig.calls.disarm()
                rig = make()
                continue
            if result:
                report.add(*result)


class Report:
    def __init__(self):
        self.points, self.outcomes, self.wrong = 0, collections.Counter(), []

    def add(self, failed, outcome):
        self.outcomes[outcome] += 1
        self.points += 1
        if VERBOSE:
            print(failed.number, failed.program, failed.call, failed.error, failed.where, "->", outcome, flush=True)


@pytest.fixture
def rigs(make_agentd, tmp_path):
    n = 0

    def make():
        nonlocal n
        n += 1
        folder = tmp_path / f"rig{n}"
        folder.mkdir()
        calls = Calls(folder / "calls")
        env = {**calls.environment, "AGENT_RUNTIME_CHECKPOINT_INTERVAL": "0"}
        return Rig(make_agentd(f"agentd{n}", env=env), calls, folder)
    return make


def run(rigs, name, share):
    seed = int(os.environ.get("AGENTD_FAIL_SEED", str(random.SystemRandom().randrange(1 << 30))))
    report = Report()
    begin = time.monotonic()
    go_through(rigs, SCENARIOS[name](), share, random.Random(seed), report)
    print(json.dumps({"scenario": name, "seed": seed, "points": report.points, "outcomes": dict(report.outcomes.most_common()),
                      "wrong": len(report.wrong), "seconds": round(time.monotonic() - begin, 1)}))
    assert not report.wrong, "\n".join(report.wrong)
    return report


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_failing_call_is_survived_or_said(rigs, name):
    run(rigs, name, float(os.environ.get("AGENTD_FAIL_SHARE", "0.02")))


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_failing_call_is_survived_or_said(rigs, name):
    run(rigs, name, 1)
