# SPDX-License-Identifier: MIT
"""The container's image: built from docker/Dockerfile as Docker would, and run as Docker would run it.

The base is a bare Debian 12 made by mmdebstrap, the builder is buildah, and what is built runs under bubblewrap: no daemon
of Docker's is needed. AGENTD_IMAGE names the folder of an image's mounted root to run instead of building one.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest

from lib.agentd import alive, wait_for
from lib.box import Box, ids_of, needs_box

ROOT = pathlib.Path(__file__).resolve().parents[1]
GIVEN = os.environ.get("AGENTD_IMAGE")

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1800),
    *needs_box,
    pytest.mark.skipif(not GIVEN and not (shutil.which("buildah") and shutil.which("mmdebstrap")),
                       reason="needs buildah and mmdebstrap; see script/bootstrap --all"),
]


class Builder:
    """buildah with a storage of its own."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "root").mkdir()
        (folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def __call__(self, *argv, **options):
        done = subprocess.run(
            ["buildah", "--root", self.folder / "root", "--runroot", self.folder / "runroot", "--storage-driver", "vfs",
             *map(str, argv)], stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
        assert done.returncode == 0, f"buildah {argv[0]}:\n" + (done.stdout + done.stderr)[-6000:]
        return done.stdout.strip()

    def base(self):
        tree = self.folder / "base"
        made = subprocess.run([ROOT / "tools/fresh-debian", "--keep", tree, "--", "true"], capture_output=True, text=True)
        if made.returncode != 0:
            pytest.skip("no Debian archive can be reached: " + made.stderr[-500:])
        shutil.rmtree(tree / "usr/src/agentd")
        container = self("from", "scratch")
        self("add", "-q", container, tree, "/")
        self("commit", "-q", "--format", "docker", "--signature-policy", self.folder / "policy.json", "--rm", container,
             "localhost/agentd-base")
        shutil.rmtree(tree)
        return "localhost/agentd-base"

    def build(self):
        self("bud", "--isolation", "chroot", "--format", "docker", "--signature-policy", self.folder / "policy.json",
             "--build-arg", "BASE=" + self.base(), "-t", "localhost/agentd", "-f", "docker/Dockerfile", ".", cwd=ROOT)
        container = self("from", "--signature-policy", self.folder / "policy.json", "localhost/agentd")
        return pathlib.Path(self("mount", container))

    def destroy(self):
        self("umount", "-a")
        self("rm", "-a")
        self("rmi", "-a", "-f")
        shutil.rmtree(self.folder)


# What `docker build` writes into the image; for an image that was given it is read from the Dockerfile by hand.
WRITTEN = {"Env": ["HOME=/root", "AGENTD_USER=agentd", "AGENTD_FIRST_TOKEN=yes"], "Entrypoint": ["agentd"], "Cmd": ["start"],
           "Healthcheck": {"Test": ["CMD", "sh", "-c", "agentd status -q || exit 1"]}}


class Image:
    def __init__(self, root, config):
        self.root, self.config = root, config

    @property
    def command(self):
        return (*self.config["Entrypoint"], *self.config["Cmd"])

    @property
    def health_check(self):
        kind, *argv = self.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        return argv

    def box(self, folder, env=None, **options):
        variables = dict(v.split("=", 1) for v in self.config["Env"])
        return Box(folder, image=self.root, env={**variables, **(env or {})},
                   **{"command": self.command, **options})


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    if GIVEN:
        yield Image(pathlib.Path(GIVEN), WRITTEN)
        return
    builder = Builder(tmp_path_factory.mktemp("image"))
    try:
        root = builder.build()
        yield Image(root, json.loads(builder("inspect", "--type", "image", "localhost/agentd"))["Docker"]["config"])
    finally:
        builder.destroy()


@pytest.fixture
def make_box(image, tmp_path):
    made = []

    def make(start=True, **options):
        made.append(image.box(tmp_path / "box", **options))
        return made[-1].start() if start else made[-1]

    yield make
    for box in made:
        box.kill_everything()


def test_image_says_what_the_original_said(image):
    config = image.config
    assert config["Entrypoint"] == WRITTEN["Entrypoint"] and config["Cmd"] == WRITTEN["Cmd"]
    assert set(WRITTEN["Env"]) <= set(config["Env"])
    assert config["Healthcheck"]["Test"] == WRITTEN["Healthcheck"]["Test"]
    if not GIVEN:
        assert list(config["ExposedPorts"]) == ["8721/tcp"] and list(config["Volumes"]) == ["/root/.agent_runtime"]
        assert config["StopSignal"] == "SIGTERM"
        assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"


def test_image_is_small_and_complete(image):
    for name in ("gcc", "cc", "meson", "ninja", "python3", "git"):
        assert not (image.root / "usr/bin" / name).exists(), name
    assert not (image.root / "src").exists() and not any((image.root / "var/lib/apt/lists").iterdir())
    programs = [image.root / "usr/bin/agentd", *(image.root / "usr/libexec/agentd").iterdir()]
    assert len(programs) == 6
    for program in programs:
        said = subprocess.run(["chroot", image.root, "ldd", "/" + str(program.relative_to(image.root))], capture_output=True, text=True)
        assert said.returncode == 0 and "not found" not in said.stdout, said.stdout


@pytest.mark.parametrize("read_only", [False, True], ids=["writable", "read-only"])
def test_container_works_and_its_volume_goes_on(make_box, image, read_only):
    box = make_box(read_only=read_only)
    wait_for(lambda: len(re.findall("agd_[0-9a-f]{64}", box.said())) == 1, what="the token")
    session = box.run(["/bin/sh", "-c", "echo here $HOME $(id -u); exec sleep 1000"], name="agent")["session_id"]
    wait_for(lambda: "here /root 10001" in box.request("GET", f"/sessions/{session}/logs").body.decode(), what="the agent's line")
    for name in ("agentd-keeper", "agentd-daemon", "sleep"):
        assert ids_of(box.pid(name)) == ({"10001"}, {"10001"}, {"10001"}), name
    assert box.enter(*image.health_check).returncode == 0
    assert "agent" in box.enter("agentd", "list").stdout
    assert box.enter("agentd", "memory", "set", "k", "1").returncode == 0
    box.api("POST", f"/sessions/{session}/checkpoints", expect=201)

    daemon = box.pid("agentd-daemon")
    os.kill(daemon, signal.SIGKILL)
    wait_for(lambda: not alive(daemon), what="the daemon's death")
    box.wait_ready()
    assert box.session(session)["status"] == "running"

    assert box.terminate() == 0
    box.start()
    assert not re.search("agd_[0-9a-f]{64}", box.said())
    box.wait_session(session, lambda s: s["substate"] == "active")


def test_health_check_fails_where_nothing_runs(make_box, image):
    box = make_box(start=False, command=tuple(image.health_check))
    box.start(wait=False)
    assert box.wait_end() == 1
