"""schemathesis, as its users run it, against a running server: the plain spec of each provider, and the admin API.

All phases, all checks; where a provider really is not what a check expects, `exceptions.py` says so, with the reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import tenant_name
from tests.e2e.exceptions import EXCUSES
from tests.e2e.running import ROOT, Running, World, call, environment
from tests.providers import contract

IS_SOAK = bool(os.environ.get("UNDERSTUDY_SOAK")) or os.environ.get("HYPOTHESIS_PROFILE") == "soak"
EXAMPLES = 200 if IS_SOAK else 12
OPTIONS = ("--seed", str(os.getpid())) if IS_SOAK else ("--generation-deterministic",)
ADMIN = ROOT / "mockserver" / "admin.openapi.yaml"

# Keys of a real form that the server is told, so that it can tell a wrong one.
KEYS = {
    "kling": "0123456789abcdef0123456789abcdef",
    "magnific": "FPSX0123456789",
    "aimlapi": "0123456789abcdef0123456789abcdef",
    "modellix": "mdlx-0123456789",
}
BASES = {"modellix": "/api/v1"}
HEADERS = {"magnific": "x-magnific-api-key: {}"}


@dataclass(frozen=True)
class Outcome:
    """What a run said: exit code (0: nothing found), its output, and how often which exception was met."""

    code: int
    output: str
    tally: Counter[str]


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that knows its keys, calls nobody but this machine, and moves a task whenever it is read."""
    keys = [word for name, key in KEYS.items() for word in ("--credential", f"{name}={key}")]
    with Running(
        *keys,
        "--callback-allow",
        "127.0.0.1",
        "--progress",
        "polls",
        "--journal-entries",
        "100000",
        "--log",
        "off",
    ) as running:
        yield running


@pytest.fixture
def tenant(strict_server: Running, request: pytest.FixtureRequest) -> World:
    return World(strict_server, tenant_name(request.node.name))


def plain_spec(provider: str, folder: Path) -> Path:
    """Write the plain spec as the command prints it."""
    printed = call("spec", provider, "--plain")
    assert printed.returncode == 0, printed.stderr
    file = folder / f"{provider}.yaml"
    file.write_text(printed.stdout)
    return file


def run(
    world: World,
    provider: str,
    spec: Path,
    *options: str,
    folder: Path,
    weakened: str = "",
    examples: int = EXAMPLES,
) -> Outcome:
    """Run schemathesis against one provider of a tenant, or its admin API."""
    tally = folder / f"tally{len(list(folder.glob('tally*')))}.txt"
    tally.touch()
    (folder / "schemathesis.toml").write_text(f"hooks = '{ROOT / 'tests/e2e/schemathesis_hooks.py'}'\n")
    headers: tuple[str, ...] = ()
    if provider in KEYS:
        headers = ("--header", HEADERS.get(provider, "Authorization: Bearer {}").format(KEYS[provider]))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "--no-color"),
            *("run", str(spec), "--url", f"{world.origin}/{provider}{BASES.get(provider, '')}", *headers),
            *("--max-examples", str(examples), "--request-timeout", "60", *OPTIONS, *options),
        ],
        cwd=folder,
        env=environment(
            {
                "UNDERSTUDY_TALLY": str(tally),
                "UNDERSTUDY_PROVIDER_NAME": provider,
                "UNDERSTUDY_ORIGIN": world.origin,
                "UNDERSTUDY_KEY": KEYS["kling"],
                "UNDERSTUDY_WEAKENED": weakened,
                "COLUMNS": "120",
            }
        ),
        capture_output=True,
        text=True,
        timeout=3_600 if IS_SOAK else 300,
        check=False,
    )
    return Outcome(done.returncode, done.stdout + done.stderr, Counter(tally.read_text().splitlines()))


WEAKENED = {"kling": "createImage2Video"}
"""Its conditions over several members, times the capability map, are more than the generator can turn over.

So where it generates freely, in fuzzing and over links, they are taken out before, and what it made is brought into
line with the whole schema, or dropped.  Examples and coverage run on the file as it is.
"""


@pytest.mark.parametrize("provider", KEYS)
def test_schemathesis_finds_nothing_in_a_provider(tenant: World, provider: str, tmp_path: Path) -> None:
    spec = plain_spec(provider, tmp_path)
    runs = [("examples,coverage,fuzzing", "")]
    if provider in WEAKENED:
        runs = [("examples,coverage", ""), ("fuzzing", WEAKENED[provider])]
    met = set()

    for phases, weakened in runs:
        found = run(tenant, provider, spec, "--phases", phases, folder=tmp_path, weakened=weakened)

        assert found.code == 0, found.output
        met |= set(found.tally)

    # An exception that nothing needs any more is to go.
    assert {one.reason for one in EXCUSES if one.provider == provider and one.is_sure} <= met


