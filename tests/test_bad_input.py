# SPDX-License-Identifier: MIT
"""Bad input of every kind gets a clear answer, changes nothing, and leaves the daemon alive."""
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from lib.agentd import alive

pytestmark = pytest.mark.sanitized


def raw(agentd, data, seconds=30):
    s = socket.create_connection(("127.0.0.1", agentd.port), timeout=seconds)
    try:
        s.sendall(data)
        got = b""
        while True:
            piece = s.recv(65536)
            if not piece:
                return got
            got += piece
            if b"\r\n\r\n" in got:
                head, _, body = got.partition(b"\r\n\r\n")
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:") and len(body) >= int(line.split(b":")[1]):
                        return got
    except (ConnectionError, socket.timeout):
        return got
    finally:
        s.close()


@pytest.fixture
def healthy(agentd):
    pid = agentd.daemon_pid
    yield agentd
    assert agentd.request("GET", "/health").status == 200
    assert agentd.daemon_pid == pid, "the daemon died on the way"


BODIES = {
    "not JSON": (b"{", "json_invalid"),
    "empty": (b"", "missing"),
    "two values": (b"{} {}", "json_invalid"),
    "an array": (b"[]", "model_attributes_type"),
    "a number": (b"7", "model_attributes_type"),
    "NaN": (b'{"name": NaN, "model": "m"}', "json_invalid"),
    "Infinity": (b'{"name": "a", "model": "m", "x": Infinity}', "json_invalid"),
    "trailing comma": (b'{"name": "a", "model": "m",}', "json_invalid"),
    "bad UTF-8": (b'{"name": "\xff\xfe", "model": "m"}', "json_invalid"),
    "overlong UTF-8": (b'{"name": "\xc0\xaf", "model": "m"}', "json_invalid"),
    "a surrogate in UTF-8": (b'{"name": "\xed\xa0\x80", "model": "m"}', "json_invalid"),
    "a raw control character": (b'{"name": "a\nb", "model": "m"}', "json_invalid"),
    "a depth bomb": (b"[" * 100000 + b"]" * 100000, "json_invalid"),
    "a deep object": (b'{"a":' * 5000 + b"1" + b"}" * 5000, "json_invalid"),
    "name missing": (b'{"model": "m"}', "missing"),
    "model missing": (b'{"name": "a"}', "missing"),
    "name a number": (b'{"name": 7, "model": "m"}', "string_type"),
    "name null": (b'{"name": null, "model": "m"}', "string_type"),
    "tools a string": (b'{"name": "a", "model": "m", "tools": "x"}', "list_type"),
    "tools of numbers": (b'{"name": "a", "model": "m", "tools": [1]}', "string_type"),
    "an escaped control character": (b'{"name": "a\\u0007b", "model": "m"}', "value_error"),
    "an escaped NUL": (b'{"name": "a\\u0000b", "model": "m"}', "value_error"),
    "a lone surrogate": (b'{"name": "\\ud800", "model": "m"}', "string_unicode"),
    "an empty name": (b'{"name": "", "model": "m"}', "string_too_short"),
    "a long name": (b'{"name": "' + b"n" * 100000 + b'", "model": "m"}', "string_too_long"),
    "variables no object": (b'{"name": "a", "model": "m", "variables": 3}', "dict_type"),
}


@pytest.mark.parametrize("what", BODIES)
def test_wrong_bodies_are_422_that_say_where(healthy, what):
    body, kind = BODIES[what]
    answer = healthy.api("POST", "/sessions", body)
    assert answer.status == 422, answer
    detail = answer.json["detail"]
    assert kind in [d["type"] for d in detail], detail
    assert all(d["loc"][0] == "body" and d["msg"] for d in detail)
    assert healthy.api("GET", "/sessions").json == []


AGENTS = {
    "unknown key": ({"exec": "true", "exek": "x"}, "exec"),
    "a key that is not built": ({"exec": "true", "memory_max": "2G"}, "not built"),
    "no command": ({"restart": "no"}, "exec"),
    "an empty command": ({"exec": ""}, "exec"),
    "an open quote": ({"exec": "sh -c 'oops"}, "exec"),
    "a wrong word": ({"exec": "true", "restart": "sometimes"}, "restart"),
    "a wrong time": ({"exec": "true", "restart_sec": "soon"}, "restart_sec"),
    "a negative time": ({"exec": "true", "restart_sec": -1}, "restart_sec"),
    "a wrong signal": ({"exec": "true", "kill_signal": "SIGNOPE"}, "kill_signal"),
    "an environment of lists": ({"exec": "true", "environment": {"A": [1]}}, "environment"),
    "no object": ("sleep 1", "agent"),
}


