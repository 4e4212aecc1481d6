# SPDX-License-Identifier: MIT
"""What an operator meets after a bad night: each trouble is made, and is named with what to do about it (docs/walks.md)."""
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time

import pytest

from lib.agentd import alive, wait_for

OTHER = 10002  # a user that nobody is

AGENT = ["sh", "-c", "echo began; exec sleep 1000"]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be another user")


def running(agentd, session):
    return agentd.wait_session(session["session_id"], lambda s: s["substate"] == "active")


def test_a_daemon_that_keeps_ending_is_named_instead_of_waited_for(agentd):
    keeper, daemon = agentd.keeper_pid, agentd.daemon_pid
    logs = agentd.data / "logs"
    shutil.rmtree(logs)
    logs.write_text("not a folder")
    os.kill(daemon, signal.SIGKILL)
    for verb in (["list"], ["stop"]):
        done = agentd.cli(*verb, timeout=30)
        assert done.returncode == 1
        assert f"its daemon ends whenever its keeper (pid {keeper}) starts it" in done.stderr and "agentd.log" in done.stderr
    logs.unlink()
    agentd.wait_ready()
    assert agentd.cli("list").returncode == 0 and agentd.keeper_pid == keeper


def test_who_removes_the_runtime_folder_of_a_running_daemon_gives_up_no_agent(agentd):
    session = agentd.run(AGENT, agent={"restart": "always", "restart_sec": "0.1s"})
    running(agentd, session)
    port, daemon, path = agentd.port, agentd.daemon_pid, f"/sessions/{session['session_id']}"
    pid = agentd.api("GET", path + "/runs").json[-1]["pid"]
    shutil.rmtree(agentd.socket.parent)

    env = {"AGENT_RUNTIME_PORT": str(port)}
    done = agentd.cli("list", env=env)
    assert done.returncode == 1 and f"agentd runs (pid {daemon}), but its socket is not at" in done.stderr
    assert f"agentd --port {port} stop --all" in done.stderr
    done = agentd.cli("start", env=env)
    assert done.returncode == 1 and f"agentd is already running on {agentd.data}/state.db (pid {daemon})" in done.stderr
    done = agentd.cli("doctor", "--json", env=env)
    assert any(c["check"] == "daemon" and c["verdict"] == "fail" and f"runs (pid {daemon})" in c["text"]
               for c in json.loads(done.stdout)["checks"])

    os.kill(pid, signal.SIGKILL)
    args = ("--port", port, "runs", session["session_id"], "--json")
    runs = wait_for(lambda: [r for r in json.loads(agentd.cli(*args).stdout) if r["state"] == "alive" and r["pid"] != pid])
    assert alive(runs[-1]["pid"])
    assert stat.S_IMODE((agentd.socket.parent / "runs").stat().st_mode) == 0o700
    assert agentd.cli("--port", port, "stop", "--all").returncode == 0
    assert not alive(runs[-1]["pid"])


def test_a_backup_restored_stopped_starts_no_agent_a_second_time(agentd, make_agentd, tmp_path):
    lives = agentd.run(AGENT, "lives", agent={"restart": "always"})
    waits = agentd.run(["false"], "waits", agent={"restart": "always", "restart_sec": "100s"})
    paused = agentd.run(AGENT, "paused")
    record = agentd.create("record", start=True)
    running(agentd, lives)
    running(agentd, paused)
    agentd.api("POST", f"/sessions/{paused['session_id']}/pause", expect=200)
    agentd.wait_session(waits["session_id"], lambda s: s["substate"] == "backoff")
    backup = tmp_path / "night.tar.zst"
    assert agentd.cli("backup", backup).returncode == 0

    copy = make_agentd("copy", start=False)
    assert copy.cli("restore-backup", "--stopped", backup).returncode == 0
    assert copy.cli("fsck").stdout == "clean\n"
    copy.start()
    for s in (lives, waits, paused):
        now = copy.session(s["session_id"])
        assert (now["status"], now["restart_at"]) == ("stopped", None) and "backup" in now["reason"]
    assert copy.session(record["session_id"])["status"] == "running"
    run = copy.api("GET", f"/sessions/{lives['session_id']}/runs").json[-1]
    assert (run["state"], run["result"], run["reason"]) == ("ended", "lost", "it was running when the backup was made")
    copy.api("POST", f"/sessions/{lives['session_id']}/start")
    assert running(copy, lives)
    assert copy.cli("fsck").stdout == "clean\n"


def test_a_backup_that_cannot_be_made_or_used_says_why_and_leaves_nothing(agentd, tmp_path):
    done = agentd.cli("backup", tmp_path / "no-such-folder" / "b.tar.zst")
    assert done.returncode == 1 and "No such file or directory" in done.stderr
    assert agentd.cli("backup", tmp_path / "b.tar.zst").returncode == 0
    (tmp_path / "short.tar.zst").write_bytes((tmp_path / "b.tar.zst").read_bytes()[:1000])
    for name in ("no-such.tar.zst", "short.tar.zst"):
        assert agentd.cli("restore-backup", tmp_path / name, "--to", tmp_path / "new").returncode == 1
        assert not (tmp_path / "new").exists()
    assert agentd.cli("stop").returncode == 0
    with open(agentd.data / "state.db", "r+b") as f:
        f.write(b"garbage, garbage")
    done = agentd.cli("backup", tmp_path / "c.tar.zst")
    assert done.returncode == 1 and "is damaged" in done.stderr and "agentd fsck" in done.stderr
    assert not (tmp_path / "c.tar.zst").exists()
    done = agentd.cli("start", "--detach")
    assert done.returncode == 1 and "agentd restore-backup --force FILE" in done.stdout + done.stderr + agentd_log(agentd)


