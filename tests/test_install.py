# SPDX-License-Identifier: MIT
"""`meson install`: what is installed runs by itself, is what systemd can read, and can be taken away again."""
import os
import pathlib
import shutil
import subprocess

import pytest

from lib.agentd import BUILD, Agentd, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNITS = ["lib/systemd/system/agentd.service", "lib/systemd/user/agentd.service", "lib/sysusers.d/agentd.conf",
         "lib/tmpfiles.d/agentd.conf"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """DESTDIR, and the prefix in it."""
    root = tmp_path_factory.mktemp("root")
    done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root, root / "usr/local"


class Installed(Agentd):
    def __init__(self, folder, program):
        super().__init__(folder)
        self.program = program

    def start(self, wait=True):
        self.process = subprocess.Popen([self.program, "start"], cwd="/", env=self.env, stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.wait_ready()
        return self


def mapped(pid):
    lines = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {line.split(maxsplit=5)[5] for line in lines if "/" in line}


def test_installed_programs_need_nothing_of_the_source_tree(installed, tmp_path):
    root, prefix = installed
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "file").write_text("x")
    agentd = Installed(tmp_path / "a", prefix / "bin/agentd")
    try:
        agentd.start()
        session = agentd.run(["/bin/sh", "-c", "exec sleep 1000"], workspace=str(workspace))["session_id"]
        agentd.wait_session(session, lambda s: s["substate"] == "active")
        agentd.api("POST", f"/sessions/{session}/checkpoints", expect=201)
        for pid in (agentd.daemon_pid, agentd.keeper_pid):
            assert os.readlink(f"/proc/{pid}/exe").startswith(str(prefix / "libexec/agentd/")), pid
            foreign = [f for f in mapped(pid) if f.startswith((str(BUILD), str(ROOT)))]
            assert not foreign, foreign
        assert any(f.endswith("libexec/agentd/agentd-workspace.so") for f in mapped(agentd.daemon_pid))
        # libcurl comes with the first request to another server only
        assert not any("libcurl" in f for f in mapped(agentd.daemon_pid))
        assert (prefix / "libexec/agentd/agentd-fetch.so").is_file()
    finally:
        agentd.kill_everything()
    assert not agentd.complaints()


def test_units_are_installed_and_name_the_installed_program(installed):
    _, prefix = installed
    for unit in UNITS:
        assert (prefix / unit).is_file(), unit
    for unit in UNITS[:2]:
        text = (prefix / unit).read_text()
        assert "ExecStart=/usr/local/bin/agentd start\n" in text
        assert "@" not in text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("whose", ["system", "user"])
def test_systemd_has_nothing_to_complain_of(installed, whose):
    _, prefix = installed
    # Verified against this machine's units; the program must be there, so its path is that of DESTDIR.
    unit = prefix / f"lib/systemd/{whose}/agentd.service"
    copy = prefix / f"verify-{whose}" / "agentd.service"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(unit.read_text().replace("/usr/local/bin", str(prefix / "bin")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", f"--{whose}", copy], capture_output=True, text=True,
                          env={**os.environ, "XDG_RUNTIME_DIR": str(prefix)})
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if "agentd" in line]
    assert done.returncode == 0 and not complaints, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd-sysusers")
def test_sysusers_makes_the_services_user(installed, tmp_path):
    _, prefix = installed
    (tmp_path / "etc").mkdir()
    done = subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(prefix / "lib/sysusers.d/agentd.conf")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entry, = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("agentd:")]
    assert entry.split(":")[5] == "/var/lib/agentd"


@pytest.mark.skipif(not shutil.which("systemd-tmpfiles") or os.geteuid() != 0, reason="needs systemd-tmpfiles and root")
def test_root_finds_the_service_by_its_configuration_file(installed, tmp_path):
    _, prefix = installed
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    command = ["systemd-tmpfiles", "--create", f"--root={tmp_path}", str(prefix / "lib/tmpfiles.d/agentd.conf")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file = tmp_path / "etc/agentd/agentd.conf"
    said = subprocess.run([prefix / "bin/agentd", "config", "--json", "--config", file], capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert said.returncode == 0, said.stderr
    for text in ("/var/lib/agentd/state.db", "/run/agentd", f"{file}:3"):
        assert text in said.stdout, said.stdout
    # What somebody wrote into it stays.
    file.write_text("[Daemon]\nPort=1\n")
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert file.read_text() == "[Daemon]\nPort=1\n"


def test_uninstall_takes_everything_away(tmp_path_factory):
    root = tmp_path_factory.mktemp("gone")
    for command in (["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root], ["ninja", "-C", BUILD, "uninstall"]):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    left = [str(p) for p in root.rglob("*") if not p.is_dir()]
    assert not left, left
