# SPDX-License-Identifier: MIT
"""script/bench: every figure beside a peer or a limit measured in the same run; the ratios are what counts.

Each bench is a function with a name; it yields rows (what, figure, unit, beside, ratio, bar). Rounds alternate between the
measured and its peer, because the machine's speed drifts; min, median and max of the rounds are printed.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from lib.agentd import BUILD, Agentd, UnixConnection, alive, wait_for  # noqa: E402

WRK_SECONDS = 3
CREATE = '{"name":"bench","model":"m","system_prompt":"You are helpful."}'
BENCHES = {}


def bench(function):
    BENCHES[function.__name__.replace("_", "-")] = function
    return function


class Rows:
    def __init__(self):
        self.rows = []

    def add(self, what, values, unit, beside="", ratio=None, bar="", ok=None):
        values = values if isinstance(values, list) else [values]
        row = dict(what=what, min=min(values), median=statistics.median(values), max=max(values), unit=unit,
                   beside=beside, ratio=ratio, bar=bar, ok=ok)
        self.rows.append(row)
        mark = "" if ok is None else ("  ok" if ok else "  MISSED")
        print(f"  {what:58} {row['min']:>12,.2f} {row['median']:>12,.2f} {row['max']:>12,.2f} {unit:8}"
              f" {beside}{'' if ratio is None else f' ratio {ratio:.2f}'}{'' if not bar else f'  bar {bar}'}{mark}", flush=True)


class Load(float):
    """Requests a second, and how many there were."""

    def __new__(cls, rate, n):
        self = super().__new__(cls, rate)
        self.n = n
        return self


def fresh(folder, **env):
    return Agentd(folder, env=env).start()


def wrk(url, connections=64, seconds=WRK_SECONDS, script=None, threads=1):
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency"]
    if script:
        command += ["-s", script]
    out = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    assert not errors, out
    return Load(float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), int(re.search(r"(\d+) requests in", out)[1]))


def lua(folder, method, body, path=None):
    file = pathlib.Path(folder) / "post.lua"
    file.write_text(f"""wrk.method = "{method}"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [[{body}]]
""" + (f'wrk.path = "{path}"\n' if path else ""))
    return str(file)


def program(name):
    return str(BUILD / "tests" / "bench" / name)


def bare_server():
    """The peer chooses its port and says it in a line."""
    process = subprocess.Popen([program("bench-http-bare"), "0"], stdout=subprocess.PIPE, text=True)
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


def disk_sync_usec(folder, n=300):
    """fdatasync of a small append: what a durable write costs at least on this disk."""
    fd = os.open(os.path.join(folder, "sync-probe"), os.O_CREAT | os.O_WRONLY, 0o600)
    times = []
    try:
        for _ in range(n):
            os.write(fd, b"x" * 512)
            begin = time.perf_counter_ns()
            os.fdatasync(fd)
            times.append((time.perf_counter_ns() - begin) / 1000)
    finally:
        os.close(fd)
    return statistics.median(times)


def raw_sqlite(folder, batch):
    """Rows of 300 bytes with ascending keys, the store's pragmas, `batch` rows a commit, in C from one thread."""
    out = subprocess.run([program("bench-store"), f"--raw={batch}", str(folder)], capture_output=True, text=True, check=True)
    return float(out.stdout)


def store_counts(agentd):
    """Transactions and commits of both databases so far."""
    text = agentd.request("GET", "/metrics").body.decode()
    return [sum(float(v) for v in re.findall(rf"^agentd_store_{name}_total(?:{{[^}}]*}})? (\S+)$", text, re.M))
            for name in ("transactions", "commits")]


