"""The laws of docs/architecture.md that can be read off the sources, and what a start imports.

Every check is a function from sources to sentences about what is wrong with them; each is tried on a planted
offence too, because a check that finds nothing anywhere would be green as well.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import importlib
import io
import itertools
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from http import HTTPStatus
from importlib import resources
from typing import Any

import pytest

from tests.e2e.running import ROOT, Running, environment
from tests.pictures import picture
from tests.providers import LIBRARY, contract
from validator.contract.document import parse_yaml

LEVELS = {
    1: """
        validator.contract validator.contract.callbacks validator.contract.capabilities validator.contract.compile
        validator.contract.credentials validator.contract.document validator.contract.durations
        validator.contract.engine validator.contract.expressions validator.contract.lifecycles
        validator.contract.links validator.contract.model validator.contract.operations
        validator.contract.parameters validator.contract.plain validator.contract.pointers validator.contract.raw
        validator.contract.reference validator.contract.refusals validator.contract.rules
        validator.contract.schemas validator.contract.statements validator.contract.templates
        validator.contract.trees validator.contract.workbench
        """,
    2: """
        validator validator.__main__ validator.addresses validator.calls validator.cases validator.check
        validator.cli validator.curl validator.discovery validator.errors validator.explain validator.findings
        validator.formats validator.found validator.httpfile validator.images validator.jssource
        validator.keywords validator.lint validator.nearmiss validator.options validator.partial
        validator.placeholders validator.postman validator.preflight validator.preflight.aiohttp
        validator.preflight.flight validator.preflight.guard validator.preflight.httpx
        validator.preflight.inspection validator.preflight.problems validator.preflight.requests
        validator.preflight.urllib validator.printing validator.pysource validator.readers validator.report
        validator.request validator.security validator.shell
        validator.strategies validator.strategies.answers validator.strategies.asking
        validator.strategies.bodies validator.strategies.calls validator.strategies.choices
        validator.strategies.demands validator.strategies.flaws validator.strategies.patterns
        validator.strategies.pictures validator.strategies.plans validator.strategies.texts
        validator.strategies.values
        validator.diff validator.diff.candidates validator.diff.changes validator.diff.command
        validator.diff.compare validator.diff.documents validator.diff.model validator.diff.rendering
        validator.diff.requests validator.diff.seeds validator.diff.shrink validator.diff.sites
        validator.expected
        """,
    3: """
        mockserver mockserver.clock mockserver.deliveries mockserver.environment mockserver.har
        mockserver.ids mockserver.journal mockserver.limits mockserver.plans mockserver.preferences
        mockserver.receivers mockserver.recordings mockserver.renderings mockserver.replays
        mockserver.scenarios mockserver.settings mockserver.store mockserver.tasks mockserver.tenants
        mockserver.trial mockserver.trial.conduct mockserver.trial.endings mockserver.trial.laws
        mockserver.trial.leaks mockserver.trial.news mockserver.trial.polls mockserver.trial.rendering
        mockserver.trial.results mockserver.trial.retries mockserver.trial.spending mockserver.trial.steps
        mockserver.trial.verdicts mockserver.trial.words mockserver.wallets mockserver.wire
        """,
    4: """
        mockserver.actions mockserver.admin mockserver.admin.accounts mockserver.admin.answers
        mockserver.admin.bodies mockserver.admin.control mockserver.admin.costs mockserver.admin.deliveries
        mockserver.admin.events mockserver.admin.guard mockserver.admin.providers mockserver.admin.requests
        mockserver.admin.scenarios mockserver.admin.tasks mockserver.admin.tenants mockserver.admin.times
        mockserver.app mockserver.artifacts mockserver.callbacks mockserver.desks mockserver.events
        mockserver.faults mockserver.log mockserver.pipeline mockserver.proxy mockserver.proxy.answers
        mockserver.proxy.app mockserver.proxy.courses mockserver.proxy.flights mockserver.proxy.passage
        mockserver.proxy.totals mockserver.proxy.upstream mockserver.visits
        """,
    5: """
        mockserver.__main__ mockserver.atlas mockserver.cli mockserver.inbox mockserver.inprocess
        mockserver.local mockserver.proxy.command mockserver.proxy.serving mockserver.pytest_plugin
        mockserver.records mockserver.remote mockserver.server mockserver.stage mockserver.steering
        mockserver.story mockserver.terminal mockserver.transport mockserver.trial.stateful
        mockserver.trial.workplace mockserver.world mockserver.worldclock
        mockserver.rehearsal mockserver.rehearsal.acts mockserver.rehearsal.orders mockserver.rehearsal.program
        mockserver.rehearsal.reports mockserver.rehearsal.run mockserver.rehearsal.staging
        mockserver.rehearsal.verdict mockserver.rehearse
        mockserver.drift mockserver.drift.command mockserver.drift.keys mockserver.drift.probes
        mockserver.drift.rendering mockserver.drift.run mockserver.drift.sender mockserver.drift.verdicts
        """,
}
LEVEL_OF = {module: level for level, text in LEVELS.items() for module in text.split()}

DOORS = {
    # Pictures are read in one place and made in another.
    "PIL": "validator.images validator.strategies.pictures",
    # The hooks of the client's own libraries: each library in its module, which only its users import.
    "aiohttp": "validator.preflight.aiohttp",
    "av": "mockserver.artifacts",
    # The command line is one thing in two packages, and speaks to a running server with the standard library alone.
    "click": """mockserver.atlas mockserver.cli mockserver.drift.command mockserver.proxy.command
        mockserver.rehearse mockserver.terminal validator.__main__ validator.cli validator.diff.command
        validator.options""",
    # Callbacks go out, what a proxy lets pass, and questions to a provider; the others are parts for the client's
    # own library.
    "httpx": """mockserver.callbacks mockserver.drift.sender mockserver.proxy.upstream mockserver.transport
        validator.preflight.httpx""",
    "hypothesis": "mockserver.trial.stateful validator.strategies.asking",
    "jsonschema": "validator.contract.reference",
    # The type of a compiled schema is a field of the model; the control plane checks its own bodies.
    "jsonschema_rs": """mockserver.admin.bodies validator.contract.document validator.contract.engine
        validator.contract.model validator.contract.schemas validator.strategies.demands""",
    "jsonschema_specifications": "validator.contract.reference",
    "jwt": "validator.security",
    "pytest": "mockserver.pytest_plugin",
    "referencing": "validator.contract.reference",
    "requests": "validator.preflight.requests",
    "standardwebhooks": "mockserver.callbacks",
    # What lint reads .gitignore and JavaScript with; the latter is an extra.
    "pathspec": "validator.discovery",
    "tree_sitter": "validator.jssource",
    "tree_sitter_javascript": "validator.jssource",
    "tree_sitter_typescript": "validator.jssource",
    "starlette": " ".join(module for module in LEVEL_OF if module.startswith("mockserver.admin")),
    # What requests raises is only told apart by what it wraps.
    "urllib3": "validator.preflight.requests",
    "uvicorn": "mockserver.server",
    "uvloop": "mockserver.server",
    "yaml": "validator.contract.document",
}
ANYWHERE = {"orjson"}
"""A codec, like json of the standard library: it decides nothing."""

HEAVY = {
    "PIL",
    "av",
    "httpx",
    "hypothesis",
    "jsonschema",
    "jwt",
    "openapi_spec_validator",
    "schemathesis",
} | {
    "standardwebhooks",
    "starlette",
}
"""Packages that a start does without: each costs a tenth of a second or more, or more memory than the rest."""


# --- sources ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """One Python file: `module` is its dotted name."""

    module: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> tuple[tuple[int, str], ...]:
        """Return pairs (line, dotted name of what is imported), those inside functions included."""
        out = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                out += [(node.lineno, one.name) for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.module}:{node.lineno} imports relatively"
                out += [(node.lineno, f"{node.module}.{one.name}") for one in node.names]
        return tuple(out)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Return what the names that were imported stand for."""
        out = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for one in node.names:
                    out[one.asname or one.name.partition(".")[0]] = (
                        one.name if one.asname else one.name.partition(".")[0]
                    )
            elif isinstance(node, ast.ImportFrom):
                for one in node.names:
                    out[one.asname or one.name] = f"{node.module}.{one.name}"
        return out

    def dotted(self, node: ast.expr) -> str:
        """Return the full name of `a.b.c` with the import of `a` taken in; "" for what is no such chain."""
        names: list[str] = []
        while isinstance(node, ast.Attribute):
            names.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.aliases.get(node.id, node.id), *reversed(names)])

    @cached_property
    def tokens(self) -> tuple[tokenize.TokenInfo, ...]:
        return tuple(tokenize.generate_tokens(io.StringIO(self.text).readline))

    @cached_property
    def literals(self) -> tuple[tuple[int, str], ...]:
        """Return pairs (line, text) of all strings, docstrings and the fixed parts of f-strings included."""
        return tuple(
            (node.lineno, node.value)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        )


