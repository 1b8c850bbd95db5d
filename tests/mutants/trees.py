"""The trees that bugs are planted in, in memory: a release's own files, with every patch.

Made of the releases' wheels, or kept in a file by a machine that has those.
"""

from __future__ import annotations

import lzma
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from patcher.plan.edits import files_of, plan
from patcher.plan.select import choose, unfit
from patcher.recipe import Patch
from patcher.tree.pins import Family, Pin, pins
from patcher.tree.wheels import fetch
from patches import all_patches
from tests.mutants.catalogue import RELEASE, Mutant
from tests.mutants.mutate import NoLongerApplies, mutate
from verify.sides.snapshot import snapshot
from verify.sides.source import Source


@dataclass
class Kept:
    """By release: what was read of its wheel, and what the patches made of it.

    planted: a mutant's file with its bug, by the mutant's name.
    """

    originals: dict[str, dict[str, bytes]] = field(default_factory=dict)
    edits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    planted: dict[str, bytes] = field(default_factory=dict)


_kept = Kept()


def keep(mutants: Iterable[Mutant], file: Path) -> None:
    """All that the mutants take, for a machine without wheels. Raises NoLongerApplies."""
    made = Kept(planted={mutant.name: planted(mutant) for mutant in mutants})
    for release in {mutant.release for mutant in mutants}:
        pristine, applied = trees(release)
        with TemporaryDirectory() as folder:
            for number, side in enumerate((pristine, applied)):
                snapshot(side, pristine, Path(folder) / str(number))
        made.originals[release] = _wheel(release).read
        made.edits[release] = _edits(release)
    file.write_bytes(lzma.compress(pickle.dumps(made)))


def prepare(mutants: Sequence[Mutant], jobs: int) -> list[str]:
    """Make the trees and plant the bugs, a release at a time in `jobs` processes.

    Returns which bugs no longer apply, in words.
    """
    of: dict[str, list[Mutant]] = {}
    for mutant in mutants:
        of.setdefault(mutant.release, []).append(mutant)
    invalid = []
    # Those with many patches, and many bugs, take longest.
    releases = sorted(of, key=lambda r: (-len(of[r]), r))
    with ProcessPoolExecutor(jobs) as pool:
        made = pool.map(_made, releases, [of[r] for r in releases])
        for release, (edits, bugs, lost) in zip(releases, made, strict=True):
            _kept.edits[release] = edits
            _kept.planted |= bugs
            invalid += lost
    return invalid


def _made(
    release: str, mutants: list[Mutant]
) -> tuple[dict[str, bytes], dict[str, bytes], list[str]]:
    bugs, lost = {}, []
    for mutant in mutants:
        try:
            bugs[mutant.name] = planted(mutant)
        except NoLongerApplies as error:
            lost.append(f"{mutant.name}: no longer applies: {error}")
    return _edits(release), bugs, lost


def use(file: Path) -> list[str]:
    """From now on the trees are those of the file, which `keep` wrote: of which releases."""
    found = pickle.loads(lzma.decompress(file.read_bytes()))
    assert isinstance(found, Kept)
    for name in vars(_kept):
        getattr(_kept, name).update(getattr(found, name))
    return list(found.originals)


def trees(release: str = RELEASE) -> tuple[Source, Source]:
    """The release as it came, and with every patch planned over it."""
    pristine = Source("originals", release, _original(release))
    edits = _edits(release)
    over = laid_over(pristine, edits)
    return pristine, Source("applied", release, over, extra=tuple(sorted(edits)))


def applied_tree(release: str = RELEASE) -> Source:
    return trees(release)[1]


@cache
def planted(mutant: Mutant) -> bytes:
    """The mutant's file with its bug. Raises NoLongerApplies."""
    if mutant.name in _kept.planted:
        return _kept.planted[mutant.name]
    data = applied_tree(mutant.release).read(mutant.file)
    assert data is not None, f"{mutant.file} is not in the applied tree"
    text = data.decode()
    for edit in mutant.edits:
        text = mutate(text, edit)
    return text.encode()


def laid_over(
    source: Source, files: Mapping[str, bytes]
) -> Callable[[str], bytes | None]:
    """The source's `read`, with these files in place of its own."""
    return lambda rel: files[rel] if rel in files else source.read(rel)


def patches_of(release: str) -> tuple[Patch, ...]:
    """All that fit but what no release has by itself, and those named behind a +."""
    patches, pin = all_patches(), _pin(release)
    fit = [p.name for p in patches if p.about.default and not unfit(p, patches, pin)]
    return choose([*fit, *release.split("+")[1:]], patches, pin)


def family(release: str) -> Family:
    return _pin(release).family


class Wheel:
    """The files of a pinned release's wheel that matter here, read once."""

    def __init__(self, wheel: Path) -> None:
        self._archive = ZipFile(wheel)
        self._names = frozenset(self._archive.namelist())
        self.read: dict[str, bytes] = {}

    def get(self, rel: str) -> bytes | None:
        if rel in self._names and rel not in self.read:
            self.read[rel] = self._archive.read(rel)
        return self.read.get(rel)


@cache
def _wheel(release: str) -> Wheel:
    return Wheel(fetch(_pin(release), lambda line: None))


def _original(release: str) -> Callable[[str], bytes | None]:
    if release in _kept.originals:
        return _kept.originals[release].get
    return _wheel(release).get


@cache
def _edits(release: str) -> dict[str, bytes]:
    """What the patches make of the release's files."""
    if release in _kept.edits:
        return _kept.edits[release]
    patches, read = patches_of(release), _original(release)
    found = {rel: read(rel) for rel in files_of(patches)}
    planned = plan({k: v for k, v in found.items() if v is not None}, patches)
    assert not planned.conflicts, planned.conflicts
    return dict(planned.edits)


def _pin(release: str) -> Pin:
    return pins()[release.partition("+")[0]]
