# SPDX-License-Identifier: MIT
"""Answers and bodies in gzip and zstd, bombs, and what is never compressed."""
import ctypes
import gzip
import json
import zlib

import pytest

from lib.stream import Stream

pytestmark = pytest.mark.sanitized
TEXT = json.dumps({"role": "user", "content": "the same line again\n" * 500})


class Zstd:
    def __init__(self):
        self.lib = ctypes.CDLL("libzstd.so.1")
        for name in ("ZSTD_compress", "ZSTD_decompress", "ZSTD_compressBound"):
            getattr(self.lib, name).restype = ctypes.c_size_t

    def compress(self, data):
        out = ctypes.create_string_buffer(self.lib.ZSTD_compressBound(ctypes.c_size_t(len(data))))
        n = self.lib.ZSTD_compress(out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)), 3)
        return out.raw[:n]

    def decompress(self, data, size):
        out = ctypes.create_string_buffer(size)
        n = self.lib.ZSTD_decompress(out, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
        return out.raw[:n]


ZSTD = Zstd()


def message(agentd):
    s = agentd.create()["session_id"]
    return s, agentd.api("POST", f"/sessions/{s}/messages", TEXT, expect=201).json


def test_large_answers_come_as_the_client_likes_them(agentd):
    s, _ = message(agentd)
    path = f"/sessions/{s}/messages"
    plain = agentd.api("GET", path)
    assert "content-encoding" not in plain.headers and "accept-encoding" in plain.headers["vary"].lower()
    packed = agentd.request("GET", path, headers={"Accept-Encoding": "gzip, deflate, br"})
    assert packed.headers["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body) / 5 and int(packed.headers["content-length"]) == len(packed.body)
    packed = agentd.request("GET", path, headers={"Accept-Encoding": "gzip;q=0.8, zstd"})
    assert packed.headers["content-encoding"] == "zstd" and ZSTD.decompress(packed.body, 1 << 20) == plain.body
    refused = agentd.request("GET", path, headers={"Accept-Encoding": "gzip;q=0, zstd;q=0"})
    assert refused.body == plain.body
    head = agentd.request("HEAD", path, headers={"Accept-Encoding": "zstd"})
    assert head.body == b"" and head.headers["content-encoding"] == "zstd"
    assert head.headers["content-length"] == packed.headers["content-length"]
    assert gzip.decompress(agentd.request("GET", "/openapi.json", headers={"Accept-Encoding": "gzip"}).body)


def test_small_answers_and_streams_are_left_alone(agentd):
    s, _ = message(agentd)
    small = agentd.request("GET", "/health", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers and "vary" not in small.headers
    with Stream(agentd, f"/sessions/{s}/events?after=0000000000000000", headers={"Accept-Encoding": "gzip"}) as stream:
        assert stream.response.headers["Content-Encoding"] is None
        assert stream.take(1)[0]["event"] == "session.created"


def test_answers_above_the_limit_go_out_as_they_are(make_agentd):
    agentd = make_agentd(env={"AGENTD_COMPRESS_MAX": "4K"})
    s, _ = message(agentd)
    answer = agentd.api("GET", f"/sessions/{s}/messages", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in answer.headers and len(answer.body) > 4096


@pytest.mark.parametrize("name, pack", [("gzip", gzip.compress), ("zstd", ZSTD.compress), ("GZIP", gzip.compress)])
def test_bodies_may_be_compressed(agentd, name, pack):
    s = agentd.create()["session_id"]
    answer = agentd.api("POST", f"/sessions/{s}/messages", pack(TEXT.encode()), {"Content-Encoding": name}, expect=201)
    assert answer.json["content"] == json.loads(TEXT)["content"]


@pytest.mark.parametrize("name, pack", [("gzip", lambda b: gzip.compress(b, 9)), ("zstd", ZSTD.compress)])
def test_a_bomb_is_413_and_the_daemon_stays_small(make_agentd, name, pack):
    agentd = make_agentd(env={"AGENTD_BODY_MAX": "1M"})
    s = agentd.create()["session_id"]
    bomb = pack(b'"' + b"a" * (256 << 20) + b'"')
    assert len(bomb) < 1 << 20

    def memory():
        return int(open(f"/proc/{agentd.daemon_pid}/statm").read().split()[1]) * 4096
    before = memory()
    for _ in range(3):
        answer = agentd.api("POST", f"/sessions/{s}/messages", bomb, {"Content-Encoding": name}, expect=413)
        assert answer.json["code"] == "body_too_large"
    assert memory() < before + (128 << 20)
    assert agentd.api("GET", f"/sessions/{s}/messages").json == []


def test_what_is_not_what_it_says_is_named(agentd):
    s = agentd.create()["session_id"]
    path, whole = f"/sessions/{s}/messages", gzip.compress(TEXT.encode())
    for body in (TEXT.encode(), whole[:-1], whole + b"x", zlib.compress(TEXT.encode())):
        assert agentd.api("POST", path, body, {"Content-Encoding": "gzip"}, expect=400).json["code"] == "bad_encoding"
    answer = agentd.api("POST", path, whole, {"Content-Encoding": "br"}, expect=415)
    assert answer.json["code"] == "unsupported_encoding" and answer.headers["accept-encoding"] == "gzip, zstd"
    assert agentd.api("GET", path).json == []


def test_a_key_is_of_the_request_and_not_of_its_packing(agentd):
    s = agentd.create()["session_id"]
    path, key = f"/sessions/{s}/messages", {"Idempotency-Key": "k"}
    first = agentd.api("POST", path, TEXT, key, expect=201)
    again = agentd.api("POST", path, gzip.compress(TEXT.encode()), {**key, "Content-Encoding": "gzip"}, expect=201)
    assert again.body == first.body and again.headers["idempotency-replayed"] == "true"