@cache
def sources() -> tuple[Source, ...]:
    """Return every Python file of the two packages."""
    return tuple(
        Source(
            ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
            file.read_text(),
        )
        for package in ("validator", "mockserver")
        for file in sorted((ROOT / package).rglob("*.py"))
    )


def ours(name: str) -> str:
    """Return the module of ours that an imported name is or lies in, "" for others."""
    while name.partition(".")[0] in ("validator", "mockserver"):
        if name in LEVEL_OF:
            return name
        parent = name.rpartition(".")[0]
        if not parent:
            break
        name = parent
    return ""


# --- levels and doors -------------------------------------------------------------------------------------


def steps_up(source: Source) -> Iterator[str]:
    """Yield what a module imports from a higher level than its own."""
    level = LEVEL_OF.get(source.module)
    if level is None:
        yield f"{source.module} stands on no level: put it into LEVELS"
        return
    for line, name in source.imports:
        other = ours(name)
        if other and LEVEL_OF[other] > level:
            yield f"{source.module}:{line} (level {level}) imports {other} (level {LEVEL_OF[other]})"


def side_doors(source: Source) -> Iterator[str]:
    """Yield what a module imports of a package that has its door elsewhere, or none."""
    for line, name in source.imports:
        package = name.partition(".")[0]
        if package in sys.stdlib_module_names or package in ("validator", "mockserver", *ANYWHERE):
            continue
        if package not in DOORS:
            yield f"{source.module}:{line} imports {package}, which has no door"
        elif source.module not in DOORS[package].split():
            yield f"{source.module}:{line} imports {package}, whose door is {DOORS[package]}"