@pytest.mark.parametrize("what", AGENTS)
def test_wrong_unit_keys_are_422_that_name_the_key(healthy, what):
    agent, word = AGENTS[what]
    answer = healthy.api("POST", "/sessions", {"name": "a", "agent": agent})
    assert answer.status == 422, answer
    assert word in answer.body.decode(), answer
    assert healthy.api("GET", "/sessions").json == []


@pytest.mark.parametrize("path", ["/sessions/", "/nothing", "/sessions/../etc/passwd", "/sessions//start",
                                  "/sessions/%2e%2e%2fetc", "/sessions/" + "a" * 5000, "/%00", "/sessions/\u00e4".encode().decode("latin-1")])
def test_unknown_paths_are_404_or_422(healthy, path):
    answer = raw(healthy, b"GET " + path.encode("latin-1") + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"404", b"422", b"400", b"414", b"431"), answer[:200]


@pytest.mark.parametrize("session_id", ["nope", "0" * 16, "ffffffffffffffff", "A" * 16, "1", "%00" * 16, "..", "%2F%2F"])
def test_unknown_ids_are_404(healthy, session_id):
    for method, rest in (("GET", ""), ("POST", "/start"), ("POST", "/pause"), ("POST", "/stop"), ("POST", "/resume"),
                         ("GET", "/memory"), ("GET", "/checkpoints"), ("POST", "/checkpoints"), ("GET", "/messages"),
                         ("DELETE", "")):
        answer = healthy.request(method, f"/sessions/{session_id}{rest}")
        assert answer.status in (404, 422), (method, rest, answer)
        assert answer.json["detail"]


def test_wrong_methods_are_405_with_allow(healthy):
    answer = healthy.request("DELETE", "/health")
    assert answer.status == 405 and "GET" in answer.headers["allow"]
    answer = healthy.request("PUT", "/sessions")
    assert answer.status == 405 and "POST" in answer.headers["allow"]