def pss_kib(pid):
    """PSS, and what is private in every case: the code of a library counts as private to whoever is alone in using it."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        values = dict(re.findall(r"^(\w+):\s+(\d+) kB", f.read(), re.M))
    return int(values["Pss"]), int(values["Private_Dirty"])


def memory_mib(agentd):
    version = agentd.version()
    pss, private = zip(*(pss_kib(version[p]) for p in ("daemon_pid", "keeper_pid")))
    return sum(pss) / 1024, sum(private) / 1024


def cpu_ticks(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def many_posts(agentd, path, bodies):
    """One keep-alive connection, one after the other; returns the latencies in µs."""
    connection = UnixConnection(agentd.socket, 60)
    times = []
    for body in bodies:
        begin = time.perf_counter_ns()
        connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        data = response.read()
        times.append((time.perf_counter_ns() - begin) / 1000)
        assert response.status in (200, 201), data
    connection.close()
    return times


@bench
def health(folder, rows, rounds):
    """GET /health with 64 connections beside a bare libmicrohttpd on sd-event."""
    agentd = fresh(folder / "a")
    peer, peer_url = bare_server()
    try:
        ours, bare = [], []
        for _ in range(rounds):
            bare.append(wrk(peer_url + "/health"))
            ours.append(wrk(agentd.url + "/health"))
        ratio = statistics.median(a / b for a, b in zip(ours, bare))
        rows.add("bare libmicrohttpd, 64 connections", bare, "req/s")
        rows.add("GET /health, 64 connections", ours, "req/s", "bare libmicrohttpd", ratio, "≥ 0.8", ratio >= 0.8)
        many_posts(agentd, "/sessions", [CREATE.encode()] * 1000)
        full = [wrk(agentd.url + "/health") for _ in range(rounds)]
        ratio = statistics.median(full) / statistics.median(ours)
        rows.add("GET /health with 1,000 sessions", full, "req/s", "with none", ratio, "as with none", ratio >= 0.9)
    finally:
        peer.kill()
        peer.wait()
        agentd.kill_everything()


@bench
def reads(folder, rows, rounds):
    """GET /sessions/{id} with 64 connections."""
    agentd = fresh(folder / "a")
    try:
        s = agentd.create("x")["session_id"]
        rates = [wrk(f"{agentd.url}/sessions/{s}") for _ in range(rounds)]
        rows.add("GET /sessions/{id}, 64 connections", rates, "req/s", bar="≥ 30,000",
                 ok=statistics.median(rates) >= 30000)
    finally:
        agentd.kill_everything()


@bench
def store(folder, rows, rounds):
    """The store's own writer beside raw SQLite in C, same pragmas and rows, in one process."""
    out = subprocess.run([program("bench-store"), "--json", f"--rounds={rounds}", str(folder)],
                         capture_output=True, text=True, check=True).stdout
    result = json.loads(out)
    for line in result["sizes"]:
        n = line["rows_per_commit"]
        rows.add(f"raw SQLite, {n} rows a commit", line["raw"], "rows/s")
        rows.add(f"store, {n} rows a commit", line["store"], "rows/s", "raw SQLite", line["ratio"], "≥ 0.8", line["ratio"] >= 0.8)
    for line in result["clients"]:
        rows.add(f"store, {line['clients']} clients with a row each, syncs shared", line["rows_per_sec"], "rows/s")


@bench
def durable_writes(folder, rows, rounds):
    """POST /sessions, POST messages and POST memory, durable, 64 connections, beside the lesser of two limits."""
    agentd = fresh(folder / "a")
    peer, peer_url = bare_server()
    try:
        s = agentd.create("x")["session_id"]
        work = {
            "POST /sessions": ("/sessions", CREATE),
            "POST /sessions/{id}/messages": (f"/sessions/{s}/messages", '{"role":"user","content":"%s"}' % ("x" * 200)),
            "POST /sessions/{id}/memory": (f"/sessions/{s}/memory", '{"key":"k","value":{"a":1}}'),
        }
        for what, (path, body) in work.items():
            ours, limit, batches = [], [], []
            script = lua(folder, "POST", body, path)
            for _ in range(rounds):
                bare = wrk(peer_url + path, script=script)
                before = store_counts(agentd)
                ours.append(wrk(agentd.url + path, script=script))
                transactions, commits = (b - a for a, b in zip(before, store_counts(agentd)))
                batches.append(transactions / commits)
                limit.append(min(bare, raw_sqlite(folder, round(batches[-1]))))
            ratio = statistics.median(a / b for a, b in zip(ours, limit))
            rows.add(f"{what}, durable, 64 connections", ours, "req/s",
                     f"lesser of bare server and raw SQLite, {statistics.median(batches):.0f} rows a commit as here"
                     f" ({statistics.median(limit):,.0f})", ratio,
                     "≥ 0.6 and ≥ 10,000", ratio >= 0.6 and statistics.median(ours) >= 10000)
    finally:
        peer.kill()
        peer.wait()
        agentd.kill_everything()