# --- law 1 ------------------------------------------------------------------------------------------------

WORDS_OF_OURS = {
    # Our own terms for what every provider has; snake_case because Python is.
    "task_id": "the id of a task",
    "request_id": "the id of a request",
}
PLAIN_WORDS = {
    "config": "an option of curl",
    "data": "an option of curl",
    "extensions": "a member of the ASGI scope",
    "problem": "a member of our own report on a file",
    "x": "between width and height",
}


@dataclass(frozen=True)
class Words:
    """What specs say and Python must not: names, sentences, paths, and words that are only fields or states."""

    names: frozenset[str]
    tokens: frozenset[str]
    paths: frozenset[str]
    sentences: frozenset[str]
    plain: frozenset[str]


@cache
def words() -> Words:
    """Return the words of every provider of the library."""
    names, members, paths, sentences, plain = set(), set(), set(), set(), set()
    for provider in LIBRARY:
        known = contract(provider)
        names.add(provider)
        names |= {host.rsplit(".", 2)[-2] for host in known.hosts}
        members |= set(_members(known.document.root))
        for operation in known.operations.values():
            members |= {operation.id, *(one.name for one in operation.parameters)}
            members |= {one.name for one in operation.response.headers}
            members |= {one.name for callback in operation.callbacks for one in callback.headers}
            paths |= set(_parts(operation.segments))
            plain |= {one for one in operation.segments if one}
            if operation.lifecycle is not None:
                plain |= set(operation.lifecycle.states)
        texts = [rule.message for rule in known.rules.values()]
        texts += [rule.failure or "" for rule in known.rules.values()]
        texts += [one.get("message") or "" for one in known.document.root["x-errors"]["cases"]]
        sentences |= {part for text in texts for part in _fixed(text)}
    # What HTTP itself says is nobody's.
    sentences -= {status.phrase.lower() for status in HTTPStatus}
    plain |= members
    distinctive = {one for one in plain if not re.fullmatch(r"[a-z]+|[A-Z]+", one)}
    vocabulary = _vocabulary()
    return Words(
        names=frozenset(names),
        tokens=frozenset(distinctive - vocabulary - set(WORDS_OF_OURS)),
        paths=frozenset(paths),
        sentences=frozenset(sentences),
        plain=frozenset(plain - distinctive - vocabulary - set(PLAIN_WORDS)),
    )


