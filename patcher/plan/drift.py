"""Judges a tree that is near a release but not at it."""

from __future__ import annotations

from dataclasses import replace

from patcher.plan.edits import Plan
from patcher.results import Reason, Refusal
from patcher.tree.identify import Change, Identity
from patcher.tree.pins import Pin, outline

_NEAR = 0.5
"""At least this share of a release's lines, or the tree is not near it."""


def unknown(identity: Identity) -> Refusal:
    """The refusal for a tree of no known release, with what can be said of it."""
    what = "the tree is of no release known here"
    if identity.why:
        what += f": {identity.why}"
    return Refusal(Reason("", "", what, "apply-nsa-opt --list shows the releases"))


def require_patchable(identity: Identity) -> Pin:
    """The release to patch. Raises `Refusal` when it is not known or not patched."""
    pin = identity.pin
    if pin is None:
        raise unknown(identity)
    if not pin.patchable:
        near = "" if identity.exact else "a tree near "
        raise Refusal(Reason("", "", f"{near}sglang {pin.release}: {pin.why}"))
    return pin


def judge(identity: Identity, planned: Plan, *, allowed: bool) -> tuple[str, ...]:
    """Notes on how the tree differs from its release; none when it does not.

    Raises `Refusal` with all conflicts at once, or when there are none but the
    differences were not `allowed`.
    """
    pin = require_patchable(identity)
    if any(_kept(pin, change) < _NEAR for change in identity.changes):
        raise unknown(identity)
    if planned.conflicts:
        hint = f"make it as in sglang {pin.release}"
        if planned.stuck:
            hint += f", or leave out {', '.join(planned.stuck)}"
        raise Refusal(*(replace(c, hint=c.hint or hint) for c in planned.conflicts))
    if not allowed and identity.changes:
        raise Refusal(*(_reason(pin, change) for change in identity.changes))
    return tuple(
        f"{change.file} {_how(pin, change)}; every anchor is intact"
        for change in identity.changes
    )


def _kept(pin: Pin, change: Change) -> float:
    """The share of the release's lines that the file still has."""
    known = outline(pin.files.get(change.file, ""))
    if known is None or change.differences is None or len(known.lines) < 10:
        return 1.0
    gone = sum(difference.removed for difference in change.differences)
    return 1 - gone / len(known.lines)


def _how(pin: Pin, change: Change) -> str:
    if change.differences is None:
        return f"is missing; sglang {pin.release} has it"
    where = f", first in {change.symbol}" if change.symbol else ""
    count = len(change.differences)
    places = (
        f"in {count} place{'s' if count > 1 else ''}" if count else "in its line ends"
    )
    return f"differs from sglang {pin.release} {places}{where}"


def _reason(pin: Pin, change: Change) -> Reason:
    found = change.differences or ()
    shown = [line for difference in found for line in difference.shown(pin.release)]
    hint = (
        "every anchor of the patches is intact: --allow-drift applies them all the same"
    )
    return Reason(change.file, change.symbol, _how(pin, change), hint, tuple(shown[:4]))