@bench
def one_client(folder, rows, rounds):
    """One client's durable append beside the disk's own sync; client and daemon share a core, since waking an idle
    virtual core costs more than the rest."""
    agentd = fresh(folder / "a")
    cores = os.sched_getaffinity(0)
    try:
        for pid in (os.getpid(), *map(int, os.listdir(f"/proc/{agentd.daemon_pid}/task"))):
            os.sched_setaffinity(pid, {min(cores)})
        s = agentd.create("x")["session_id"]
        body = json.dumps({"role": "user", "content": "x" * 200})
        append, sync = [], []
        for _ in range(rounds):
            sync.append(disk_sync_usec(folder))
            append.append(statistics.median(many_posts(agentd, f"/sessions/{s}/messages", [body] * 500)))
        ratio = statistics.median(a / b for a, b in zip(append, sync))
        rows.add("fdatasync of 512 bytes, p50", sync, "µs")
        rows.add("one client's durable append, p50", append, "µs", "fdatasync", ratio, "≤ 3", ratio <= 3)
    finally:
        os.sched_setaffinity(0, cores)
        agentd.kill_everything()


def beyond_sync(agentd, folder, path, bodies):
    """Median latency of the requests less the disk's sync at the same time, in ms; both drift, so they take turns."""
    times, syncs = [], []
    for i in range(0, len(bodies), 50):
        syncs += [disk_sync_usec(folder, 20)]
        times += many_posts(agentd, path, bodies[i:i + 50])
    return (statistics.median(times) - statistics.median(syncs)) / 1000


@bench
def checkpoints(folder, rows, rounds):
    """Checkpoint and restore at 10, 1,000, 10,000 and 100,000 messages: time beyond the sync, bytes each."""
    agentd = fresh(folder / "a", AGENT_RUNTIME_CHECKPOINT_INTERVAL="0")
    try:
        s = agentd.create("x")["session_id"]
        path = f"/sessions/{s}/messages"
        script = lua(folder, "POST", '{"role":"user","content":"%s"}' % ("x" * 100), path)
        there = 0
        for length in (10, 1000, 10000, 100000):
            while length - there > 20000:
                wrk(agentd.url + path, script=script, seconds=1)
                there = agentd.session(s)["message_count"]
            if there < length:
                many_posts(agentd, path, [json.dumps({"role": "user", "content": "x" * 100})] * (length - there))
            there = agentd.session(s)["message_count"]
            beyond = beyond_sync(agentd, folder, f"/sessions/{s}/checkpoints?label=bench", [b""] * 500)
            rows.add(f"checkpoint at {there:,} messages, beyond the sync", beyond, "ms", bar="< 1", ok=beyond < 1)
            newest = json.loads(agentd.request("POST", f"/sessions/{s}/checkpoints?label=here").body)["checkpoint_id"]
            beyond = beyond_sync(agentd, folder, f"/sessions/{s}/restore", [json.dumps({"checkpoint_id": newest})] * 100)
            rows.add(f"restore at {there:,} messages, beyond the sync", beyond, "ms", bar="< 2", ok=beyond < 2)
    finally:
        agentd.kill_everything()


@bench
def checkpoint_bytes(folder, rows, rounds):
    """Database growth of a checkpoint, indexes and events included, at 10 and at 100,000 messages."""
    agentd = Agentd(folder / "a", env={"AGENT_RUNTIME_CHECKPOINT_INTERVAL": "0"}).start()
    try:
        s = agentd.create("x")["session_id"]
        db = agentd.data / "state.db"

        def size():
            agentd.stop()
            agentd.process.wait(timeout=60)
            bytes_ = db.stat().st_size
            agentd.start()
            return bytes_
        many_posts(agentd, f"/sessions/{s}/messages", [json.dumps({"role": "user", "content": "hello"})] * 10)
        for length in (10, 100000):
            script = lua(folder, "POST", '{"role":"user","content":"hello"}', f"/sessions/{s}/messages")
            while agentd.session(s)["message_count"] < length:
                wrk(agentd.url + f"/sessions/{s}/messages", script=script, seconds=2)
            before = size()
            n = 10000
            many_posts(agentd, f"/sessions/{s}/checkpoints?label=bench", [b""] * n)
            growth = (size() - before) / n
            rows.add(f"database growth of a checkpoint at ≥ {length:,} messages", growth, "bytes", bar="< 300", ok=growth < 300)
    finally:
        agentd.kill_everything()


