# SPDX-License-Identifier: MIT
"""What differs between two points of a session: the API's answer and what `agentd diff` makes of it."""
import os
import pty
import re
import subprocess

import pytest

from lib.agentd import BUILD, Agentd

pytestmark = pytest.mark.sanitized
UNKNOWN = "00000000deadbeef"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    instance = Agentd(tmp_path_factory.mktemp("diff")).start()
    yield instance
    instance.kill_everything()
    assert not instance.complaints(), instance.complaints()


def append(agentd, session, *texts):
    return [agentd.api("POST", f"/sessions/{session}/messages", {"role": "user", "content": t}, expect=201).json["id"]
            for t in texts]


def checkpoint(agentd, session, label="x"):
    return agentd.api("POST", f"/sessions/{session}/checkpoints?label={label}", expect=201).json["checkpoint_id"]


def restore(agentd, session, **where):
    agentd.api("POST", f"/sessions/{session}/restore", where, expect=200)


def put(agentd, session, name, value):
    agentd.api("PUT", f"/sessions/{session}/variables/{name}", value, expect=200)


def diff(agentd, session, query, status=200):
    return agentd.api("GET", f"/sessions/{session}/diff?{query}", expect=status).json


def items(answer):
    return [(i["change"], i["message"]["content"]) for i in answer["messages"]["items"]]


def forked_conversation(agentd):
    """Ten messages in common, three on the branch that was left, two on the current one."""
    s = agentd.create("branched")["session_id"]
    append(agentd, s, *(f"common {i}" for i in range(10)))
    cp = checkpoint(agentd, s, "fork-point")
    append(agentd, s, "old 0", "old 1", "old 2")
    old = agentd.session(s)["branch"]
    restore(agentd, s, checkpoint_id=cp)
    append(agentd, s, "new 0", "new 1")
    return s, cp, old


def workspace(agentd, name):
    folder = agentd.folder / name
    folder.mkdir()
    return folder


# ---- messages ----


def test_messages_of_only_one_of_two_branches_are_listed_and_counted(shared):
    s, cp, old = forked_conversation(shared)
    answer = diff(shared, s, f"from={old}&to=now")
    assert {k: answer["messages"][k] for k in ("common", "removed", "added")} == {"common": 10, "removed": 3, "added": 2}
    assert answer["messages"]["ancestor"] == shared.api("GET", f"/sessions/{s}/checkpoints/{cp}").json["node"]
    assert items(answer) == [("removed", "old 0"), ("removed", "old 1"), ("removed", "old 2"),
                             ("added", "new 0"), ("added", "new 1")]
    assert items(diff(shared, s, f"from=now&to={old}")) == [
        ("removed", "new 0"), ("removed", "new 1"), ("added", "old 0"), ("added", "old 1"), ("added", "old 2")]
    assert items(diff(shared, s, f"from={cp}")) == [("added", "new 0"), ("added", "new 1")]
    assert items(diff(shared, s, f"from=now&to={cp}")) == [("removed", "new 0"), ("removed", "new 1")]
    assert items(diff(shared, s, "from=now&to=now")) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6])
def test_pages_of_any_size_give_the_same_list_once(shared, limit):
    s, _, old = forked_conversation(shared)
    whole, found = items(diff(shared, s, f"from={old}&to=now")), []
    path = f"/sessions/{s}/diff?from={old}&to=now&limit={limit}"
    while path:
        answer = shared.api("GET", path, expect=200)
        assert len(answer.json["messages"]["items"]) <= limit
        found += items(answer.json)
        link = re.fullmatch(r'<(.*)>; rel="next"', answer.headers.get("link", ""))
        path = link and link.group(1)
    assert found == whole


def test_a_message_is_a_point_and_from_nothing_everything_is_added(shared):
    s = shared.create("m")["session_id"]
    empty = checkpoint(shared, s)
    nodes = append(shared, s, "a", "b", "c")
    assert items(diff(shared, s, f"from={nodes[0]}&to={nodes[2]}")) == [("added", "b"), ("added", "c")]
    answer = diff(shared, s, f"from={empty}")
    assert items(answer) == [("added", "a"), ("added", "b"), ("added", "c")]
    assert answer["messages"]["ancestor"] is None and answer["messages"]["common"] == 0