def _members(node: Any) -> Iterator[str]:
    """Yield the names of all members that schemas describe and templates write."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "properties" and isinstance(value, dict):
                yield from value
            if key == "body" and isinstance(value, dict):
                yield from (name for name in value if name != "$ref")
            yield from _members(value)
    elif isinstance(node, list):
        for item in node:
            yield from _members(item)


def _parts(segments: Iterable[str | None]) -> Iterator[str]:
    """Yield every two segments of a path that follow each other."""
    known = list(segments)
    for first, second in itertools.pairwise(known):
        if first and second:
            yield f"{first}/{second}"


def _fixed(text: str) -> Iterator[str]:
    """Yield the parts of a message that are always the same and long enough to be no coincidence."""
    for part in re.split(r"\{[^{}]*\}", text):
        if len(part.strip()) >= 16:
            yield part.strip().lower()


@cache
def _vocabulary() -> frozenset[str]:
    """Return the words of OpenAPI, of our vocabulary and of our own admin API, which Python may say."""
    found: set[str] = set()
    for file in (*(ROOT / "specs/_schemas").glob("*.yaml"), ROOT / "mockserver/admin.openapi.yaml"):
        found |= set(_terms(parse_yaml(file.read_bytes(), file=file.name)))
    openapi = resources.files("openapi_spec_validator") / "resources/schemas/v3.1/schema.json"
    found |= set(_terms(json.loads(openapi.read_bytes())))
    # Runtime expressions (OpenAPI 3.1, 4.8.20.3) and ours are a grammar, not a schema.
    grammar = (ROOT / "validator/contract/expressions.py").read_text()
    found |= set(re.findall(r'"([a-zA-Z]+)"', grammar)) | {"statusCode"}
    return frozenset(found)


def _terms(node: Any) -> Iterator[str]:
    """Yield the keys and the short values of a tree."""
    if isinstance(node, dict):
        for key, value in node.items():
            # Of a path, such as those of the admin API, its segments.
            yield from (key, *key.split("/"))
            # An example may well speak of a provider.
            if key not in ("example", "examples", "description", "summary"):
                yield from _terms(value)
    elif isinstance(node, list):
        for item in node:
            yield from _terms(item)
    elif isinstance(node, str) and re.fullmatch(r"[\w.$/-]{1,40}", node):
        yield node


def provider_words(source: Source, known: Words | None = None) -> Iterator[str]:
    """Yield what a file says that only a spec may say."""
    known, where = known or words(), source.module
    folded = source.text.lower()
    for name in known.names:
        if name in folded:
            yield f"{where}: names {name}"
    for token in source.tokens:
        spoken = {token.string}
        if token.type in (tokenize.STRING, tokenize.COMMENT) or token.string.isidentifier():
            spoken = set(re.findall(r"[\w-]+", token.string)) | set(re.findall(r"\w+", token.string))
        for word in spoken & known.tokens:
            yield f"{where}:{token.start[0]}: says {word}"
    for line, text in source.literals:
        flat = " ".join(text.split()).lower()
        # A look that is quick, before the one that is right: most literals hold nothing of the kind.
        for path in known.paths:
            if path in text and re.search(rf"(?<![\w-]){re.escape(path)}(?![\w-])", text):
                yield f"{where}:{line}: has the path {path}"
        for sentence in known.sentences:
            if sentence in flat:
                yield f"{where}:{line}: says '{sentence}'"
        # A plain word is a field or a state where it stands alone, or at the end of a pointer.
        if (word := re.sub(r"^.*#?/", "", text)) in known.plain and re.fullmatch(r"[$.\w]*#?[/\w]*", text):
            yield f"{where}:{line}: reads {text!r}"


# --- law 2 ------------------------------------------------------------------------------------------------

TIME = {"time", "sched", "timeit"}
CHANCE = {"random", "secrets", "uuid"}
READS_TIME = re.compile(r"datetime\.(datetime|date)\.(now|utcnow|today)|os\.times|.*\.loop\.time|loop\.time")
DRAWS = re.compile(r"os\.(urandom|getrandom)|hashlib\.\w*rand\w*|tempfile\.\w+")


def time_and_chance(source: Source) -> Iterator[str]:
    """Yield where a module reads time or draws chance that is not `clock` or `ids`."""
    may_tell, may_draw = source.module == "mockserver.clock", source.module == "mockserver.ids"
    for line, name in source.imports:
        package = name.partition(".")[0]
        if package in TIME and not may_tell:
            yield f"{source.module}:{line} imports {package}"
        if package in CHANCE and not may_draw:
            yield f"{source.module}:{line} imports {package}"
    for node in ast.walk(source.tree):
        if not isinstance(node, (ast.Attribute, ast.Name)):
            continue
        name = source.dotted(node)
        if READS_TIME.fullmatch(name) and not may_tell:
            yield f"{source.module}:{node.lineno} reads time with {name}"
        if DRAWS.fullmatch(name) and not may_draw:
            yield f"{source.module}:{node.lineno} draws with {name}"
        is_loops = (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call) and node.attr == "time"
        )
        if is_loops and not may_tell:
            yield f"{source.module}:{node.lineno} asks a loop for the time"


# --- law 8 ------------------------------------------------------------------------------------------------

RUNS_TEXT = {"eval", "exec", "compile", "__import__", "execfile"}
RUNS_DATA = re.compile(
    r"importlib\.(import_module|__import__|reload)|runpy\.\w+|code\.(interact|Interactive\w+)|pickle\.\w+|marshal\.\w+|shelve\.\w+"
    r"|os\.(system|popen|exec\w*|spawn\w*|fork)|subprocess\.\w+|ctypes\.\w+|types\.FunctionType"
    r"|yaml\.(load|load_all|full_load\w*|unsafe_load\w*|Loader|FullLoader|UnsafeLoader|CLoader)"
)
STARTER = "mockserver.rehearsal.program"
"""The one module that starts a program: the command that the user typed behind `understudy rehearse --`, as a shell
would.  Neither a spec nor a request nor a client's output has a part in it."""
STARTS = re.compile(r"subprocess(\.(Popen|TimeoutExpired|PIPE|DEVNULL|x))?")
OPENS = re.compile(r"open|io\.open|os\.open|pathlib\.\w+|shutil\.\w+|tempfile\.\w+")


