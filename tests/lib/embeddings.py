#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An OpenAI-compatible embeddings endpoint of the tests' own, with a known geometry and bad manners on demand.

    with EmbeddingServer(dimensions=32, synonyms=[["car", "automobile"]]) as server:
        …  Url=server.url …
        server.script({"status": 429, "retry_after": 1}, {"cut": True})   # what the next two requests get
        server.inputs                                                     # all texts that were asked for, in order
        server.wait_for_requests(3)

Vectors: a word has a fixed direction, words of one row of `synonyms` have the same, a text is the sum of its words. So
texts that share words or synonyms are near each other and others are not (in 64 dimensions: mostly below 0.3). The
vector of a text is the same in every process.

A scripted step is a dict; what it does not say is as usual:
    status, body, retry_after   answer that, without vectors      stall   True: nothing until the client goes;
    cut      True: half of the answer                                     "body": the beginning, then nothing
    hang_up  True: close without an answer                        delay   seconds before the answer
    count    that many vectors more or less                       dimensions   other than usual
    base64   vectors as base64                                    shuffle      not in the order of their index
    nan, null, zero   indexes of vectors that are spoilt so       raw          these bytes as the answer's body
    times    so many requests (default 1; 0: from now on)

POST …/chat/completions is there as well, for summaries: it writes a summary of the messages that it was shown, with one
fact of the last of them, and keeps what it was asked in `chats`. Steps for it: as above, and `content`, the text that
the model writes; they are given by script_chat(), or {"chat": […]} to /control.

Settings that hold until they are changed (also by POST /control, as JSON, for programs that run this file): dimensions,
synonyms, key (else 401), model (else 404), text_max (bytes; above: 500 as llama.cpp), batch_max (above: 413), poison (a
word; texts with it are a 400), base64.

As a program it prints its port, and ends with its standard input. POST /control {"script": […], "settings": {…},
"reset": true}, GET /control: {"requests": n, "inputs": […], "bodies": […], "chats": […], "open": n}."""
import base64
import hashlib
import http.server
import json
import math
import random
import re
import socket
import struct
import sys
import threading
import time

SETTINGS = {"dimensions": 64, "synonyms": [], "key": None, "model": None, "text_max": None, "batch_max": None,
            "poison": None, "base64": False}


class Geometry:
    """Words to directions, texts to vectors."""

    def __init__(self, dimensions, synonyms):
        self.dimensions = dimensions
        self.concept = {word.lower(): row[0].lower() for row in synonyms for word in row}
        self.known = {}

    def direction(self, word):
        concept = self.concept.get(word, word)
        if concept not in self.known:
            seed = int.from_bytes(hashlib.sha256(concept.encode()).digest()[:8], "big")
            generator = random.Random(seed)
            self.known[concept] = [generator.gauss(0, 1) for _ in range(self.dimensions)]
        return self.known[concept]

    def vector(self, text):
        total = [0.0] * self.dimensions
        for word in re.findall(r"\w+", text.lower()) or [text]:
            for i, x in enumerate(self.direction(word)):
                total[i] += x
        length = math.sqrt(sum(x * x for x in total)) or 1.0
        return [x / length for x in total]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body, **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def error(self, status, message, **headers):
        self.answer(status, {"error": {"message": message, "type": "test", "code": status}}, **headers)

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def begin(self, body):
        """Half of an answer."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:len(body) // 2])
        self.wfile.flush()

    def wait_for_end(self):
        """Until the other side gives up."""
        self.close_connection = True
        try:
            self.connection.recv(1)
        except OSError:
            pass

    def do_GET(self):
        if self.path == "/control":
            self.answer(200, self.server.owner.report())
        else:
            self.error(404, "no such path")

    def do_POST(self):
        owner = self.server.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/control":
            owner.control(json.loads(body))
            self.answer(200, {})
        elif self.path.endswith("/embeddings"):
            self.serve(owner, json.loads(body), owner.next_step, owner.vectors)
        elif self.path.endswith("/chat/completions"):
            self.serve(owner, json.loads(body), owner.next_chat_step, owner.completion)
        else:
            self.error(404, f"no such path: {self.path}")

    def serve(self, owner, request, next_step, make):
        step = next_step(request)
        try:
            self.do_step(owner, request, step, make)
        finally:
            owner.finished()

    def do_step(self, owner, request, step, make):
        if step.get("delay"):
            time.sleep(step["delay"])
        if step.get("hang_up"):
            self.hang_up()
        elif step.get("stall") is True:
            self.wait_for_end()
        elif "status" in step:
            headers = {"Retry_After": str(step["retry_after"])} if "retry_after" in step else {}
            self.answer(step["status"], step.get("body", {"error": {"message": "as the script says"}}), **headers)
        elif complaint := owner.complaint(request, self.headers.get("Authorization")):
            self.error(*complaint)
        else:
            self.give(step, step["raw"].encode() if "raw" in step else make(request, step))

    def give(self, step, body):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if step.get("cut"):
            self.begin(body)
            self.hang_up()
        elif step.get("stall") == "body":
            self.begin(body)
            self.wait_for_end()
        else:
            self.answer(200, body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *args):
        pass