@pytest.mark.parametrize("provider", KEYS)
def test_schemathesis_follows_the_links_of_a_provider(tenant: World, provider: str, tmp_path: Path) -> None:
    spec = plain_spec(provider, tmp_path)

    found = run(
        *(tenant, provider, spec, "--phases", "stateful"),
        folder=tmp_path,
        weakened=WEAKENED.get(provider, ""),
    )

    assert found.code == 0, found.output
    assert_all_links_are_covered(found)
    made = {task["id"] for task in tenant.tasks()}
    read = [
        one
        for one in tenant.admin("GET", "/requests?limit=1000&verdict=accepted")["requests"]
        if one["request"]["method"] == "GET" and one["response"]["status"] == 200 and one["task"] in made
    ]
    # The server draws the ids, so that whoever reads a task was led there.
    assert len({one["task"] for one in read}) >= 5, found.output
    readers = {one.id for one in contract(provider).operations.values() if one.role == "read"}
    assert readers == {one["operation"] for one in read}


def assert_all_links_are_covered(found: Outcome) -> None:
    """Fail unless the run says that it went along as many links as the description has."""
    said = re.search(
        r"API Links: +(\d+) covered / (\d+) selected / (\d+) total(?: \((\d+) inferred\))?", found.output
    )
    assert said is not None, found.output
    covered, selected, total, inferred = (int(number or 0) for number in said.groups())
    assert selected == total
    assert covered >= total - inferred > 0, found.output


def test_the_page_lists_every_exception() -> None:
    page = (ROOT / "docs" / "lint.md").read_text()
    table = page.partition("| Provider | Its way |\n|---|---|\n")[2].partition("\n\n")[0]

    assert [f"| {one.provider} | {one.reason} |" for one in EXCUSES] == table.splitlines()


def test_schemathesis_finds_nothing_in_the_admin_api(tenant: World, tmp_path: Path) -> None:
    found = run(tenant, "__admin", ADMIN, "--phases", "examples,coverage,fuzzing", folder=tmp_path)

    assert found.code == 0, found.output


def test_schemathesis_follows_the_links_of_the_admin_api(tenant: World, tmp_path: Path) -> None:
    # More walks than elsewhere: some calls empty the tenant, and what comes after finds little.
    walks = max(EXAMPLES, 60)
    body = {"prompt": "A paper boat", "callback_url": "http://127.0.0.1:9/hook"}
    key = {"Authorization": f"Bearer {KEYS['kling']}"}
    tenant.post("/kling/v1/videos/text2video", body, headers=key).raise_for_status()
    tenant.admin("POST", "/clock/advance", {"by": "PT3S"})

    found = run(tenant, "__admin", ADMIN, "--phases", "stateful", folder=tmp_path, examples=walks)

    assert found.code == 0, found.output
    assert_all_links_are_covered(found)


# --- faults planted in what is served, to see that all this finds them ------------------------------------


FIRST = ("--max-failures", "1", "--no-shrink")
FAULTS = {
    "an answer without a member": (
        "examples",
        "        message: success\n        data:\n          status",
        "        data:\n          status",
        "Response violates schema",
    ),
    "a rule that is not applied": (
        "coverage",
        "          minimum: 0\n          maximum: 1\n",
        "          minimum: 0\n",
        "Schema-violating request accepted",
    ),
    "a rule that is too strict": (
        "fuzzing",
        "          minimum: 0\n          maximum: 1\n",
        "          minimum: 0.3\n          maximum: 1\n",
        "Schema-valid request rejected",
    ),
    "a state that no reader knows": (
        "stateful",
        "data: {status: $task.state, task_id: $task.id, model_id",
        "data: {status: $task.created.ms, task_id: $task.id, model_id",
        "Response violates schema",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, start: Callable[..., Running], tmp_path: Path) -> None:
    phase, was, becomes, complaint = FAULTS[fault]
    spec = plain_spec("modellix", tmp_path)
    text = (ROOT / "specs" / "modellix.yaml").read_text()
    assert was in text
    broken = tmp_path / "broken" / "modellix.yaml"
    broken.parent.mkdir()
    broken.write_text(text.replace(was, becomes, 1))
    server = start("--spec", str(broken), "--credential", f"modellix={KEYS['modellix']}")

    found = run(
        World(server, "fault"), "modellix", spec, "--phases", phase, *FIRST, folder=tmp_path, examples=30
    )

    assert found.code == 1, found.output
    assert complaint in found.output