@bench
def memory(folder, rows, rounds):
    """PSS and private memory of keeper and daemon; start to first healthy answer; idle CPU."""
    agentd = Agentd(folder / "a")
    begin = time.perf_counter()
    agentd.start(wait=False)

    def healthy():
        try:
            return agentd.request("GET", "/health").status == 200
        except OSError:
            return False
    while not healthy():
        time.sleep(0.0005)
    start = (time.perf_counter() - begin) * 1000
    rows.add("start to first healthy answer", start, "ms", bar="≤ 50", ok=start <= 50)
    agentd.wait_ready()
    try:
        script = lua(folder, "POST", CREATE, "/sessions")
        pss, private = memory_mib(agentd)
        rows.add("idle: PSS of keeper and daemon", pss, "MiB", bar="≤ 12", ok=pss <= 12)
        rows.add("idle: private memory", private, "MiB", bar="≤ 4", ok=private <= 4)
        have = 0
        for count, bar_pss, bar_private in ((1000, 14, 6), (10000, None, None), (100000, 64, None)):
            while count - have > 20000:
                have += wrk(agentd.url + "/sessions", script=script, seconds=1).n
            many_posts(agentd, "/sessions", [CREATE.encode()] * (count - have))
            have = max(have, count)
            # A fresh daemon: what the sessions cost, not what serving the list above left behind.
            os.kill(agentd.daemon_pid, signal.SIGKILL)
            time.sleep(0.2)
            agentd.wait_ready()
            pss, private = memory_mib(agentd)
            rows.add(f"{have:,} sessions: PSS", pss, "MiB", bar=f"≤ {bar_pss}" if bar_pss else "",
                     ok=pss <= bar_pss if bar_pss else None)
            rows.add(f"{have:,} sessions: private memory", private, "MiB", bar=f"≤ {bar_private}" if bar_private else "",
                     ok=private <= bar_private if bar_private else None)
            idle_cpu(agentd, rows, f"{have:,} created sessions")
    finally:
        agentd.kill_everything()


def idle_cpu(agentd, rows, what, seconds=10):
    version = agentd.version()
    pids = [version["daemon_pid"], version["keeper_pid"]]
    time.sleep(1)

    def switches():
        n = 0
        for pid in pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/status") as f:
                    n += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
        return n
    ticks, n = cpu_ticks(pids), switches()
    time.sleep(seconds)
    used = (cpu_ticks(pids) - ticks) / os.sysconf("SC_CLK_TCK") / seconds * 100
    wakeups = (switches() - n) / seconds
    rows.add(f"{what}: idle CPU", used, "%", bar="0.0", ok=used == 0)
    rows.add(f"{what}: wake-ups", wakeups, "/s", bar="0", ok=wakeups == 0)


@bench
def idle_running(folder, rows, rounds):
    """1,000 running sessions without a command: idle CPU and wake-ups."""
    agentd = fresh(folder / "a", AGENT_RUNTIME_CHECKPOINT_INTERVAL="5")
    try:
        for i in range(1000):
            s = agentd.request("POST", "/sessions", {"name": f"s{i}", "model": "m"}).json["session_id"]
            agentd.request("POST", f"/sessions/{s}/start")
        time.sleep(8)  # the first automatic checkpoints
        idle_cpu(agentd, rows, "1,000 running sessions")
    finally:
        agentd.kill_everything()


def verb_on_all(agentd, ids, verb):
    """All at once, as far as 64 connections go: the peers start and stop all at once as well."""
    def run(part):
        connection = UnixConnection(agentd.socket, 60)
        for s in part:
            connection.request("POST", f"/sessions/{s}/{verb}")
            response = connection.getresponse()
            assert response.read() and response.status == 200
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        list(pool.map(run, (ids[i::64] for i in range(64))))


def against(ours, peer):
    """What a row says of a peer's time: at most that."""
    return ("s6", ours / peer, "≤ 1", ours <= peer) if peer else ()


def sleepers(seconds):
    """How many `sleep SECONDS` there are: an odd number tells this run's from all others."""
    n = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            n += pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().endswith(f"sleep\0{seconds}\0".encode())
        except OSError:
            pass
    return n


