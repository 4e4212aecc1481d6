# SPDX-License-Identifier: MIT
"""A real agentd in a folder of its own, for black-box tests.

Each Agentd has its own databases, runtime folder, port (chosen by the kernel) and home, and ends only what
it started, by pid. `build` is found from AGENTD_BUILD (script/test sets it) or ./build.
Every JSON answer that Agentd.api() gets is checked against the route's schema in /openapi.json, and the route
is noted in AGENTD_ROUTES_SEEN (a file, if set), so that the run can tell which routes no test used.
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.parse
import http.client

from . import schema

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("AGENTD_BUILD", ROOT / "build"))
READY_SECONDS = float(os.environ.get("AGENTD_TEST_PATIENCE", "60"))


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def alive(pid):
    """True while the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def cgroups_are_ours():
    mounts = [line.split() for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    return any(kind == "cgroup2" and os.access(where, os.W_OK) for _, where, kind, *_ in mounts)


def wait_for(claim, seconds=READY_SECONDS, what="condition"):
    """Waits until claim() gives something true and returns it."""
    end = time.monotonic() + seconds
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {seconds} s")
        time.sleep(0.01)


class Agentd:
    def __init__(self, folder, env=None, args=()):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "AGENT_RUNTIME_DB": str(self.data / "state.db"),
            "AGENT_RUNTIME_MEMORY_DB": str(self.data / "memory.db"),
            "AGENT_RUNTIME_HOST": "127.0.0.1",
            "AGENT_RUNTIME_PORT": "0",
            "NO_COLOR": "1",
        }
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", "LD_PRELOAD"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.env.update(env or {})
        self.args = list(args)
        self.process = None
        self.schema = None
        self.log = open(self.folder / "agentd.log", "ab")

    # ---- life ----

    @property
    def socket(self):
        return self.data / "run" / "agentd.sock"

    def start(self, wait=True):
        self.process = subprocess.Popen(
            [str(BUILD / "agentd"), "start", *self.args],
            env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
        )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=READY_SECONDS):
        def ready():
            try:
                return self.request("GET", "/ready", timeout=5).status == 200
            except (OSError, http.client.HTTPException):
                return False
        try:
            wait_for(ready, seconds, "readiness")
        except AssertionError:
            raise AssertionError("agentd did not become ready:\n" + self.log_text()[-4000:]) from None

    def log_text(self):
        return (self.folder / "agentd.log").read_text(errors="replace")

    def complaints(self):
        """What sanitizers and assertions said, from the first such line on."""
        text = self.log_text()
        found = re.search(r"^.*(Sanitizer|runtime error:|Assertion .* failed).*$", text, re.M)
        return text[found.start():][:8000] if found else ""

    def version(self):
        return self.api("GET", "/version").json

    @property
    def daemon_pid(self):
        return self.version()["daemon_pid"]

    @property
    def keeper_pid(self):
        return self.version()["keeper_pid"]

    def stop(self, seconds=READY_SECONDS):
        """Graceful: `agentd stop`, then waits for the keeper's end if no agent was kept."""
        return self.cli("stop", timeout=seconds)

    def kill_everything(self):
        """For the end of a test: keeper, daemon and every agent of this instance."""
        try:
            for s in self.api("GET", "/sessions", timeout=10).json:
                if s["status"] in ("running", "paused"):
                    self.request("POST", f"/sessions/{s['session_id']}/stop", timeout=60)
            self.request("POST", "/shutdown", timeout=30)
        except (OSError, http.client.HTTPException, AssertionError, ValueError):
            pass
        deadline = time.monotonic() + 20
        while self.own_pids() and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in self.own_pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def own_pids(self):
        """Processes that carry this instance's database in their environment."""
        marker = f"AGENT_RUNTIME_DB={self.env['AGENT_RUNTIME_DB']}".encode()
        socket_marker = f"AGENTD_SOCKET={self.socket}".encode()
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                with open(f"/proc/{entry}/environ", "rb") as f:
                    environ = f.read().split(b"\0")
            except OSError:
                continue
            if (marker in environ or socket_marker in environ) and alive(int(entry)):
                found.append(int(entry))
        return found

    def kill_own(self):
        """SIGKILL for all of them, and again until none is left: the keeper starts another daemon and the daemon another
        keeper, and a process in the middle of an exec is not seen."""
        def gone():
            pids = self.own_pids()
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not pids and (self.process is None or self.process.poll() is not None)
        wait_for(gone, what="the end of all")

    # ---- talking ----

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = UnixConnection(self.socket, timeout)
        try:
            return self._exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    @property
    def port(self):
        return self.version()["port"]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def tcp(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            return self._exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    @staticmethod
    def _exchange(connection, method, path, body, headers):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode("utf-8", "surrogatepass")
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def api(self, method, path, body=None, headers=None, timeout=60, expect=None):
        """A request whose answer is checked against the schema; expect: the status it must have."""
        answer = self.request(method, path, body, headers, timeout)
        if self.schema is None:
            self.schema = schema.OpenApi(self.request("GET", "/openapi.json").json)
        self.schema.check(method, urllib.parse.urlsplit(path).path, answer)
        if expect is not None:
            assert answer.status == expect, f"{method} {path}: {answer!r}"
        return answer

    def cli(self, *args, timeout=60, env=None, input=None):
        return subprocess.run(
            [str(BUILD / "agentd"), *map(str, args)], env={**self.env, **(env or {})}, input=input,
            stdin=subprocess.DEVNULL if input is None else None, capture_output=True, text=True, timeout=timeout,
        )

    # ---- shorthands ----

    def create(self, name="test", **fields):
        body = {"name": name, "model": "test-model", **fields}
        return self.api("POST", "/sessions", body, expect=201).json

    def run(self, argv, name="agent", **fields):
        agent = {"exec": argv, **fields.pop("agent", {})}
        return self.create(name, agent=agent, start=True, **fields)

    def session(self, session_id):
        return self.api("GET", f"/sessions/{session_id}", expect=200).json

    def wait_session(self, session_id, claim, seconds=READY_SECONDS, what="session state"):
        def look():
            s = self.session(session_id)
            return s if claim(s) else None
        return wait_for(look, seconds, what)
