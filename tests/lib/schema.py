# SPDX-License-Identifier: MIT
"""Checks answers against /openapi.json and notes which routes were used."""
import json
import os
import re

import jsonschema


class OpenApi:
    def __init__(self, document):
        self.document = document
        self.routes = []
        for path, methods in document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)) + "$")
            for method, operation in methods.items():
                self.routes.append((method.upper(), pattern, path, operation))
        # A literal segment wins over a parameter.
        self.routes.sort(key=lambda r: r[2].count("{"))
        self.validators = {}

    def find(self, method, path):
        for route_method, pattern, template, operation in self.routes:
            if route_method == method and pattern.match(path):
                return template, operation
        return None, None

    def check(self, method, path, answer):
        template, operation = self.find(method, path)
        if operation is None:
            return
        note(f"{method} {template} {answer.status}")
        responses = operation["responses"]
        assert str(answer.status) in responses, \
            f"{method} {template} answered {answer.status}, which is not declared: {answer.body[:300]!r}"
        content = responses[str(answer.status)].get("content", {}).get("application/json")
        if not content or not answer.headers.get("content-type", "").startswith("application/json"):
            return
        key = (method, template, answer.status)
        if key not in self.validators:
            whole = {"components": self.document.get("components", {}), **content["schema"]}
            self.validators[key] = jsonschema.Draft202012Validator(whole)
        errors = list(self.validators[key].iter_errors(json.loads(answer.body)))
        assert not errors, f"{method} {template} {answer.status}: {errors[0].message} at {list(errors[0].path)}"


def note(line):
    file = os.environ.get("AGENTD_ROUTES_SEEN")
    if file:
        with open(file, "a") as f:
            f.write(line + "\n")