def s6_up_and_down(folder, n):
    """Seconds that s6 takes to have n processes up, and none left; None where it is not installed."""
    if not shutil.which("s6-svscan"):
        return None
    seconds = 200000 + os.getpid()
    scan = folder / "s6"
    for i in range(n):
        service = scan / f"p{i}"
        service.mkdir(parents=True)
        (service / "run").write_text(f"#!/bin/sh\nexec /bin/sleep {seconds}\n")
        (service / "run").chmod(0o755)
    begin = time.perf_counter()
    process = subprocess.Popen(["s6-svscan", "-c", str(2 * n), str(scan)], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: sleepers(seconds) == n, 120, "all up under s6")
        up = time.perf_counter() - begin
        begin = time.perf_counter()
        subprocess.run(["s6-svscanctl", "-t", str(scan)], check=True)
        process.wait(timeout=120)
        wait_for(lambda: sleepers(seconds) == 0, 120, "all down under s6")
        return up, time.perf_counter() - begin
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


@bench
def processes(folder, rows, rounds):
    """1,000 processes up and stopped; memory each; kill to restart."""
    n = 1000
    agentd = fresh(folder / "a")
    try:
        before, _ = memory_mib(agentd)
        ids = [agentd.request("POST", "/sessions", {"name": f"p{i}", "agent": {"exec": ["/bin/sleep", "100000"]}}).json["session_id"]
               for i in range(n)]
        begin = time.perf_counter()
        verb_on_all(agentd, ids, "start")
        wait_for(lambda: all(x["substate"] == "active" for x in agentd.request("GET", "/sessions").json), 120, "all up")
        up = time.perf_counter() - begin
        s6 = s6_up_and_down(folder, n)
        if not s6:
            print("  NOTICE: s6 is not installed, nothing to compare with")
        else:
            rows.add("s6: 1,000 processes up", s6[0], "s")
            rows.add("s6: 1,000 processes stopped", s6[1], "s")
        rows.add("1,000 processes up", up, "s", *against(up, s6 and s6[0]))
        after, _ = memory_mib(agentd)
        each = (after - before) * 1024 / n
        rows.add("keeper and daemon, added PSS each", each, "KiB", bar="≤ 8", ok=each <= 8)
        idle_cpu(agentd, rows, "1,000 processes")
        latencies = []
        for s in ids[:30]:
            run = agentd.request("GET", f"/sessions/{s}/runs").json[-1]
            begin = time.perf_counter()
            os.kill(run["pid"], signal.SIGKILL)
            wait_for(lambda: agentd.request("GET", f"/sessions/{s}/runs").json[-1]["number"] > run["number"], 10, "restart")
            latencies.append((time.perf_counter() - begin) * 1000)
        rows.add("kill to the next run's row, with restart_sec=1s and jitter", latencies, "ms")
        begin = time.perf_counter()
        verb_on_all(agentd, ids, "stop")
        down = time.perf_counter() - begin
        rows.add("1,000 processes stopped", down, "s", *against(down, s6 and s6[1]))
    finally:
        agentd.kill_everything()


@bench
def restart_latency(folder, rows, rounds):
    """From kill -9 of an agent to its successor's first instruction, beyond the policy's delay."""
    agentd = fresh(folder / "a")
    try:
        work = folder / "w"
        work.mkdir()
        s = agentd.run(["/bin/sh", "-c", "echo $$ > pid.new; mv pid.new pid; exec sleep 100000"], workspace=str(work),
                       agent={"restart_sec": 0, "start_limit_burst": 0})["session_id"]
        times = []
        for _ in range(50):
            pid = int(wait_for(lambda: (work / "pid").exists() and (work / "pid").read_text().strip(), 20, "the agent"))
            agentd.wait_session(s, lambda x: x["substate"] == "active")
            (work / "pid").unlink()
            begin = time.perf_counter()
            os.kill(pid, signal.SIGKILL)
            while not (work / "pid").exists():
                time.sleep(0.0002)
            times.append((time.perf_counter() - begin) * 1000)
        median = statistics.median(times)
        rows.add("kill -9 to the next process's first instruction", times, "ms", bar="p50 ≤ 30", ok=median <= 30)
    finally:
        agentd.kill_everything()


