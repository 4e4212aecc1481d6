# SPDX-License-Identifier: MIT
"""Recorded files: what is left out is said, what nobody refers to goes, a folder that is gone comes back."""
import os
import shutil
import signal

import pytest

from lib.agentd import alive, wait_for

pytestmark = pytest.mark.sanitized


def checkpoint(agentd, session, expect=201):
    return agentd.api("POST", f"/sessions/{session}/checkpoints?label=x", expect=expect).json


def recorded_bytes(agentd):
    total = 0
    for folder, _, names in os.walk(agentd.data / "workspaces"):
        for name in names:
            try:
                total += os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:
                pass
    return total


def fill(folder, n=40, size=20000):
    folder.mkdir(exist_ok=True)
    for i in range(n):
        (folder / f"f{i}").write_bytes(os.urandom(size))


def new(agentd, name):
    folder = agentd.folder / name
    fill(folder)
    s = agentd.create(name, workspace=str(folder))["session_id"]
    return s, folder, checkpoint(agentd, s)["checkpoint_id"]


def restore(agentd, session, cp, expect=200):
    return agentd.api("POST", f"/sessions/{session}/restore", {"checkpoint_id": cp}, expect=expect).json


def test_deleting_a_session_gives_back_the_space_of_its_files_and_of_no_other(make_agentd):
    agentd = make_agentd(env={"AGENTD_COLLECT_INTERVAL": "100ms"})
    kept, folder, cp = new(agentd, "kept")
    base = recorded_bytes(agentd)
    assert base > 40 * 20000
    gone, _, _ = new(agentd, "gone")
    assert recorded_bytes(agentd) > base + 40 * 20000
    agentd.api("DELETE", f"/sessions/{gone}", expect=200)
    wait_for(lambda: recorded_bytes(agentd) < base + 20000, what="the space of the deleted session's files")
    contents = {p.name: p.read_bytes() for p in folder.iterdir()}
    fill(folder)
    restore(agentd, kept, cp)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == contents


def test_deleting_a_checkpoint_gives_back_what_only_it_had_also_after_a_crash(make_agentd):
    agentd = make_agentd(env={"AGENTD_COLLECT_INTERVAL": "2s"})
    s, folder, first = new(agentd, "s")
    before = recorded_bytes(agentd)
    fill(folder)
    second = checkpoint(agentd, s)["checkpoint_id"]
    agentd.api("DELETE", f"/sessions/{s}/checkpoints/{first}", expect=200)
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)      # the mark was in memory only
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()
    wait_for(lambda: recorded_bytes(agentd) < before + 20000, what="the space of the first checkpoint's files")
    contents = {p.name: p.read_bytes() for p in folder.iterdir()}
    shutil.rmtree(folder)
    folder.mkdir()
    restore(agentd, s, second)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == contents


def test_what_a_checkpoint_left_out_is_in_its_answer_its_event_and_on_the_command_line(make_agentd):
    agentd = make_agentd(env={"AGENTD_WORKSPACE_FILE_MAX": "4096"})
    folder = agentd.folder / "w"
    folder.mkdir()
    (folder / "small").write_text("x")
    s = agentd.create("w", workspace=str(folder))["session_id"]
    whole = checkpoint(agentd, s)
    assert whole["files_skipped"] == 0 and whole["files_note"] is None
    (folder / "large").write_bytes(b"x" * 5000)
    os.mkfifo(folder / "pipe")
    cp = checkpoint(agentd, s)
    assert cp["files_skipped"] == 2 and "large (" in cp["files_note"] and "pipe (" in cp["files_note"]
    assert agentd.api("GET", f"/sessions/{s}/checkpoints").json[-1] == cp
    done = agentd.cli("checkpoint", "w")
    assert done.returncode == 0 and "2 not recorded: large (" in done.stderr and "was taken" in done.stdout
    events = agentd.cli("events", "w", "--json").stdout
    assert '"files_skipped":2' in events.replace(" ", "") and "large (" in events
    assert "large (" in agentd.log_text()


def test_why_files_could_not_be_recorded_is_in_the_answer_and_in_the_log(agentd):
    s, folder, _ = new(agentd, "s")
    shutil.rmtree(folder)
    answer = checkpoint(agentd, s, expect=503)
    assert answer["code"] == "workspace_failed"
    assert str(folder) in answer["detail"] and "No such file" in answer["detail"]
    assert str(folder) in agentd.log_text() and "No such file" in agentd.log_text()
    agentd.api("POST", f"/sessions/{s}/stop", expect=200)
    last = agentd.api("GET", f"/sessions/{s}/checkpoints").json[-1]
    assert last["kind"] == "stop" and last["workspace_tree"] is None and "No such file" in last["files_note"]


def test_a_folder_that_is_gone_is_made_again_by_a_restore(agentd):
    s, folder, cp = new(agentd, "s")
    contents = {p.name: p.read_bytes() for p in folder.iterdir()}
    shutil.rmtree(folder)
    restore(agentd, s, cp)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == contents
    before = agentd.api("GET", f"/sessions/{s}/checkpoints").json[-1]
    assert before["kind"] == "pre-restore" and before["workspace_tree"] is None and before["files_note"]


def test_a_folder_whose_parent_is_gone_too_is_not_made(agentd):
    parent = agentd.folder / "mount"
    parent.mkdir()
    s, folder, cp = new(agentd, "mount/w")
    shutil.rmtree(parent)
    assert restore(agentd, s, cp, expect=409)["code"] == "workspace_unusable"
    assert not parent.exists()
