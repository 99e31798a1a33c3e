"""What is built from this tree: the wheel has all it takes to run, the source distribution all it takes to test."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.providers import LIBRARY

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a wheel and a source distribution."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


def test_the_wheel_carries_specs_schemas_clip_and_types(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    names = set(zipfile.ZipFile(wheel).namelist())

    assert {f"specs/{name}.yaml" for name in LIBRARY} <= names
    assert {"specs/_schemas/document.yaml", "specs/_schemas/vocabulary.yaml"} <= names
    assert {"mockserver/admin.openapi.yaml", "mockserver/clip.mp4"} <= names
    assert {"mockserver/py.typed", "validator/py.typed"} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    tops = {name.partition("/")[0] for name in names}
    assert {"mockserver", "specs", "validator"} == {top for top in tops if not top.endswith(".dist-info")}


def test_the_wheel_carries_every_module_and_no_test(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}

    modules = {
        str(file.relative_to(ROOT))
        for top in ("mockserver", "specs", "validator")
        for file in (ROOT / top).rglob("*.py")
    }
    assert modules == names


def test_the_source_distribution_carries_what_make_test_needs(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")

    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "Makefile",
        "requirements-dev.lock",
        "pyproject.toml",
        "tests/toy.yaml",
        "README.md",
        "LICENSE",
    } <= names
    assert {"Dockerfile", "requirements.lock", "compose.yaml", "docs/serve.md", "bench/__main__.py"} <= names


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_hashes_and_no_place(name: str) -> None:
    text = (ROOT / name).read_text()

    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "-e " not in text
    assert "@ " not in text
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            assert "==" in line and line.endswith("\\"), f"not pinned with a hash: {line}"
