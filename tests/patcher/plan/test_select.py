from __future__ import annotations

import pytest

from patcher.about import About
from patcher.plan.select import choose, closure, dependents, left_out, table, unfit
from patcher.recipe import Patch
from patcher.results import Exit, Refusal
from patcher.tree.pins import Pin
from patches import all_about


def patch(name: str, *requires: str, **unfit: str) -> Patch:
    where = {release.replace("_", "."): why for release, why in unfit.items()}
    return Patch(About(name, "1", "", "", "", requires=requires, unfit=where), ())


CHAIN = (patch("a"), patch("b", "a", _1="too old"), patch("c", "b"), patch("d"))
NEW = Pin("2", "", "", "A", "", {})
OLD = Pin(".1", "", "", "A", "", {})
OTHER = Pin("3", "", "", "B", "", {})
ANCIENT = Pin(".0", "", "", "too-old", "has nothing", {})


def names(patches: tuple[Patch, ...]) -> list[str]:
    return [patch.name for patch in patches]


def test_a_patch_brings_all_that_it_requires() -> None:
    assert closure(["c"], CHAIN) == {"a", "b", "c"}
    assert names(choose(["d", "c"], CHAIN, NEW)) == ["a", "b", "c", "d"]


def test_what_is_left_out_is_said_in_words() -> None:
    assert left_out(CHAIN, NEW) == ""
    why = "b: too old; c: it requires b, which does not fit"
    assert left_out(CHAIN, OLD) == why


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


def test_nothing_fits_a_release_that_is_too_old() -> None:
    assert {unfit(patch, CHAIN, ANCIENT) for patch in CHAIN} == {"has nothing"}


def test_another_family_is_refused_for_the_patchs_own_reason() -> None:
    own = (patch("a", B="upstream has it"), patch("b"))
    assert [unfit(one, own, OTHER) for one in own] == [
        "upstream has it",
        "not made for family B",
    ]
    with pytest.raises(Refusal, match="no patch fits sglang 3: a: upstream has it; b"):
        choose((), own, OTHER)


def test_the_table_has_a_row_for_releases_that_are_alike(known: None) -> None:
    alike = table((patch("a"), patch("b", C="new")))
    assert [(row.span, row.family, row.cells, row.why) for row in alike] == [
        ("0.8", "too-old", ("no", "no"), "has no multi-step NSA backend"),
        ("0.9 to 1.0", "A", ("yes", "yes"), ""),
        ("2.0", "C", ("no", "no"), "a: not made for family C; b: new"),
    ]
    apart = table((patch("a", **{"0_9": "rows are narrow"}),))
    assert [row.span for row in apart] == ["0.8", "0.9", "1.0", "2.0"]


def test_no_patch_gives_a_reason_against_a_family_of_its_own() -> None:
    for about in all_about():
        assert not set(about.families) & set(about.unfit)
