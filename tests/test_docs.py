# SPDX-License-Identifier: MIT
"""Every command that README and docs show is run, page by page, as a reader would type it.

A page's blocks (```sh, and the lines behind `$ ` of ```console) become one bash script that ends at the first command that
fails. What a reader replaces (an id, a token, a port, a folder) is replaced here, and programs of others stand in for
themselves by a process that only waits. What cannot run on any machine is named in ELSEWHERE with the reason; an entry
that no page needs any more fails, and so does a block of another language that nobody decided about.
"""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from lib.agentd import BUILD

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
OTHER_LANGUAGES = {"json", "ini", "yaml", "dockerfile", "text", "http", "dot", "python", "prometheus"}

# Programs that an agent's command line may name: they are somebody else's, and only have to run.
STAND_INS = ("claude", "codex", "worker.py")

# What a reader replaces, or what must not be taken literally in a test.
REPLACED = [
    (r"READER_PAUSE=\d+", "READER_PAUSE=0.7"),
    (r"\bagd_…", "$TOKEN"),
    (r"^ID=….*$", "ID=$(newest_session)"),
    (r"\b(localhost|server):8721\b", "127.0.0.1:$PORT"),
    (r"(/tmp|\.)/library", "$WORK/library"),
    (r"/tmp/counting", "$WORK/counting"),
    (r"/home/me/", "$HOME/"),
]

# A command that begins so is not run here: (page or None for all, pattern, why).
ELSEWHERE = [
    (None, r"script/(server|test|demo|bench|bootstrap)\b", "run by test_fresh.py, or is this test run"),
    ("docs/docker.md", r"docker ", "the image is built and run without Docker by test_container.py"),
    ("docs/systemd-service.md", r"(sudo|systemctl|loginctl|meson|mkdir -p /etc/systemd|printf) ",
     "changes the machine; what is installed is looked at by test_install.py and test_service_manager.py"),
    ("docs/testing.md", r"AGENTD_BUILD=.* tests/soak.py", "run by test_soak.py"),
    ("docs/tutorial.md", r"export PATH=\$PWD/build", "the programs under test are in PATH"),
]

PRELUDE = r"""
set -eE -o pipefail
trap 'echo "FAILED: $BASH_COMMAND" >&2' ERR
PORT=$(command agentd version --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["port"])')
TOKEN=$(command agentd token create --scope write | grep -o 'agd_[A-Za-z0-9_-]*' | head -1)
newest_session() {
        command agentd list --all --json | python3 -c 'import json,sys; print(json.load(sys.stdin)[-1]["session_id"])'
}
# What an agent finds in its environment, of the session that is there.
AGENTD_SESSION_ID=reader
# What never ends is looked at for a moment, as with Ctrl-C.
agentd() {
        case " $* " in
        *" logs -f "* | *" events -f "* | " top ") timeout --signal=INT 1 agentd "$@" || [ $? = 124 ] || [ $? = 130 ] ;;
        *) command agentd "$@" ;;
        esac
}
# Only the daemon of this test.
pidof() { command agentd version --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["daemon_pid"])'; }
"""


def blocks(page):
    """(first line's number, language, lines) of each fenced block."""
    found, language, lines = [], None, []
    for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
        if not line.startswith("```"):
            if language is not None:
                lines.append(line)
        elif language is None:
            language, lines, begin = line[3:].strip(), [], number + 1
        else:
            found.append((begin, language, lines))
            language = None
    assert language is None, f"{page}: a block without an end"
    return found


def commands(page):
    """The page's commands as text for bash, in their order."""
    text = []
    for number, language, lines in blocks(page):
        if language == "console":
            text += [line[2:] for line in lines if line.startswith("$ ")]
        elif language in ("sh", "bash"):
            text += lines
        else:
            assert language in OTHER_LANGUAGES, f"{page}:{number}: nobody decided whether `{language}` blocks are run"
    return text


def is_elsewhere(page, line, used):
    for i, (only, pattern, _) in enumerate(ELSEWHERE):
        if only in (None, page) and re.match(pattern, line.strip()):
            used.add(i)
            return True
    return False


def script_of(page, used):
    lines = []
    for line in commands(page):
        if is_elsewhere(page, line, used):
            continue
        for pattern, by in REPLACED:
            line = re.sub(pattern, by.replace("\\", "\\\\"), line)
        lines.append(line)
    return "\n".join(lines)


def prepare(work, home):
    """A home, a clone's files that commands refer to, and stand-ins in PATH."""
    bin_ = work / "bin"
    bin_.mkdir()
    for name in ("agentd", "agentd-daemon"):
        (bin_ / name).symlink_to(BUILD / name)
    for name in STAND_INS:
        (bin_ / name).write_text("#!/bin/sh\nexec sleep 100000\n")
        (bin_ / name).chmod(0o755)
    clone = work / "clone"
    clone.mkdir()
    for name in ("docs", "examples"):
        shutil.copytree(ROOT / name, clone / name)
    (clone / "worker.py").write_text("import time\ntime.sleep(100000)\n")
    (home / "project").mkdir()
    (home / ".agent_runtime").symlink_to(home / "data")
    return bin_, clone


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if script_of(p, set()).strip()])
def test_every_command_of_the_page_works(agentd, page, tmp_path):
    bin_, clone = prepare(tmp_path, agentd.folder)
    if page not in ("README.md", "docs/tutorial.md"):
        # Pages that go on with what the tutorial made.
        shutil.copytree(ROOT / "docs", tmp_path / "library")
        for command in (("run", "--name", "reader", "--env", "READER_PAUSE=0.2", "--workspace", tmp_path / "library", "--",
                         "python3", ROOT / "examples" / "reader.py"), ("checkpoint", "reader", "--label", "halfway")):
            done = agentd.cli(*command)
            assert done.returncode == 0, done.stderr
    env = {**agentd.env, "PATH": f"{bin_}:{agentd.env['PATH']}", "WORK": str(tmp_path)}
    done = subprocess.run(["bash", "-c", PRELUDE + script_of(page, set())], cwd=clone, env=env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{page}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_what_is_run_elsewhere_is_still_shown_somewhere():
    used = set()
    for page in PAGES:
        script_of(page, used)
    assert used == set(range(len(ELSEWHERE))), [ELSEWHERE[i][1] for i in set(range(len(ELSEWHERE))) - used]


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert os.path.exists(ROOT / pathlib.Path(page).parent / target), f"{page}: {target}"
