from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patcher.steps import AddModule
from patcher.tree import add_release, pins
from patcher.tree.find import Tree
from patcher.tree.outline import Outline, differences, fingerprints
from patcher.tree.pins import PINNED, identify
from patches import all_patches
from tests.patcher.lookalike import BACKEND, ENVIRON, FILES, VERSION


def test_the_releases_of_this_project_are_known() -> None:
    known = pins.pins()
    patchable = [release for release, pin in known.items() if pin.patchable]
    assert patchable == [
        "0.5.4",
        "0.5.4.post3",
        "0.5.5",
        "0.5.5.post3",
        "0.5.6",
        "0.5.6.post1",
        "0.5.6.post2",
    ]
    assert all(pin.why for pin in known.values() if not pin.patchable)
    for pin in known.values():
        assert len(pin.wheel_sha256) == 64
        assert set(pin.files) <= set(PINNED)
        if pin.patchable:
            assert all(pins.outline(digest) for digest in pin.files.values())


def test_every_release_is_told_apart_by_content_alone() -> None:
    contents = [tuple(sorted(pin.files.items())) for pin in pins.pins().values()]
    assert len(set(contents)) == len(contents)


def test_every_file_that_a_patch_edits_is_pinned() -> None:
    steps = [step for patch in all_patches() for step in patch.steps]
    created = {step.file for step in steps if isinstance(step, AddModule)}
    assert {step.file for step in steps} - created <= set(PINNED)


def test_an_exact_tree(tree: Tree) -> None:
    identity = identify(tree.read)
    assert identity.pin is not None
    assert (identity.pin.release, identity.exact) == ("1.0", True)


def test_content_counts_and_the_stated_version_does_not(tree: Tree) -> None:
    tree.path(VERSION).write_text('__version__ = "0.9"\n')
    identity = identify(tree.read)
    assert identity.pin is not None
    assert identity.pin.release == "1.0"
    assert [change.file for change in identity.changes] == [VERSION]


@pytest.mark.parametrize(
    ("line", "version", "release"),
    [
        ("total = len(lens)", "7", "0.9"),
        ("total = sum(lens)", "7", "1.0"),
        ("total = max(lens)", "0.9+mine", "0.9"),
        ("total = max(lens)", "1.0.dev3", "1.0"),
    ],
)
def test_the_nearest_release_has_most_lines_then_the_stated_version(
    tree: Tree, line: str, version: str, release: str
) -> None:
    text = FILES[BACKEND].replace("longest = max(lens)", "longest = 7")
    tree.path(BACKEND).write_text(text.replace("total = sum(lens)", line))
    tree.path(VERSION).write_text(f'__version__ = "{version}"\n')
    identity = identify(tree.read)
    assert identity.pin is not None
    assert identity.pin.release == release


def test_a_missing_file_is_a_change(tree: Tree) -> None:
    tree.path(ENVIRON).unlink()
    (change,) = identify(tree.read).changes
    assert (change.file, change.differences, change.symbol) == (ENVIRON, None, "")


@pytest.mark.parametrize(
    ("old", "new", "symbol"),
    [
        ("longest = max(lens)", "longest = 1", "Backend.replay"),
        ("lens: List[int]", "lens: list", "Metadata"),
        ("import numpy\n", "import numpy as np\n", ""),
        ("    def forward", "    def forwards", "Backend.forward"),
        ("        # The longest row.\n", "", "Backend.replay"),
        ("class Backend:\n", "class Backend:\n    x = 1\n\n", "Backend"),
        ("@dataclass\n", "@dataclass(frozen=True)\n", "Metadata"),
    ],
)
def test_the_first_symbol_that_differs_is_named(
    tree: Tree, old: str, new: str, symbol: str
) -> None:
    text = FILES[BACKEND]
    assert old in text
    tree.path(BACKEND).write_text(text.replace(old, new))
    (change,) = identify(tree.read).changes
    assert (change.file, change.symbol) == (BACKEND, symbol)


def test_line_ends_alone_are_no_line_that_differs(tree: Tree) -> None:
    data = tree.path(BACKEND).read_bytes()
    tree.path(BACKEND).write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    (change,) = identify(tree.read).changes
    assert change.differences == ()


def test_an_outline_survives_json() -> None:
    outline = Outline.of(FILES[BACKEND].encode())
    packed = json.loads(json.dumps(outline.packed()))
    assert Outline.unpacked(packed["symbols"], packed["lines"]) == outline


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_differences_account_for_every_line(old: bytes, new: bytes) -> None:
    found = differences(Outline.of(old), new)
    removed = sum(one.removed for one in found)
    added = sum(len(one.added) for one in found)
    assert len(fingerprints(old)) - removed == len(fingerprints(new)) - added
    assert (found == []) == (fingerprints(old) == fingerprints(new))


@given(st.dictionaries(st.sampled_from(PINNED), st.binary(max_size=200)))
def test_identify_never_fails(content: dict[str, bytes]) -> None:
    identity = identify(content.get)
    assert not identity.exact


def test_a_release_is_added_from_its_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: None
) -> None:
    import zipfile

    wheel = tmp_path / "sglang-3.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, text in FILES.items():
            archive.writestr(file, text)
    monkeypatch.setattr(add_release, "PINS", tmp_path / "pins.json")
    assert add_release.main([str(wheel), "--family", "upstream", "--why", "new"]) == 0
    assert add_release.main([str(wheel).replace("3.0", "3.0")]) == 0
    made = json.loads((tmp_path / "pins.json").read_text())
    assert list(made["releases"]) == ["3.0"]
    assert made["releases"]["3.0"]["family"] == "patchable"
    assert set(made["outlines"]) == set(made["releases"]["3.0"]["files"].values())