def code_from_data(source: Source) -> Iterator[str]:
    """Yield where text could become code, or a request name a file."""

    def runs_data(name: str) -> bool:
        if source.module == STARTER and STARTS.fullmatch(name):
            return False
        return RUNS_DATA.fullmatch(name) is not None

    for line, name in source.imports:
        if runs_data(name) or runs_data(f"{name}.x"):
            yield f"{source.module}:{line} imports {name}"
        if source.module.startswith("mockserver") and OPENS.fullmatch(name):
            yield f"{source.module}:{line} imports {name}"
    defined = {node.name for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute):
            name = source.dotted(node)
            if runs_data(name):
                yield f"{source.module}:{node.lineno} uses {name}"
        if not isinstance(node, ast.Call):
            continue
        name = source.dotted(node.func)
        if name in RUNS_TEXT and name not in defined and hasattr(builtins, name):
            yield f"{source.module}:{node.lineno} calls {name}"
        if source.module.startswith("mockserver") and OPENS.fullmatch(name):
            yield f"{source.module}:{node.lineno} opens a file with {name}"
        is_format = isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "format_map")
        if is_format and not isinstance(node.func.value, (ast.Constant, ast.JoinedStr)):
            yield f"{source.module}:{node.lineno} formats a text that is not written here"


# --- the tree ---------------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[Source], Iterator[str]]] = {
    "levels": steps_up,
    "doors": side_doors,
    "a-provider-is-data": provider_words,
    "one-clock-one-dice": time_and_chance,
    "no-code-from-data": code_from_data,
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_sources_keep_the_law(name: str) -> None:
    assert [] == [fault for source in sources() for fault in CHECKS[name](source)]


def test_every_level_and_every_door_is_there() -> None:
    modules = {source.module for source in sources()}

    assert modules == set(LEVEL_OF)
    used = {
        (name.partition(".")[0], source.module)
        for source in sources()
        for _, name in source.imports
        if name.partition(".")[0] in DOORS
    }
    assert {(package, door) for package, text in DOORS.items() for door in text.split()} == used


def test_the_words_of_the_specs_are_known() -> None:
    known = words()

    assert {"kling", "magnific", "aimlapi", "modellix", "klingai", "freepik"} <= known.names
    assert {"image_tail", "negative_prompt", "X-Modellix-Event", "createImage2Video"} <= known.tokens
    assert {"videos/image2video", "v1/ai", "account/costs", "video/generations"} <= known.paths
    assert {"prompt", "succeed", "queued", "COMPLETED", "trajectories"} <= known.plain
    assert len(known.sentences) > 100


