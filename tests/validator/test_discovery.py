"""Which files are looked into, and which are left out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from validator import discovery
from validator.discovery import File, find_files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str, text: str = "{}") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def names(*named: str, is_offered: bool = False) -> list[str]:
    return [one.name for one in find_files(named, is_offered=is_offered)]


def test_a_directory_is_walked_in_the_order_of_names(folder: Path) -> None:
    put("b.py", "a/z.http", "a/y.JSON", "a/b/c.tsx", "x.png", "a/readme.md", "é x.yaml")

    assert ["b.py", "é x.yaml", "a/readme.md", "a/y.JSON", "a/z.http", "a/b/c.tsx"] == names(".")
    assert all(one.is_offered for one in find_files(["."]))


def test_what_others_wrote_is_left_out(folder: Path) -> None:
    put(
        "node_modules/a.js",
        ".git/a.json",
        ".venv/a.py",
        "dist/a.js",
        "src/build/a.py",
        ".github/a.yml",
        "a.py",
    )

    assert ["a.py", ".github/a.yml"] == names(".")


def test_a_gitignore_is_heeded_in_its_directory_and_below(folder: Path) -> None:
    put("a.py", "gen/b.py", "sub/c.py", "sub/keep.py", "sub/gen/d.py", "other/c.py", "sub/deep/c.py")
    put(".gitignore", text="gen/\n*.log\n/other/c.py\n")
    put("sub/.gitignore", text="*.py\n!keep.py\n")

    assert ["a.py", "sub/keep.py"] == names(".")


def test_the_gitignore_of_the_repository_counts_in_a_part_of_it(folder: Path) -> None:
    put("sub/a.py", "sub/b.py", ".git/HEAD")
    put(".gitignore", text="sub/b.py\n")

    assert ["sub/a.py"] == names("sub")
    assert ["sub/b.py"] == names("sub/b.py"), "what is named is read"


def test_links_lead_in_no_circles(folder: Path) -> None:
    put("a/b.py")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "linked.py").symlink_to(folder / "a" / "b.py")
    (folder / "broken.py").symlink_to(folder / "nothing")

    found = list(find_files(["."]))

    assert ["broken.py", "linked.py", "a/b.py"] == [one.name for one in found]
    assert "it cannot be read: No such file or directory" == found[0].fault


def test_a_pattern_is_followed(folder: Path) -> None:
    put("a/b/c.json", "a/d.json", "e.json", "a/f.txt", "node_modules/g.json")

    assert ["a/b/c.json", "a/d.json", "e.json"] == names("**/*.json")
    assert [File("*.nothing", fault="no file is called like that")] == list(find_files(["*.nothing"]))


def test_a_name_with_the_signs_of_a_pattern_is_a_name_where_it_is_there(folder: Path) -> None:
    put("a[1].json", "a1.json")

    assert ["a[1].json"] == names("a[1].json")


def test_each_file_comes_once(folder: Path) -> None:
    put("a/b.py")

    assert ["a/b.py"] == names("a/b.py", "a", "./a/b.py")


def test_large_and_odd_files_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "MOST_BYTES", 1_000_000)
    put("a.json", text="x" * 1_000_001)
    os.mkfifo("b.json")

    large, odd = find_files(["."])

    assert "it is larger than 1 MB; name it to have it read" == large.fault
    assert "it is no plain file" == odd.fault
    assert [File("a.json")] == list(find_files(["a.json"]))


def test_a_directory_without_a_file_to_read_is_told(folder: Path) -> None:
    (folder / "empty").mkdir()

    assert [File("empty", fault="no file is in it that could hold requests")] == list(find_files(["empty"]))
    assert [] == names("empty", is_offered=True)


def test_named_files_can_count_like_found_ones(folder: Path) -> None:
    put("a.json")

    assert [File("a.json", is_offered=True)] == list(find_files(["a.json"], is_offered=True))
    assert [File("missing.json")] == list(find_files(["missing.json"], is_offered=True))
    assert [False, False] == [one.is_offered for one in find_files(["a.json", "-"])]
