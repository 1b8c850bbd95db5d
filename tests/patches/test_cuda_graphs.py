"""On a GPU: every kernel captured once and replayed with other inputs, without a sync."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch

from tests.patches.kernels import kernels
from tests.patches.reference import Buffers, Case, expect_metadata, outputs
from tests.patches.run import metadata

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
        self.tokens = case.draft_tokens if name != "decode" else 1
        self.buffers = Buffers()
        self.out = outputs(case, self.buffers, case.bs * self.tokens, self.tokens > 1)
        req_to_token, rows = case.pool()
        self.static = {
            "seq_lens": case.lens,
            "req_pool_indices": rows,
            "req_to_token": req_to_token,
        }
        self.accept = case.accepted

    def load(self, case: Case) -> None:
        """The case into the static inputs."""
        req_to_token, rows = case.pool()
        self.static["seq_lens"].copy_(case.lens)
        self.static["req_pool_indices"].copy_(rows)
        self.static["req_to_token"].copy_(req_to_token)
        self.accept.copy_(case.accepted)

    def expect(self, case: Case) -> None:
        """What the buffers hold after a replay of the case."""
        extra = case.draft_tokens if self.name == "verify" else 0
        tokens = {
            "verify": [case.draft_tokens] * case.bs,
            "extend": list(case.accept),
        }.get(self.name, [1] * case.bs)
        kv_lens = [n + extra for n in case.seq_lens]
        expect_metadata(case, self.buffers, self.out, kv_lens, tokens)

    def launch(self) -> None:
        """Once, with what the static inputs hold."""
        options = {
            "verify": {"draft_tokens": CASES[0].draft_tokens},
            "extend": {"extend_seq_lens": self.accept},
        }.get(self.name, {})
        assert kernels().fill_metadata_inplace(
            metadata(CASES[0], self.out),
            CASES[0].bs,
            **self.static,
            nsa_index_topk=CASES[0].topk,
            **options,
        )


NAMES = ["decode", "verify", "extend"]


@pytest.mark.parametrize("name", NAMES)
def test_no_launch_synchronizes(
    name: str, sync_is_an_error: Callable[[], None]
) -> None:
    kernel = Kernel(name)
    kernel.launch()  # compiles
    sync_is_an_error()
    kernel.launch()


@pytest.mark.parametrize("name", NAMES)
def test_a_captured_kernel_follows_its_inputs(name: str) -> None:
    kernel = Kernel(name)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        kernel.launch()
    torch.cuda.synchronize()
    for base in kernel.buffers.bases.values():
        base.fill_(-0x5EED)

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernel.launch()
    for case in CASES:
        kernel.load(case)
        kernel.expect(case)
        graph.replay()
        torch.cuda.synchronize()
        kernel.buffers.check()