@bench
def daemon_back(folder, rows, rounds):
    """Control back after kill -9 of the daemon, with 100 agents running."""
    agentd = fresh(folder / "a")
    try:
        for i in range(100):
            agentd.run(["/bin/sleep", "100000"], name=f"p{i}")
        wait_for(lambda: all(x["substate"] == "active" for x in agentd.request("GET", "/sessions").json), 60, "all up")
        times = []
        for _ in range(10):
            old = agentd.daemon_pid
            begin = time.perf_counter()
            os.kill(old, signal.SIGKILL)
            agentd.wait_ready()
            times.append((time.perf_counter() - begin) * 1000)
            wait_for(lambda: not alive(old), 10, "death")
        rows.add("control back after the daemon's death, 100 agents", times, "ms", bar="≤ 1,000", ok=max(times) <= 1000)
        begin = time.perf_counter()
        c = UnixConnection(agentd.socket, 10)
        c.request("GET", "/health")
        c.getresponse().read()
        done = agentd.cli("stop")
        assert done.returncode == 0
        rows.add("graceful stop with an open connection, the CLI included", (time.perf_counter() - begin) * 1000, "ms",
                 bar="≤ 50")
        agentd.start()
    finally:
        agentd.kill_everything()


@bench
def many_sessions(folder, rows, rounds):
    """100,000 sessions: all in one list, a page, by name, by label, by status; memory after it."""
    n = 100000
    agentd = fresh(folder / "a")
    try:
        have = 0
        while n - have > 20000:
            have += wrk(agentd.url + "/sessions", script=lua(folder, "POST", CREATE, "/sessions"), seconds=1).n
        agentd.request("POST", "/sessions", {"name": "needle", "model": "m", "labels": {"find": "me"}})
        many_posts(agentd, "/sessions", [CREATE.encode()] * (n - have))
        answers = [
            ("all sessions in one answer", "/sessions", n),
            ("a page of 1,000", "/sessions?limit=1000", 1000),
            ("the one of a name", "/sessions?name=needle", 1),
            ("the one of a label", "/sessions?label=find%3Dme", 1),
            ("those of a status (none)", "/sessions?status=running", 0),
        ]
        for what, path, least in answers:
            times = []
            for _ in range(max(rounds, 3)):
                begin = time.perf_counter()
                answer = agentd.request("GET", path)
                times.append((time.perf_counter() - begin) * 1000)
                assert answer.status == 200 and len(answer.json) >= least, (path, answer.status)
            rows.add(f"100,000 sessions: {what}", times, "ms")
        begin = time.perf_counter()
        pages, path = 0, "/sessions?limit=1000"
        while path:
            answer = agentd.request("GET", path)
            pages += 1
            path = (re.findall(r"<([^>]*)>; rel=\"next\"", answer.headers.get("link", "")) or [None])[0]
        assert pages >= n / 1000
        rows.add("100,000 sessions: all pages of 1,000", (time.perf_counter() - begin) * 1000, "ms")
        pss, _ = memory_mib(agentd)
        rows.add("100,000 sessions: PSS after these lists", pss, "MiB")
    finally:
        agentd.kill_everything()


@bench
def long_conversation(folder, rows, rounds):
    """A conversation of 1,000,000 messages: append, checkpoint, restore, the tail, all pages; beside one of 10."""
    agentd = fresh(folder / "a")
    try:
        short, long = agentd.create("short")["session_id"], agentd.create("long")["session_id"]
        body = json.dumps({"role": "user", "content": "x" * 100})
        many_posts(agentd, f"/sessions/{short}/messages", [body] * 10)
        script = lua(folder, "POST", body, f"/sessions/{long}/messages")
        begin, n = time.perf_counter(), 0
        while n < 1000000:
            n += wrk(agentd.url + f"/sessions/{long}/messages", script=script, seconds=5).n
        rows.add("1,000,000 messages: appended by 64 connections", n / (time.perf_counter() - begin), "/s")
        for what, s in (("10 messages", short), ("1,000,000 messages", long)):
            append = many_posts(agentd, f"/sessions/{s}/messages", [body] * 200)
            rows.add(f"{what}: append, p50", statistics.median(append), "µs")
            times = many_posts(agentd, f"/sessions/{s}/checkpoints", [None] * 50)
            rows.add(f"{what}: checkpoint, p50", statistics.median(times) / 1000, "ms")
            first = agentd.request("GET", f"/sessions/{s}/checkpoints?limit=1").json[0]["checkpoint_id"]
            times = many_posts(agentd, f"/sessions/{s}/restore", [json.dumps({"checkpoint_id": first})] * 20)
            rows.add(f"{what}: restore, p50", statistics.median(times) / 1000, "ms")
            for label, query in (("the last 50", "/messages?limit=50"), ("the session with its last 50", "")):
                times = []
                for _ in range(50):
                    begin = time.perf_counter()
                    assert agentd.request("GET", f"/sessions/{s}{query}").status == 200
                    times.append((time.perf_counter() - begin) * 1000)
                rows.add(f"{what}: {label}, p50", statistics.median(times), "ms")
        begin, seen, path = time.perf_counter(), 0, f"/sessions/{long}/messages?limit=1000&after=0000000000000000"
        while path:
            answer = agentd.request("GET", path)
            seen += len(answer.json)
            path = (re.findall(r"<([^>]*)>; rel=\"next\"", answer.headers.get("link", "")) or [None])[0]
        rows.add("1,000,000 messages: read in pages of 1,000", seen / (time.perf_counter() - begin), "/s")
        assert seen >= 1000000, seen
        pss, _ = memory_mib(agentd)
        rows.add("1,000,000 messages: PSS after it", pss, "MiB")
    finally:
        agentd.kill_everything()