@pytest.mark.parametrize("word", [*WORDS_OF_OURS, *PLAIN_WORDS])
def test_no_exception_is_left_over(word: str) -> None:
    strict = replace(words(), tokens=frozenset({word}), plain=frozenset({word}))

    assert any(word in source.text and any(provider_words(source, strict)) for source in sources())


OFFENCES = {
    "levels": {
        "import": ("validator.check", "import mockserver.clock"),
        "from": ("mockserver.tasks", "from mockserver.callbacks import Outbox"),
        "package": ("mockserver.store", "from mockserver import pipeline"),
        "late": ("validator.contract.model", "def f():\n    from validator.report import Report"),
        "type": ("validator.report", "if TYPE_CHECKING:\n    from mockserver.tasks import Task"),
        "entry": ("mockserver.app", "from mockserver.server import listen"),
        "nowhere": ("mockserver.scenario_file", "import re"),
    },
    "doors": {
        "second": ("mockserver.pipeline", "import httpx"),
        "part": ("validator.check", "from PIL.Image import open"),
        "late": ("mockserver.app", "def f():\n    import starlette.routing"),
        "new": ("mockserver.admin", "import requests"),
        "hook": ("validator.preflight.flight", "import httpx"),
    },
    "a-provider-is-data": {
        "id": ("mockserver.tasks", "if provider == 'kling': pass"),
        "comment": ("mockserver.tasks", "x = 1  # as Magnific does"),
        "identifier": ("mockserver.tasks", "def modellix_event(): pass"),
        "host": ("mockserver.app", "HOST = 'api-singapore.klingai.com'"),
        "rule": ("validator.check", "RULE = 'aimlapi.duration.allowed'"),
        "path": ("mockserver.app", "PATH = '/v1/videos/image2video'"),
        "half-path": ("mockserver.app", "PATH = base + '/account/costs'"),
        "f-path": ("mockserver.app", "f'{base}/video/generations?x={y}'"),
        "segment": ("mockserver.app", "x = 'image-to-video'"),
        "field": ("mockserver.actions", "tail = body.get('image_tail')"),
        "attribute": ("mockserver.actions", "tail = body.image_tail"),
        "argument": ("mockserver.actions", "def create(*, negative_prompt): pass"),
        "plain-field": ("mockserver.actions", "text = body['prompt']"),
        "pointer": ("mockserver.actions", "place = '/camera_control/config/zoom'"),
        "plain-pointer": ("mockserver.actions", "place = '$request.body#/prompt'"),
        "state": ("mockserver.tasks", "if state == 'succeed': pass"),
        "capital-state": ("mockserver.tasks", "if state in ('COMPLETED', 'X'): pass"),
        "header": ("mockserver.callbacks", "headers['X-Modellix-Event'] = event"),
        "operation": ("mockserver.pipeline", "createImage2Video = 1"),
        "message": ("validator.errors", "text = 'Failure: Image pixel is invalid'"),
        "docstring": ("mockserver.tasks", '"""Read `negative_prompt` from the body."""'),
    },
    "one-clock-one-dice": {
        "import": ("mockserver.tasks", "import time"),
        "from": ("mockserver.tasks", "from time import monotonic"),
        "late": ("validator.check", "def f():\n    import time as t\n    return t.time()"),
        "datetime": ("mockserver.admin", "from datetime import datetime\nnow = datetime.now()"),
        "alias": ("mockserver.admin", "import datetime as d\nnow = d.datetime.utcnow()"),
        "today": ("mockserver.admin", "from datetime import date as day\nnow = day.today()"),
        "loop": ("mockserver.admin", "import asyncio\nnow = asyncio.get_running_loop().time()"),
        "kept-loop": ("mockserver.admin", "now = self.loop.time()"),
        "random": ("mockserver.callbacks", "import random"),
        "uuid": ("mockserver.tasks", "from uuid import uuid4"),
        "secrets": ("mockserver.server", "import secrets"),
        "system": ("mockserver.server", "import os\nkey = os.urandom(16)"),
        "dice-tell": ("mockserver.ids", "import time"),
        "clock-draws": ("mockserver.clock", "import random"),
    },
    "no-code-from-data": {
        "eval": ("validator.contract.expressions", "eval(text)"),
        "exec": ("mockserver.actions", "def f():\n    exec(text)"),
        "compile": ("validator.contract.expressions", "compile(text, 'x', 'eval')"),
        "import": ("mockserver.callbacks", "__import__(name)"),
        "importlib": ("mockserver.callbacks", "import importlib\nimportlib.import_module(name)"),
        "importlib-from": ("mockserver.callbacks", "from importlib import import_module as load"),
        "yaml": ("validator.contract.document", "import yaml\nyaml.load(text, Loader=_Loader)"),
        "yaml-loader": ("validator.contract.document", "import yaml\nclass L(yaml.FullLoader): pass"),
        "yaml-unsafe": ("validator.contract.document", "from yaml import unsafe_load"),
        "pickle": ("mockserver.store", "import pickle"),
        "shell": ("mockserver.artifacts", "import subprocess"),
        "shell-of-a-rehearsal": ("mockserver.rehearsal.run", "import subprocess"),
        "other-way-to-start": (STARTER, "import subprocess\nsubprocess.getoutput(text)"),
        "system-of-the-starter": (STARTER, "import os\nos.system(text)"),
        "system": ("mockserver.artifacts", "import os\nos.system(text)"),
        "format": ("validator.errors", "text.format(error=error)"),
        "open": ("mockserver.app", "open(path)"),
        "path": ("mockserver.app", "from pathlib import Path"),
    },
}


