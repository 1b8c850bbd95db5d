"""On a GPU: every kernel captured once and replayed with other inputs, without a sync."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.patches.kernels import kernels
from tests.patches.reference import Buffers, Case, expect_metadata, outputs
from tests.patches.run import FAN_OUT_BUFFERS, limits

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CASES = [
    Case(seq_lens=lens, context=2049, accept=accept, seed=seed)
    for seed, (lens, accept) in enumerate(
        [
            ((2049, 64, 1, 700), (4, 0, 1, 2)),
            ((1, 1, 1, 1), (1, 1, 1, 1)),
            ((63, 2048, 65, 2047), (0, 4, 4, 3)),
        ]
    )
]


@pytest.fixture
def sync_is_an_error() -> Iterator[Callable[[], None]]:
    # PyTorch warns that the mode does not see every synchronization.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield lambda: torch.cuda.set_sync_debug_mode("error")
        torch.cuda.set_sync_debug_mode("default")


class Kernel:
    """One kernel's launch over static inputs, for a batch the size of `CASES`."""

    def __init__(self, name: str) -> None:
        self.name = name
        case = CASES[0]
        self.tokens = case.draft_tokens if name in ("verify", "extend") else 1
        self.buffers = Buffers()
        self.out = outputs(case, self.buffers, case.bs * self.tokens, self.tokens > 1)
        req_to_token, rows = case.pool()
        self.static = {
            "seq_lens": case.lens,
            "req_pool_indices": rows,
            "req_to_token": req_to_token,
        }
        self.accept = case.accepted
        self.addresses = torch.tensor(
            [[self.out.get(n, case.lens).data_ptr() for n in FAN_OUT_BUFFERS]],
            device=case.lens.device,
        )

    def load(self, case: Case) -> None:
        req_to_token, rows = case.pool()
        self.static["seq_lens"].copy_(case.lens)
        self.static["req_pool_indices"].copy_(rows)
        self.static["req_to_token"].copy_(req_to_token)
        self.accept.copy_(case.accepted)

    def expect(self, case: Case) -> None:
        extra = case.draft_tokens if self.name == "verify" else 0
        tokens = {
            "verify": [case.draft_tokens] * case.bs,
            "extend": list(case.accept),
        }.get(self.name, [1] * case.bs)
        kv_lens = [n + extra for n in case.seq_lens]
        expect_metadata(case, self.buffers, self.out, kv_lens, tokens)

    def launch(self, max_len: int) -> None:
        case, module = CASES[0], kernels()
        common: dict[str, Any] = {**self.static, **limits(case)}
        if self.name == "decode":
            out = {**self.out, "page_indices": self.out["page_table"]}
            del out["page_table"]
            module.precompute_decode_metadata(**common, **out, max_len=max_len)
        elif self.name == "in_graph":
            module.fill_decode_metadata_in_graph(**common, **self.out)
        elif self.name == "fan_out":
            module.fan_out_decode_metadata(
                bs=case.bs,
                **common,
                fan_out_table=self.addresses,
                page_table_stride=self.out["page_table"].stride(0),
                real_page_table_stride=self.out["real_page_table"].stride(0),
                aligned=False,
                max_seqlen_k=max_len,
            )
        elif self.name == "verify":
            module.fill_target_verify_metadata_inplace(
                bs=case.bs,
                **common,
                **self.out,
                max_seqlen_k=max_len + case.draft_tokens,
                draft_tokens=case.draft_tokens,
            )
        else:
            module.fill_draft_extend_replay_metadata_inplace(
                bs=case.bs,
                **common,
                **self.out,
                extend_seq_lens=self.accept,
                max_seqlen_k=max_len,
            )


NAMES = ["decode", "in_graph", "fan_out", "verify", "extend"]


@pytest.mark.parametrize("name", NAMES)
def test_no_launch_synchronizes(
    name: str, sync_is_an_error: Callable[[], None]
) -> None:
    kernel = Kernel(name)
    kernel.launch(2049)  # compiles
    sync_is_an_error()
    kernel.launch(2049)


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_kernel_follows_its_inputs(name: str) -> None:
    # Only the in-graph kernel finds the longest length by itself.
    max_len = CASES[0].context
    cases: list[Case] = [
        case
        if name == "in_graph"
        else dataclasses.replace(case, seq_lens=(max_len, *case.seq_lens[1:]))
        for case in CASES
    ]
    kernel = Kernel(name)
    run: Callable[[], None] = lambda: kernel.launch(max_len)  # noqa: E731
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        run()
    torch.cuda.synchronize()
    for base in kernel.buffers.bases.values():
        base.fill_(-0x5EED)

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    for case in cases:
        kernel.load(case)
        kernel.expect(case)
        graph.replay()
        torch.cuda.synchronize()
        kernel.buffers.check()
