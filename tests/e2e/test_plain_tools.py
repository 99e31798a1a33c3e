"""The plain spec, run by a tool that knows nothing of us, gives our verdict on every pass and fail file.

What it cannot say is listed by kind in `validator.contract.plain.BEYOND_PLAIN`; there, and only there, we differ.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from openapi_schema_validator import OAS31Validator

from tests.e2e.running import ROOT, Running
from tests.e2e.verdicts import READINGS, Reading, plain_reading, tries
from tests.mockserver.clients import credential
from tests.providers import LIBRARY, contract
from validator.check import MAX_DEPTH
from validator.contract.plain import BEYOND_PLAIN

PICTURES = {"mediaTypes", "maxBytes", "minWidth", "minHeight", "aspectRatio", "sameAspectRatio", "sameSize"}


class Tool:
    """Judges requests by an OpenAPI 3.1 document: path, method, security, parameters, body.

    Schemas are run by openapi-schema-validator; what is around them is read as OpenAPI 3.1 has it.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Take a document."""
        self.document = document
        self.validators: dict[int, OAS31Validator] = {}

    def refuses(
        self,
        *,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        content: bytes,
    ) -> str | None:
        """Return the first thing that is wrong with a request, or None."""
        found = self._operation(method, path)
        if found is None:
            return "no such operation"
        item, operation, values = found
        if not self._is_authorised(operation, headers):
            return "no credential"
        for node in (*item.get("parameters", ()), *operation.get("parameters", ())):
            parameter = self._resolved(node)
            source = {"path": values, "query": query, "header": headers}[parameter["in"]]
            name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
            if name not in source:
                if parameter.get("required"):
                    return f"{name} is missing"
                continue
            if fault := self._fault(parameter["schema"], _typed(source[name], parameter["schema"])):
                return f"{name}: {fault}"
        if "requestBody" not in operation:
            return None
        body = self._resolved(operation["requestBody"])
        if not content:
            return "no body" if body.get("required") else None
        try:
            value = json.loads(content)
        except ValueError:
            return "no JSON"
        return self._fault(body["content"]["application/json"]["schema"], value)

    def _operation(self, method: str, path: str) -> tuple[Any, Any, dict[str, str]] | None:
        # A path without parameters goes before one with them (OpenAPI 3.1, 4.8.8.2).
        for template in sorted(self.document["paths"], key=lambda text: text.count("{")):
            pattern = re.sub(r"\\\{([^}]*)\\\}", "([^/]+)", re.escape(template))
            match = re.fullmatch(pattern, path)
            item = self.document["paths"][template]
            if match and method.lower() in item:
                names = re.findall(r"\{([^}]*)\}", template)
                return item, item[method.lower()], dict(zip(names, match.groups(), strict=True))
        return None

    def _is_authorised(self, operation: Any, headers: Mapping[str, str]) -> bool:
        asked = operation.get("security", self.document.get("security", [{}]))
        schemes = self.document["components"].get("securitySchemes", {})
        return any(
            all(
                (schemes[name]["name"].lower() if schemes[name]["type"] == "apiKey" else "authorization")
                in headers
                for name in alternative
            )
            for alternative in asked
        )

    def _resolved(self, node: Any) -> Any:
        while "$ref" in node:
            target = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            node = target
        return node

    def _fault(self, schema: Any, value: Any) -> str | None:
        if id(schema) not in self.validators:
            self.validators[id(schema)] = OAS31Validator(schema)
        error = next(self.validators[id(schema)].iter_errors(value), None)
        return None if error is None else f"{error.json_path}: {error.message[:200]}"


def _typed(text: str, schema: Any) -> Any:
    """Return the text of a parameter as the type its schema asks for."""
    if not isinstance(schema, dict) or schema.get("type") not in ("integer", "number", "boolean"):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize("provider", LIBRARY)
def test_a_tool_gives_our_verdict_on_every_file(provider: str, name: Reading) -> None:
    tool = Tool(plain_reading(provider, name))
    wrong = []

    for tried in tries(provider, name):
        refused = tool.refuses(
            method=tried.method,
            path=tried.path,
            query=tried.query,
            headers=tried.headers,
            content=tried.content,
        )
        if tried.is_refused != (refused is not None):
            wrong.append((str(tried.case), tried.is_refused, refused))

    assert wrong == []


def test_the_verdicts_on_files_differ_over_pictures_alone() -> None:
    differ = {
        kind
        for provider in LIBRARY
        for name in READINGS
        for tried in tries(provider, name)
        if not tried.is_refused
        for kind in tried.beyond
    }

    # A picture that is too low is mostly too narrow as well, and no file has a data URI that is too large.
    assert PICTURES - {"minHeight", "maxBytes"} == differ - {"minHeight"}


PROMPT = {"prompt": "A paper boat"}
OLD = jwt.encode({"iss": "ak", "exp": 1_700_000_000, "nbf": 1_699_998_200}, "s" * 32, algorithm="HS256")

DEEP: list[Any] = []
for _ in range(MAX_DEPTH):
    DEEP = [DEEP]

BEYOND = {
    # Kind to (options of the server, provider, how often the request is sent, method, path, body, headers).
    "conflict": ((), "kling", 2, "POST", "/v1/videos/text2video", {**PROMPT, "external_task_id": "a"}, {}),
    "not-found": ((), "kling", 1, "GET", "/v1/videos/text2video/123456789012345678", None, {}),
    "unauthorized": (
        *((), "kling", 1, "POST", "/v1/videos/text2video", PROMPT),
        {"authorization": f"Bearer {OLD}"},
    ),
    "quota-exhausted": (
        *(("--limit", "kling.credits=0.5"), "kling", 1, "POST", "/v1/videos/text2video"),
        *(PROMPT, {}),
    ),
    "concurrency-exceeded": (
        *(("--limit", "kling.concurrent-tasks=1"), "kling", 2, "POST", "/v1/videos/text2video"),
        *(PROMPT, {}),
    ),
    "rate-limited": (
        *(("--limit", "modellix.requests=1"), "modellix", 2, "GET", "/tasks/task-i2v001", None),
        {},
    ),
    "malformed": ((), "kling", 1, "POST", "/v1/videos/text2video", {**PROMPT, "extra": DEEP}, {}),
    "too-large": (
        *(("--max-body", "1024"), "kling", 1, "POST", "/v1/videos/text2video"),
        *({"prompt": "a boat " * 200}, {}),
    ),
}


def test_every_kind_the_plain_spec_cannot_say_is_tried() -> None:
    assert set(BEYOND_PLAIN) == PICTURES | set(BEYOND)


def test_the_page_lists_what_the_plain_spec_cannot_say_and_nothing_else() -> None:
    page = (ROOT / "docs" / "lint.md").read_text()
    table = page.partition("| Finding | What would have to be known |\n|---|---|\n")[2].partition("\n\n")[0]

    assert [f"| `{kind}` | {reason} |" for kind, reason in BEYOND_PLAIN.items()] == table.splitlines()


@pytest.mark.parametrize("kind", BEYOND)
def test_what_needs_more_than_the_request_is_refused_by_the_server_alone(
    kind: str, start: Callable[..., Running]
) -> None:
    options, provider, times, method, path, body, more = BEYOND[kind]
    known = contract(provider)
    operation = next(one for one in known.operations.values() if one.method == method and one.credentials)
    headers = {**credential(operation), **({"content-type": "application/json"} if body else {}), **more}
    content = json.dumps(body).encode() if body else b""
    server = start("--provider", provider, "--log", "off", *options)

    for _ in range(times):
        answer = server.client.request(
            method, f"/{provider}{known.base_path}{path}", headers=headers, content=content
        )

    assert 400 <= answer.status_code < 500
    found = server.client.get("/__admin/requests?limit=1").json()["requests"][0]["report"]["violations"]
    assert kind in {one["kind"] for one in found}
    tool = Tool(plain_reading(provider, "usual"))
    assert tool.refuses(method=method, path=path, query={}, headers=headers, content=content) is None
