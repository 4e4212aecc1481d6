# SPDX-License-Identifier: MIT
"""GET /backup and GET /fsck: from another machine, without holding anybody up, and leaving nothing behind."""
import http.client
import os
import random
import signal
import socket
import sqlite3
import time

import pytest

from lib.agentd import wait_for

pytestmark = pytest.mark.sanitized


def token(agentd, namespace="*", scope="admin"):
    return agentd.api("POST", "/tokens", {"namespace": namespace, "scope": scope}, expect=201).json["token"]


def bearer(secret):
    return {"Authorization": "Bearer " + secret}


def remote(agentd, *args, **env):
    return agentd.cli(*args, "--host", "127.0.0.1", "--port", agentd.port, env=env, timeout=120)


def fill(agentd, megabytes=1):
    s = agentd.create("kept", variables={"step": 1})["session_id"]
    for n in range(megabytes):
        agentd.api("POST", f"/sessions/{s}/messages",
                   {"role": "user", "content": random.Random(n).randbytes(1 << 20).hex()}, expect=201)
    return s


def begin(agentd, path="/backup", room=4096):
    """A reader that reads nothing: only the head of the answer has come."""
    s = socket.socket(socket.AF_UNIX)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    s.settimeout(60)
    s.connect(str(agentd.socket))
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return s


def head(s):
    text = b""
    while b"\r\n\r\n" not in text:
        text += s.recv(1)
    return text.split(b"\r\n")[0].decode()


def folders(agentd):
    return [p.name for p in agentd.data.iterdir() if p.name.startswith("tmp_backup.")]


def tools(agentd):
    found = []
    for pid in agentd.own_pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if b"--tool=" in f.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def gone(agentd):
    wait_for(lambda: not tools(agentd) and not folders(agentd), what="the end of the tool")


def test_a_backup_comes_over_the_network_and_is_restored(agentd, make_agentd, tmp_path):
    s = fill(agentd)
    path = tmp_path / "b.tar.zst"
    made = remote(agentd, "backup", path, "--verify", AGENTD_TOKEN=token(agentd))
    assert made.returncode == 0, made.stderr
    assert "verified there" in made.stdout and path.stat().st_mode & 0o777 == 0o600
    assert not folders(agentd) and sorted(p.name for p in tmp_path.iterdir()) == ["a", "b.tar.zst"]
    other = make_agentd("other", start=False)
    assert other.cli("restore-backup", path).returncode == 0
    other.start()
    assert len(other.api("GET", f"/sessions/{s}/messages").json) == 1 and other.session(s)["memory"] == {"step": 1}
    again = remote(agentd, "backup", path, AGENTD_TOKEN=token(agentd))
    assert again.returncode == 1 and "is there already: choose another name" in again.stderr


def test_it_is_what_was_acknowledged_and_not_kept_by_caches(agentd, tmp_path):
    s = fill(agentd)
    answer = agentd.api("GET", "/backup?logs=1&verify=1", expect=200)
    assert answer.headers["content-type"] == "application/zstd" and answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == 'attachment; filename="agentd.tar.zst"'
    (tmp_path / "x.tar.zst").write_bytes(answer.body)
    assert agentd.cli("restore-backup", "--check", tmp_path / "x.tar.zst").returncode == 0
    assert agentd.cli("restore-backup", tmp_path / "x.tar.zst", "--to", tmp_path / "x").returncode == 0
    database = sqlite3.connect(tmp_path / "x" / "state.db")
    assert database.execute("SELECT count(*) FROM nodes").fetchone() == (1,)
    assert database.execute("SELECT printf('%016x', id) FROM sessions").fetchone() == (s,)
    database.close()
    assert agentd.api("HEAD", "/backup").status == 200 and not tools(agentd)
    agentd.api("GET", "/backup?logs=perhaps", expect=422)


def test_only_who_may_see_everything_gets_everything(agentd):
    all_of_it, one, reads = token(agentd), token(agentd, "team"), token(agentd, scope="read")
    for path in "/backup", "/fsck":
        assert agentd.tcp("GET", path, headers=bearer(reads)).json["code"] == "forbidden"
        refused = agentd.tcp("GET", path, headers=bearer(one))
        assert (refused.status, refused.json["code"]) == (403, "one_namespace")
        assert "'team'" in refused.json["detail"] and "--namespace '*'" in refused.json["hint"]
        assert agentd.tcp("GET", path, headers=bearer(all_of_it)).status == 200
    assert agentd.tcp("POST", "/tokens", {"namespace": "*"}, bearer(one)).status == 404
    made = remote(agentd, "backup", agentd.folder / "x", AGENTD_TOKEN=one)
    assert made.returncode == 5 and "--namespace '*'" in made.stderr and not (agentd.folder / "x").exists()


def test_a_token_for_all_namespaces_sees_all_and_none_is_called_so(agentd):
    made = [agentd.create(n, namespace=n)["session_id"] for n in ("red", "blue")]
    secret = token(agentd)
    assert [s["session_id"] for s in agentd.tcp("GET", "/sessions", headers=bearer(secret)).json] == made
    assert agentd.tcp("GET", "/sessions?namespace=blue", headers=bearer(secret)).json[0]["name"] == "blue"
    assert agentd.tcp("GET", "/tokens", headers=bearer(secret)).json[0]["namespace"] == "*"
    assert agentd.tcp("POST", "/tokens", {"namespace": "red"}, bearer(secret)).status == 201
    assert agentd.tcp("POST", "/sessions", {"name": "x", "model": "m"}, bearer(secret)).json["namespace"] == "default"
    assert agentd.tcp("POST", "/sessions", {"name": "x", "model": "m", "namespace": "*"}, bearer(secret)).status == 422
    assert agentd.tcp("POST", "/shutdown", headers=bearer(secret)).status == 403


