# SPDX-License-Identifier: MIT
"""The first minutes of a new user: a bare Debian 12, a clone, script/server, and what it says to type next.

tools/fresh-debian makes the root and puts a clone of HEAD into it: what is not committed is not tested here.
"""
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a Debian root"),
    pytest.mark.skipif(not shutil.which("mmdebstrap") or not shutil.which("bwrap"),
                       reason="needs mmdebstrap and bubblewrap"),
]

# Runs in the bare root. Port 0, as the network is the machine's and 8721 may belong to somebody. The lines under
# "Try it" are run as they are printed, but for the one that follows a log until Ctrl-C and the one that stops.
FIRST_MINUTES = r"""
set -eu
script/server --port 0 >/tmp/said
cat /tmp/said
sed -n '/^Try it:$/,$ s/^  //p' /tmp/said | grep -v -e ' -f ' -e '^agentd stop ' >/tmp/try
. /tmp/try
n=0
until agentd messages reader | grep -q . ; do
        n=$((n + 1)); [ $n -lt 300 ] || { agentd status reader; agentd logs reader; exit 1; }
        sleep 0.1
done
echo "STATUS BEGINS"
agentd status reader
echo "STATUS ENDS"
script/server --port 0 >/tmp/again
grep -q 'running already' /tmp/again && echo "TWICE IS FINE"
agentd stop reader
agentd stop
! agentd list && echo "STOPPED"
for p in /proc/[0-9]*; do
        case $(readlink "$p/exe") in */agentd*) echo "LEFT: $(tr '\0' ' ' <"$p/cmdline")" ;; esac
done
"""


def test_script_server_takes_a_bare_debian_to_a_running_agent():
    done = subprocess.run([ROOT / "tools/fresh-debian", "--", "sh", "-c", FIRST_MINUTES],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert "Installing: " in done.stdout, said
    status = done.stdout.split("STATUS BEGINS\n")[1].split("STATUS ENDS\n")[0]
    assert "running" in status and "reader" in status, said
    assert "TWICE IS FINE" in done.stdout, said
    assert "STOPPED" in done.stdout, said
    assert "LEFT: " not in done.stdout, said
