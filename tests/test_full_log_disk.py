# SPDX-License-Identifier: MIT
"""Output of agents on a disk that is really full: it waits, and every line is there once and in order.

A tmpfs of the test's own for the logs only (databases and runtime folder are elsewhere). Needs the right to mount.
The agent writes numbered lines and counts, in shared memory outside that disk, those that write() has taken.
"""
import os
import signal
import struct
import subprocess

import pytest

from lib.agentd import alive, wait_for
from lib.prometheus import parse

SIZE = 6 << 20
LINES = 120_000  # 1.9 MB
ROOM = 400_000

WRITER = """
import mmap, os, sys
with open(sys.argv[1], "r+b") as f:
    count = mmap.mmap(f.fileno(), 8)
for i in range(int(sys.argv[2])):
    line = b"%015d\\n" % i
    assert os.write(1, line) == len(line)
    count[0:8] = (i + 1).to_bytes(8, "little")
os.write(2, b"all is written\\n")
"""


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("NOTICE: no tmpfs can be mounted here, a really full disk is not tested")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def instance(make_agentd, small):
    def make(**env):
        return make_agentd("a", env={
            "AGENTD_DATA_DIR": str(small),
            "AGENTD_RUNTIME_DIR": str(small.parent / "a" / "data" / "run"), **env})
    return make