def agentd_log(agentd):
    return (agentd.data / "agentd.log").read_text()


def test_a_run_is_named_by_its_number_and_a_time_by_the_clock(agentd):
    session = agentd.run(["sh", "-c", "echo run $AGENTD_RUN; [ $AGENTD_RUN = 3 ]"],
                         agent={"restart": "on-failure", "restart_sec": "0.05s"})
    agentd.wait_session(session["session_id"], lambda s: s["status"] == "stopped")
    for n in ("1", "3"):
        assert agentd.cli("logs", "agent", "--run", n).stdout == f"run {n}\n"
    done = agentd.cli("logs", "agent", "--run", "9")
    assert (done.returncode, done.stderr) == (3, "agentd: there is no run 9; see: agentd runs agent\n")
    ago = time.strftime("%H:%M:%S", time.gmtime(time.time() - 60))
    assert agentd.cli("logs", "agent", "--since", ago).stdout == "run 1\nrun 2\nrun 3\n"
    assert agentd.cli("logs", "agent", "--until", ago).stdout == ""
    assert "session.created" in agentd.cli("events", "--since", ago[:5]).stdout
    for wrong in ("25:00", "14:3", "noon"):
        done = agentd.cli("events", "--since", wrong)
        assert done.returncode == 2 and "a time of day (14:39)" in done.stderr


def test_a_token_is_revoked_by_a_name_that_only_it_has(agentd):
    for name in ("ci", "laptop", "laptop"):
        assert agentd.cli("token", "create", "--name", name).returncode == 0
    assert agentd.cli("token", "revoke", "ci").returncode == 0
    done = agentd.cli("token", "revoke", "laptop")
    assert done.returncode == 2 and "2 tokens are called 'laptop', name one by its id: " in done.stderr
    first = agentd.cli("-q", "token", "list").stdout.split()[0]
    assert agentd.cli("token", "revoke", first).returncode == 0
    assert agentd.cli("token", "revoke", "laptop").returncode == 0
    assert agentd.cli("token", "revoke", "laptop").returncode == 3


def test_the_daemons_log_says_which_agent_is_down_for_good(agentd):
    session = agentd.run(["false"], "loops", agent={"restart_sec": "0.01s", "start_limit_burst": 2})
    agentd.wait_session(session["session_id"], lambda s: s["status"] == "error")
    lines = [line for line in agentd.log_text().splitlines() if "is not started again" in line]
    assert len(lines) == 1 and "Session loops (" in lines[0] and "2 starts in 10min, given up" in lines[0]
    status = agentd.cli("status", "loops").stdout
    assert status.count("tries again") == 1 and "after " in status.split("Last run:")[1].split("exit status 1")[0]


@pytest.fixture
def of_other():
    """A data folder of another user, in a place that he can reach."""
    place = tempfile.mkdtemp(dir="/tmp")
    os.chmod(place, 0o755)
    data = os.path.join(place, "data")
    os.mkdir(data, 0o700)
    for name in ("state.db", "memory.db"):
        open(os.path.join(data, name), "w").close()
        os.chown(os.path.join(data, name), OTHER, OTHER)
        os.chmod(os.path.join(data, name), 0o600)
    os.chown(data, OTHER, OTHER)
    yield data
    shutil.rmtree(place)


@as_root
def test_roots_doctor_looks_with_the_eyes_of_the_services_user(agentd, of_other):
    env = {"AGENTD_USER": str(OTHER), "AGENT_RUNTIME_DB": of_other + "/state.db", "AGENT_RUNTIME_MEMORY_DB": of_other + "/memory.db"}

    def folders():
        checks = json.loads(agentd.cli("doctor", "--json", env=env).stdout)["checks"]
        return [c for c in checks if c["check"] == "folders" and "is on" not in c["text"]]

    assert [c["verdict"] for c in folders()] == ["ok"] and f"for user {OTHER} alone" in folders()[0]["text"]
    os.chown(of_other + "/state.db", 0, 0)
    assert folders()[0]["verdict"] == "fail" and f"state.db belongs to user root, agentd runs as user {OTHER}" in folders()[0]["text"]
    assert f"chown -R {OTHER} " in folders()[0]["advice"]
    os.chown(of_other + "/state.db", OTHER, OTHER)
    os.chmod(of_other, 0o500)
    assert folders()[0]["verdict"] == "fail" and "mode 0500" in folders()[0]["text"]


@as_root
def test_a_database_that_the_user_may_not_open_stops_the_start_at_once(agentd, of_other):
    env = {"AGENTD_USER": str(OTHER), "AGENT_RUNTIME_DB": of_other + "/state.db", "AGENT_RUNTIME_MEMORY_DB": of_other + "/memory.db"}
    os.chown(of_other + "/state.db", 0, 0)
    done = agentd.cli("start", "--detach", env=env, timeout=20)
    assert done.returncode == 5 and "state.db may not be read and written by" in done.stderr and "chown -R" in done.stderr
    os.chmod(of_other, 0)
    done = agentd.cli("start", "--detach", env=env, timeout=20)
    assert done.returncode == 5 and f"the data folder {of_other} cannot be used by" in done.stderr
    assert not [e for e in os.listdir("/proc") if e.isdigit() and of_other in environment(e)]


def environment(pid):
    done = subprocess.run(["cat", f"/proc/{pid}/environ"], capture_output=True)
    return done.stdout.decode(errors="replace")
