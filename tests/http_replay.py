# SPDX-License-Identifier: MIT
"""Real requests, broken in every way that a seed gives, sent to a real daemon: every answer must be good HTTP and good JSON.

    AGENTD_BUILD=$PWD/build-asan /usr/bin/python3 tests/http_replay.py --seconds 600 [--seed N]

For each route there is a valid request (valid() below makes them from live ids). A case is one to four of them after
some mutations of bytes, header lines, JSON values, path and query, cut into pieces, pipelined, half-closed or cut off.
After each thousand everything that came into being is deleted, and the daemon must be the same process, healthy, with as
many descriptors and as much memory as before. Never among the requests: the shutdown, workspaces and commands; so no
mutation can name a folder or a program of this machine.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import re
import select
import socket
import sys
import tempfile
import time
import pathlib
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from lib import schema  # noqa: E402
from lib.agentd import Agentd, Answer, wait_for  # noqa: E402
from soak import status_of  # noqa: E402

ROUND, BATCH, CONNECTIONS = 1000, 40, 10
QUIET = 0.1  # an answer that does not end, a stream, is cut off after so many seconds without a byte
LEFT_OUT = {"shutdown"}
SERVER_ERRORS = {"busy", "store_busy", "too_many_connections", "not_ready", "tool_busy"}
FROM_THE_PARSER = {400, 413, 414, 431, 501, 505}  # libmicrohttpd's own page, for what is no HTTP at all
NASTY = [b"", b"0", b"-1", b"1e9", b"99999999999999999999", b"%00", b"%", b"%ff", b"..", b"null", b"\x00", b"\xff\xfe", b"\r\n",
         b"\n\n", b"a" * 5000, b"'\"", b"{}", b"[[[[", b"true", "ü".encode(), b"\xed\xa0\x80", b"0x10", b"+5", b" 5", b"5,5"]
VALUES = [None, True, -1, 0, 1 << 70, 1.5, "", "x" * 3000, "\u0000", "\ud800", [], {}, [[[]]], {"a": {"b": [1]}}, "ü" * 20]
HEADERS = [b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999", b"Transfer-Encoding: chunked",
           b"Transfer-Encoding: gzip, chunked", b"Host: evil.example", b"Host: ", b"Expect: 100-continue", b"Connection: close",
           b"Connection: upgrade", b"Upgrade: h2c", b"Authorization: Bearer x", b"Authorization: ", b"Accept: text/event-stream",
           b"Accept: application/x-ndjson", b"Last-Event-ID: 5", b"If-Match: \"1\"", b"If-Match: *", b"Origin: http://evil.example",
           b"X-Request-Id: " + b"r" * 300, b"Range: bytes=0-1", b"Content-Type: text/plain", b"Content-Encoding: gzip",
           b" folded", b"no colon", b": no name", b"A: \x01\x02", b"Cookie: a=b", b"Accept-Encoding: gzip"]
METHODS = [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"get", b"BREW"]


class Wrong(AssertionError):
    pass


# ---- valid requests ----

BODIES = {
    "createSession": {"name": "fuzz", "model": "m", "system_prompt": "p", "tools": ["a", "b"], "labels": {"k": "v"},
                      "variables": {"v": [1, 2.0, None]}},
    "updateSession": {"name": "renamed", "model": "n", "labels": {"k": "w"}},
    "resumeSession": {"checkpoint_id": "{cp}"},
    "killSession": {"signal": "SIGTERM"},
    "forkSession": {"checkpoint_id": "{cp}", "name": "fork"},
    "restoreSession": {"checkpoint_id": "{cp}"},
    "appendMessage": {"role": "user", "content": "hello", "tool_calls": [{"name": "t", "arguments": {"a": 1}, "result": "r"}]},
    "setVariable": {"any": ["value", 1.0]},
    "updateCheckpoint": {"label": "l", "pinned": True},
    "setMemory": {"key": "k", "value": {"a": 1}},
    "setNamespaceMemory": {"key": "k", "value": [1]},
    "createToken": {"name": "t", "scope": "read", "expires": "1h"},
}
QUERY_VALUES = {"integer": "3", "boolean": "true", "string": "x"}
QUERY_NAMES = {"messages": "2", "after": "0000000000000001", "before": "ffffffffffffffff", "since": "2020-01-01T00:00:00Z",
               "until": "2040-01-01T00:00:00Z", "stream": "stdout", "status": "stopped", "key": "k", "run": "{run}",
               "namespace": "default", "wait": "0", "limit": "3", "lines": "2", "branch": "main", "signal": "SIGTERM"}


class Requests:
    """From the OpenAPI document: what is valid, with ids that exist."""

    def __init__(self, document):
        self.rows = []
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if operation["operationId"] not in LEFT_OUT:
                    self.rows.append((method.upper(), path, operation))
        self.ids = {}

    def make(self, dice, row):
        method, path, operation = row
        query = []
        for p in operation.get("parameters", []):
            if p["in"] == "query" and (p.get("required") or dice.random() < 0.4):
                kind = p["schema"].get("type", "string")
                query.append(f"{p['name']}={QUERY_NAMES.get(p['name'], QUERY_VALUES.get(kind, 'x'))}")
        for name, value in self.ids.items():
            path = path.replace("{" + name + "}", value)
            query = [q.replace("{" + name + "}", value) for q in query]
        path = re.sub(r"\{\w+\}", "0000000000000001", path)
        body = BODIES.get(operation["operationId"])
        if body is not None:
            body = json.loads(json.dumps(body).replace("{cp}", self.ids["cp"]))
        return method, path + ("?" + "&".join(query) if query else ""), body


def clear(agentd):
    for path in ("/sessions", "/sessions?status=archived"):
        for s in agentd.request("GET", path).json:
            agentd.request("DELETE", f"/sessions/{s['session_id']}?force=1")
    for t in agentd.request("GET", "/tokens").json:
        agentd.request("DELETE", f"/tokens/{t['token_id']}")
    for key in agentd.request("GET", "/memory").json["keys"]:
        agentd.request("DELETE", "/memory?key=" + "".join(f"%{b:02x}" for b in key.encode("utf-8", "surrogatepass")))


def renew(agentd, requests):
    """One of each kind, unless they are there."""
    old = requests.ids
    if old and agentd.request("GET", f"/sessions/{old['id']}/checkpoints/{old['cp']}").status == 200:
        return
    s = agentd.run(["/bin/sleep", "1000"], name="fuzz", agent={"restart": "no", "timeout_stop_sec": "1s"})["session_id"]
    agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": "first"}, expect=201)
    agentd.api("PUT", f"/sessions/{s}/variables/v", 1, expect=200)
    cp = agentd.api("POST", f"/sessions/{s}/checkpoints", expect=201).json["checkpoint_id"]
    token = agentd.api("POST", "/tokens", {"name": "fuzz"}, expect=201).json["token_id"]
    run = wait_for(lambda: agentd.api("GET", f"/sessions/{s}/runs").json, what="a run")[0]["run_id"]
    requests.ids = {"id": s, "cp": cp, "run": run, "token": token, "name": "v"}


# ---- mutations ----

def mutate_json(dice, value):
    """Somewhere in the tree another value."""
    if isinstance(value, dict) and value and dice.random() < 0.8:
        key = dice.choice(list(value))
        if dice.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: mutate_json(dice, value[key])}
    if isinstance(value, list) and value and dice.random() < 0.5:
        i = dice.randrange(len(value))
        return value[:i] + [mutate_json(dice, value[i])] + value[i + 1:]
    return dice.choice(VALUES)


def mutate_bytes(dice, data):
    at = dice.randrange(len(data) + 1)
    end = min(len(data), at + dice.randrange(1, 12))
    return dice.choice([
        lambda: data[:at] + dice.choice(NASTY) + data[at:],
        lambda: data[:at] + data[end:],
        lambda: data[:at] + data[at:end] * dice.randrange(2, 50) + data[end:],
        lambda: data[:at] + bytes([dice.randrange(256)]) + data[at + 1:],
        lambda: data[:at] + bytes(dice.randrange(256) for _ in range(dice.randrange(1, 20))) + data[end:],
    ])()


def mutate_path(dice, path):
    parts = re.split(r"([/?&=])", path)
    i = dice.randrange(len(parts))
    parts[i] = dice.choice(NASTY).decode("latin-1")
    return "".join(parts)


def chunked(dice, body):
    out = b""
    while body:
        n = dice.randrange(1, len(body) + 1)
        out += f"{n:x}".encode() + dice.choice([b"", b"", b";x=y"]) + b"\r\n" + body[:n] + b"\r\n"
        body = body[n:]
    return out + b"0\r\n" + dice.choice([b"", b"", b"Trailer: x\r\n"]) + b"\r\n"


def serialize(dice, method, path, body):
    """Whether what goes out still is what the table describes is told as well."""
    lines = [b"Host: localhost"]
    data = b""
    if body is not None:
        data = json.dumps(body).encode()
        if dice.random() < 0.1:
            data = mutate_bytes(dice, data)
        lines.append(b"Content-Type: application/json")
        if dice.random() < 0.15:
            lines.append(b"Transfer-Encoding: chunked")
            data = chunked(dice, data)
        else:
            lines.append(f"Content-Length: {len(data)}".encode())
    head = method + b" " + path.encode("latin-1", "replace") + b" HTTP/1.1"
    is_plain = True
    while dice.random() < 0.35:
        is_plain = False
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(HEADERS))
    if dice.random() < 0.03:
        head, is_plain = head.replace(b"HTTP/1.1", dice.choice([b"HTTP/1.0", b"HTTP/2", b"", b"HTTP/1.1 x"])), False
    whole = b"\r\n".join([head, *lines, b"", b""]) + data
    while dice.random() < 0.15:
        whole, is_plain = mutate_bytes(dice, whole), False
    return whole, is_plain


def one(dice, requests):
    row = dice.choice(requests.rows)
    if row[0] == "DELETE" and dice.random() < 0.7:  # or else there would soon be nothing left to ask for
        row = dice.choice(requests.rows)
    method, path, body = requests.make(dice, row)
    if body is not None and dice.random() < 0.4:
        body = mutate_json(dice, body)
    method = method.encode()
    if dice.random() < 0.2:
        path = mutate_path(dice, path)
    if dice.random() < 0.05:
        method = dice.choice(METHODS)
    data, is_plain = serialize(dice, method, path, body)
    return method.decode(), path, data, is_plain and re.fullmatch("[!-~]+", path) is not None


def make_case(seed, number, requests):
    dice = random.Random(f"{seed}/{number}")
    parts = [one(dice, requests) for _ in range(dice.choice([1, 1, 1, 2, 4]))]
    data = b"".join(p[2] for p in parts)
    if dice.random() < 0.1:
        data = data[:dice.randrange(len(data) + 1)]
    cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice([0, 0, 0, 1, 3])))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])]
    how = dice.choices(["half-close", "read", "cut"], [60, 30, 10])[0]
    return parts, pieces, how


# ---- talking ----

def read_answers(s, is_enough):
    """Everything until the end, or until nothing comes any more. (bytes, ended by the daemon)"""
    data, until = b"", time.monotonic() + 20
    while not is_enough(data):
        if time.monotonic() > until and b"text/event-stream" in data:
            return data, False  # what happens meanwhile never ends
        if time.monotonic() > until:
            raise Wrong(f"neither silent nor at the end after 20 s: {data[-300:]!r}")
        if not select.select([s], [], [], QUIET)[0]:
            break
        try:
            piece = s.recv(65536)
        except ConnectionResetError:
            return data, True
        if not piece:
            return data, True
        data += piece
    return data, False


def parse_chunks(data):
    """(body, rest), or None if it is cut off."""
    body = b""
    while True:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            return None
        if not re.fullmatch(rb"[0-9a-fA-F]+(;.*)?", line):
            raise Wrong(f"a chunk begins with {line[:60]!r}")
        n = int(line.partition(b";")[0], 16)
        if len(rest) < n + 2:
            return None
        if rest[n:n + 2] != b"\r\n":
            raise Wrong(f"a chunk ends with {rest[n:n + 2]!r}")
        if n == 0:
            return body, rest[2:]
        body, data = body + rest[:n], rest[n + 2:]


def parse_answers(data, methods, ended):
    """The answers in it; what is cut off at the end of a stream is none."""
    has_head, methods = "HEAD" in methods, iter(methods)
    while data:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            if ended:
                raise Wrong(f"a head that does not end: {data[:200]!r}")
            return
        status, *lines = head.split(b"\r\n")
        match = re.fullmatch(rb"HTTP/1\.[01] (\d{3}) [ -~]*", status)
        if not match:
            raise Wrong(f"a status line {status[:200]!r}")
        headers = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                raise Wrong(f"a header line {line[:200]!r}")
            headers[name.decode().lower()] = value.strip().decode("latin-1")
        code = int(match[1])
        if code in FROM_THE_PARSER and "content-type" not in headers:
            yield None, Answer(code, headers, b"")
            return  # its page; of some errors it sends the head twice, and then hangs up
        if code == 100:
            data = rest
            continue
        method = next(methods, None)
        # Behind a mangled request an answer may be another one's: what follows says whether it has a body.
        is_next = b"HTTP/1.".startswith(rest[:7])
        if method == "HEAD" and not is_next:
            method = None
        elif has_head and method != "HEAD" and is_next and rest:
            method = "HEAD"
        if method == "HEAD" or code in (204, 304):
            body, data = b"", rest
        elif headers.get("transfer-encoding") == "chunked":
            parsed = parse_chunks(rest)
            if parsed is None:
                return
            body, data = parsed
        elif "content-length" in headers:
            n = int(headers["content-length"])
            if len(rest) < n:
                if ended:
                    raise Wrong(f"{len(rest)} of {n} bytes of a body: {data[:300]!r}")
                return
            body, data = rest[:n], rest[n:]
        else:
            body, data = rest, b""
        yield method, Answer(code, headers, body)


def check_answer(openapi, method, path, answer, is_plain):
    kind = answer.headers.get("content-type", "")
    coding = answer.headers.get("content-encoding")
    if method == "HEAD":
        coding = None  # of a body that is not sent
    if coding == "gzip":
        answer = Answer(answer.status, answer.headers, zlib.decompress(answer.body, 31))
    elif coding:
        return  # zstd: nothing here can read it
    if kind.startswith("application/json") and answer.body:
        try:
            words = json.loads(answer.body)
        except ValueError as error:
            raise Wrong(f"no JSON: {error}: {answer!r}") from None
        if answer.status >= 400 and not ("detail" in words and "code" in words):
            raise Wrong(f"an error without detail or code: {answer!r}")
        if answer.status >= 500 and words["code"] not in SERVER_ERRORS:
            raise Wrong(f"{answer!r}")
    elif answer.status >= 400 and (answer.body or is_plain) and method != "HEAD":
        raise Wrong(f"an error as {kind}: {answer!r}")
    if is_plain and method:
        try:
            openapi.check(method, path.partition("?")[0], answer)
        except AssertionError as error:
            raise Wrong(str(error)) from None


class Replay:
    def __init__(self, agentd, seed):
        self.agentd, self.seed = agentd, seed
        document = agentd.request("GET", "/openapi.json").json
        self.requests, self.openapi = Requests(document), schema.OpenApi(document)
        self.statuses = collections.Counter()
        self.n, self.memory = 0, []
        version = agentd.version()
        self.pid = version["daemon_pid"]
        self.base = None

    def send(self, pieces, how, methods):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        with s:
            s.connect(str(self.agentd.socket))
            try:
                for piece in pieces:
                    s.sendall(piece)
                if how == "cut":
                    return b"", False
                if how == "half-close":
                    s.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            wanted = len(methods) if how == "read" else 1 << 30
            return read_answers(s, lambda data: len(list(parse_answers(data, methods, False))) >= wanted)

    def case(self, number):
        try:
            self.try_case(number)
        except (Wrong, AssertionError) as error:
            parts = make_case(self.seed, number, self.requests)[0]
            raise Wrong(f"seed {self.seed}, case {number}, {[p[:2] for p in parts]}: {error}") from None

    def try_case(self, number):
        parts, pieces, how = make_case(self.seed, number, self.requests)
        methods = [p[0] for p in parts]
        data, ended = self.send(pieces, how, methods)
        for i, (method, answer) in enumerate(parse_answers(data, methods, ended)):
            self.statuses[answer.status] += 1
            # Behind a mangled request nobody knows which answer belongs to which.
            known = i < len(parts) and all(p[3] for p in parts[:i + 1]) and len(pieces) >= 1
            whole = sum(len(p) for p in pieces) >= sum(len(p[2]) for p in parts)
            check_answer(self.openapi, method, parts[i][1] if known else "", answer, known and whole)
        self.n += 1

    def check_daemon(self):
        """Everything is deleted and let go."""
        clear(self.agentd)
        renew(self.agentd, self.requests)
        if self.agentd.daemon_pid != self.pid:
            raise Wrong("the daemon died:\n" + self.agentd.log_text()[-4000:])
        base = self.base or 1 << 30
        now = wait_for(lambda: (lambda s: s if s["descriptors"] <= base + 2 else None)(status_of(self.pid)), 20,
                       f"{base} descriptors")
        self.base = self.base or now["descriptors"]
        self.memory.append(now["private"])

    def run(self, seconds):
        end = time.monotonic() + seconds
        self.check_daemon()
        with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as clients:
            for begin in range(0, 1 << 40, BATCH):
                for _ in clients.map(self.case, range(begin, begin + BATCH)):
                    pass
                if time.monotonic() > end:
                    break
                renew(self.agentd, self.requests)
                if (begin + BATCH) % ROUND == 0:
                    self.check_daemon()
        self.check_daemon()
        return {"seed": self.seed, "cases": self.n, "statuses": dict(sorted(self.statuses.items())),
                "private KiB": self.memory}




def replay(agentd, seconds, seed):
    result = Replay(agentd, seed).run(seconds)
    print(json.dumps(result), flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="agentd-replay-") as folder:
        agentd = Agentd(folder).start()
        try:
            replay(agentd, args.seconds, args.seed)
        finally:
            agentd.kill_everything()
        if agentd.complaints():
            sys.exit(agentd.complaints())


if __name__ == "__main__":
    main()
