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
    key = f"`[{section}]` `{name}=`" if section else ""
    when = "reload" if re.search(r"\.reload = true", body) else "restart"
    rows.append(f"| {key} | `{env}` | {f'`{option}`' if option else ''} | {f'`{fallback}`' if fallback else ''} | {when} "
                f"| {doc} |")

page = """# Configuration

A value comes from the first of these places that names it:

1. an option of `agentd start`;
2. an environment variable (an empty one counts as absent);
3. a drop-in: `agentd.conf.d/*.conf` beside the file, in byte order of the names, the last one first;
4. the file `agentd.conf`;
5. of a service named agentd the folders that systemd made for it: the databases are in `STATE_DIRECTORY` (`StateDirectory=agentd`),
   socket and pipes in `RUNTIME_DIRECTORY` (`RuntimeDirectory=agentd`);
6. the default.

Times are spans such as `90s`, `5min`, `2h` or plain seconds; sizes take `K`, `M`, `G`; lists are words with spaces or commas
between them.

`agentd config` shows each value with its unit and where it came from (`default`, `environment AGENT_RUNTIME_PORT`, `option --port`,
`/home/me/.agent_runtime/agentd.conf:12`). `agentd config --json` has the same as JSON, `agentd config --example` prints a file with
every key, and `agentd config --check FILE` says whether a file is right without starting anything.

## The file

```ini
# ~/.agent_runtime/agentd.conf
[Daemon]
Port=9000

[Session]
CheckpointInterval=30s

[Auth]
Origins=https://one.example
Origins=https://two.example
```

`#` and `;` begin a comment line; a line that ends in a backslash goes on in the next one. A later value replaces an earlier
one, a list grows; an empty value (`Origins=`) takes back what the files said before it. Paths are absolute or begin with `~/`.

The file is the one that `--config` or `AGENTD_CONFIG` names, and then it must exist. Else it is `agentd.conf` in

- the folder of `CONFIGURATION_DIRECTORY`, which systemd sets for a service with `ConfigurationDirectory=agentd`: `/etc/agentd`;
- `~/.agent_runtime`;
- for root, if there is none in `~/.agent_runtime`: `/etc/agentd`.

An unknown section or key, a wrong value, or a file that everybody may write to stops the start with exit status 2 and one line that
says where it is and what was meant: `agentd.conf:3: unknown key Prt= in [Daemon], did you mean Port=?`. Values are checked even if
another place overrides them. Clients (`agentd list` and so on) say it and go on with what is right.

## Changing it while the daemon runs

`agentd reload` (`POST /reload`, or SIGHUP to the daemon or its keeper) reads options, environment and files again. A mistake
changes nothing; it is logged and answered (422) with its place. What may change while it runs does so at once: a shorter checkpoint
interval counts for sessions that wait already, no connection is cut. What is bound to an open file, a listening socket or a table of
the keeper waits for a restart, `agentd stop` and `agentd start`: sessions are kept, and so are agents. The answer says which is
which, and until then `agentd config` marks such a key: `now 9000 (…/agentd.conf:2): needs a restart`.

A daemon that crashes comes back with the configuration it ran with, whatever is in the files by then (it keeps it in
`RUNTIME/config.running`). `agentd start` always reads everything anew; it hands its options and its environment on to the daemon,
also if the keeper of an earlier start is still there with its agents.

## All keys

*Change* says what makes a new value of a running daemon count: a reload or a restart.

| key | variable | option | default | change | |
|---|---|---|---|---|---|
""" + "\n".join(rows) + """

The command line finds the daemon by the same file, variables and options: with `AGENT_RUNTIME_DB` (or `AGENTD_RUNTIME_DIR`) set for the daemon, set it
for the client too. `AGENTD_URL` and `AGENTD_TOKEN` make the client use TCP and a token instead of the unix socket.

An option `--db` that names another database than the file does means another daemon: what the file says of `MemoryDatabase=`,
`DataDir=` and `RuntimeDir=` does not count then, and these follow the database. So `agentd --db OTHER list` never shows this one.

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
