#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An agent without a model: it reads the text files of its workspace one by one and writes down what it found.

For each file: do the work, write notes/FILE, keep the result in memory, append a message, and only then move its place (a
variable) forward. Killed at any moment and started again, it goes on with the file it had not finished, and says nothing twice. It
knows the daemon by three variables that every agent gets. READER_PAUSE: seconds between files (1)."""
import collections
import http.client
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request

SESSION = f"{os.environ['AGENTD_URL'].rstrip('/')}/sessions/{os.environ['AGENTD_SESSION_ID']}"
HEADERS = {"Authorization": f"Bearer {os.environ['AGENTD_TOKEN']}", "Content-Type": "application/json"}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
COMMON = set("about after also and are been before but can for from has have into its more not one only other that the their them "
             "then there these they this was what when where which will with you your".split())


def ask(method, path, body=None):
    """One request; reading what is not there gives None."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with OPENER.open(urllib.request.Request(SESSION + path, data, HEADERS, method=method), timeout=30) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as e:
        if e.code == 404 and method == "GET":
            return None
        if e.code in (429, 502, 503, 504):
            raise ConnectionError(f"{e.code} {e.reason}") from e
        raise SystemExit(f"{method} {path}: {e.code} {e.read().decode(errors='replace')}") from e


def insist(action, *arguments):
    """Calls again while the daemon is away, for two minutes. The action must bear being repeated."""
    deadline, pause = time.monotonic() + 120, 0.05
    while True:
        try:
            return action(*arguments)
        except (OSError, http.client.HTTPException, ValueError) as e:
            if time.monotonic() > deadline:
                raise SystemExit(f"the daemon does not answer: {e}") from e
            time.sleep(pause)
            pause = min(pause * 2, 2)


def say_once(name, text):
    """The answer to an append may be lost although the message is not: look before saying it (again)."""
    last = ask("GET", "/messages?limit=1")
    if not last or not str(last[-1]["content"]).startswith(f"{name}: "):
        ask("POST", "/messages", {"role": "assistant", "content": f"{name}: {text}"})


def text_files():
    for folder, folders, names in os.walk("."):
        folders[:] = [f for f in folders if not f.startswith(".") and os.path.join(folder, f) != "./notes"]
        for name in names:
            if name.endswith((".md", ".txt", ".rst")) and not name.startswith("."):
                yield os.path.relpath(os.path.join(folder, name))


def study(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    headings = [line.lstrip("# ") for line in lines if line.startswith("#")]
    words = re.findall(r"[^\W\d_]+", text.lower())
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(line for line in lines if not line.startswith("#")))
    often = collections.Counter(w for w in words if len(w) > 2 and w not in COMMON).most_common(5)
    return {"title": (headings or lines or ["(empty)"])[0], "words": len(words), "headings": len(headings),
            "most_used": [f"{word} ({n})" for word, n in often], "longest_sentence": max(sentences, key=len)[:400]}


def write_note(name, found):
    os.makedirs("notes", exist_ok=True)
    note = os.path.join("notes", name.replace("%", "%25").replace("/", "%2F"))
    with open(note + ".new", "w", encoding="utf-8") as f:
        f.writelines(f"{key}: {', '.join(value) if isinstance(value, list) else value}\n" for key, value in found.items())
    os.replace(note + ".new", note)


def main():
    place = (insist(ask, "GET", "/variables/place") or {}).get("value") or ""
    print(f"starting behind {place!r}" if place else "starting at the beginning", flush=True)
    files = sorted(text_files())
    for number, name in enumerate(files, 1):
        if name <= place:
            continue
        with open(name, encoding="utf-8", errors="replace") as f:
            found = study(f.read())
        write_note(name, found)
        insist(ask, "POST", "/memory", {"key": f"reader:{name}", "value": found})
        insist(say_once, name, f"{found['title']}, {found['words']} words, mostly {', '.join(found['most_used']) or 'nothing'}")
        insist(ask, "PUT", "/variables/place", name)
        print(f"[{number}/{len(files)}] {name}: {found['words']} words", flush=True)
        time.sleep(float(os.environ.get("READER_PAUSE") or 1))
    print(f"all {len(files)} files are read", flush=True)


if __name__ == "__main__":
    sys.exit(main())
