# SPDX-License-Identifier: MIT
"""`agentd doctor`: each thing that may be wrong is made wrong, and is found and explained."""
import http.server
import json
import os
import resource
import shutil
import socket
import socketserver
import subprocess
import threading
import time

import pytest

from lib import preload
from lib.agentd import BUILD

pytestmark = pytest.mark.sanitized

PROGRAMS = ["agentd", "agentd-daemon", "agentd-keeper", "agentd-exec"]


@pytest.fixture
def nobody(make_agentd):
    """Folders of a daemon that does not run; port 0 is free by nature."""
    instance = make_agentd(start=False)
    instance.socket.parent.mkdir(mode=0o700, parents=True)
    instance.data.chmod(0o700)
    return instance


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    library = preload.build("fake-host", tmp_path_factory.mktemp("preload"))
    return lambda words: {"LD_PRELOAD": str(library), "FAKE_HOST": words}


def doctor(agentd, *args, env=None, program=None, **options):
    done = subprocess.run([str(program or BUILD / "agentd"), "doctor", "--json", *args], env={**agentd.env, **(env or {})},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, **options)
    assert done.stderr == "", done
    answer = json.loads(done.stdout)
    assert done.returncode == (1 if answer["fail"] else 0), done
    assert answer["ok"] + answer["warn"] + answer["fail"] == len(answer["checks"])
    for check in answer["checks"]:
        assert check["verdict"] == "ok" or check["advice"], f"no advice: {check}"
    return answer


def found(answer, check, verdict, *texts):
    mine = [c for c in answer["checks"] if c["check"] == check and c["verdict"] == verdict]
    assert any(all(str(t) in c["text"] for t in texts) for c in mine), (check, verdict, texts, answer["checks"])


def test_where_all_is_well_it_says_so(agentd):
    answer = doctor(agentd)
    for check in ("programs", "daemon", "keeper", "store", "access", "folders", "leftovers", "kernel", "limits", "clock"):
        found(answer, check, "ok")
    assert answer["fail"] == 0
    text = agentd.cli("doctor")
    assert text.returncode == 0 and "ok    daemon" in text.stdout and text.stdout.rstrip().endswith("0 failed")
    quiet = agentd.cli("doctor", "-q").stdout
    assert "daemon" not in quiet and "ok " not in quiet


def test_no_daemon_is_said_with_how_to_start_it(nobody):
    answer = doctor(nobody)
    found(answer, "daemon", "warn", "not running", nobody.socket)
    assert any("agentd start" in (c["advice"] or "") for c in answer["checks"])


def test_missing_programs_are_named(nobody, tmp_path):
    shutil.copy(BUILD / "agentd", tmp_path / "agentd")
    shutil.copy(BUILD / "agentd-keeper", tmp_path / "agentd-keeper")
    answer = doctor(nobody, program=tmp_path / "agentd")
    found(answer, "programs", "fail", "agentd-daemon is neither beside")
    found(answer, "programs", "fail", "agentd-exec is neither beside")


def test_a_program_of_another_version_is_named(nobody, tmp_path):
    for name in PROGRAMS:
        shutil.copy(BUILD / name, tmp_path / name)
    other = tmp_path / "agentd-exec"
    other.write_text("#!/bin/sh\necho agentd-exec 0.0.1\n")
    found(doctor(nobody, program=tmp_path / "agentd"), "programs", "fail", other, "agentd-exec 0.0.1")


def test_a_program_made_in_the_future_shows_a_wrong_clock(nobody, tmp_path):
    for name in PROGRAMS:
        shutil.copy(BUILD / name, tmp_path / name)
    later = time.time() + 10 * 86400
    os.utime(tmp_path / "agentd", (later, later))
    found(doctor(nobody, program=tmp_path / "agentd"), "clock", "fail", "earlier than")


def test_a_port_in_use_is_told_with_who_has_it(nobody):
    with socket.create_server(("127.0.0.1", 0)) as blocker:
        port = blocker.getsockname()[1]
        answer = doctor(nobody, "--port", str(port))
        found(answer, "port", "fail", port, f"pid {os.getpid()}")
    found(doctor(nobody, "--port", str(port)), "port", "ok", "free")


def test_a_folder_that_others_may_write_to_fails(nobody):
    nobody.socket.parent.chmod(0o777)
    found(doctor(nobody), "folders", "fail", "others may write", nobody.socket.parent)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_somebody_else_fails(nobody):
    os.chown(nobody.data, 65534, 65534)
    found(doctor(nobody), "folders", "fail", "belongs to user ", nobody.data)


def test_a_file_in_a_folders_place_fails(nobody):
    nobody.socket.parent.rmdir()
    nobody.socket.parent.write_text("")
    found(doctor(nobody), "folders", "fail", "no folder", nobody.socket.parent)