def bench_vectors(folder, count, dimensions, *options):
    """One run of the C program in a folder of its own; the folder is left for the peers."""
    folder.mkdir()
    out = subprocess.run([program("bench-vectors"), *options, str(count), str(dimensions), str(folder)],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def faiss_program(folder):
    """Debian's faiss, compiled for this run; None where it is not installed."""
    built = folder / "bench-faiss"
    source = pathlib.Path(__file__).with_name("bench-faiss.cc")
    done = subprocess.run(["g++", "-O2", "-fopenmp", str(source), "-o", str(built), "-lfaiss", "-llapack", "-lblas"],
                          capture_output=True, text=True) if shutil.which("g++") else None
    if done is None or done.returncode != 0:
        print("  NOTICE: g++ and libfaiss-dev are not here or do not fit, no faiss to compare with")
        return None
    return built


def faiss_p50(built, folder, dimensions):
    out = subprocess.run([str(built), str(dimensions), str(folder)], capture_output=True, text=True, check=True).stdout
    p50, same, of = out.split()
    assert int(same) >= 0.999 * int(of), f"faiss finds {same} of the {of} that exact search found"
    return float(p50)


def sqlite_vec_library(folder):
    """The loadable library of the npm package, in this run's folder; None where it cannot be had."""
    target = folder / "sqlite-vec"
    target.mkdir()
    npm = shutil.which("npm")
    if npm:
        subprocess.run([npm, "install", "--no-save", "--ignore-scripts", "--prefix", str(target), "sqlite-vec-linux-x64"],
                       capture_output=True)
    found = list(target.rglob("vec0.so"))
    if not found or not hasattr(sqlite3.Connection, "enable_load_extension"):
        print("  NOTICE: npm's sqlite-vec-linux-x64 is not to be had, no sqlite-vec to compare with")
        return None
    return str(found[0].with_suffix(""))


def sqlite_vec_p50(library, folder, dimensions):
    size = dimensions * 4
    best = (folder / "best").read_bytes()
    queries = (folder / "queries").read_bytes()
    db = sqlite3.connect(folder / "peer.db")
    db.enable_load_extension(True)
    db.load_extension(library)
    db.execute(f"CREATE VIRTUAL TABLE v USING vec0(embedding float[{dimensions}] distance_metric=cosine)")
    with open(folder / "vectors", "rb") as f:
        db.executemany("INSERT INTO v (rowid, embedding) VALUES (?, ?)", enumerate(iter(lambda: f.read(size), b""), 1))
    db.commit()
    times, same, n = [], 0, len(queries) // size
    for i in range(n):
        begin = time.perf_counter()
        rows = db.execute("SELECT rowid FROM v WHERE embedding MATCH ? AND k = 10 ORDER BY distance",
                          (queries[i * size:(i + 1) * size],)).fetchall()
        times.append((time.perf_counter() - begin) * 1000)
        same += len({r[0] for r in rows} & set(struct.unpack_from("<10Q", best, i * 80)))
    db.close()
    assert same >= 0.999 * 10 * n, f"sqlite-vec finds {same} of the {10 * n} that exact search found"
    return statistics.median(times)


def vector_rows(rows, name, bits, int8, bars):
    """bars: p50 of 1-bit codes, p50 of int8 codes."""
    def bar(value, most, unit="ms"):
        return {} if most is None else dict(bar=f"≤ {most:g} {unit}", ok=value <= most)
    rows.add(f"{name}: exact, p50", bits["exact_p50_ms"], "ms",
             f"memory at {bits['bandwidth_gb']} GB/s, share", bits["exact_share"])
    rows.add(f"{name}: int8 codes, p50", int8["p50_ms"], "ms", "memory, share", int8["bandwidth_share"], **bar(int8["p50_ms"], bars[1]))
    rows.add(f"{name}: int8 codes, recall@10", int8["recall"] * 100, "%", bar="100 %", ok=int8["recall"] >= 1)
    rows.add(f"{name}: {bits['tier']} codes, p50", bits["p50_ms"], "ms", "memory, share", bits["bandwidth_share"],
             **bar(bits["p50_ms"], bars[0]))
    rows.add(f"{name}: {bits['tier']} codes, p99", bits["p99_ms"], "ms")
    rows.add(f"{name}: {bits['tier']} codes, recall@10 ({bits['candidates']} candidates)", bits["recall"] * 100, "%", bar="≥ 99.5 %",
             ok=bits["recall"] >= 0.995)
    rows.add(f"{name}: hot bytes of a vector", bits["hot_bytes"] / bits["count"], "bytes")
    million = bits["count"] == 1000000 and bits["dimensions"] == 384
    rows.add(f"{name}: hot memory", bits["hot_bytes"] / 1e6, "MB", **bar(bits["hot_bytes"] / 1e6, 80 if million else None, "MB"))
    rows.add(f"{name}: put all, save and tune", bits["build_sec"], "s", **bar(bits["build_sec"], 10 if million else None, "s"))
    rows.add(f"{name}: open with valid files", bits["open_ms"], "ms", **bar(bits["open_ms"], 200 if million else None))
    rows.add(f"{name}: in a scope of 1 %, p50", bits["scope_p50_ms"], "ms", **bar(bits["scope_p50_ms"], 0.2 if million else None))
    rows.add(f"{name}: in a scope of 1 %, recall@10", bits["scope_recall"] * 100, "%", bar="≥ 99.5 %", ok=bits["scope_recall"] >= 0.995)


@bench
def vectors(folder, rows, rounds):
    """Vector search of 1,000 to 1,000,000 vectors, 384 and 1536 dimensions, one thread, beside faiss and sqlite-vec (flat)."""
    bars = {(10000, 384): (0.15, None), (100000, 384): (0.5, 2), (1000000, 384): (5, 20)}
    faiss, sqlite_vec = faiss_program(folder), sqlite_vec_library(folder)
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    for dimensions in (384, 1536):
        for count in (1000, 10000, 100000, 1000000):
            name = f"{count:,} × {dimensions}"
            if count * dimensions * 4 > memory_gb / 3 * 1e9:
                print(f"  NOTICE: {name} is left out, a third of this machine's memory does not hold it")
                continue
            work = folder / f"{count}-{dimensions}"
            has_peers = count * dimensions <= 40_000_000
            bits = bench_vectors(work, count, dimensions, *["--dump"] * has_peers)
            peers = {}
            if has_peers and faiss:
                peers["faiss, flat"] = faiss_p50(faiss, work, dimensions)
            if has_peers and sqlite_vec:
                peers["sqlite-vec, flat"] = sqlite_vec_p50(sqlite_vec, work, dimensions)
            shutil.rmtree(work)
            int8 = bench_vectors(work, count, dimensions, "--codes=int8")
            shutil.rmtree(work)
            for peer, p50 in peers.items():
                rows.add(f"{name}: {peer}, p50, same ten", p50, "ms", "times ours", p50 / bits["p50_ms"])
            vector_rows(rows, name, bits, int8, bars.get((count, dimensions), (None, None)))


def machine():
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return f"{os.cpu_count()} × {model[1] if model else platform.machine()}, Linux {platform.release()}"


def main():
    parser = argparse.ArgumentParser(description="Measures agentd beside peers and limits.")
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        for name, function in BENCHES.items():
            print(f"{name:18} {function.__doc__}")
        return 0
    unknown = [n for n in arguments.names if n not in BENCHES]
    if unknown:
        print(f"bench: no bench is called {unknown[0]}; see script/bench --list", file=sys.stderr)
        return 2
    print(machine())
    result = {"machine": machine(), "benches": {}}
    for name in arguments.names or BENCHES:
        print(f"\n{name}: {BENCHES[name].__doc__}\n  {'':58} {'min':>12} {'median':>12} {'max':>12}")
        rows = Rows()
        with tempfile.TemporaryDirectory(prefix="agentd-bench.") as folder:
            BENCHES[name](pathlib.Path(folder), rows, arguments.rounds)
        result["benches"][name] = rows.rows
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
