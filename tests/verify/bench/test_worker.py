"""The worker's arithmetic: bytes that must move, input sets, clocks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from verify.worker.bench import clock
from verify.worker.bench.clock import Clock, busy
from verify.worker.bench.drive import Rotation
from verify.worker.bench.floor import bytes_least
from verify.worker.bench.inputs import InputSet, Place, Pools
from verify.worker.observe.launches import Launch
from verify.worker.tree.stubs import Record


def point(mode: str = "decode", **more: int) -> Place:
    values = {
        "steps": 4, "bs": 4, "length": 128, "page_size": 64, "draft": 4, "context": 256,
        "sets": 3, **more,
    }  # fmt: skip
    return Place(mode, impl="fa3", **values)


def inputs(lengths: list[int], accepts: list[int]) -> InputSet:
    tensor = torch.tensor(lengths)
    return InputSet(
        tensor, tensor, tensor, torch.tensor(accepts), sum(accepts), max(lengths)
    )


@pytest.mark.parametrize(
    ("mode", "destinations", "expected"),
    [
        # read: 2 rows of 128 int32, lengths, rows; written: pages, real pages, vectors
        ("decode", 1, 2 * (128 * 4 + 16) + (2 * 128 + 2 * 2 + 4 + 4) * 4),
        ("decode", 3, 2 * (128 * 4 + 16) + 3 * (2 * 128 + 2 * 2 + 4 + 4) * 4),
        # 132 columns, 3 pages, 8 query tokens
        ("target_verify", 1, 2 * (132 * 4 + 16) + (8 * 132 + 8 * 3 + 4 + 24) * 4),
        # 5 query tokens, accept lengths read
        ("draft_extend", 1, 2 * (128 * 4 + 20) + (5 * 128 + 5 * 2 + 4 + 15) * 4),
    ],
)
def test_the_least_bytes_are_counted_from_the_shapes(
    mode: str, destinations: int, expected: int
) -> None:
    found = bytes_least(point(mode, bs=2), inputs([100, 128], [2, 3]), destinations)
    assert found == expected


def test_without_the_wide_table_a_page_is_read_by_its_first_entry() -> None:
    # two pages a row, a sector each; no table of single tokens is written
    expected = 2 * (2 * 32 + 16) + 2 * (2 * 2 + 2 * 2 + 4) * 4
    sets = inputs([100, 128], [2, 3])
    assert bytes_least(point("decode", bs=2), sets, 2, wide=False) == expected


def test_input_sets_have_rows_of_their_own_and_the_length_asked_for() -> None:
    pools = Pools(point(), seed=3, device="cpu")
    rows = [int(row) for s in pools.sets for row in s.rows]
    assert sorted(rows) == list(range(12))
    assert pools.req_to_token.shape == (12, 264)
    for found in pools.sets:
        assert int(found.lengths.max()) == 128
        assert int(found.lengths.min()) >= 96
    again = Pools(point(), seed=3, device="cpu")
    assert torch.equal(again.req_to_token, pools.req_to_token)
    assert torch.equal(again.sets[1].lengths, pools.sets[1].lengths)


def test_the_rotation_moves_on_unless_it_is_held() -> None:
    sets = Pools(point(), seed=3, device="cpu").sets
    rotation = Rotation(sets)
    batch = Record(
        seq_lens=torch.zeros(4, dtype=torch.int32),
        req_pool_indices=torch.zeros(4, dtype=torch.int32),
        spec_info=Record(hidden_states=torch.ones(4, 2)),
    )
    for expected in (1, 2, 0, 1):
        rotation.draft_forward(batch)
        assert batch.req_pool_indices.tolist() == sets[expected].rows.tolist()
    rotation.hold(2)
    for _ in range(2):
        rotation.draft_forward(batch)
        assert batch.seq_lens.tolist() == sets[2].lengths.tolist()


def test_a_round_calls_the_sets_in_turn_and_times_each_call() -> None:
    seen: list[int] = []
    calls = [lambda i=i: seen.append(i) for i in range(5)]
    times = Clock().round(calls, 0, 10)
    assert seen == [2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert len(times["host"]) == len(times["total"]) == 10
    assert all(0 < h <= t for h, t in zip(times["host"], times["total"], strict=True))


class Profiler:
    """torch's, as it would report two calls of two kernels and a copy each."""

    def __init__(self, activities: object) -> None:
        self.ran: list[Record] = []

    def __enter__(self) -> Profiler:
        for start, name, kind in (
            (30, "fill", "CUDA"), (10, "copy", "CUDA"), (11, "cudaLaunchKernel", "CPU"),
            (20, "copy", "CUDA"), (25, "Event Sync", "CUDA"), (40, "fill", "CUDA"),
        ):  # fmt: skip
            span = Record(start=start, elapsed_us=lambda start=start: start / 10)
            device = getattr(torch.autograd.DeviceType, kind)
            self.ran.append(Record(name=name, time_range=span, device_type=device))
        return self

    def __exit__(self, *error: object) -> None: ...

    def events(self) -> list[Record]:
        return self.ran