@pytest.mark.parametrize(
    ("law", "offence"), [(law, offence) for law, offences in OFFENCES.items() for offence in offences]
)
def test_an_offence_is_found(law: str, offence: str) -> None:
    module, text = OFFENCES[law][offence]

    assert list(CHECKS[law](Source(module, text + "\n")))


INNOCENT = {
    "levels": ("mockserver.app", "from validator.check import check\nfrom mockserver.tasks import Task"),
    "doors": ("mockserver.callbacks", "import httpx\nimport asyncio\nfrom validator.check import check"),
    "a-provider-is-data": (
        "mockserver.tasks",
        'def prompt_for(x):\n    """Ask, and succeed with a prompt."""',
    ),
    "one-clock-one-dice": ("mockserver.tasks", "at = tenant.clock.now()\nlater = datetime.fromtimestamp(at)"),
    "no-code-from-data": ("mockserver.app", "import re\nre.compile('x')\n'{}'.format(1)\nImage.open(data)"),
}


@pytest.mark.parametrize("law", CHECKS)
def test_what_is_no_offence_is_not_found(law: str) -> None:
    module, text = INNOCENT[law]

    assert [] == list(CHECKS[law](Source(module, text + "\n")))


# --- what is imported -------------------------------------------------------------------------------------


def loaded(code: str) -> set[str]:
    """Return the packages, ours as modules, that Python holds after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return {name if name.startswith("mockserver") else name.partition(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code",
    [
        "import validator",
        "import validator; validator.load('kling')",
        "from validator.preflight import Preflight; Preflight('kling')",
    ],
)
def test_the_validator_brings_no_server_and_no_client_along(code: str) -> None:
    found = loaded(code)

    assert {"validator", "jsonschema_rs"} <= found
    assert set() == found & (
        HEAVY | {"uvicorn", "uvloop", "click", "mockserver", "aiohttp", "requests", "urllib3"}
    )
    assert [] == [name for name in found if name.startswith("mockserver")]


def test_a_check_of_text_needs_no_pictures_and_one_of_pictures_does() -> None:
    check = (
        "from validator import *; check(load('kling'), HttpRequest.from_json('POST', '/v1/videos/{}', {}))"
    )

    assert "PIL" not in loaded(check.format("text2video", {"prompt": "a boat"}))
    assert "PIL" in loaded(check.format("image2video", {"image": picture()}))


def imported(output: str) -> set[str]:
    """Return the packages of what Python's own import log lists."""
    return {
        name.partition(".")[0] for name in re.findall(r"^import time: .*\| +([\w.]+)$", output, re.MULTILINE)
    }


def test_a_start_imports_nothing_that_it_does_without() -> None:
    with Running(env={"PYTHONPROFILEIMPORTTIME": "1"}) as server:
        start = imported(server.output)
        answer = server.client.get("/__admin/health")
        server.wait_for(r"\| +starlette\.applications$")
        later = imported(server.output)

    assert {"mockserver", "validator", "uvicorn"} <= start
    assert set() == start & HEAVY
    assert (200, True) == (answer.status_code, "starlette" in later), "the log does show what is imported"


# --- examples ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [one.module for one in sources() if ">>> " in one.text])
def test_the_examples_of_docstrings_hold(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module))

    assert outcome.attempted
    assert not outcome.failed
