# SPDX-License-Identifier: MIT
"""Deleting a session gives its space back, in small steps that nobody has to wait for."""
import json
import os
import signal
import sqlite3
import threading
import time

import pytest

from lib.agentd import UnixConnection, alive, wait_for


def append(agentd, session, n, text):
    connection = UnixConnection(agentd.socket, 60)
    body = json.dumps({"role": "user", "content": text})
    for _ in range(n):
        connection.request("POST", f"/sessions/{session}/messages", body=body, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201
    connection.close()


def fill(agentd, session, n, text="x" * 400, threads=8):
    workers = [threading.Thread(target=append, args=(agentd, session, n // threads, text)) for _ in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()


def ask(agentd, sql):
    db = sqlite3.connect(f"file:{agentd.data}/state.db?mode=ro", uri=True, timeout=30)
    try:
        return db.execute(sql).fetchone()[0]
    finally:
        db.close()


def swept(agentd):
    return ask(agentd, "SELECT COUNT(*) FROM dead_branches") == 0


def used_pages(agentd):
    return ask(agentd, "SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count")


def delete_and_watch(agentd, session, other):
    """Deletes a session and appends to another one meanwhile; returns the longest time of an append."""
    longest = 0
    agentd.api("DELETE", f"/sessions/{session}", expect=200)
    while not swept(agentd):
        begin = time.monotonic()
        append(agentd, other, 1, "meanwhile")
        longest = max(longest, time.monotonic() - begin)
    return longest


@pytest.mark.parametrize("n", [4000, pytest.param(100_000, marks=pytest.mark.long)])
def test_the_space_of_a_deleted_session_is_free_again(agentd, n):
    other = agentd.create("other")["session_id"]
    append(agentd, other, 10, "stays")
    before = used_pages(agentd)
    s = agentd.create("large")["session_id"]
    fill(agentd, s, n)
    full = used_pages(agentd)
    assert full - before > n * 400 // 4096
    longest = delete_and_watch(agentd, s, other)
    print(f"{n} messages: {full - before} pages; longest append meanwhile {longest * 1000:.0f} ms")
    # Events tell of each message and are kept for their own time.
    assert ask(agentd, f"SELECT COUNT(*) FROM nodes WHERE session = {int(s, 16)}") == 0
    assert used_pages(agentd) - before < (full - before) * 0.6
    assert len(agentd.api("GET", f"/sessions/{other}/messages?limit=10&after={'0' * 16}").json) == 10


@pytest.mark.sanitized
def test_a_daemon_that_dies_in_the_middle_goes_on_and_forks_keep_what_they_have(agentd):
    s = agentd.create("source")["session_id"]
    fill(agentd, s, 3000, "y" * 5000)
    half = agentd.api("GET", f"/sessions/{s}/messages?limit=1000&after={'0' * 16}").json[-1]["id"]
    fork = agentd.api("POST", f"/sessions/{s}/fork", {"node": half}, expect=201).json["session_id"]
    agentd.api("DELETE", f"/sessions/{s}", expect=200)
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()
    wait_for(lambda: ask(agentd, "SELECT COUNT(*) FROM nodes") == 1000, what="the end of the sweep")
    assert agentd.session(fork)["message_count"] == 1000
    assert all(m["content"] == "y" * 5000 for m in agentd.api("GET", f"/sessions/{fork}/messages").json)
    agentd.api("DELETE", f"/sessions/{fork}", expect=200)
    wait_for(lambda: all(ask(agentd, f"SELECT COUNT(*) FROM {t}") == 0 for t in (
        "nodes", "bodies", "vars", "configs", "branches", "dead_branches")), what="an empty database")
