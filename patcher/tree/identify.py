"""Which release a tree is, or is near to, by the content of its pinned files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from patcher.tree.outline import Difference, differences, sha256
from patcher.tree.pins import (
    FAMILIES,
    PINNED,
    STATED,
    VERSION,
    Pin,
    newest,
    order,
    outline,
    pins,
)

Read = Callable[[str], bytes | None]


@dataclass(frozen=True)
class Change:
    """A pinned file that is not what the release has; `differences` None: it is missing."""

    file: str
    differences: tuple[Difference, ...] | None

    @property
    def symbol(self) -> str:
        """The first definition that differs; empty outside of definitions."""
        return self.differences[0].symbol if self.differences else ""


@dataclass(frozen=True)
class Identity:
    """The release that a tree is, or is near to, and how it differs. No pin: unknown.

    `stated` is the release that the tree says it is, empty where it says none. `why`
    says why there is no pin, or empty where nothing in the tree points to one.
    """

    pin: Pin | None
    changes: tuple[Change, ...] = ()
    stated: str = ""
    why: str = ""

    @property
    def exact(self) -> bool:
        """Whether every pinned file is the release's own."""
        return self.pin is not None and not self.changes


def identify(read: Read) -> Identity:
    """The release whose files `read` gives: by content, and by what it states.

    A tree is a release when every file is, whatever it states. It is near one when most
    files are the release's own, and it does not state another one that is known here;
    between several the stated one counts, then the one that shares most files, then most
    lines. With two files or more missing it is none: a wheel that was not unpacked fully.
    """
    found = {file: read(file) for file in PINNED}
    hashes = {file: sha256(data) for file, data in found.items() if data is not None}
    stated = _stated(read)
    share = {release: _share(pin, hashes) for release, pin in pins().items()}
    whole = [release for release in share if share[release] == 1]
    near = whole or [release for release in share if share[release] > 0.5]
    if stated in near:
        near = [stated]
    elif stated in pins() and near and not whole:
        why = f"it states that it is {stated}, but most of its files are {near[-1]}'s"
        return Identity(None, (), stated, why)
    most = max((share[release] for release in near), default=0)
    changes = {
        release: _changes(pins()[release], found, hashes)
        for release in near
        if share[release] == most
    }
    if not changes:
        return Identity(None, (), stated, _why_unknown(hashes, stated))
    best = min(
        changes, key=lambda release: _distance(pins()[release], changes[release])
    )
    missing = sum(change.differences is None for change in changes[best])
    if missing > 1:
        why = f"{missing} files of sglang {best} are missing: not unpacked fully"
        return Identity(None, (), stated, why)
    if stated and stated != best and not _states(changes[best]):
        line = Difference("", 1, 1, (f"__version__ = '{stated}'",))
        changes[best] += (Change(STATED[0], (line,)),)
    return Identity(pins()[best], changes[best], stated)


def _share(pin: Pin, hashes: Mapping[str, str]) -> float:
    """The share of the files, of the release's and the tree's, that are the same."""
    files = set(pin.content) | (set(hashes) - {VERSION})
    same = sum(hashes.get(file) == digest for file, digest in pin.content.items())
    return same / len(files) if files else 0


def _states(changes: Sequence[Change]) -> bool:
    return any(change.file in STATED for change in changes)


def _why_unknown(hashes: Mapping[str, str], stated: str) -> str:
    """What can be said of a tree that is near no release."""
    parts = [
        pin
        for pin in pins().values()
        if hashes
        and set(hashes) - {VERSION}
        and all(pin.files.get(file) == hashes[file] for file in hashes)
    ]
    if parts:
        pin = parts[-1]
        missing = len(pin.files) - len(hashes)
        return (
            f"{missing} files of sglang {pin.release} are missing: not unpacked fully"
        )
    if not stated:
        return ""
    if order(stated) > order(newest()):
        known = [pin for pin in pins().values() if pin.patchable]
        near = max(known, key=lambda pin: _alike(pin, hashes))
        return (
            f"it is sglang {stated}, newer than {newest()}, the newest release known "
            f"here; its files are laid out as in family {near.family} "
            f"({FAMILIES[near.family]})"
        )
    if stated in pins():
        return f"it states that it is {stated}, but most of its files are not"
    return f"it states that it is {stated}, which is not known here"


def _alike(pin: Pin, hashes: Mapping[str, str]) -> tuple[float, list[int]]:
    """How alike the two lists of files are, whatever is in them."""
    union = set(pin.files) | set(hashes)
    return len(set(pin.files) & set(hashes)) / len(union), order(pin.release)


def _changes(
    pin: Pin, found: Mapping[str, bytes | None], hashes: Mapping[str, str]
) -> tuple[Change, ...]:
    changed = [file for file, digest in pin.files.items() if hashes.get(file) != digest]
    return tuple(_change(pin, file, found[file]) for file in changed)


def _distance(pin: Pin, changes: Sequence[Change]) -> float:
    """How many lines of a release a tree lacks."""
    lacking = 0.0
    for change in changes:
        known = outline(pin.files[change.file])
        if known is None:
            continue
        if change.differences is None:
            lacking += len(known.lines)
        else:
            lacking += sum(difference.removed for difference in change.differences)
    return lacking


def _change(pin: Pin, file: str, data: bytes | None) -> Change:
    if data is None:
        return Change(file, None)
    kept = outline(pin.files[file])
    return Change(file, tuple(differences(kept, data)) if kept else ())


def _stated(read: Read) -> str:
    """The release that the tree states, without a local or development part."""
    release = rb"^__version__ (?:= version )?= ['\"](\d+(?:\.\d+)*(?:\.post\d+)?)"
    for file in STATED:
        match = re.search(release, read(file) or b"", re.MULTILINE)
        if match:
            return match[1].decode()
    return ""
