#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/configuration.md from src/contract/config-table.c. --check: fails if the file is not what it would be."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[1]
text = (root / "src/contract/config-table.c").read_text()
rows = []
for body in re.findall(r"^        KEY\((.*?)\),\n", text[text.index("config_table[]"):], re.S | re.M):
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"|(\bNULL\b)|(CONFIG_\w+)', body)
    section, name, env, option, kind, fallback = [s[0] or s[2] for s in strings[:6]]
    doc = re.search(r'\.doc = ((?:\s*"(?:[^"\\]|\\.)*")+)', body)
    doc = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', doc[1])).replace("|", "\\|") if doc else ""
    rows.append(f"| `{env}` | {f'`{option}`' if option else ''} | {f'`{fallback}`' if fallback else ''} | {doc} |")

page = """# Configuration

Each value has an environment variable; some have an option of `agentd start` too, which wins. Times are spans such as `90s`,
`5min`, `2h` or plain seconds; sizes take `K`, `M`, `G`. A wrong value is refused at the start with a message that names it.

| variable | option | default | |
|---|---|---|---|
""" + "\n".join(rows) + """

The command line finds the daemon by the same variables: with `AGENT_RUNTIME_DB` (or `AGENTD_RUNTIME_DIR`) set for the daemon, set it
for the client too. `AGENTD_URL` and `AGENTD_TOKEN` make the client use TCP and a token instead of the unix socket.

## What is in the data folder

| path | |
|---|---|
| `state.db`, `memory.db` | the databases (SQLite, WAL) with `.lock` files that keep a second daemon out |
| `bodies/` | messages above 1 MiB |
| `logs/SESSION/RUN.out`, `.err`, `.idx` | the agents' output as they wrote it, and when |
| `workspaces/` | recorded files of workspaces: bare git repositories, one per namespace |
| `run/` | the socket `agentd.sock`, the keeper's lock and control socket, the FIFOs of living runs |

All of it is private to its owner (folders 0700, files 0600).
"""
file = root / "docs/configuration.md"
if "--check" in sys.argv:
    if not file.exists() or file.read_text() != page:
        print("docs/configuration.md is not what tools/config-doc.py makes of the table; run it")
        sys.exit(1)
else:
    file.write_text(page)
