"""The inputs of one measured point: several sets in rotation, drawn from the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

from verify.worker.scenario import Scenario


@dataclass(frozen=True)
class Place:
    """One place to measure: shapes, and how many input sets take turns.

    length: the longest sequence of every set; the others have at least 3/4 of it.
    """

    mode: str
    steps: int
    bs: int
    length: int
    page_size: int
    impl: str
    draft: int
    context: int
    sets: int

    def scenario(self, graph: bool) -> Scenario:
        return Scenario(
            self.mode,
            self.steps,
            self.page_size,
            self.impl,
            64,
            64,
            (self.bs,),
            self.context,
            draft=self.draft,
            driver="runner" if graph else "",
        )


@dataclass(frozen=True, eq=False)
class InputSet:
    """What one replay is given. lengths, rows: [bs] int64 on the device."""

    lengths: torch.Tensor
    lengths_cpu: torch.Tensor
    rows: torch.Tensor
    accepts: torch.Tensor
    total_accepts: int
    longest: int


class Pools:
    """`req_to_token` with rows of its own for every set, and the capture's statics.

    req_to_token: [sets * bs, context + draft + 4] int32. A set's rows are not used by
    any other, so a page table is read from memory and not from a cache when the sets
    together are larger than it.
    """

    def __init__(self, point: Place, seed: int, device: str) -> None:
        self.device = device
        self.seq_dtype = self.row_dtype = torch.int64
        generator = torch.Generator(device).manual_seed(seed)
        self.size = point.sets * point.bs
        self.req_to_token = torch.randint(
            0,
            2**31 - 1,
            (self.size, point.context + point.draft + 4),
            generator=generator,
            dtype=torch.int32,
            device=device,
        )
        self.seq_lens = torch.ones(point.bs, dtype=torch.int64, device=device)
        self.rows = torch.zeros(point.bs, dtype=torch.int64, device=device)
        self.accepts = torch.ones(point.bs, dtype=torch.int32, device=device)
        self.seq_lens_cpu = torch.ones(point.bs, dtype=torch.int32)
        self.sets = _sets(point, seed, device)


def _sets(point: Place, seed: int, device: str) -> list[InputSet]:
    draw = random.Random(f"{seed}:{point}")
    rows = list(range(point.sets * point.bs))
    draw.shuffle(rows)
    return [
        _set(point, draw, rows[i * point.bs : (i + 1) * point.bs], device)
        for i in range(point.sets)
    ]


def _set(point: Place, draw: random.Random, rows: list[int], device: str) -> InputSet:
    shortest = max(point.draft, -(-3 * point.length // 4))
    lengths = [draw.randint(shortest, point.length) for _ in rows]
    lengths[draw.randrange(point.bs)] = point.length
    accepts = [draw.randint(1, point.draft) for _ in rows]
    lengths_cpu = torch.tensor(lengths, dtype=torch.int64)
    return InputSet(
        lengths=lengths_cpu.to(device, copy=True),
        lengths_cpu=lengths_cpu,
        rows=torch.tensor(rows, dtype=torch.int64, device=device),
        accepts=torch.tensor(accepts, dtype=torch.int32, device=device),
        total_accepts=sum(accepts),
        longest=point.length,
    )
