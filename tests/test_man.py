# SPDX-License-Identifier: MIT
"""The manual pages: made from the tables, shown without a complaint, and no verb or route is missing."""
import json
import os
import re
import subprocess

import pytest

from lib.agentd import BUILD, ROOT

PAGES = sorted(page for page in (BUILD / "man").glob("*.[1-8]"))


def page(name):
    path = BUILD / "man" / name
    if not path.exists():
        pytest.skip(f"{name} was not built: scdoc is not installed")
    return path


def shown(path, width=80):
    env = {**os.environ, "MANWIDTH": str(width), "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "GROFF_NO_SGR": "1"}
    done = subprocess.run(["man", "--warnings=w", "-l", str(path)], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done.stderr[:2000]
    return re.sub(".\b", "", done.stdout)


@pytest.mark.parametrize("name", [p.name for p in PAGES])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_pages_are_shown_without_a_warning(name, width):
    text = shown(page(name), width)
    assert "NAME" in text and len(text) > 1000


def test_every_verb_with_its_options_and_example_is_in_the_manual():
    text = " ".join(shown(page("agentd.1"), 200).split())
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}

    def help_of(*words):
        return subprocess.run([BUILD / "agentd", *words, "--help"], env=env, capture_output=True, text=True).stdout
    verbs = re.findall(r"^  ([a-z][a-z-]+)(?:, [a-z]+)*  +\S", help_of(), re.M)
    assert len(verbs) > 20
    for verb in verbs:
        about = help_of(verb)
        usage = about.splitlines()[0].replace(" [OPTION…]", "").split()
        assert f"agentd {verb}" in text, verb
        assert all(word in text for word in usage), usage
        summary = about.splitlines()[2]
        assert summary in text, summary
        assert about.rstrip().splitlines()[-1].strip() in text, f"the example of {verb}"
        own = about.split("Configuration of the daemon:")[0]
        for option in re.findall(r"^  (?:-\w, |    )(--[a-z-]+)", own, re.M):
            assert option in text, (verb, option)


def test_every_route_with_its_fields_is_in_the_manual():
    text = shown(page("agentd-api.7"), 200)
    openapi = json.loads((ROOT / "tests" / "golden" / "openapi.json").read_text())
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in text, path
            # Headers that many routes have (Idempotency-Key, ETags) are said once, for all.
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "header" or parameter["name"] in text, parameter
    for name, schema in openapi["components"]["schemas"].items():
        for member in schema.get("properties", {}):
            assert member in text, (name, member)


def test_every_key_with_its_variable_is_in_the_manual_of_the_file():
    text = shown(page("agentd.conf.5"), 200)
    example = subprocess.run([BUILD / "agentd", "config", "--example"], capture_output=True, text=True, check=True,
                             env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}).stdout
    keys = re.findall(r"^#? ?([A-Z]\w+)=", example, re.M)
    assert len(keys) > 20
    for key in keys:
        assert re.search(rf"^ +{key}=$", text, re.M), key
