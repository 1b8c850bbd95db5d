"""Which patches an apply is about: known, fitting, complete, in canonical order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from patcher.recipe import Patch
from patcher.results import Reason, Refusal, require_known
from patcher.tree.pins import Pin, pins


def choose(
    names: Sequence[str], patches: Sequence[Patch], pin: Pin
) -> tuple[Patch, ...]:
    """The named patches (none named: all defaults that fit) and what they require.

    Raises `Refusal` for a name that is not known, or a patch that does not fit.
    """
    by_name = {patch.name: patch for patch in patches}
    require_known(names, by_name, "patch")
    if not names:
        fitting = usual(patches, pin)
        if not fitting:
            why = _reasons({p.name: unfit(p, patches, pin) for p in patches})
            raise Refusal(Reason("", "", f"no patch fits sglang {pin.release}: {why}"))
        return fitting
    chosen = closure(names, patches)
    reasons = [
        Reason("", name, f"patch {name} does not fit {pin.release}: {why}")
        for name in by_name
        if name in chosen and (why := unfit(by_name[name], patches, pin))
    ]
    if reasons:
        raise Refusal(*reasons)
    return tuple(patch for patch in patches if patch.name in chosen)


def usual(patches: Sequence[Patch], pin: Pin) -> tuple[Patch, ...]:
    """The patches that an apply takes where none is named."""
    return tuple(
        patch
        for patch in patches
        if patch.about.default and not unfit(patch, patches, pin)
    )


def closure(names: Iterable[str], patches: Sequence[Patch]) -> frozenset[str]:
    """The names and everything that they require."""
    chosen = set(names)
    for patch in reversed(patches):
        if patch.name in chosen:
            chosen |= set(patch.about.requires)
    return frozenset(chosen)


def dependents(names: Iterable[str], patches: Sequence[Patch]) -> tuple[str, ...]:
    """The other patches that cannot be without one of `names`, in canonical order."""
    gone = set(names)
    for patch in patches:
        if gone & set(patch.about.requires):
            gone.add(patch.name)
    return tuple(p.name for p in patches if p.name in gone - set(names))


def unfit(patch: Patch, patches: Sequence[Patch], pin: Pin) -> str:
    """Why the patch does not fit the release; empty when it does."""
    if not pin.patchable:
        return pin.why
    for key in (pin.release, pin.family):
        if key in patch.about.unfit:
            return patch.about.unfit[key]
    if pin.family not in patch.about.families:
        return f"not made for family {pin.family}"
    for name in patch.about.requires:
        required = next(p for p in patches if p.name == name)
        if unfit(required, patches, pin):
            return f"it requires {name}, which does not fit"
    return ""


def left_out(patches: Sequence[Patch], pin: Pin) -> str:
    """Which patches an apply of all that fit leaves out, and why; empty if none."""
    return _reasons(
        {
            patch.name: unfit(patch, patches, pin)
            for patch in patches
            if patch.about.default
        }
    )


@dataclass(frozen=True)
class Row:
    """Releases in a row that the same patches fit: `yes`/`no` a patch, and why not."""

    releases: tuple[str, ...]
    family: str
    cells: tuple[str, ...]
    why: str

    @property
    def span(self) -> str:
        """The first and the last release."""
        first, last = self.releases[0], self.releases[-1]
        return first if first == last else f"{first} to {last}"


def table(patches: Sequence[Patch]) -> list[Row]:
    """What fits what: a row for a family, or for the part of it that differs."""
    rows: list[Row] = []
    for pin in pins().values():
        reasons = {patch.name: unfit(patch, patches, pin) for patch in patches}
        cells = tuple("no" if reasons[patch.name] else "yes" for patch in patches)
        why = _reasons(reasons) if pin.patchable else pin.why
        row = Row((pin.release,), pin.family, cells, why)
        if rows and replace(rows[-1], releases=row.releases) == row:
            row = replace(row, releases=(*rows.pop().releases, pin.release))
        rows.append(row)
    return rows


def _reasons(reasons: Mapping[str, str]) -> str:
    """`a, b: why; c: why`, a reason once."""
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        if why:
            names.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(who)}: {why}" for why, who in names.items())
