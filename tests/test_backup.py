# SPDX-License-Identifier: MIT
"""One file with everything, made while the daemon writes, and put in its place again."""
import hashlib
import json
import os
import random
import signal
import subprocess
import threading

import pytest

from lib.agentd import BUILD, wait_for


def backup(agentd, path, *options):
    made = agentd.cli("backup", path, *options, timeout=120)
    assert made.returncode == 0, made.stderr
    return made.stdout


def restore(agentd, path, *options):
    return agentd.cli("restore-backup", path, *options, timeout=120)


def members(path, folder):
    folder.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", path, "-C", folder], check=True, timeout=60)
    return json.loads((folder / "manifest.json").read_text())


def fill(agentd, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / "a.txt").write_text("first")
    s = agentd.create("kept", workspace=str(work), variables={"step": 1})["session_id"]
    big = random.Random(1).randbytes(3 << 20).hex()
    for content in "small", "y" * 9000, big:
        agentd.api("POST", f"/sessions/{s}/messages", {"role": "user", "content": content}, expect=201)
    checkpoint = agentd.api("POST", f"/sessions/{s}/checkpoints?label=one", expect=201).json["checkpoint_id"]
    agentd.api("POST", f"/sessions/{s}/memory", {"key": "k", "value": {"v": 1.0}}, expect=201)
    (work / "a.txt").write_text("second")
    return s, checkpoint, work, big


def test_everything_comes_back_from_one_file(agentd, make_agentd, tmp_path):
    s, checkpoint, work, big = fill(agentd, tmp_path)
    path = tmp_path / "b.tar.zst"
    said = backup(agentd, path, "--verify")
    assert "verified" in said and path.stat().st_mode & 0o777 == 0o600
    other = make_agentd("other", start=False)
    assert restore(other, path).returncode == 0
    other.start()
    messages = other.api("GET", f"/sessions/{s}/messages").json
    assert [m["content"] for m in messages] == ["small", "y" * 9000, big]
    assert other.session(s)["memory"] == {"step": 1}
    assert other.api("GET", f"/sessions/{s}/memory?key=k").json["value"] == {"v": 1.0}
    other.api("POST", f"/sessions/{s}/restore", {"checkpoint_id": checkpoint}, expect=200)
    assert (work / "a.txt").read_text() == "first"
    assert not [p.name for p in tmp_path.iterdir() if ".part" in p.name]


def test_any_tar_can_read_it_and_the_manifest_is_true(agentd, tmp_path):
    fill(agentd, tmp_path)
    path, folder = tmp_path / "b.tar.zst", tmp_path / "members"
    backup(agentd, path)
    manifest = members(path, folder)
    names = {f["path"] for f in manifest["files"]}
    assert {"state.db", "memory.db"} <= names
    assert any(n.startswith("bodies/") for n in names) and any(n.startswith("workspaces/") for n in names)
    for f in manifest["files"]:
        data = (folder / f["path"]).read_bytes()
        assert len(data) == f["size"] and hashlib.blake2b(data, digest_size=32).hexdigest() == f["blake2b"]


def test_a_backup_taken_while_it_writes_has_all_that_was_acknowledged(agentd, make_agentd, tmp_path):
    """Each writer writes state, then memory, then state: no later one may be there without the earlier."""
    ids = [agentd.create(f"w{n}")["session_id"] for n in range(3)]
    stop, done = threading.Event(), dict.fromkeys(ids, 0)

    def write(s):
        while not stop.is_set():
            n = done[s] + 1
            agentd.request("POST", f"/sessions/{s}/memory", {"key": s, "value": n})
            agentd.request("POST", f"/sessions/{s}/messages", {"role": "user", "content": f"{n} " + "z" * 5000})
            done[s] = n
    threads = [threading.Thread(target=write, args=(s,)) for s in ids]
    for t in threads:
        t.start()
    wait_for(lambda: min(done.values()) > 5, what="writes")
    backups = []
    for n in range(3):
        before = dict(done)
        backup(agentd, tmp_path / f"{n}.tar.zst")
        backups.append(before)
    stop.set()
    for t in threads:
        t.join()
    for n, before in enumerate(backups):
        other = make_agentd(f"o{n}", start=False)
        assert restore(other, tmp_path / f"{n}.tar.zst").returncode == 0
        other.start()
        for s in ids:
            count = other.session(s)["message_count"]
            value = other.api("GET", f"/sessions/{s}/memory?key={s}").json["value"]
            assert count >= before[s] and count <= value <= count + 1