def test_points_of_other_sessions_and_nonsense_are_404_and_name_what_was_asked(shared):
    s, other = shared.create("s")["session_id"], shared.create("other")["session_id"]
    node, = append(shared, other, "x")
    cp, branch = checkpoint(shared, other), shared.session(other)["branch"]
    for point in (node, cp, branch, UNKNOWN, "0" * 16, "zzz", "NOW"):
        for query in (f"from={point}", f"from=now&to={point}"):
            answer = diff(shared, s, query, 404)
            assert answer["code"] == "point_not_found" and point in answer["detail"] and s in answer["detail"]
    diff(shared, UNKNOWN, "from=now", 404)
    assert diff(shared, s, "", 422)["detail"][0]["loc"] == ["query", "from"]


def test_a_cursor_that_is_not_in_the_list_is_refused(shared):
    s, cp, old = forked_conversation(shared)
    common = shared.api("GET", f"/sessions/{s}/checkpoints/{cp}").json["node"]
    for after in (common, UNKNOWN):
        assert diff(shared, s, f"from={old}&after={after}", 404)["code"] == "message_not_found"


# ---- variables and configuration ----


def test_variables_come_with_both_values_as_they_were_written(shared):
    s = shared.create("v", variables={"kept": 1, "gone": [1, 2], "changed": "old"})["session_id"]
    cp = checkpoint(shared, s)
    put(shared, s, "changed", "1.0")
    put(shared, s, "new", '{"a": 1e2}')
    shared.api("DELETE", f"/sessions/{s}/variables/gone", expect=200)
    raw = shared.api("GET", f"/sessions/{s}/diff?from={cp}").body
    assert b'"changed":{"from":"old","to":1.0}' in raw and b'{"a": 1e2}' in raw
    v = diff(shared, s, f"from={cp}")["variables"]
    assert v == {"added": {"new": {"a": 100.0}}, "removed": {"gone": [1, 2]}, "changed": {"changed": {"from": "old", "to": 1.0}}}


def test_configuration_shows_only_what_changed(shared):
    s = shared.create("c", system_prompt="p", tools=["t"])["session_id"]
    cp = checkpoint(shared, s)
    assert diff(shared, s, f"from={cp}")["configuration"] == {}
    shared.api("PATCH", f"/sessions/{s}", {"model": "m2", "tools": ["t", "u"]}, expect=200)
    assert diff(shared, s, f"from={cp}")["configuration"] == {
        "model": {"from": "test-model", "to": "m2"}, "tools": {"from": ["t"], "to": ["t", "u"]}}


# ---- files ----


def test_files_of_now_are_those_of_the_folder_with_sizes_and_patches(shared):
    folder = workspace(shared, "w1")
    for name, text in (("kept", "k"), ("gone", "12345"), ("changed", "one\ntwo\n"), ("binary", "a\0b")):
        (folder / name).write_text(text)
    s = shared.create("w", workspace=str(folder))["session_id"]
    cp = checkpoint(shared, s)
    (folder / "gone").unlink()
    (folder / "changed").write_text("one\n2\n")
    (folder / "binary").write_bytes(b"\0\1")
    (folder / "sub").mkdir()
    (folder / "sub" / "new").write_text("x" * 10)
    files = diff(shared, s, f"from={cp}&patch=1")["files"]
    assert files["compared"] and (files["added"], files["removed"], files["modified"]) == (1, 1, 2)
    by = {f["path"]: f for f in files["items"]}
    assert by["gone"]["change"] == "removed" and by["gone"]["from_size"] == 5 and by["gone"]["to_size"] is None
    assert by["sub/new"]["change"] == "added" and by["sub/new"]["to_size"] == 10
    assert "-two\n+2\n" in by["changed"]["patch"] and by["binary"]["patch"] is None
    assert all(f["patch"] is None for f in diff(shared, s, f"from={cp}")["files"]["items"])
    assert diff(shared, s, f"from={cp}&to={cp}")["files"]["items"] == []


def test_files_come_in_parts(shared):
    folder = workspace(shared, "w2")
    s = shared.create("w2", workspace=str(folder))["session_id"]
    cp = checkpoint(shared, s)
    for i in range(25):
        (folder / f"f{i:02}").write_text("x")
    skip, found = 0, []
    while skip is not None:
        files = diff(shared, s, f"from={cp}&limit=10&files_skip={skip}")["files"]
        assert files["added"] == 25
        found += [f["path"] for f in files["items"]]
        skip = files["next_skip"]
    assert found == [f"f{i:02}" for i in range(25)]


