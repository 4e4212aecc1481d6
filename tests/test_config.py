# SPDX-License-Identifier: MIT
"""Configuration from a user's side: each of the original's settings from environment, file and option by its effect on
the running daemon, reloads, and what is said about mistakes."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import threading

import pytest

from lib.agentd import BUILD, alive, wait_for

WAYS = ["environment", "file", "option"]
OPTIONS = {
    "AGENT_RUNTIME_DB": ("--db", "Daemon", "Database"),
    "AGENT_RUNTIME_MEMORY_DB": ("--memory-db", "Daemon", "MemoryDatabase"),
    "AGENT_RUNTIME_PORT": ("--port", "Daemon", "Port"),
    "AGENT_RUNTIME_HOST": ("--host", "Daemon", "Host"),
    "AGENT_RUNTIME_CHECKPOINT_INTERVAL": ("--checkpoint-interval", "Session", "CheckpointInterval"),
    "AGENT_RUNTIME_SESSION_TIMEOUT": ("--session-timeout", "Session", "Timeout"),
}


def write(agentd, text, name="agentd.conf"):
    path = agentd.folder / ".agent_runtime" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def configured(make_agentd):
    """Starts a daemon that has one setting by one of the ways."""
    def start(way, variable, value):
        a = make_agentd(start=False)
        option, section, key = OPTIONS[variable]
        a.env.pop(variable, None)
        if way == "environment":
            a.env[variable] = str(value)
        elif way == "file":
            write(a, f"[{section}]\n{key}={value}\n")
        else:
            a.args += [option, str(value)]
        return a.start()
    return start


def key(agentd, variable):
    answer = agentd.api("GET", "/config", expect=200).json
    return next(k for k in answer["keys"] if k["variable"] == variable)


def reload(agentd):
    return agentd.api("POST", "/reload", expect=200).json


def names(changes):
    return {c["variable"] for c in changes}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


# ---- the original's six ----

@pytest.mark.parametrize("way", WAYS)
def test_the_memory_database_is_where_it_was_said(configured, tmp_path, way):
    a = configured(way, "AGENT_RUNTIME_MEMORY_DB", tmp_path / "elsewhere" / "m.db")
    a.api("POST", "/memory", {"key": "k", "value": 7}, expect=201)
    with contextlib.closing(sqlite3.connect(f"file:{tmp_path}/elsewhere/m.db?mode=ro", uri=True)) as db:
        assert db.execute("select count(*) from sqlite_master where type='table'").fetchone()[0] > 0
    assert not (a.data / "memory.db").exists()


@pytest.mark.parametrize("way", ["file", "option"])
def test_the_database_is_where_it_was_said(make_agentd, way):
    # The environment's way is what every other test uses.
    a = make_agentd(start=False)
    db = a.env.pop("AGENT_RUNTIME_DB")
    if way == "file":
        write(a, f"[Daemon]\nDatabase={db}\n")
        a.args = []
    else:
        a.args = ["--db", db]
    try:
        a.start()
        a.create("here")
        assert pathlib.Path(db).stat().st_size > 0
    finally:
        a.request("POST", "/shutdown")
        wait_for(lambda: a.process.poll() is not None, what="the keeper's end")
        a.env["AGENT_RUNTIME_DB"] = db


@pytest.mark.parametrize("way", WAYS)
def test_the_port_is_the_one_that_was_said(configured, way):
    port = free_port()
    configured(way, "AGENT_RUNTIME_PORT", port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_host_is_the_one_that_was_said(configured, way):
    a = configured(way, "AGENT_RUNTIME_HOST", "127.0.0.2")
    port = a.port
    connection = http.client.HTTPConnection("127.0.0.2", port, timeout=30)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=30).connect()


def checkpoints(agentd, session):
    return agentd.api("GET", f"/sessions/{session}/checkpoints", expect=200).json


def started_record(agentd):
    """A running session without a process that has changed."""
    s = agentd.create("record")["session_id"]
    agentd.api("POST", f"/sessions/{s}/start", expect=200)
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "x"}, expect=201)
    return s


@pytest.mark.parametrize("way", WAYS)
def test_automatic_checkpoints_come_in_the_interval_that_was_said(configured, way):
    a = configured(way, "AGENT_RUNTIME_CHECKPOINT_INTERVAL", "200ms")
    s = started_record(a)
    wait_for(lambda: checkpoints(a, s), what="an automatic checkpoint")


@pytest.mark.parametrize("way", WAYS)
def test_stopped_sessions_are_archived_after_the_time_that_was_said(configured, way):
    a = configured(way, "AGENT_RUNTIME_SESSION_TIMEOUT", "200ms")
    s = started_record(a)
    a.api("POST", f"/sessions/{s}/stop", expect=200)
    a.wait_session(s, lambda v: v["substate"] == "archived")


def test_all_three_places_are_weighed(make_agentd):
    a = make_agentd(start=False, env={"AGENT_RUNTIME_CHECKPOINT_INTERVAL": "2min"}, args=["--session-timeout", "3min"])
    write(a, "[Session]\nCheckpointInterval=4min\nTimeout=4min\n[Memory]\nWindow=4\n[Limits]\nSessions=4\n")
    drop_in = write(a, "[Limits]\nSessions=5\n", "agentd.conf.d/10.conf")
    a.start()
    expected = {
        "AGENT_RUNTIME_SESSION_TIMEOUT": ("3min", "option --session-timeout"),
        "AGENT_RUNTIME_CHECKPOINT_INTERVAL": ("2min", "environment AGENT_RUNTIME_CHECKPOINT_INTERVAL"),
        "AGENTD_MAX_SESSIONS": ("5", f"{drop_in}:2"),
        "AGENTD_MEMORY_WINDOW": ("4", f"{a.folder}/.agent_runtime/agentd.conf:5"),
        "AGENTD_LOG_LEVEL": ("info", "default"),
    }
    assert {v: (key(a, v)["value"], key(a, v)["origin"]) for v in expected} == expected
    shown = a.cli("config").stdout
    assert f"{drop_in}:2" in shown and "option --session-timeout" in shown


# ---- reload ----

def test_a_shorter_interval_counts_for_sessions_that_wait_already(agentd):
    s = started_record(agentd)
    assert checkpoints(agentd, s) == []
    write(agentd, "[Session]\nCheckpointInterval=100ms\n")
    answer = reload(agentd)
    assert names(answer["applied"]) == {"AGENT_RUNTIME_CHECKPOINT_INTERVAL"} and answer["waiting"] == []
    wait_for(lambda: checkpoints(agentd, s), 20, "an automatic checkpoint")


def test_a_shorter_timeout_archives_what_was_stopped_before(agentd):
    s = started_record(agentd)
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    write(agentd, "[Session]\nTimeout=100ms\n")
    reload(agentd)
    agentd.wait_session(s, lambda v: v["substate"] == "archived", 20)


def test_limits_and_doors_change_at_once(agentd):
    agentd.create("one")
    origin = {"Origin": "https://page.example"}
    assert agentd.tcp("POST", "/memory", {"key": "a", "value": 1}, origin).status == 403
    assert agentd.tcp("GET", "/version", headers={"Host": "mine.example"}).status in (400, 403, 421)
    write(agentd, "[Limits]\nBody=2K\nSessions=1\nMessage=1K\n[Auth]\nOrigins=https://page.example\nHosts=mine.example\n"
          "[Memory]\nWindow=2\n[Daemon]\nLogLevel=debug\n")
    assert len(reload(agentd)["applied"]) == 7
    assert agentd.request("POST", "/sessions", {"name": "two", "model": "m"}).status == 429
    assert agentd.request("POST", "/memory", {"key": "a", "value": "x" * 3000}).status == 413
    assert agentd.tcp("POST", "/memory", {"key": "a", "value": 1}, origin).status == 201
    assert agentd.tcp("GET", "/version", headers={"Host": "mine.example"}).status == 200
    s = agentd.api("GET", "/sessions").json[0]["session_id"]
    for n in range(3):
        agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": str(n)}, expect=201)
    assert len(agentd.api("GET", f"/sessions/{s}/memory/short-term", expect=200).json) == 2
    write(agentd, "[Auth]\nLoopback=token\n")
    reload(agentd)
    assert agentd.tcp("GET", "/sessions").status == 401


def test_numbers_of_things_and_intervals_change_at_once(agentd):
    s = agentd.create("one", variables={"a": 1})["session_id"]
    agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201)
    agentd.api("POST", "/tokens", {}, expect=201)
    accept = {"Accept-Encoding": "gzip"}
    assert "content-encoding" in agentd.request("GET", "/openapi.json", headers=accept).headers
    write(agentd, "[Limits]\nTokens=1\nCheckpoints=1\nVariables=1\nVariablesBytes=1K\nCompress=0\n"
          "[Workspace]\nCollectInterval=1h\n[Supervision]\nLogDiskFull=drop\n")
    answer = reload(agentd)
    assert len(answer["applied"]) == 7 and answer["waiting"] == []
    assert agentd.api("POST", "/tokens", {}).json["code"] == "token_limit_reached"
    assert agentd.api("POST", f"/sessions/{s}/checkpoints").json["code"] == "checkpoint_limit_reached"
    assert agentd.api("PUT", f"/sessions/{s}/variables/b", "1").json["code"] == "variable_limit_reached"
    assert agentd.api("PUT", f"/sessions/{s}/variables/a", json.dumps("x" * 2000)).status == 429
    assert "content-encoding" not in agentd.request("GET", "/openapi.json", headers=accept).headers


def test_an_interval_that_was_never_collects_what_was_left_meanwhile(make_agentd, tmp_path):
    agentd = make_agentd(env={"AGENTD_COLLECT_INTERVAL": ""})
    write(agentd, "[Workspace]\nCollectInterval=0\n")
    reload(agentd)
    work = tmp_path / "work"
    work.mkdir()
    (work / "file").write_bytes(os.urandom(300_000))
    s = agentd.create("one", workspace=str(work))["session_id"]
    agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201)

    def size():
        return sum(p.stat().st_size for p in (agentd.data / "workspaces").rglob("*") if p.is_file())
    before = size()
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    write(agentd, "[Workspace]\nCollectInterval=50ms\n")
    reload(agentd)
    wait_for(lambda: size() < before - 200_000, 30, "files that nobody needs to be removed")


def test_what_needs_a_restart_waits_and_is_marked(agentd):
    port = agentd.port
    agentd.env.pop("AGENT_RUNTIME_PORT")
    write(agentd, "[Daemon]\nLogLevel=warning\n[Supervision]\nMaxRuns=7\n")
    done = agentd.cli("reload")
    assert done.returncode == 0 and "LogLevel = warning" in done.stdout
    assert "MaxRuns = 7" in done.stdout and "after a restart" in done.stdout
    assert agentd.port == port
    runs = key(agentd, "AGENTD_MAX_RUNS")
    assert (runs["value"], runs["changed_to"], runs["reload"]) == ("0", "7", False)
    assert runs["changed_by"].endswith("agentd.conf:4")
    assert "needs a restart" in agentd.cli("config", "-o", "wide").stdout


def test_a_mistake_changes_nothing_and_is_answered_with_its_place(agentd):
    path = write(agentd, "[Limits]\nSessions=3\nMesage=1K\n")
    answer = agentd.api("POST", "/reload", expect=422).json
    assert answer["code"] == "config_wrong"
    assert answer["detail"] == f"{path}:3: unknown key Mesage= in [Limits], did you mean Message=?"
    assert key(agentd, "AGENTD_MAX_SESSIONS")["value"] == "1000000"
    assert "stays as it is" in agentd.log_text()
    done = agentd.cli("reload")
    assert done.returncode == 2 and f"{path}:3:" in done.stderr and done.stderr.count("\n") == 1
    assert agentd.cli("list").returncode == 0
    assert agentd.api("GET", "/config", expect=200).json["error"].startswith(f"{path}:3:")


@pytest.mark.parametrize("who", ["daemon", "keeper"])
def test_sighup_reloads(agentd, who):
    write(agentd, "[Memory]\nWindow=9\n")
    os.kill(agentd.daemon_pid if who == "daemon" else agentd.keeper_pid, signal.SIGHUP)
    wait_for(lambda: key(agentd, "AGENTD_MEMORY_WINDOW")["value"] == "9", 20, "the reload")


def test_the_service_manager_is_told(make_agentd, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(30)
        a = make_agentd(start=False, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        a.start()
        reload(a)
        seen = ""
        while "RELOADING=1" not in seen:
            seen = told.recv(4096).decode()
        assert "MONOTONIC_USEC=" in seen
        assert "READY=1" in told.recv(4096).decode()


def test_no_request_is_refused_while_it_reloads(agentd):
    wrong, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            answer = agentd.tcp("GET", "/health")
            if answer.status != 200:
                wrong.append(answer)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for n in range(100):
            write(agentd, f"[Limits]\nIdleTimeout={20 + n % 2}s\nRequestTimeout={40 + n % 3}s\nBody={1 + n % 4}M\n")
            reload(agentd)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert wrong == []


# ---- crashes and restarts ----

def test_a_daemon_that_crashes_comes_back_as_it_ran_whatever_is_in_the_file_now(agentd):
    write(agentd, "[Memory]\nWindow=9\n")
    reload(agentd)
    agentd.create("kept")
    write(agentd, "[Daemon]\nDatabase=/nonexistent/x.db\nnonsense\n")
    for _ in range(2):
        pid = agentd.daemon_pid
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), what="its end")
        agentd.wait_ready()
        assert key(agentd, "AGENTD_MEMORY_WINDOW")["value"] == "9"
        assert [s["name"] for s in agentd.api("GET", "/sessions").json] == ["kept"]


def test_a_new_start_brings_its_own_options_and_environment_to_a_keeper_that_stayed(agentd):
    agentd.run(["sleep", "600"])
    keeper = agentd.keeper_pid
    assert agentd.cli("stop").returncode == 0
    done = agentd.cli("start", "--session-timeout", "77s", env={"AGENTD_MEMORY_WINDOW": "8"})
    assert done.returncode == 0, done
    assert agentd.keeper_pid == keeper
    assert key(agentd, "AGENT_RUNTIME_SESSION_TIMEOUT")["origin"] == "option --session-timeout"
    assert key(agentd, "AGENTD_MEMORY_WINDOW")["value"] == "8"
    os.kill(agentd.daemon_pid, signal.SIGKILL)
    agentd.wait_ready()
    assert key(agentd, "AGENT_RUNTIME_SESSION_TIMEOUT")["value"] == "1min 17s"
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: agentd.version()["keeper_pid"] not in (None, keeper), what="another keeper")
    os.kill(agentd.daemon_pid, signal.SIGKILL)
    agentd.wait_ready()
    assert key(agentd, "AGENTD_MEMORY_WINDOW")["value"] == "8"


def test_a_second_start_says_which_options_are_not_in_effect(agentd):
    done = agentd.cli("start", "--detach", "--session-timeout", "9min", "--log-level", "info")
    assert done.returncode == 1
    assert "--session-timeout 9min is not in effect (it runs with 1h)" in done.stderr
    assert "--log-level" not in done.stderr


# ---- bad files ----

@pytest.mark.parametrize("text, said", [
    ("[Daemon]\nPort=99999\n", ":2: Port=99999: expected a number from 0 to 65535"),
    ("[Deamon]\n", ":1: unknown section [Deamon], did you mean [Daemon]?"),
    ("[Session]\nPort=1\n", ":2: Port= belongs to the section [Daemon]"),
    ("[Daemon]\nLogLevel\n", ":2: neither Key=Value nor [Section] nor a comment"),
    ("\0", ":1: control characters are not allowed"),
])
def test_a_start_with_a_bad_file_says_where_and_starts_nothing(make_agentd, text, said):
    a = make_agentd(start=False)
    path = write(a, text)
    for words in (["start", "--detach"], ["config", "--check"], ["config", "--check", path]):
        done = a.cli(*words)
        assert (done.returncode, done.stderr) == (2, f"agentd: {path}{said}\n")
    assert not a.own_pids() and not a.socket.exists()


def test_a_file_that_everybody_may_write_to_is_refused(make_agentd):
    a = make_agentd(start=False)
    path = write(a, "")
    path.chmod(0o666)
    done = a.cli("start", "--detach")
    assert done.returncode == 2 and "everybody may write" in done.stderr


def test_the_example_is_right_and_check_says_so(make_agentd):
    a = make_agentd(start=False)
    path = write(a, a.cli("config", "--example").stdout, "mine.conf")
    done = a.cli("config", "--check", path)
    assert (done.returncode, done.stdout) == (0, f"{path} is right\n")


def test_without_a_home_it_says_what_to_set(make_agentd):
    if os.geteuid() != 0:
        pytest.skip("needs root, to become a user without an entry in the list of users")
    a = make_agentd(start=False)
    os.chmod(a.folder, 0o755)
    env = {"PATH": a.env["PATH"]}
    done = subprocess.run([str(BUILD / "agentd"), "start"], env=env, capture_output=True, text=True, timeout=30,
                          user=54321, group=54321, extra_groups=[])
    assert done.returncode == 2
    assert "HOME is not set, and user 54321" in done.stderr and "AGENT_RUNTIME_DB" in done.stderr


def test_only_an_admin_reads_the_configuration(agentd):
    for scope, status in (("read", 403), ("write", 403), ("admin", 200)):
        token = agentd.api("POST", "/tokens", {"scope": scope}, expect=201).json["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert agentd.request("GET", "/config", headers=headers).status == status
        assert agentd.request("POST", "/reload", headers=headers).status == status
    assert "agd_" not in json.dumps(agentd.api("GET", "/config").json)
