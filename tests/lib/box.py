# SPDX-License-Identifier: MIT
"""agentd as process 1 of a pid namespace of its own, as in a container, under bubblewrap and as root.

The data folder is /root/.agent_runtime in there, and `data` of the Agentd out here: its unix socket can be reached from both
sides, so everything that Agentd can do works with a Box too. Process ids that the daemon tells are those of the namespace;
pids() gives ours.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from .agentd import BUILD, Agentd, alive, wait_for

# What Docker gives to a container.
CAPABILITIES = ("CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD "
                "AUDIT_WRITE SETFCAP").split()
VOLUME = "/root/.agent_runtime"

needs_box = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: what is tested is how root is left"),
    pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bubblewrap; see script/bootstrap --test"),
]


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":", 1) for line in text.splitlines())


def ids_of(pid):
    """uids, gids and further groups of a process, each once."""
    status = status_of(pid)
    return set(status["Uid"].split()), set(status["Gid"].split()), set(status["Groups"].split())


class Box(Agentd):
    """image: the folder of a root file system that has agentd installed; None: this machine's, with the programs of BUILD."""

    def __init__(self, folder, image=None, env=None, read_only=False, command=("agentd", "start"), **options):
        super().__init__(folder, **options)
        self.image, self.read_only, self.command = image, read_only, command
        self.inside = {"PATH": "/mnt:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                       "AGENTD_USER": "10001", "AGENT_RUNTIME_PORT": "0", **(env or {})}
        self.init = None

    def _arguments(self):
        if self.image:
            root = ["--ro-bind" if self.read_only else "--bind", str(self.image), "/"]
        else:
            root = ["--ro-bind", "/", "/", "--ro-bind", str(BUILD), "/mnt", "--perms", "0711", "--tmpfs", "/root"]
        given = [word for c in CAPABILITIES for word in ("--cap-add", "CAP_" + c)]
        variables = [word for k, v in self.inside.items() for word in ("--setenv", k, v)]
        return ["bwrap", *root, "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp",
                "--bind", str(self.data), VOLUME, "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "box",
                "--as-pid-1", "--die-with-parent", "--new-session", "--cap-drop", "ALL", *given, "--clearenv", *variables,
                "--chdir", "/"]

    def start(self, wait=True):
        self.stop_reading()
        ours, theirs = os.pipe()
        self.process = subprocess.Popen([*self._arguments(), "--info-fd", str(theirs), *self.command], pass_fds=[theirs],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(theirs)
        with open(ours) as f:
            self.init = json.load(f)["child-pid"]
        self.namespace = os.readlink(f"/proc/{self.init}/ns/pid_for_children")
        if wait:
            self.wait_ready()
        return self

    def stop_reading(self):
        """What the last life said is not what this one says."""
        self.said_before = len(self.log_text())

    def said(self):
        return self.log_text()[self.said_before:]

    def pids(self, name=None):
        """Living processes of the namespace, as this side numbers them; name: of that program only."""
        found = []
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") != self.namespace or not alive(int(entry)):
                    continue
                if name is None or pathlib.Path(f"/proc/{entry}/comm").read_text().strip() == name:
                    found.append(int(entry))
            except OSError:
                continue
        return found

    def pid(self, name):
        found = self.pids(name)
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def zombies(self):
        return [p for p in filter(str.isdigit, os.listdir("/proc")) if self._is_zombie(p)]

    def _is_zombie(self, pid):
        try:
            status = status_of(pid)
            return status["State"].split()[0] == "Z" and os.readlink(f"/proc/{pid}/ns/pid") == self.namespace
        except OSError:
            return False

    def enter(self, *argv, timeout=60):
        """As `docker exec`: root in the box, with its environment."""
        variables = [f"{k}={v}" for k, v in self.inside.items()]
        return subprocess.run(["nsenter", "-t", str(self.init), "-m", "-p", "-u", "-i", "-r", "-w", "env", "-i", *variables, *argv],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def terminate(self, seconds=60):
        """SIGTERM to process 1; its exit status once all have gone."""
        os.kill(self.init, signal.SIGTERM)
        return self.wait_end(seconds)

    def wait_end(self, seconds=60):
        code = self.process.wait(seconds)
        wait_for(lambda: not self.pids(), 10, "the end of the namespace")
        return code

    def destroy(self):
        """The container's sudden end."""
        os.kill(self.init, signal.SIGKILL)
        self.wait_end()

    def own_pids(self):
        return self.pids() if self.init else []

    def kill_everything(self):
        if self.process and self.process.poll() is None:
            self.destroy()
        self.log.close()