def test_a_profile_counts_what_the_gpu_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.profiler, "profile", Profiler)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(clock, "host_syncs", lambda call: 3)
    called: list[int] = []
    calls = [lambda: called.append(0), lambda: called.append(1)]
    found = clock.profile(calls, 2, None)
    assert called == [0, 1]
    assert found["launches"] == 2
    assert found["device"] == [1 + 2, 3 + 4]
    assert found["kernels"] == {
        "copy": {"launches": 1, "us": 1.5}, "fill": {"launches": 1, "us": 3.5},
    }  # fmt: skip
    assert (found["syncs"], found["graph_kernels"]) == (3, {})
    assert clock.profile(calls, 1, calls[0])["graph_kernels"]["fill"]["us"] == 7


def test_records_are_split_by_call_only_where_they_divide() -> None:
    found = [Launch(float(i), "kernel", 2.0 + i) for i in range(6)]
    assert busy(found, 3) == [5, 9, 13]
    assert busy(found, 4) == [27 / 4]


COPIES = """
import torch
from verify.worker.bench.kernels import copies
from verify.worker.tree import plain_copies

def buffers(bs, columns, fill):
    shapes = [(bs,), (bs + 1,), (bs, columns), (bs,), (bs + 1,), (bs, columns // 64)]
    if fill is None:
        return [torch.randint(0, 99, s, dtype=torch.int32) for s in shapes]
    return [torch.full(s, fill, dtype=torch.int32) for s in shapes]

for bs, width in ((1, 64), (3, 1100), (1030, 64)):
    source = buffers(bs, width, None)
    plain, fused = ([buffers(bs, 1280, -1) for _ in range(3)] for _ in range(2))
    for copy, to in ((plain_copies.three, plain), (copies.three, fused)):
        groups = [(*group, None, None) for group in (source, *to)]
        copy(*(t for group in groups for t in group), bs, width, bs)
        one = [(*g[:4], g[0], *g[4:], None, None) for g in (source, to[0])]
        copy = plain_copies.one if copy is plain_copies.three else copies.one
        copy(*(t for group in one for t in group), 0, bs, width, width, bs)
    for a, b in zip(sum(plain, []), sum(fused, [])):
        assert torch.equal(a, b)
"""

STANDINS = """
import torch
from verify.worker.bench.kernels import fair
from verify.worker.tree import standins

for count, topk in ((1, 2048), (4, 3), (1500, 64)):
    lengths = torch.randint(1, 163840, (count,), dtype=torch.int32)
    old = standins.get_mla_metadata(lengths, topk=topk)
    new = fair.get_mla_metadata(lengths, topk=topk)
    assert all(torch.equal(a, b) for a, b in zip(old, new))
    old = standins.get_paged_mqa_logits_metadata(lengths, 64, 132)
    assert torch.equal(old, fair.get_paged_mqa_logits_metadata(lengths, 64, 132))
    accepts = torch.randint(1, 5, (count,), dtype=torch.int32)
    wanted = accepts, lengths + 4, int(accepts.sum()), 4
    assert torch.equal(standins.seqlens_expand(*wanted), fair.seqlens_expand(*wanted))
"""


@pytest.mark.parametrize("code", [COPIES, STANDINS], ids=["copies", "stand-ins"])
def test_what_is_one_launch_here_equals_the_verifiers(code: str) -> None:
    """In a process of its own: the interpreter is chosen when Triton is imported."""
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