class Writer:
    """An agent that writes more than there is room for; `ballast` is what has to go to make room."""

    def __init__(self, agentd, small, lines=LINES, name="talks", script=WRITER, agent=None):
        self.agentd, self.small, self.lines, self.name = agentd, small, lines, name
        self.count = agentd.folder / f"count-{name}"
        self.count.write_bytes(bytes(8))
        self.ballast = small / "ballast"
        if not self.ballast.exists():
            with open(self.ballast, "wb", buffering=0) as f:
                while os.statvfs(small).f_bavail * os.statvfs(small).f_frsize > ROOM:
                    f.write(bytes(4096))
        argv = ["/usr/bin/python3", "-c", script, str(self.count), str(lines)]
        s = agentd.run(argv, name=name, agent={"restart": "no", **(agent or {})})
        self.session = s["session_id"]
        agentd.wait_session(self.session, lambda x: x["substate"] in ("active", "exited"))

    @property
    def written(self):
        return struct.unpack("<Q", self.count.read_bytes())[0]

    def run(self):
        return self.agentd.api("GET", f"/sessions/{self.session}/runs", expect=200).json[0]

    def wait_held(self):
        return wait_for(lambda: (r := self.run())["output_held"] and r, what="output that is held back")

    def wait_blocked(self):
        """Held back, and its pipe is full: it waits in write()."""
        self.wait_held()
        pid = self.run()["pid"]

        def waits():
            with open(f"/proc/{pid}/stat") as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
            before = self.written
            return state == "S" and before > 0 and before == self.written
        wait_for(waits, what="an agent that waits")
        assert self.written < self.lines

    def make_room(self):
        self.ballast.unlink()

    def log(self):
        return next(self.small.glob(f"logs/{self.session}/*.out")).read_bytes()

    def expected(self, lines):
        return b"".join(b"%015d\n" % i for i in range(lines))

    def check_all(self):
        wait_for(lambda: self.agentd.session(self.session)["substate"] == "exited", what="the agent's end")
        wait_for(lambda: len(self.log()) >= self.lines * 16, what="its whole output")
        assert self.log() == self.expected(self.lines)

    def check_written(self):
        """Of an agent that was ended in a write(): that line may be there or not."""
        n = self.written
        wait_for(lambda: len(self.log()) // 16 >= n, what="all that was written")
        assert self.log() == self.expected(len(self.log()) // 16)
        assert len(self.log()) // 16 - n in (0, 1)

    def check_readable(self):
        """The index knows all of it as well."""
        def last():
            text = self.agentd.cli("logs", self.name, "--lines", "1000000").stdout.splitlines()
            lines = [line.split()[-1] for line in text if line.split()[-1:] and line.split()[-1].isdigit()]
            return lines if len(lines) == len(self.log()) // 16 else None
        lines = wait_for(last, what="a log that shows all")
        assert [int(x) for x in lines] == list(range(len(lines)))


def kill(agentd, what):
    version = agentd.version()
    for name in what:
        os.kill(version[name], signal.SIGKILL)

    def are_back():
        try:
            new = agentd.version()
        except (OSError, AssertionError, ValueError):
            return None
        return all(new[name] and new[name] != version[name] for name in what) and agentd.request("GET", "/ready").status == 200
    wait_for(are_back, what="their successors")


def test_an_agent_waits_for_a_full_disk_and_no_line_is_lost(instance, small):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    run = w.run()
    assert run["output_held"] == "No space left on device" and run["output_held_since"]
    assert agentd.api("GET", "/health", expect=200).json["outputs_held"] == 1
    status = agentd.cli("status", "talks").stdout
    assert "waits since" in status and "No space left" in status and "make room in " + str(small) in status, status
    assert "waits for room on the disk" in agentd.cli("status").stdout
    assert parse(agentd.request("GET", "/metrics").body.decode())["agentd_runs_output_held"].samples["agentd_runs_output_held", ()] == 1
    w.make_room()
    w.check_all()
    w.check_readable()
    run = wait_for(lambda: (r := w.run())["output_held"] is None and r, what="output that goes on")
    assert run["result"] == "success" and run["output_held_since"] is None
    events = agentd.api("GET", f"/sessions/{w.session}/events", expect=200).json
    held = [e["data"] for e in events if e["type"] == "run.output"]
    assert [e["held"] for e in held] == [True, False] * (len(held) // 2) and held
    assert held[0]["reason"] == "No space left on device" and held[1]["since"] == held[0]["since"]
    assert agentd.api("GET", "/health", expect=200).json["outputs_held"] == 0
    assert "were lost" not in agentd.cli("logs", "talks").stdout


@pytest.mark.parametrize("what", [["daemon_pid"], ["keeper_pid"]], ids=["daemon", "keeper"])
def test_no_line_is_lost_when_a_process_is_killed_while_the_disk_is_full(instance, small, what):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    kill(agentd, what)
    w.wait_held()
    w.make_room()
    wait_for(lambda: len(w.log()) > ROOM, what="output that goes on")
    kill(agentd, what)
    w.check_all()
    w.check_readable()


def test_no_line_is_lost_when_all_of_agentd_is_killed_while_the_disk_is_full(instance, small):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    version = agentd.version()
    os.kill(version["keeper_pid"], signal.SIGKILL)
    os.kill(version["daemon_pid"], signal.SIGKILL)
    wait_for(lambda: not alive(version["daemon_pid"]) and not alive(version["keeper_pid"]), what="their end")
    agentd.process.wait()
    agentd.start()
    w.wait_blocked()
    w.make_room()
    w.check_all()
    w.check_readable()


@pytest.mark.parametrize("killed", [None, "daemon_pid", "keeper_pid"], ids=["alone", "daemon", "keeper"])
def test_a_stop_does_not_wait_for_the_disk_and_what_was_written_comes_later(instance, small, killed):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    agentd.api("POST", f"/sessions/{w.session}/stop", expect=200)
    assert agentd.session(w.session)["substate"] == "exited"
    assert len(w.log()) < w.written * 16
    assert w.run()["output_held"] == "No space left on device"
    if killed:
        kill(agentd, [killed])
    w.make_room()
    w.check_written()
    w.check_readable()
    wait_for(lambda: agentd.api("GET", "/health", expect=200).json["outputs_held"] == 0, what="nothing held")
    wait_for(lambda: not list((agentd.data / "run" / "runs").iterdir()), what="its pipes' end")


def test_an_agent_that_ignores_the_stop_is_killed_while_its_output_waits(instance, small):
    agentd = instance()
    script = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\n" + WRITER
    w = Writer(agentd, small, script=script, agent={"timeout_stop_sec": "200ms"})
    w.wait_blocked()
    agentd.api("POST", f"/sessions/{w.session}/stop", expect=200)
    w.make_room()
    w.check_written()


def test_agentd_stop_leaves_a_keeper_for_output_that_waits(instance, small):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    agentd.api("POST", f"/sessions/{w.session}/stop", expect=200)
    keeper = agentd.keeper_pid
    said = agentd.stop()
    assert said.returncode == 0 and f"process {keeper}) stays until the disk takes" in said.stderr, said
    assert alive(keeper)
    agentd.start()  # takes the keeper up again, with what it holds
    assert agentd.keeper_pid == keeper
    wait_for(lambda: agentd.api("GET", "/health", expect=200).json["outputs_held"] == 1, what="what it holds")
    agentd.stop()
    w.make_room()
    w.check_written()
    wait_for(lambda: not alive(keeper), what="the keeper's end")


def test_a_keeper_that_is_ended_says_how_much_it_could_not_write(instance, small):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    agentd.api("POST", f"/sessions/{w.session}/stop", expect=200)
    keeper, missing = agentd.keeper_pid, w.written * 16 - len(w.log())
    agentd.stop()
    os.kill(keeper, signal.SIGTERM)
    wait_for(lambda: not alive(keeper), what="the keeper's end")
    said = [int(x.split(" bytes of output are lost")[0].split()[-1]) for x in agentd.log_text().splitlines()
            if "bytes of output are lost" in x]
    assert sum(said) - missing in (0, 16), (said, missing)


def test_output_that_waits_gives_way_to_an_agent_that_needs_the_place(instance, small):
    agentd = instance(AGENTD_MAX_RUNS="1")
    w = Writer(agentd, small)
    w.wait_blocked()
    agentd.api("POST", f"/sessions/{w.session}/stop", expect=200)
    other = agentd.run(["/bin/sleep", "1000"], name="other")["session_id"]
    agentd.wait_session(other, lambda x: x["substate"] == "active")
    assert "its place is needed" in agentd.log_text() and "bytes of output are lost" in agentd.log_text()
    assert agentd.api("GET", "/health", expect=200).json["outputs_held"] == 0


def test_dropping_is_chosen_by_a_key_that_takes_effect_at_once(instance, small, tmp_path):
    conf = tmp_path / "agentd.conf"
    conf.write_text("[Supervision]\nLogDiskFull=wait\n")
    agentd = instance(AGENTD_CONFIG=str(conf))
    w = Writer(agentd, small)
    w.wait_blocked()
    conf.write_text("[Supervision]\nLogDiskFull=drop\n")
    assert agentd.cli("reload").returncode == 0
    wait_for(lambda: agentd.session(w.session)["substate"] == "exited", what="the end of its writing")
    w.make_room()
    text = wait_for(lambda: (t := agentd.cli("logs", "talks", "--lines", "1000000").stdout).count("were lost") and t,
                    what="word of what is missing")
    assert w.written == LINES and "000000000000000" in text
    assert len(w.log()) < LINES * 16


def test_a_keeper_with_output_that_waits_uses_no_processor(instance, small):
    agentd = instance()
    w = Writer(agentd, small)
    w.wait_blocked()
    keeper = agentd.keeper_pid

    def ticks():
        with open(f"/proc/{keeper}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def switches():
        with open(f"/proc/{keeper}/status") as f:
            return sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
    used, woken = ticks(), switches()
    wait_for(lambda: switches() >= woken + 2, what="two tries")
    assert ticks() - used <= 2 and switches() - woken < 20
    w.make_room()
    w.check_all()