def test_a_reader_that_leaves_ends_it_and_leaves_nothing(agentd):
    fill(agentd, 4)
    early = begin(agentd)
    wait_for(lambda: tools(agentd), what="the tool")
    early.close()
    gone(agentd)
    late = begin(agentd)
    assert head(late) == "HTTP/1.1 200 OK"
    late.close()
    gone(agentd)
    # Its process is gone; that the daemon knows takes one more turn of its loop.
    answer = wait_for(lambda: (a := agentd.api("GET", "/backup")).status == 200 and a, what="the next backup")
    assert answer.body[:4] == b"\x28\xb5\x2f\xfd"


def test_a_reader_that_sleeps_holds_up_nobody_but_the_next_backup(agentd):
    fill(agentd, 4)
    slow = begin(agentd)
    assert head(slow) == "HTTP/1.1 200 OK"
    for path in "/backup", "/fsck":
        refused = agentd.api("GET", path, expect=503)
        assert refused.json["code"] == "tool_busy" and refused.headers["retry-after"]
    begun = time.monotonic()
    for n in range(50):
        agentd.create(f"s{n}")
        agentd.api("GET", "/health", expect=200)
    assert time.monotonic() - begun < 20
    slow.close()
    gone(agentd)
    agentd.api("GET", "/fsck", expect=200)


def test_the_daemons_death_ends_it_and_a_client_notices(agentd):
    fill(agentd, 4)
    s = begin(agentd)
    assert head(s) == "HTTP/1.1 200 OK"
    os.kill(agentd.daemon_pid, signal.SIGKILL)
    response = b""
    try:
        while piece := s.recv(65536):
            response += piece
    except ConnectionError:
        pass
    assert not response.endswith(b"0\r\n\r\n"), "it looks complete"
    gone(agentd)
    agentd.wait_ready()
    assert agentd.api("GET", "/backup", expect=200).body


def test_a_stop_does_not_wait_for_a_reader(agentd):
    fill(agentd, 4)
    s = begin(agentd)
    assert head(s) == "HTTP/1.1 200 OK"
    assert agentd.stop().returncode == 0
    wait_for(lambda: not agentd.own_pids(), what="the end")
    assert not folders(agentd)
    s.close()


def test_a_revoked_token_gets_no_more(agentd):
    fill(agentd, 4)
    made = agentd.api("POST", "/tokens", {"namespace": "*", "scope": "admin"}, expect=201).json
    connection = http.client.HTTPConnection("127.0.0.1", agentd.port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.request("GET", "/backup", headers=bearer(made["token"]))
    response = connection.getresponse()
    assert response.status == 200 and response.read(1000)
    agentd.api("DELETE", f"/tokens/{made['token_id']}", expect=200)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    connection.close()
    gone(agentd)


def test_what_fails_is_said_and_is_no_broken_answer(agentd, tmp_path):
    (agentd.data / "memory.db").rename(agentd.data / "elsewhere")
    for path in "/backup", "/fsck":
        failed = agentd.api("GET", path, expect=500).json
        assert failed["code"] == "tool_failed" and "memory.db: No such file" in failed["detail"], failed
    made = remote(agentd, "backup", tmp_path / "x", AGENTD_TOKEN=token(agentd))
    assert made.returncode == 1 and "memory.db: No such file" in made.stderr and not list(tmp_path.glob("x*"))
    (agentd.data / "elsewhere").rename(agentd.data / "memory.db")
    assert agentd.api("GET", "/backup", expect=200).body and not folders(agentd)


def test_what_a_killed_one_left_is_removed_by_the_next(agentd):
    fill(agentd, 4)
    s = begin(agentd)
    pid = wait_for(lambda: tools(agentd), what="the tool")[0]
    wait_for(lambda: folders(agentd) or s.recv(1, socket.MSG_PEEK), what="its folder")
    os.kill(pid, signal.SIGKILL)
    s.close()
    wait_for(lambda: not tools(agentd), what="its end")
    (agentd.data / "tmp_backup.left").mkdir()
    wait_for(lambda: agentd.request("GET", "/backup").status == 200, what="the next one")
    assert not folders(agentd)


def test_damage_is_found_while_it_runs(agentd):
    fill(agentd)
    assert agentd.api("GET", "/fsck", expect=200).json == []
    secret = token(agentd)
    clean = remote(agentd, "fsck", AGENTD_TOKEN=secret)
    assert (clean.returncode, clean.stdout) == (0, "clean\n")
    body = next(p for p in (agentd.data / "bodies").rglob("*") if p.is_file())
    body.write_bytes(b"x")
    problem, = agentd.api("GET", "/fsck", expect=200).json
    assert problem["what"] == "text" and problem["repair"]
    found = remote(agentd, "fsck", AGENTD_TOKEN=secret)
    assert found.returncode == 4 and "1 found, 1 left" in found.stdout and "--repair would" in found.stdout
    refused = remote(agentd, "fsck", "--repair", AGENTD_TOKEN=secret)
    assert refused.returncode == 8 and "on its machine" in refused.stderr