def test_a_gibibyte_is_refused_at_its_header(healthy):
    begin = time.monotonic()
    answer = raw(healthy, b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1073741824\r\n\r\n" + b"x" * 1000)
    assert b" 413 " in answer.split(b"\r\n")[0], answer[:200]
    assert time.monotonic() - begin < 20


def test_a_gibibyte_in_chunks_does_not_grow_the_daemon(healthy):
    def resident():
        with open(f"/proc/{healthy.daemon_pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    before = resident()
    s = socket.create_connection(("127.0.0.1", healthy.port), timeout=30)
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    largest = 0
    try:
        s.sendall(b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for i in range(1024):
            s.sendall(chunk)
            if i % 64 == 0:
                largest = max(largest, resident() - before)
    except (ConnectionError, socket.timeout):
        pass
    try:
        answer = s.recv(4096)
    except ConnectionError:
        answer = b""
    s.close()
    assert not answer or b" 413 " in answer.split(b"\r\n")[0], answer
    assert largest < 64 * 1024


def test_many_and_long_headers_are_refused(healthy):
    answer = raw(healthy, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 200000 + b"\r\n\r\n")
    assert not answer or answer.split(b" ")[1] in (b"431", b"400", b"413"), answer[:200]


def test_slow_loris_does_not_stop_others(make_agentd):
    agentd = make_agentd(env={"AGENTD_REQUEST_TIMEOUT": "2s", "AGENTD_IDLE_TIMEOUT": "2s"})
    slow = []
    for _ in range(200):
        s = socket.create_connection(("127.0.0.1", agentd.port), timeout=30)
        s.sendall(b"POST /sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        slow.append(s)
    begin = time.monotonic()
    assert agentd.tcp("GET", "/health").status == 200
    assert time.monotonic() - begin < 2
    end = time.monotonic() + 20
    for s in slow:
        try:
            while time.monotonic() < end:
                s.sendall(b" ")
                s.settimeout(0.05)
                try:
                    if not s.recv(4096):
                        break
                except socket.timeout:
                    continue
        except ConnectionError:
            pass
    assert time.monotonic() < end, "a slow client was not cut"
    for s in slow:
        s.close()


def test_garbage_instead_of_http(healthy):
    for data in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500), b"\n" * 1000, b"GET\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", os.urandom(4096)):
        raw(healthy, data, seconds=3)


@pytest.mark.parametrize("name", ["a/b", "..", "../../etc", "a b", "\u00fc\u4e2d\U0001f600", "-rf", "%n%s", "a'b\"c;--"])
def test_odd_names_are_kept_as_they_are(healthy, name):
    s = healthy.create(name)
    assert healthy.session(s["session_id"])["name"] == name
    assert healthy.api("POST", f"/sessions/{s['session_id']}/checkpoints?label=" + "".join(f"%{b:02x}" for b in name.encode()),
                       expect=201).json["label"] == name


def test_values_come_back_byte_for_byte(healthy):
    s = healthy.create("x")["session_id"]
    for value in ("12345678901234567890123456789", "1.0", "-0", "1E400", '"\\u0000\\ud800\\n"', '[1, 2 ,3 ]', '{"a":1,"a":2}',
                  '"\U0001f600"', "null", "true", '""', '{"k" : [ ] }'):
        healthy.api("POST", f"/sessions/{s}/memory", f'{{"key":"k","value":{value}}}', expect=201)
        assert f'"value":{value}'.encode() in healthy.request("GET", f"/sessions/{s}/memory?key=k").body
        healthy.api("PUT", f"/sessions/{s}/variables/v", value, expect=200)
        assert f'"value":{value}'.encode() in healthy.request("GET", f"/sessions/{s}/variables/v").body


def test_port_in_use_names_the_port(make_agentd):
    blocker = socket.create_server(("127.0.0.1", 0))
    port = blocker.getsockname()[1]
    agentd = make_agentd("b", start=False, env={"AGENT_RUNTIME_PORT": str(port)})
    done = agentd.cli("start", timeout=30)
    assert done.returncode != 0 and str(port) in done.stderr and "in use" in done.stderr, done
    blocker.close()


def test_a_second_daemon_on_the_same_data_is_refused(agentd):
    done = agentd.cli("start", timeout=30)
    assert done.returncode != 0 and "already running" in done.stderr, done
    other = dict(AGENTD_RUNTIME_DIR=str(agentd.folder / "other-run"))
    done = agentd.cli("start", timeout=60, env=other)
    assert done.returncode != 0 and "state.db" in done.stderr + done.stdout, done
    assert agentd.request("GET", "/health").status == 200


def stopped_copy(agentd):
    agentd.create("precious")
    agentd.stop()
    agentd.process.wait(timeout=30)


def test_a_corrupt_database_is_named_and_left_alone(make_agentd):
    agentd = make_agentd()
    stopped_copy(agentd)
    db = agentd.data / "state.db"
    data = bytearray(db.read_bytes())
    data[0:64] = os.urandom(64)
    db.write_bytes(data)
    done = agentd.cli("start", timeout=60)
    assert done.returncode != 0 and "state.db" in done.stderr + done.stdout, done
    assert db.read_bytes() == bytes(data), "the corrupt database was changed"


def test_a_database_from_a_newer_version_is_refused(make_agentd):
    agentd = make_agentd()
    stopped_copy(agentd)
    db = sqlite3.connect(agentd.data / "state.db")
    db.execute("PRAGMA user_version = 999")
    db.commit()
    db.close()
    done = agentd.cli("start", timeout=60)
    text = done.stderr + done.stdout
    assert done.returncode != 0 and "newer" in text and "999" in text, done


def test_bad_configuration_names_variable_and_value(make_agentd):
    agentd = make_agentd(start=False)
    for name, value in (("AGENT_RUNTIME_PORT", "70000"), ("AGENT_RUNTIME_PORT", "eighty"),
                        ("AGENT_RUNTIME_CHECKPOINT_INTERVAL", "often")):
        done = agentd.cli("start", timeout=30, env={name: value})
        assert done.returncode != 0 and name in done.stderr and value in done.stderr, done