def test_running_sessions_come_back_as_after_a_power_cut(agentd, make_agentd, tmp_path):
    s = agentd.run(["sleep", "1000"])["session_id"]
    agentd.wait_session(s, lambda x: x["substate"] == "active")
    pid = agentd.api("GET", f"/sessions/{s}/runs").json[-1]["pid"]
    backup(agentd, tmp_path / "b.tar.zst")
    other = make_agentd("other", start=False)
    assert restore(other, tmp_path / "b.tar.zst").returncode == 0
    other.start()
    first = wait_for(lambda: [r for r in other.api("GET", f"/sessions/{s}/runs").json if r["state"] == "ended"],
                     what="the old run's end")
    assert first[0]["pid"] != pid or first[0]["result"] == "lost"
    os.kill(pid, 0)  # it belongs to the first daemon and was left alone
    assert agentd.session(s)["substate"] == "active"


def test_a_backup_works_while_no_daemon_runs(agentd, make_agentd, tmp_path):
    s = agentd.create("still")["session_id"]
    agentd.stop()
    wait_for(lambda: not agentd.own_pids(), what="the end")
    backup(agentd, tmp_path / "b.tar.zst", "--verify")
    other = make_agentd("other", start=False)
    assert restore(other, tmp_path / "b.tar.zst").returncode == 0
    assert other.start().session(s)["name"] == "still"


def test_logs_come_along_when_asked_for(agentd, tmp_path):
    s = agentd.run(["echo", "said so"])["session_id"]
    agentd.wait_session(s, lambda x: x["status"] == "stopped")
    backup(agentd, tmp_path / "b.tar.zst", "--logs")
    backup(agentd, tmp_path / "c.tar.zst")
    members(tmp_path / "b.tar.zst", tmp_path / "b")
    members(tmp_path / "c.tar.zst", tmp_path / "c")
    assert any(b"said so" in p.read_bytes() for p in (tmp_path / "b/logs").rglob("*") if p.is_file())
    assert not (tmp_path / "c/logs").exists()


@pytest.mark.parametrize("damage", ["cut", "flip", "append", "text"])
def test_a_damaged_backup_changes_nothing(agentd, make_agentd, tmp_path, damage):
    agentd.create("x")
    path = tmp_path / "b.tar.zst"
    backup(agentd, path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[:-9]
    elif damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "append":
        data += bytes(data)
    else:
        data = b"not a backup\n" * 100
    path.write_bytes(data)
    other = make_agentd("other", start=False)
    refused = restore(other, path)
    assert refused.returncode == 1
    assert ("it is no backup" if damage == "text" else "damaged") in refused.stderr
    assert not [p.name for p in other.data.iterdir() if p.name != "state.db.lock"]
    assert agentd.cli("restore-backup", "--check", path).returncode == 1


def test_nothing_is_overwritten(agentd, make_agentd, tmp_path):
    agentd.create("first")
    path = tmp_path / "b.tar.zst"
    backup(agentd, path)
    again = agentd.cli("backup", path)
    assert again.returncode == 1 and "is there already: choose another name" in again.stderr
    running = restore(agentd, path, "--force")
    assert running.returncode == 1 and "stop it first" in running.stderr
    agentd.create("second")
    agentd.stop()
    wait_for(lambda: not agentd.own_pids(), what="the end")
    refused = restore(agentd, path)
    assert refused.returncode == 1 and "--force to move it away" in refused.stderr
    forced = restore(agentd, path, "--force")
    assert forced.returncode == 0 and "What was there is in" in forced.stdout
    old = next(p for p in agentd.folder.iterdir() if p.name.startswith("data.before-restore-"))
    assert (old / "state.db").exists()
    agentd.start()
    assert [s["name"] for s in agentd.api("GET", "/sessions").json] == ["first"]


def test_a_folder_that_is_not_there_is_the_reason(agentd, tmp_path):
    done = agentd.cli("backup", tmp_path / "nowhere" / "b.tar")
    assert done.returncode == 1 and "No such file or directory" in done.stderr, done


def test_a_killed_backup_leaves_no_file_of_that_name(agentd, tmp_path):
    s = agentd.create("big")["session_id"]
    for n in range(4):
        agentd.api("POST", f"/sessions/{s}/messages",
                   {"role": "user", "content": random.Random(n).randbytes(3 << 20).hex()}, expect=201)
    path = tmp_path / "b.tar.zst"
    process = subprocess.Popen([str(BUILD / "agentd"), "backup", str(path)], env=agentd.env,
                               stdout=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "b.tar.zst.part").exists() or process.poll() is not None, what="the part")
    process.send_signal(signal.SIGKILL)
    process.wait()
    if not path.exists():
        backup(agentd, path, "--verify")
    assert agentd.cli("restore-backup", "--check", path).returncode == 0
