"""Guard bands and poison: every buffer has them, and they do not move."""

from __future__ import annotations

import torch

from verify.worker.observe.guards import SMALLEST, GuardBands
from verify.worker.observe.poison import pattern, poison, whole_storage


def test_an_allocation_gets_a_margin_on_both_sides() -> None:
    guards = GuardBands("cpu")
    with guards:
        table = torch.zeros(4, 1000, dtype=torch.int32)
    offset, extent = guards.guarded[table.untyped_storage().data_ptr()]
    assert offset >= 1000, "one row off would miss the margin"
    assert extent == 4000
    assert whole_storage(table).numel() == 4000 + 2 * offset
    assert table.shape == (4, 1000)
    assert table.is_contiguous()
    assert not table.any()


def test_views_stay_views() -> None:
    guards = GuardBands("cpu")
    with guards:
        table = torch.zeros(4, 8, dtype=torch.int32)
        row = table[1:, :]
        same = row.to(torch.int32)
        wider = row.to(torch.int64)
    assert row.untyped_storage().data_ptr() == table.untyped_storage().data_ptr()
    assert same is row
    assert wider.untyped_storage().data_ptr() in guards.guarded


def test_every_kind_of_allocation_is_guarded() -> None:
    guards = GuardBands("cpu")
    with guards:
        base = torch.arange(10, dtype=torch.int32)
        made = [
            torch.ones(3),
            torch.tensor([1, 2]),
            base[torch.tensor([1, 2])],
            base.cumsum(0, dtype=torch.int32),
            torch.nn.functional.pad(base, (1, 0)),
            base.clamp(max=3),
            base.clone(),
            torch.cat([base, base]),
            torch.empty(5),
        ]
    for tensor in made:
        assert tensor.untyped_storage().data_ptr() in guards.guarded


def test_pause() -> None:
    guards = GuardBands("cpu")
    with guards, guards.pause():
        plain = torch.zeros(4)
    assert plain.untyped_storage().data_ptr() not in guards.guarded


def test_a_write_past_the_end_lands_in_the_margin() -> None:
    guards = GuardBands("cpu")
    with guards:
        lengths = torch.zeros(4, dtype=torch.int32)
    before = whole_storage(lengths).clone()
    lengths.as_strided((5,), (1,))[4] = 7
    changed = torch.nonzero(whole_storage(lengths) != before).reshape(-1)
    assert changed.tolist() == [SMALLEST + 4]


def test_poison_fills_everything_in_place_and_depends_on_name_and_seed() -> None:
    guards = GuardBands("cpu")
    with guards:
        one = torch.zeros(100, dtype=torch.int32)
        two = torch.zeros(100, dtype=torch.int32)
    poison(one, "page_table", 1)
    poison(two, "page_table", 1)
    assert torch.equal(whole_storage(one), whole_storage(two))
    poison(two, "page_table", 2)
    assert (whole_storage(one) != whole_storage(two)).all()
    poison(two, "cu_seqlens", 1)
    assert not torch.equal(one, two)
    assert whole_storage(one).unique().numel() == whole_storage(one).numel()


def test_pattern_of_every_width() -> None:
    for dtype in (torch.uint8, torch.int16, torch.int32, torch.int64):
        found = pattern("x", 50, 1, dtype, "cpu")
        assert found.dtype == dtype
        assert found.numel() == 50
