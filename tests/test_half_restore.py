# SPDX-License-Identifier: MIT
"""A disk that fails in the middle of a restore, and while what it changed is put back: the session says so, no agent
begins in the half-restored folder, and when the disk is back the files are what they were. What is over is not done
again: a note of a restore that could not be removed, the files of a fork that was refused."""
import errno
import os
import signal

import pytest

from lib import disk as calls
from lib.agentd import alive, wait_for
from lib.disk import disk, library  # noqa: F401 (fixtures)

CHANGES = calls.WRITE | calls.OPEN | calls.RENAME | calls.UNLINK | calls.MKDIR


@pytest.fixture
def agentd(make_agentd, disk):
    yield make_agentd(env=disk.env)
    disk.heal()


class Work:
    """A session with files, a checkpoint of them, and other files since."""

    def __init__(self, agentd, folder, **fields):
        self.agentd, self.folder = agentd, folder
        folder.mkdir()
        self.old = {f"f{i}": f"old {i}\n" * 50 for i in range(6)}
        self.write(self.old)
        self.s = agentd.create("s", workspace=str(folder), **fields)["session_id"]
        self.path = f"/sessions/{self.s}"
        agentd.api("POST", f"{self.path}/messages", {"role": "user", "content": "first"}, expect=201)
        self.cp = agentd.api("POST", f"{self.path}/checkpoints", expect=201).json["checkpoint_id"]
        agentd.api("POST", f"{self.path}/messages", {"role": "user", "content": "second"}, expect=201)
        self.new = {f"f{i}": f"new {i}\n" * 50 for i in range(3, 9)}
        for name in self.old:
            (folder / name).unlink()
        self.write(self.new)

    def write(self, files):
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def files(self):
        """But what is being written under another name."""
        return {p.name: p.read_text() for p in self.folder.iterdir() if not p.name.startswith(".")}

    def restore(self):
        return self.agentd.api("POST", f"{self.path}/restore", {"checkpoint_id": self.cp})

    def messages(self):
        return [m["content"] for m in self.agentd.api("GET", f"{self.path}/messages", expect=200).json]


def notes(agentd):
    return list((agentd.data / "workspaces").glob("restore-*"))


def killed(agentd):
    old = agentd.daemon_pid
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not alive(old), what="the daemon's death")
    agentd.wait_ready()


def half_restored(agentd, disk, work):
    disk.rule.set(f"{work.folder}/*", CHANGES, error=errno.EIO, first=5)
    answer = work.restore()
    assert answer.status == 503, answer
    assert work.files() not in (work.old, work.new), "the disk was to fail in the middle"
    assert work.messages() == ["first", "second"]


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
def test_half_restored_files_are_said_and_put_back_when_the_disk_is_back(agentd, disk, tmp_path, dies):
    work = Work(agentd, tmp_path / "work", agent={"exec": ["/bin/sleep", "1000"]})
    half_restored(agentd, disk, work)
    assert "could not be put back" in agentd.session(work.s)["reason"]
    if dies:
        killed(agentd)
    answer = agentd.api("POST", f"{work.path}/start")
    assert answer.status == 503 and answer.json["code"] == "workspace_unfinished", answer
    assert "disk" in answer.json["hint"], answer
    agentd.api("POST", f"{work.path}/messages", {"role": "user", "content": "third"}, expect=201)
    disk.rule.off()
    wait_for(lambda: work.files() == work.new, 20, "the files of before")
    wait_for(lambda: agentd.api("POST", f"{work.path}/start").status == 200, 20, "a start")
    assert work.messages() == ["first", "second", "third"]
    assert not agentd.session(work.s)["reason"]
    agentd.api("POST", f"{work.path}/stop", expect=200)
    killed(agentd)
    assert work.files() == work.new and not notes(agentd)


def test_another_restore_takes_the_place_of_half_restored_files(agentd, disk, tmp_path):
    work = Work(agentd, tmp_path / "work")
    half_restored(agentd, disk, work)
    disk.rule.off()
    assert work.restore().status == 200
    assert work.files() == work.old
    (work.folder / "f0").write_text("since then")
    killed(agentd)
    agentd.api("POST", f"{work.path}/start", expect=200)
    assert work.files() == {**work.old, "f0": "since then"}


def test_half_restored_files_do_not_keep_a_session_from_being_deleted(agentd, disk, tmp_path):
    work = Work(agentd, tmp_path / "work")
    half_restored(agentd, disk, work)
    agentd.api("DELETE", work.path, expect=200)
    disk.rule.off()
    now = work.files()
    killed(agentd)
    assert work.files() == now, "nobody's files were written over"


def test_the_note_of_a_restore_that_is_over_is_not_followed(agentd, disk, tmp_path):
    work = Work(agentd, tmp_path / "work")
    disk.rule.set(f"{agentd.data}/workspaces/restore-*", calls.UNLINK, error=errno.EIO)
    assert work.restore().status == 200
    assert work.files() == work.old and notes(agentd)
    disk.rule.off()
    (work.folder / "f1").write_text("work of hours")
    killed(agentd)
    assert work.files() == {**work.old, "f1": "work of hours"}
    assert not notes(agentd)


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
def test_a_fork_keeps_its_files_and_a_refused_one_leaves_none(agentd, disk, tmp_path, dies):
    work = Work(agentd, tmp_path / "work")
    body = {"checkpoint_id": work.cp, "workspace": str(tmp_path / "fork")}
    disk.fail("write", errno.EIO)
    assert agentd.api("POST", f"{work.path}/fork", body).status == 503
    disk.heal()
    wait_for(lambda: not list((tmp_path / "fork").glob("*")), what="an empty folder")
    assert agentd.api("POST", f"{work.path}/fork", body).status == 201
    copy = {p.name: p.read_text() for p in (tmp_path / "fork").iterdir()}
    assert copy == work.old
    (tmp_path / "fork" / "f0").write_text("of the fork")
    if dies:
        killed(agentd)
    assert (tmp_path / "fork" / "f0").read_text() == "of the fork"
    wait_for(lambda: not notes(agentd), what="its note is removed")


def test_the_note_of_a_fork_that_was_made_is_not_followed(agentd, disk, tmp_path):
    work = Work(agentd, tmp_path / "work")
    disk.rule.set(f"{agentd.data}/workspaces/restore-*", calls.UNLINK, error=errno.EIO)
    agentd.api("POST", f"{work.path}/fork", {"checkpoint_id": work.cp, "workspace": str(tmp_path / "fork")}, expect=201)
    assert notes(agentd)
    disk.rule.off()
    killed(agentd)
    assert {p.name: p.read_text() for p in (tmp_path / "fork").iterdir()} == work.old
    assert not notes(agentd)
