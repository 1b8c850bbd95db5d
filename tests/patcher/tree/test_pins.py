from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patcher.steps import AddFile, AddModule, Once, Where
from patcher.steps.cst.workspace import Step
from patcher.tree import add_release, pins
from patcher.tree import identify as identify_module
from patcher.tree.find import Tree
from patcher.tree.identify import Read, identify
from patcher.tree.outline import (
    Outline,
    differences,
    fingerprints,
    folded,
    unfolded,
)
from patcher.tree.pins import PINNED
from patches import all_patches
from tests.patcher.lookalike import (
    BACKEND,
    ENVIRON,
    FILES,
    NEW_BACKEND,
    VERSION,
    write_wheel,
)

RELEASES = list(pins.pins())


def test_every_release_from_0_5_4_on_is_known_with_its_family() -> None:
    families: dict[str, list[str]] = {}
    for release, pin in pins.pins().items():
        families.setdefault(pin.family, []).append(release)
        assert len(pin.wheel_sha256) == 64
        assert f"-{release}-" in pin.wheel
        if pin.patchable:
            assert all(pins.outline(digest) for digest in pin.files.values())
    assert {name: (known[0], known[-1]) for name, known in families.items()} == {
        "too-old": ("0.5.3", "0.5.3"),
        "A": ("0.5.4", "0.5.6.post2"),
        "B": ("0.5.7", "0.5.12.post1"),
        "C": ("0.5.13", "0.5.23"),
    }
    assert len(RELEASES) == 34
    assert sorted(RELEASES, key=pins.order) == RELEASES


def told(pin: pins.Pin, stated: str) -> Read:
    """Reads a tree with a release's files, by look-alike hashes, that states another."""
    content = {file: digest.encode() for file, digest in pin.files.items()}
    content[pins.STATED[0]] = f"__version__ = version = '{stated}'\n".encode()
    return content.get


@pytest.fixture
def hashes_as_content(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's content is its hash, so that no wheel is needed."""
    monkeypatch.setattr(identify_module, "sha256", lambda data: data.decode("latin-1"))


@pytest.mark.parametrize("release", RELEASES)
def test_every_release_is_told_from_the_others(
    release: str, hashes_as_content: None
) -> None:
    pin = pins.pins()[release]
    identity = identify(told(pin, release))
    assert (identity.pin, identity.exact) == (pin, True)
    checkout = identify(told(pin, ""))
    assert checkout.pin is not None
    assert checkout.exact
    assert checkout.pin.content == pin.content


def test_a_newer_release_is_said_to_be_that(hashes_as_content: None) -> None:
    pin = pins.pins()["0.5.23"]
    later = pins.Pin("", "", "", "C", "", {f: h[::-1] for f, h in pin.files.items()})
    identity = identify(told(later, "0.5.24.dev7+g1234567"))
    assert identity.pin is None
    assert identity.stated == "0.5.24"
    assert identity.why == (
        "it is sglang 0.5.24, newer than 0.5.23, the newest release known here; its "
        "files are laid out as in family C (DSA)"
    )


def test_a_newer_release_with_the_same_files_is_near_and_says_so(
    hashes_as_content: None,
) -> None:
    identity = identify(told(pins.pins()["0.5.23"], "0.5.23.post1"))
    assert identity.pin is not None
    assert (identity.pin.release, identity.exact) == ("0.5.23", False)
    (change,) = identity.changes
    assert change.file == pins.STATED[0]
    assert change.differences is not None
    assert change.differences[0].added == ("__version__ = '0.5.23.post1'",)


@pytest.mark.parametrize("kept", [3, 8, 12])
def test_a_wheel_that_was_not_unpacked_fully_is_unknown(
    kept: int, hashes_as_content: None
) -> None:
    pin = pins.pins()["0.5.20"]
    files = dict(list(pin.files.items())[:kept])
    part = pins.Pin("", "", "", "C", "", files)
    identity = identify(told(part, "0.5.20"))
    assert identity.pin is None
    missing = len(pin.files) - kept
    assert identity.why == (
        f"{missing} files of sglang 0.5.20 are missing: not unpacked fully"
    )


def test_a_tree_that_states_one_release_and_is_another_is_unknown(
    hashes_as_content: None,
) -> None:
    pin = pins.pins()["0.5.17"]
    files = {**pin.files, pins.PINNED[1]: "an edit"}
    identity = identify(told(pins.Pin("", "", "", "C", "", files), "0.5.9"))
    assert identity.pin is None
    assert identity.why == (
        "it states that it is 0.5.9, but most of its files are 0.5.17's"
    )


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("0.5.24", "0.5.23"),
        ("0.5.5.post4", "0.5.6"),
        ("0.5.12.post2", "0.5.13"),
        ("0.4", "0.5.3"),
    ],
)
def test_the_nearest_newer_release_is_suggested(asked: str, near: str) -> None:
    assert pins.nearest_newer(asked) == near


