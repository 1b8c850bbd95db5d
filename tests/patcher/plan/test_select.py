from __future__ import annotations

import pytest

from patcher.about import About
from patcher.plan.select import choose, closure, dependents, table, unfit
from patcher.recipe import Patch
from patcher.results import Exit, Refusal
from patcher.tree.pins import Pin


def patch(name: str, *requires: str, **unfit: str) -> Patch:
    where = {release.replace("_", "."): why for release, why in unfit.items()}
    return Patch(About(name, "1", "", "", "", requires=requires, unfit=where), ())


CHAIN = (patch("a"), patch("b", "a", _1="too old"), patch("c", "b"), patch("d"))
NEW = Pin("2", "", "", "patchable", "", {})
OLD = Pin(".1", "", "", "patchable", "", {})
OTHER = Pin("3", "", "", "upstream", "upstream has it", {})


def names(patches: tuple[Patch, ...]) -> list[str]:
    return [patch.name for patch in patches]


def test_a_patch_brings_all_that_it_requires() -> None:
    assert closure(["c"], CHAIN) == {"a", "b", "c"}
    assert names(choose(["d", "c"], CHAIN, NEW)) == ["a", "b", "c", "d"]


def test_a_patch_goes_with_all_that_require_it() -> None:
    assert dependents(["a"], CHAIN) == ("b", "c")
    assert dependents(["a", "b"], CHAIN) == ("c",)
    assert dependents(["c"], CHAIN) == ()


def test_what_requires_a_patch_that_does_not_fit_does_not_fit() -> None:
    assert unfit(CHAIN[1], CHAIN, OLD) == "too old"
    assert unfit(CHAIN[2], CHAIN, OLD) == "it requires b, which does not fit"
    assert names(choose((), CHAIN, OLD)) == ["a", "d"]
    with pytest.raises(Refusal) as refusal:
        choose(["c"], CHAIN, OLD)
    assert [reason.symbol for reason in refusal.value.reasons] == ["b", "c"]
    assert refusal.value.code == Exit.REFUSED


def test_nothing_fits_a_release_that_is_not_patched() -> None:
    assert {unfit(patch, CHAIN, OTHER) for patch in CHAIN} == {"upstream has it"}


def test_the_table_has_every_release_and_its_reasons(known: None) -> None:
    rows = table((patch("a", _1="no"), patch("b", "a")))
    assert rows == [
        ("0.8", ("no", "no"), "has nothing to patch"),
        ("0.9", ("yes", "yes"), ""),
        ("1.0", ("yes", "yes"), ""),
        ("2.0", ("no", "no"), "upstream has it since 2.0"),
    ]
