"""A spec that is small on the disk and large in memory, deep, or that names types: it does not load, and says why."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest

from tests.e2e.running import call, command, environment
from validator.contract.document import SpecError, parse_yaml, read_document

_NINE = ", ".join
_LAUGHS = ["a: &a [" + _NINE(["lol"] * 10) + "]"] + [
    f"{name}: &{name} [" + _NINE([f"*{before}"] * 10) + "]"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
]

BOMBS = {
    "laughs": "\n".join(_LAUGHS),
    "laughs-of-mappings": "\n".join(
        [
            "a: &a {x: 1}",
            *(
                f"{n}: &{n} {{{_NINE(f'k{i}: *{b}' for i in range(10))}}}"
                for b, n in zip("abcdefghi", "bcdefghij", strict=True)
            ),
        ]
    ),
    "quadratic": "a: &a " + "x" * 50_000 + "\nb: [" + ", ".join(["*a"] * 1_100_000) + "]",
    "itself": "a: &a [*a]",
    "itself-deeper": "a: &a {b: [{c: *a}]}",
    "each-other": "a: &a [&b [*a, *b]]",
    "merge": "a: &a {x: 1}\nb: {<<: *a, <<: *a}",
    "deep-flow": "[" * 20_000 + "]" * 20_000,
    "deep-flow-open": "[" * 100_000,
    "deep-mappings": "{a: " * 20_000 + "}" * 20_000,
    "deep-block": "\n".join(" " * depth + "a:" for depth in range(3_000)),
    "deep-list": "- " * 20_000 + "x",
    "many-values": "[" + "1, " * 300_000 + "1]",
    "huge-number": "a: " + "9" * 10_000,
    "python-object": "a: !!python/object/apply:os.system [id]",
    "python-new": "a: !!python/object/new:subprocess.Popen [[id]]",
    "python-name": "a: !!python/name:os.system",
    "python-module": "!!python/module:os {}",
    "binary": "a: !!binary aGVsbG8=",
    "own-tag": "a: !include /etc/passwd",
    "long-tag": "a: !<tag:x.test,2000:x> 1",
    "two-documents": "a: 1\n--- \nb: 2",
    "unknown-alias": "a: *nobody",
    "double-key": "a: 1\na: 2",
    "tab": "a:\n\t- x",
    "bytes": "a: \x00",
    "complex-key": "? [a, b]\n: c",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(BOMBS[name], file="bomb.yaml")

    assert str(caught.value).startswith("bomb.yaml: not readable as YAML")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe\x00", b"a: \xc3\x28", b"\x80abc", b"a: \xed\xa0\x80", b"\xef\xbb\xbf\xff"]
)
def test_bytes_that_are_no_text_are_refused(raw: bytes) -> None:
    with pytest.raises(SpecError, match="not readable as YAML"):
        parse_yaml(raw, file="bomb.yaml")


@pytest.mark.parametrize(
    "name", ["laughs", "quadratic", "deep-flow", "deep-flow-open", "deep-list", "many-values", "itself"]
)
def test_a_start_with_a_bomb_ends_soon_and_small(tmp_path: Path, name: str) -> None:
    """In a process that may not have more than a gigabyte of addresses, and not more than half a minute."""
    file = tmp_path / "bomb.yaml"
    file.write_text(BOMBS[name])

    done = subprocess.run(
        command("serve", "--port", "0", "--spec", str(file)),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
    )

    assert 2 == done.returncode, done.stderr[-500:]
    assert "Traceback" not in done.stderr
    assert "not readable as YAML" in done.stderr


@pytest.mark.parametrize(
    "path", ["/dev/null", "/proc/self/mem", "/", "/nonexistent.yaml", "x\x00.yaml", "a" * 5_000 + ".yaml"]
)
def test_a_file_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(SpecError):
        read_document(path)


def test_a_reference_leads_out_of_no_file(tmp_path: Path) -> None:
    for target in (
        "/etc/passwd",
        "file:///etc/passwd#/x",
        "http://127.0.0.1:1/x.yaml",
        "../x.yaml#/a",
        "#/paths/../x",
    ):
        file = tmp_path / "spec.yaml"
        file.write_text(
            f"openapi: 3.1.1\ninfo: {{title: x, version: '1'}}\npaths: {{/x: {{$ref: '{target}'}}}}\n"
        )
        done = call("lint", "--spec", str(file), str(file))
        assert done.returncode != 0
        assert "Traceback" not in done.stderr + done.stdout