def test_every_pin_is_small() -> None:
    size = Path(pins.__file__).with_name("pins.json").stat().st_size
    assert size < 5000 * len(RELEASES)


def _bare(step: Step) -> Step:
    """The step itself, whatever it depends on."""
    while isinstance(step, Where | Once):
        step = step.then if isinstance(step, Where) else step.step
    return step


def test_every_file_that_a_patch_edits_is_pinned() -> None:
    steps = [step for patch in all_patches() for step in patch.steps]
    bare = [_bare(step) for step in steps]
    created = {step.file for step in bare if isinstance(step, AddModule | AddFile)}
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
        ("total = len(lens)", "0.9.5", "0.9"),
        ("total = sum(lens)", "0.9.5", "1.0"),
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


def test_outlines_survive_folding() -> None:
    outlines = {str(name): Outline.of(text.encode()) for name, text in FILES.items()}
    assert unfolded(json.loads(json.dumps(folded(outlines)))) == outlines


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


def write(folder: Path, release: str, files: dict[str, str]) -> Path:
    version = f'__version__ = "{release}"\n'
    return write_wheel(folder, release, {**files, VERSION: version})


def test_releases_are_added_from_their_wheels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: None
) -> None:
    newer = {f: text for f, text in FILES.items() if f != BACKEND}
    monkeypatch.setattr(add_release, "PINS", tmp_path / "pins.json")
    first = write(tmp_path, "3.0", FILES)
    last = write(tmp_path, "3.10", {**newer, NEW_BACKEND: "class New: ...\n"})
    between = write(tmp_path, "3.9", {**FILES, ENVIRON: "changed = 1\n"})
    assert add_release.main([str(first), str(last)]) == 0
    two = (tmp_path / "pins.json").read_text()
    assert add_release.main([str(between)]) == 0
    made = json.loads((tmp_path / "pins.json").read_text())
    assert list(made["releases"]) == ["3.0", "3.9", "3.10"]
    assert [entry["family"] for entry in made["releases"].values()] == ["A", "A", "C"]
    assert list(made["files"][ENVIRON]) == ["3.0", "3.9", "3.10"]
    assert made["files"][BACKEND]["3.10"] is None
    hashes = {h for runs in made["files"].values() for h in runs.values() if h}
    kept = [unfolded(text) for text in made["outlines"].values()]
    assert {digest for one in kept for digest in one} == hashes
    assert add_release.main([str(first), str(between), str(last)]) == 0
    assert json.loads((tmp_path / "pins.json").read_text()) == made
    assert len(two.splitlines()) < len(
        (tmp_path / "pins.json").read_text().splitlines()
    )


@pytest.mark.parametrize(
    ("files", "family"),
    [
        ({NEW_BACKEND: b""}, "C"),
        ({PINNED[5]: b"", BACKEND: b""}, "B"),
        ({BACKEND: b"class MultiStepBackend: ...\n"}, "A"),
        ({BACKEND: b"class Backend: ...\n"}, "too-old"),
        ({}, "too-old"),
    ],
)
def test_the_family_follows_from_the_files(
    files: dict[str, bytes], family: str
) -> None:
    assert pins.family_of(files) == family