class EmbeddingServer:
    def __init__(self, port=0, **settings):
        self.changed = threading.Condition()
        self.settings = dict(SETTINGS)
        self.reset()
        self.change(**settings)
        self.server = Server(("127.0.0.1", port), Handler)
        self.server.owner = self
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()

    def stop(self):
        """Refuses connections from now on; starting again is a new server with the same port."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # What it is told.

    def reset(self):
        with self.changed:
            self.steps, self.bodies, self.inputs, self.open = [], [], [], 0
            self.chat_steps, self.chats = [], []

    def change(self, **settings):
        unknown = set(settings) - set(SETTINGS)
        if unknown:
            raise ValueError(f"no such settings: {unknown}")
        with self.changed:
            self.settings.update(settings)
            self.geometry = Geometry(self.settings["dimensions"], self.settings["synonyms"])

    def script(self, *steps):
        with self.changed:
            self.steps += [dict(step) for step in steps]

    def script_chat(self, *steps):
        with self.changed:
            self.chat_steps += [dict(step) for step in steps]

    def control(self, message):
        if message.get("reset"):
            self.reset()
            self.change(**SETTINGS)
        self.change(**message.get("settings", {}))
        self.script(*message.get("script", []))
        self.script_chat(*message.get("chat", []))

    # What it saw.

    def report(self):
        with self.changed:
            return {"requests": len(self.bodies), "inputs": self.inputs, "bodies": self.bodies, "chats": self.chats,
                    "open": self.open}

    @property
    def requests(self):
        with self.changed:
            return len(self.bodies)

    def wait_for_requests(self, n, timeout=30):
        self.wait_for(self.bodies, n, timeout)

    def wait_for_chats(self, n, timeout=30):
        self.wait_for(self.chats, n, timeout)

    def wait_for(self, requests, n, timeout):
        with self.changed:
            if not self.changed.wait_for(lambda: len(requests) >= n, timeout):
                raise TimeoutError(f"{len(requests)} of {n} requests after {timeout} s")

    def vector(self, text):
        """What it answers for the text, to compare with."""
        with self.changed:
            return self.geometry.vector(text)

    # What it does.

    def next_step(self, request):
        inputs = request["input"] if isinstance(request["input"], list) else [request["input"]]
        with self.changed:
            self.bodies.append(request)
            self.inputs += inputs
            return self.take(self.steps)

    def next_chat_step(self, request):
        with self.changed:
            self.chats.append(request)
            return self.take(self.chat_steps)

    def take(self, steps):
        self.open += 1
        self.changed.notify_all()
        step = steps[0] if steps else {}
        if step.get("times", 1) == 1:
            del steps[:1]
        elif step["times"] > 1:
            step["times"] -= 1
        return step

    def finished(self):
        with self.changed:
            self.open -= 1
            self.changed.notify_all()

    def complaint(self, request, authorization):
        s, inputs = self.settings, request.get("input", [])
        if s["key"] and authorization != f"Bearer {s['key']}":
            return 401, f"Incorrect API key provided: {(authorization or '').removeprefix('Bearer ')}"
        if s["model"] and request.get("model") != s["model"]:
            return 404, f"The model `{request.get('model')}` does not exist"
        if s["batch_max"] and len(inputs) > s["batch_max"]:
            return 413, "Payload Too Large"
        if s["text_max"] and any(len(text.encode()) > s["text_max"] for text in inputs):
            return 500, "input is too large to process. increase the physical batch size"
        if s["poison"] and any(s["poison"] in text for text in inputs):
            return 400, "invalid input"
        return None

    def vectors(self, request, step):
        with self.changed:
            geometry, packed = self.geometry, step.get("base64", self.settings["base64"])
        if request.get("dimensions") or "dimensions" in step:
            geometry = Geometry(step.get("dimensions", request.get("dimensions")), self.settings["synonyms"])
        data = []
        for index, text in enumerate(request["input"]):
            vector = geometry.vector(text)
            if index in step.get("zero", []):
                vector = [0.0] * len(vector)
            if index in step.get("nan", []):
                vector[0] = math.nan
            if packed:
                vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
            if index in step.get("null", []):
                vector = None
            data.append({"object": "embedding", "index": index, "embedding": vector})
        count = step.get("count", 0)
        if count < 0:
            data = data[:count]
        else:
            data += [dict(data[-1], index=len(data) + i) for i in range(count)]
        if step.get("shuffle"):
            data.reverse()
        return {"object": "list", "data": data, "model": request.get("model"),
                "usage": {"prompt_tokens": 0, "total_tokens": 0}}

    def completion(self, request, step):
        return {"object": "chat.completion", "model": request.get("model"),
                "choices": [{"index": 0, "finish_reason": step.get("finish_reason", "stop"),
                             "message": {"role": "assistant", "content": step.get("content", self.summary(request))}}]}

    @staticmethod
    def summary(request):
        """What a model would write that does as it is told. Asked for anything else: what it was asked."""
        asked = request["messages"][-1]["content"]
        try:
            messages = json.loads(asked)["messages"]
        except (ValueError, KeyError, TypeError):
            return asked
        text = messages[-1]["text"]
        words = text.split()
        fact = {"text": text, "subject": "test", "attribute": "last message", "kind": "fact",
                "sources": [messages[-1]["n"]], "confidence": 0.9}
        summary = " ".join(words[:(len(words) + 1) // 2])
        return json.dumps({"summary": summary, "lookup_terms": words[:3], "facts": [fact]})


def main():
    with EmbeddingServer() as server:
        print(server.port, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
