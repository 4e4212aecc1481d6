# SPDX-License-Identifier: MIT
"""An agent for the torture test: appends numbered messages, keeps a variable, stores memory, takes
checkpoints, and prints numbered lines, as fast as it can, for ever. After each acknowledged step it notes what it
knows in files of its working folder (AGENTD_WORKSPACE or cwd), which survive its own death:

  alive.lock   held while it lives; a second copy that cannot get it writes `doubled`
  acked        lines "message N", "memory KEY VALUE", "checkpoint ID": appended only after the answer came
  lines.RUN    how many lines this run has surely written to stdout
"""
import fcntl
import http.client
import json
import os
import sys
import time
import urllib.parse

base = urllib.parse.urlsplit(os.environ["AGENTD_URL"])
token, session, run = (os.environ["AGENTD_" + n] for n in ("TOKEN", "SESSION_ID", "RUN"))
folder = os.environ.get("AGENTD_WORKSPACE") or os.getcwd()

lock = open(os.path.join(folder, "alive.lock"), "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    with open(os.path.join(folder, "doubled"), "a") as f:
        f.write(f"run {run} pid {os.getpid()} began while another lived\n")
    sys.exit(3)

acked = open(os.path.join(folder, "acked"), "ab", buffering=0)
counter = os.open(os.path.join(folder, f"lines.{run}"), os.O_CREAT | os.O_RDWR, 0o600)
n_lines = 0


def say(text):
    global n_lines
    data = f"{n_lines + 1} {text}\n".encode()
    while data:
        data = data[os.write(1, data):]
    n_lines += 1
    os.pwrite(counter, b"%020d" % n_lines, 0)


def once(method, path, body=None):
    connection = http.client.HTTPConnection(base.hostname, base.port, timeout=30)
    try:
        connection.request(method, path, body=None if body is None else json.dumps(body),
                           headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        if response.status >= 500:
            raise OSError(response.status)
        if response.status >= 400:
            say(f"refused {method} {path} {response.status} {data[:200]!r}")
            sys.exit(4)
        return json.loads(data) if data else None
    finally:
        connection.close()


def until(method, path, body=None):
    """For what may be repeated without harm."""
    while True:
        try:
            return once(method, path, body)
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(0.005)


def last_number():
    messages = until("GET", f"/sessions/{session}/messages?limit=1")
    return int(messages[-1]["content"].split()[1]) if messages else 0


def append(n):
    """Once and only once: when no answer came, look whether it arrived before trying again."""
    while True:
        try:
            once("POST", f"/sessions/{session}/messages", {"role": "assistant", "content": f"message {n}"})
            break
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(0.005)
            if last_number() >= n:
                break
    acked.write(b"message %d\n" % n)


n = last_number()
say(f"run {run} goes on behind {n}")
while True:
    n += 1
    append(n)
    say(f"message {n} " + "x" * (n % 97))
    until("PUT", f"/sessions/{session}/variables/place", n)
    acked.write(b"variable %d\n" % n)
    if n % 5 == 0:
        until("POST", f"/sessions/{session}/memory", {"key": f"{session}-{n % 50}", "value": n})
        acked.write(b"memory %s-%d %d\n" % (session.encode(), n % 50, n))
    if n % 7 == 0:
        done = until("POST", f"/sessions/{session}/checkpoints?label=at-{n}")
        acked.write(b"checkpoint %s %d\n" % (done["checkpoint_id"].encode(), n))