def test_a_folder_that_cannot_be_made_fails(nobody):
    (nobody.folder / "file").touch()
    where = nobody.folder / "file" / "agentd"
    found(doctor(nobody, "--data-dir", str(where)), "folders", "fail", "cannot be made", where)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_somebody_elses_daemon_and_cgroups_are_told(agentd, tmp_path):
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    for name in PROGRAMS:
        shutil.copy(BUILD / name, tmp_path / name)
    answer = doctor(agentd, program=tmp_path / "agentd", preexec_fn=lambda: os.setuid(65534))
    found(answer, "daemon", "fail", "belongs to another user")
    found(answer, "cgroup", "warn")


@pytest.mark.parametrize("words,check,verdict,text", [
    ("nfs", "folders", "warn", "is on NFS"), ("tmpfs", "folders", "warn", "is on tmpfs"),
    ("full", "space", "fail", "1.0M are free"), ("low", "space", "warn", "256M are free"),
    ("no-pidfd", "kernel", "fail", "no pidfd_open"), ("no-info", "kernel", "warn", "no PIDFD_GET_INFO"),
    ("no-clone3", "kernel", "warn", "no clone3"),
    ("user", "linger", "warn", "end when you log out"), ("user linger", "linger", "ok", "go on")])
def test_what_the_machine_lacks_is_found(nobody, host, words, check, verdict, text):
    found(doctor(nobody, env=host(words)), check, verdict, text)


def test_cgroups_that_are_off_or_not_ours_are_told(nobody):
    found(doctor(nobody, "--cgroup", "none"), "cgroup", "warn", "switched off")
    found(doctor(nobody, "--cgroup", "/nonexistent/cgroup"), "cgroup", "fail", "not ours to write to")
    answer = doctor(nobody)
    assert sum(c["check"] == "cgroup" for c in answer["checks"]) == 1


def test_more_runs_than_files_allow_fail(nobody):
    def few():
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    found(doctor(nobody, preexec_fn=few), "limits", "warn", "256 open files")
    found(doctor(nobody, "--max-runs", "1000", preexec_fn=few), "limits", "fail", "max_runs is 1000")


def test_leftovers_are_counted(nobody):
    (nobody.socket.parent / "agentd.sock.4194305").touch()
    (nobody.socket.parent / "runs").mkdir()
    (nobody.socket.parent / "runs" / "0123456789abcdef").mkdir()
    answer = doctor(nobody)
    found(answer, "leftovers", "warn", "1 socket ")
    found(answer, "leftovers", "warn", "pipes of 1 run ")


def test_agents_without_a_daemon_fail(agentd):
    agentd.run(["sleep", "1000"], "kept")
    assert agentd.cli("stop").returncode == 0
    found(doctor(agentd), "daemon", "fail", "keeps agents running without a daemon")
    assert agentd.cli("start", "--detach").returncode == 0


def test_reachable_without_a_token_warns(make_agentd):
    agentd = make_agentd(env={"AGENT_RUNTIME_HOST": "0.0.0.0"})
    found(doctor(agentd), "access", "warn", "there is no token")
    assert agentd.cli("token", "create").returncode == 0
    found(doctor(agentd), "access", "ok", "one of 1 tokens")


# ---- a daemon that is not as it should be ----

class Pretender(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, path, answers):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = answers.get(self.path, (404, {}))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

            def address_string(self):
                return ""
        super().__init__(str(path), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def pretend(nobody):
    """A server in the place of the daemon's socket."""
    servers = []

    def make(**version):
        about = {"version": "9.9.9", "daemon_pid": 1, "keeper_pid": 2, "started_at": "2026-01-01T00:00:00Z", **version}
        servers.append(Pretender(nobody.socket, {"/version": (200, about), "/ready": (503, {})}))
        return nobody
    yield make
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_daemon_of_another_version_warns(pretend):
    found(doctor(pretend()), "daemon", "warn", "9.9.9")


def test_a_daemon_that_is_not_ready_fails(pretend):
    found(doctor(pretend()), "store", "fail", "not ready")


def test_a_daemon_without_a_keeper_fails(pretend):
    found(doctor(pretend(keeper_pid=None)), "keeper", "fail", "no keeper")


def test_a_daemon_started_in_the_future_shows_a_wrong_clock(pretend):
    found(doctor(pretend(started_at="2088-01-01T00:00:00Z")), "clock", "fail", "in the future")


def test_something_else_at_the_socket_fails(nobody):
    server = Pretender(nobody.socket, {})
    try:
        found(doctor(nobody), "daemon", "fail", "refuses GET /version")
    finally:
        server.shutdown()
        server.server_close()
