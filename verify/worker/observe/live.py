"""The contract of family C: what a consumer may read, where upstream leaves the rest open.

Whatever no consumer reads is made the same on both sides before they are compared, and
poisoned otherwise on each side before a replay, so that code which does read it shows.

| buffer               | live                          | read by                       |
|----------------------|-------------------------------|-------------------------------|
| page_table_1         | [r, :length], from 0.5.17 on  | top-k's and attention's pages |
| real_page_table      | [r, :ceil(length / page)], ~  | the indexer's kernel          |
| topk_v2_plan         | row 0, then its rows as a set | the top-k kernel              |
|                      | nothing outside 31 to 512 rows |                              |
| (dsa_)cu_seqlens_k   | all; the leading 0 a capture  | attention                     |
|                      | writes, and not every replay  |                               |
| everything else      | all                           |                               |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from verify.worker.observe.poison import pattern
from verify.worker.tree import family

SUMS = ("cu_seqlens_k", "dsa_cu_seqlens_k")


@dataclass(frozen=True)
class Bound:
    """A table's rows are read up to their length, in units of `unit` tokens."""

    field: str
    unit: int


def bounds(page_size: int) -> tuple[Bound, ...]:
    """Who reads how far: [rows, tokens] and [rows, pages]."""
    return Bound("page_table_1", 1), Bound("real_page_table", page_size)


def readable(metadata: Any, field: str, tensor: torch.Tensor) -> torch.Tensor:
    """A table of [rows, columns] with zeros for what nobody reads; other tensors as is.

    Nothing is asked of the host, so that a graph can record it.
    """
    found = [b for b in bounds(metadata.page_size) if b.field == field]
    if not found or not family.leaves_tails():
        return tensor
    live = -(-metadata.dsa_seqlens_expanded[: tensor.shape[0], None] // found[0].unit)
    columns = torch.arange(tensor.shape[1], device=tensor.device)
    return torch.where(columns < live, tensor, 0)


def settle_plan(plan: torch.Tensor | None) -> None:
    """Row 0 is {bound, count}; `count` rows of {row, length} follow in any order."""
    if plan is None:
        return
    rows = plan.shape[0] - 1
    if rows not in family.PLANNED_ROWS:
        plan.zero_()
        return
    count = int(plan[0, 1].clamp(0, rows))
    listed = plan[1 : 1 + count]
    key = listed[:, 0].to(torch.int64) * 2**32 + listed[:, 1].to(torch.int64)
    plan[1 : 1 + count] = listed[key.argsort()]
    plan[1 + count :] = 0


@dataclass
class _Table:
    """One table's memory, and how much of each row is live: [rows] int64."""

    whole: torch.Tensor
    live: torch.Tensor


class Contract:
    """Applies the contract to one driver's backends; `baseline` says which side it is."""

    def __init__(self, driver: Any, baseline: bool) -> None:
        self.driver = driver
        self.salt = 1 if baseline else 2
        self.tails = family.leaves_tails()
        self.tables: dict[int, _Table] = {}

    def start(self) -> None:
        """After everything was captured and poisoned."""
        for metadata in self._captured():
            for field in SUMS:
                getattr(metadata, field)[0] = 0
        self.tables = {}
        if not self.tails:
            return
        for backend in self.driver.backends:
            state = backend.decode_cuda_graph_metadata
            self._know(state.get("page_table"))
            self._know(state.get("real_page_table"))
        for metadata in self._captured():
            for bound in bounds(metadata.page_size):
                self._know(getattr(metadata, bound.field))

    def before(self) -> None:
        """Before a replay: what nobody reads is this side's own poison."""
        for table in self.tables.values():
            self._fill(table, self._dead(table), self.salt)

    def after(self, bs: int) -> None:
        """After a replay of captured size `bs`: what nobody reads is the same again."""
        for backend in self.driver.backends:
            metadata = backend.decode_cuda_graph_metadata[bs]
            settle_plan(getattr(metadata, "topk_v2_plan", None))
            if self.tails:
                self._settle_tables(metadata)
        for table in self.tables.values():
            mine = table.whole == self._pattern(table, self.salt)
            self._fill(table, self._dead(table) & mine, 0)
        for path, copy in self.driver.seen().items():
            if path.startswith(f"bs{bs}.") and path.endswith(".topk_v2_plan"):
                settle_plan(copy)

    def _captured(self) -> Iterator[Any]:
        for backend in self.driver.backends:
            for key, value in backend.decode_cuda_graph_metadata.items():
                if isinstance(key, int):
                    yield value

    def _know(self, table: torch.Tensor | None) -> None:
        if table is None or table.numel() == 0:
            return
        known = self.tables.get(_address(table))
        if known is None or known.whole.shape[0] < table.shape[0]:
            live = torch.zeros(table.shape[0], dtype=torch.int64, device=table.device)
            self.tables[_address(table)] = _Table(table, live)

    def _settle_tables(self, metadata: Any) -> None:
        for bound in bounds(metadata.page_size):
            view = getattr(metadata, bound.field)
            if view is None:
                continue
            table = self.tables[_address(view)]
            rows = view.shape[0]
            lengths = metadata.dsa_seqlens_expanded[:rows].to(torch.int64)
            live = -(-lengths // bound.unit)
            table.live[:rows] = live.clamp(0, table.whole.shape[1])
            dead = self._dead(table)
            dead[rows:] = False
            self._fill(table, dead, 0)

    def _dead(self, table: _Table) -> torch.Tensor:
        columns = torch.arange(table.whole.shape[1], device=table.whole.device)
        return columns[None, :] >= table.live[:, None]

    def _fill(self, table: _Table, where: torch.Tensor, seed: int) -> None:
        table.whole.copy_(torch.where(where, self._pattern(table, seed), table.whole))

    def _pattern(self, table: _Table, seed: int) -> torch.Tensor:
        whole = table.whole
        made = pattern("tail", whole.numel(), seed, whole.dtype, whole.device)
        return made.view(whole.shape)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
