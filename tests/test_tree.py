# SPDX-License-Identifier: MIT
"""`agentd tree`: branches, checkpoints, messages and forks as they hang together, on terminals of any width."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from lib.agentd import BUILD, Agentd

pytestmark = pytest.mark.sanitized
ID = re.compile(r"\b[0-9a-f]{16}\b")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    instance = Agentd(tmp_path_factory.mktemp("tree")).start()
    yield instance
    instance.kill_everything()
    assert not instance.complaints(), instance.complaints()


def append(agentd, session, n, text="m"):
    return [agentd.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": f"{text} {i}"}, expect=201)
            .json["id"] for i in range(n)]


def checkpoint(agentd, session, label):
    return agentd.api("POST", f"/sessions/{session}/checkpoints?label={label}", expect=201).json["checkpoint_id"]


def restore(agentd, session, **where):
    agentd.api("POST", f"/sessions/{session}/restore", where, expect=200)


def tree(agentd, *args):
    done = agentd.cli("tree", *args)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def masked(text):
    return re.sub(r"\d+(s|min) ago", "NOW", ID.sub("ID", text)).splitlines()


def on_terminal(agentd, columns, *args):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    done = subprocess.run([str(BUILD / "agentd"), "tree", *args], env=agentd.env, stdin=subprocess.DEVNULL, stdout=slave,
                          stderr=slave, timeout=60)
    os.close(slave)
    text = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0, text
    return text.replace("\r\n", "\n")


def test_a_straight_conversation_is_a_line_with_its_checkpoints(shared):
    s = shared.create("line")["session_id"]
    append(shared, s, 5)
    checkpoint(shared, s, "halfway")
    append(shared, s, 2)
    assert masked(tree(shared, "line")) == [
        "┌ line  ID",
        "│ … 5 messages …",
        "◆ ID  halfway  NOW",
        "· ID user  m 0",
        "· ID user  m 1",
        "● main  (current)  7 messages, began NOW",
    ]


def test_what_was_left_by_a_restore_stands_beside_the_current_line(shared):
    s = shared.create("twigs")["session_id"]
    append(shared, s, 10)
    cp = checkpoint(shared, s, "base")
    append(shared, s, 20, "old")
    restore(shared, s, checkpoint_id=cp)
    append(shared, s, 4, "new")
    assert masked(tree(shared, "twigs")) == [
        "┌ twigs  ID",
        "│ … 10 messages …",
        "◆ ID  base  NOW",
        "├─╮",
        "│ │ … 20 messages …",
        "│ ◆ ID  pre-restore  NOW",
        "│ ○ main  30 messages, began NOW",
        "│ … 4 messages …",
        "● restore-ID  (current)  14 messages, began NOW",
    ]


def test_a_branch_hangs_where_its_message_was_appended_whatever_branch_was_left_for_it(shared):
    s = shared.create("cross")["session_id"]
    nodes = append(shared, s, 10, "a")
    restore(shared, s, node=nodes[4])
    append(shared, s, 6, "b")
    restore(shared, s, node=nodes[8])     # on the first branch, left from the second
    append(shared, s, 5, "c")
    assert masked(tree(shared, "cross")) == [
        "┌ cross  ID",
        "│ … 5 messages …",
        "├─╮",
        "│ │ … 6 messages …",
        "│ ◆ ID  pre-restore  NOW",
        "│ ○ restore-ID  11 messages, began NOW",
        "│ … 4 messages …",
        "├─╮",
        "│ · ID user  a 9",
        "│ ◆ ID  pre-restore  NOW",
        "│ ○ main  10 messages, began NOW",
        "│ … 5 messages …",
        "● restore-ID  (current)  14 messages, began NOW",
    ]


def test_forks_are_shown_from_both_sides(shared):
    s = shared.create("source")["session_id"]
    append(shared, s, 6)
    cp = checkpoint(shared, s, "here")
    append(shared, s, 5)
    fork = shared.api("POST", f"/sessions/{s}/fork", {"checkpoint_id": cp, "name": "copy"}, expect=201).json["session_id"]
    append(shared, fork, 1, "own")
    listed, = shared.api("GET", f"/sessions/{s}/forks", expect=200).json
    assert (listed["session_id"], listed["name"], listed["origin_checkpoint"], listed["origin_message_count"]) == \
        (fork, "copy", cp, 6)
    text = tree(shared, "source")
    assert f"→ {fork}  copy" in text and text.index("here") < text.index(fork) < text.index("… 5 messages …")
    lines = masked(tree(shared, "copy"))
    assert lines == ["┌ copy  ID", "│ … 6 messages …", "← forked from ID  NOW", "· ID user  own 0",
                     "● main  (current)  7 messages, began NOW"]
    assert f"forked from {s}" in tree(shared, "copy")
    shared.api("DELETE", f"/sessions/{s}", expect=200)
    assert "forked from a deleted session" in tree(shared, "copy")
    assert shared.api("GET", f"/sessions/{fork}/forks", expect=200).json == []
    shared.api("GET", f"/sessions/{s}/forks", expect=404)


def test_a_long_stretch_is_one_line(shared):
    s = shared.create("long")["session_id"]
    for _ in range(1500):
        shared.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": "x"})
    assert masked(tree(shared, "long")) == ["┌ long  ID", "│ … 1500 messages …",
                                            "● main  (current)  1500 messages, began NOW"]


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_terminal(shared, columns):
    s = shared.create("wide " + "名" * 40)["session_id"]
    nodes = append(shared, s, 3, "text \x1b[31m that is long " * 5)
    for _ in range(12):
        restore(shared, s, node=nodes[0])
        append(shared, s, 1, "twig")
    text = on_terminal(shared, columns, s)
    assert "\x1b" not in text
    for line in text.splitlines():
        width = sum(2 if ord(c) > 0x2e80 else 1 for c in line)
        assert width <= columns or columns == 20, line
    assert text.count("○") == 12 and text.count("●") == 1


def test_json_is_what_the_daemon_says_and_an_unknown_session_is_exit_3(shared):
    s = shared.create("json")["session_id"]
    checkpoint(shared, s, "x")
    answer = json.loads(tree(shared, "json", "--json"))
    assert answer == {"branches": shared.api("GET", f"/sessions/{s}/branches").json,
                      "checkpoints": shared.api("GET", f"/sessions/{s}/checkpoints").json, "forks": []}
    assert shared.cli("tree", "nothing-of-that-name").returncode == 3
    assert shared.cli("tree").returncode == 2