def test_without_recorded_files_the_rest_is_compared_and_the_reason_given(shared):
    s = shared.create("plain")["session_id"]
    cp = checkpoint(shared, s)
    append(shared, s, "x")
    answer = diff(shared, s, f"from={cp}")
    assert items(answer) == [("added", "x")]
    assert answer["files"]["compared"] is False and "no workspace" in answer["files"]["reason"]
    folder = workspace(shared, "w3")
    t = shared.create("missing", workspace=str(folder))["session_id"]
    cp = checkpoint(shared, t)
    folder.rmdir()
    assert "No such file" in diff(shared, t, f"from={cp}")["files"]["reason"]


def test_an_agent_may_compare_its_own_session_only(shared):
    other = shared.create("other")["session_id"]
    script = ('for s in $AGENTD_SESSION_ID ' + other + '; do curl -s -o /dev/null -w "%{http_code}\\n" '
              '--unix-socket "$AGENTD_SOCKET" -H "Authorization: Bearer $AGENTD_TOKEN" '
              '"http://localhost/sessions/$s/diff?from=now"; done')
    if subprocess.run(["sh", "-c", "command -v curl"], capture_output=True).returncode != 0:
        pytest.skip("needs curl")
    s = shared.run(["/bin/sh", "-c", script], agent={"restart": "no"})["session_id"]
    shared.wait_session(s, lambda x: x["status"] == "stopped")
    assert shared.request("GET", f"/sessions/{s}/logs").body == b"200\n404\n"


# ---- the command line ----


def cli(agentd, *args, status=0, **more):
    done = agentd.cli("diff", *args, **more)
    assert done.returncode == status, done
    return done.stdout if status == 0 else done.stderr


def test_cli_takes_labels_begins_of_ids_branch_names_and_now(shared):
    folder = workspace(shared, "w4")
    (folder / "notes.txt").write_text("one\n")
    s = shared.create("cli-diff", workspace=str(folder), variables={"n": 1})["session_id"]
    append(shared, s, "first")
    cp = checkpoint(shared, s, "halfway")
    append(shared, s, "second\nline")
    put(shared, s, "n", "2")
    (folder / "notes.txt").write_text("two\n")
    text = cli(shared, "cli-diff", "halfway")
    for line in ("messages: 0 removed, 1 added, 1 in both", "+     second", "+     line", "- n = 1", "+ n = 2",
                 "--- a/notes.txt", "-one", "+two"):
        assert line in text.splitlines(), text
    assert text == cli(shared, s, cp, "now") == cli(shared, "cli-diff", cp[:15])
    stat = cli(shared, "cli-diff", "halfway", "--stat")
    assert "M notes.txt  (4B -> 4B)" in stat and "second" not in stat
    assert cli(shared, "cli-diff", "halfway", "--json").startswith('{"session_id"')
    main = shared.api("GET", f"/sessions/{s}/branches").json[0]["name"]
    assert "now -> now" in cli(shared, "cli-diff", main)


def test_cli_is_coloured_on_a_terminal(shared):
    s = shared.create("cli-colour")["session_id"]
    cp = checkpoint(shared, s)
    append(shared, s, "hello \x1b]0;title\x07")
    master, slave = pty.openpty()
    env = {k: v for k, v in shared.env.items() if k != "NO_COLOR"}
    done = subprocess.run([str(BUILD / "agentd"), "diff", "cli-colour", cp], env=env, stdout=slave, stderr=slave,
                          stdin=subprocess.DEVNULL, timeout=60)
    os.close(slave)
    text = os.read(master, 65536).decode()
    os.close(master)
    assert done.returncode == 0
    assert "\x1b[32m+     hello \\x1b]0;title\\x07\x1b[0m" in text


def test_cli_says_what_is_ambiguous_or_missing(shared):
    s = shared.create("cli-twice")["session_id"]
    first, second = checkpoint(shared, s, "same"), checkpoint(shared, s, "same")
    said = cli(shared, "cli-twice", "same", status=2)
    assert first in said and second in said
    said = cli(shared, "cli-twice", "nothing", status=3)
    assert "nothing" in said and "agentd tree cli-twice" in said
    assert UNKNOWN in cli(shared, "cli-twice", UNKNOWN, status=3)


def test_cli_shows_long_differences_whole(shared):
    s = shared.create("cli-long")["session_id"]
    cp = checkpoint(shared, s)
    append(shared, s, *(f"message {i}" for i in range(1100)))
    lines = cli(shared, "cli-long", cp).splitlines()
    assert [line for line in lines if "message " in line and line.startswith("+   ")] == \
        [f"+     message {i}" for i in range(1100)]
