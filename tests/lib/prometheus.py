# SPDX-License-Identifier: MIT
"""A strict reader of Prometheus' text format, version 0.0.4: what a scraper might forgive is an error here."""
import math
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)')
SAMPLE = re.compile(rf"^({NAME})(?:\{{(.*)\}})? (\S+)$")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("_sum", "_count", "")}


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, {}


def labels_of(text, line):
    labels, at = {}, 0
    while at < len(text):
        match = LABEL.match(text, at)
        assert match, f"labels: {line}"
        assert match[1] not in labels, f"the label twice: {line}"
        labels[match[1]] = match[2].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")
        at = match.end()
        assert match[3] == "," or at == len(text), line
    return labels


def parse(text):
    """{name: Family}; samples: {(name, ((label, value), …)): number}"""
    assert text.endswith("\n") and "\r" not in text
    families, current = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# "):
            kind, name, rest = line[2:].split(" ", 2)
            assert kind in ("HELP", "TYPE") and re.fullmatch(NAME, name), line
            if kind == "HELP":
                assert name not in families, f"its lines are not together: {name}"
                current = families[name] = Family(name)
                current.help = rest
                continue
            assert current and name == current.name and current.type is None and not current.samples, line
            assert rest in ("counter", "gauge", "histogram", "summary", "untyped"), line
            current.type = rest
            continue
        match = SAMPLE.match(line)
        assert match, f"no sample: {line!r}"
        name, labels = match[1], labels_of(match[2] or "", line)
        assert current and current.type, f"without HELP and TYPE: {line}"
        allowed = [current.name + s for s in SUFFIXES.get(current.type, ("",))]
        assert name in allowed, f"not of {current.name}: {line}"
        key = (name, tuple(sorted(labels.items())))
        assert key not in current.samples, f"twice: {line}"
        current.samples[key] = float(match[3].replace("Inf", "inf"))
    for family in families.values():
        check(family)
    return families


# What `promtool check metrics` objects to besides the grammar: client_golang/prometheus/testutil/promlint.
NOT_BASE_UNITS = {"milliseconds", "microseconds", "nanoseconds", "minutes", "hours", "days", "weeks", "percent", "kilobytes",
                  "megabytes", "gigabytes", "kibibytes", "mebibytes", "gibibytes", "bits", "ms", "us", "usec", "msec", "ns", "sec",
                  "secs", "s", "m", "h", "d", "kb", "mb", "gb", "kib", "mib", "gib", "b", "byte", "second", "pct"}
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


def lint(family):
    words = family.name.split("_")
    assert family.name == family.name.lower() and ":" not in family.name, f"{family.name}: snake_case, no colon"
    assert not NOT_BASE_UNITS & set(words), f"{family.name}: seconds, bytes, ratio and no abbreviations"
    assert not TYPES & set(words), f"{family.name}: its type is no part of a name"
    assert family.type == "counter" or "total" not in words, f"{family.name}: total is for counters"
    assert "seconds" not in words or words[-1] == "seconds" or words[-2:] == ["seconds", "total"], family.name
    assert "bytes" not in words or words[-1] == "bytes" or words[-2:] == ["bytes", "total"], family.name
    assert family.help[0].isupper() and family.help.endswith("."), f"{family.name}: help is a sentence"
    for _, labels in family.samples:
        for name, _ in labels:
            assert name == name.lower() and not name.startswith("__"), (family.name, name)
            assert name != "quantile" and (name != "le" or family.type == "histogram"), (family.name, name)
            assert name not in words, f"{family.name}: the label {name} is in the name already"


def check(family):
    assert family.help and family.type, f"{family.name}: HELP and TYPE"
    lint(family)
    if family.type == "counter":
        assert family.name.endswith("_total"), f"{family.name}: a counter's name ends in _total"
        assert all(v >= 0 for v in family.samples.values())
    if family.type != "histogram":
        assert not family.name.endswith(("_count", "_sum", "_bucket")), family.name
        return
    series = {}
    for (name, labels), value in family.samples.items():
        rest = tuple(x for x in labels if x[0] != "le")
        of = series.setdefault(rest, {"buckets": []})
        if name.endswith("_bucket"):
            of["buckets"].append((float(dict(labels)["le"].replace("Inf", "inf")), value))
        else:
            of[name[len(family.name):]] = value
    for rest, of in series.items():
        bounds = [b for b, _ in of["buckets"]]
        counts = [n for _, n in of["buckets"]]
        assert bounds == sorted(set(bounds)) and math.isinf(bounds[-1]), (family.name, rest)
        assert counts == sorted(counts) and counts[-1] == of["_count"], (family.name, rest)
        assert of["_sum"] >= 0
