#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An agent without a model: reads the text files of its workspace one by one and writes down what it found.

For each file: the work, a note, an entry in memory, a message, and only then its place (a variable) moves on. Killed at any
moment and started again it goes on with the file it had not finished and says nothing twice. READER_PAUSE: seconds between files."""
import collections, http.client, json, os, pathlib, re, time, urllib.error, urllib.request

SESSION = f"{os.environ['AGENTD_URL']}/sessions/{os.environ['AGENTD_SESSION_ID']}"
HEADERS = {"Authorization": f"Bearer {os.environ['AGENTD_TOKEN']}", "Content-Type": "application/json"}
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(method, path, body=None):
    """One request; reading what is not there gives None."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with OPENER.open(urllib.request.Request(SESSION + path, data, HEADERS, method=method), timeout=30) as reply:
            return json.load(reply)
    except urllib.error.HTTPError as e:
        if e.code == 404 and method == "GET":
            return None
        if e.code < 500:
            raise SystemExit(f"{method} {path}: {e.code} {e.read().decode(errors='replace')}")
        raise


def insist(action, *arguments):
    """Again and again while the daemon is away, for two minutes: the action must bear being repeated."""
    end = time.monotonic() + 120
    while True:
        try:
            return action(*arguments)
        except (OSError, http.client.HTTPException, ValueError) as e:
            if time.monotonic() > end:
                raise SystemExit(f"the daemon does not answer: {e}")
            time.sleep(0.1)


def say_once(name, text):
    """The answer to an append may be lost although the message is not: look before saying it (again)."""
    last = ask("GET", "/messages?limit=1")
    if not last or not str(last[-1]["content"]).startswith(f"{name}: "):
        ask("POST", "/messages", {"role": "assistant", "content": f"{name}: {text}"})


def study(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = re.findall(r"[^\W\d_]{4,}", text.lower())
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(line for line in lines if not line.startswith("#")))
    return {"title": next((line.lstrip("# ") for line in lines), "(empty)"), "words": len(text.split()),
            "most_used": [word for word, _ in collections.Counter(words).most_common(5)],
            "longest_sentence": max(sentences, key=len)[:400]}


place = (insist(ask, "GET", "/variables/place") or {}).get("value") or ""
files = sorted(str(f) for f in pathlib.Path().rglob("*") if f.suffix in (".md", ".txt", ".rst") and f.parts[0] != "notes")
print(f"going on behind {place}" if place else "starting at the beginning", flush=True)
for number, name in enumerate(files, 1):
    if name <= place:
        continue
    found = study(pathlib.Path(name).read_text(errors="replace"))
    pathlib.Path("notes").mkdir(exist_ok=True)
    pathlib.Path("notes", name.replace("/", "%2F") + ".json").write_text(json.dumps(found, indent=1) + "\n")
    insist(ask, "POST", "/memory", {"key": f"reader:{name}", "value": found})
    insist(say_once, name, f"{found['title']}, {found['words']} words, mostly {', '.join(found['most_used'])}")
    insist(ask, "PUT", "/variables/place", name)
    print(f"[{number}/{len(files)}] {name}: {found['words']} words", flush=True)
    time.sleep(float(os.environ.get("READER_PAUSE") or 1))
print(f"all {len(files)} files are read", flush=True)
