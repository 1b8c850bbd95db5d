"""Drive a tree's own classes through a script: build, capture, replay, re-capture.

driver   drives
multi    NativeSparseAttnMultiStepBackend's replay (decode)
loop     every step backend's own replay, one by one (decode; the in-tree baseline)
base     one NativeSparseAttnBackend's replay (target_verify, draft_extend, and decode
         on a server without MTP)
pair     _precompute_replay_metadata and ..._from_precomputed on one backend
runner   EAGLEDraftCudaGraphRunner (see verify.worker.play.draft_runner); in target_verify
         DecodeCudaGraphRunner (see verify.worker.play.verify_runner)

Each hands over what the runner of the tree hands over in that mode (0.5.6.post2):

decode         the batch's own tensors, [bs]; of a padded batch slices of the static ones
target_verify  slices [:bs] of the static buffers
draft_extend   the whole static buffers, [max_bs]; accept lengths of the batch alone
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from verify.worker.observe.evidence import EVIDENCE
from verify.worker.observe.guards import GuardBands
from verify.worker.scenario import Replay, Scenario
from verify.worker.tree import fakes
from verify.worker.tree.isolate import FORWARD_BATCH
from verify.worker.tree.stubs import Record

Around = Callable[[Callable[[], None]], None]


def plainly(call: Callable[[], None]) -> None:
    """Makes the call with nothing around it."""
    call()


# With the installed runtime: what to do to a module once it is imported.
REBIND: list[Callable[[Any], None]] = []


def real_module(name: str) -> Any:
    """A module of the tree; with the installed runtime its names are rebound."""
    module = importlib.import_module(name)
    for rebind in REBIND:
        rebind(module)
    return module


class NoSuchPath(Exception):
    """The tree has no such path; the message says what is missing. Not a failure."""


@dataclass(frozen=True)
class Names:
    """Where a family's backends are, and what they are called."""

    module: str
    backend: str
    multi: str


class Driver:
    """One captured state. Subclasses say how to capture and how to replay."""

    names: Names

    def __init__(
        self, scenario: Scenario, seed: int, device: str, guarded: bool = True
    ) -> None:
        self.scenario = scenario
        self.device = device
        self.given = {}
        self.guards = GuardBands(device, guarded)
        self.module = real_module(self.names.module)
        self.backend = getattr(self.module, self.names.backend)
        EVIDENCE.watch_calls(self.backend)
        modes = importlib.import_module(FORWARD_BATCH).ForwardMode
        self.mode = getattr(modes, scenario.mode.upper(), None)
        if self.mode is None:
            raise NoSuchPath(f"this tree has no {scenario.mode.upper()} mode")
        with self.guards:
            self.pools = fakes.Pools(scenario, seed, device)
            self.model_runner = fakes.model_runner(scenario, self.pools)
            self.build()
        if not self.backends:
            raise NoSuchPath(f"{scenario.steps} steps make no step backend here")
        with self.guards:
            self.init_state()
            for bs in reversed(scenario.capture):
                self.capture(bs)

    backends: list[Any]
    given: dict[str, torch.Tensor]
    """The tensors handed to the last replay, which must not write into them."""

    def build(self) -> None:
        raise NotImplementedError

    def init_state(self) -> None:
        raise NotImplementedError

    def capture(self, bs: int) -> None:
        raise NotImplementedError

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        """Run one replay; returns the captured batch size that it used.

        `around` is handed the tree's metadata call, alone, and must call it once.
        """
        raise NotImplementedError

    def recapture(self, bs: int) -> None:
        """Capture again: everything (0) or one batch size."""
        with self.guards:
            self.pools.seq_lens.fill_(fakes.FILL)
            if bs == 0:
                self.init_state()
            for size in reversed(self.scenario.capture):
                if bs in (0, size):
                    self.capture(size)

    def inputs(self) -> dict[str, torch.Tensor]:
        """Tensors that no replay may write.

        The static lengths are not among them: captured metadata aliases those.
        """
        return {"req_to_token": self.pools.req_to_token, "rows": self.pools.rows}

    def seen(self) -> dict[str, torch.Tensor]:
        """What a consumer copied inside the captured graph."""
        return {}

    def padded_bs(self, raw_bs: int) -> int:
        return min(size for size in self.scenario.capture if size >= raw_bs)

    def batch(self, replay: Replay) -> Any:
        """The forward batch as the runners make it.

        Padded rows have length 1, accept length 1 and whatever row index an earlier
        replay left.
        """
        pools, raw = self.pools, replay.raw_bs
        bs = self.padded_bs(raw)
        accepts = replay.accepts or (1,) * raw
        if bs != raw or self.scenario.mode != "decode":
            self._fill_statics(replay, accepts, bs)
        lengths_cpu = torch.tensor(replay.lengths, dtype=torch.int64)
        accept = pools.tensor(accepts, torch.int32)
        if self.scenario.mode.startswith("draft_extend"):
            seq_lens, rows = pools.seq_lens, pools.rows
            lengths_cpu = pools.seq_lens_cpu
            accept = accept if bs == raw else pools.accepts[:bs]
        elif bs != raw or self.scenario.mode != "decode":
            seq_lens, rows = pools.seq_lens[:bs], pools.rows[:bs]
            lengths_cpu = pools.seq_lens_cpu[:bs]
        else:
            seq_lens = pools.tensor(replay.lengths, pools.seq_dtype)
            rows = pools.tensor(replay.rows, pools.row_dtype)
            pools.rows[:raw].copy_(rows)
        self.given = {
            "seq_lens": seq_lens,
            "seq_lens_cpu": lengths_cpu,
            "req_pool_indices": rows,
            "accept_length": accept,
        }
        return Record(
            forward_mode=self.mode,
            batch_size=bs,
            seq_lens=seq_lens,
            seq_lens_cpu=lengths_cpu,
            seq_lens_sum=sum(replay.lengths) + (bs - raw) * fakes.FILL,
            req_pool_indices=rows,
            spec_info=Record(accept_length=accept, num_accept_tokens=accept),
            req_to_token_pool=self.model_runner.req_to_token_pool,
        )

    def _fill_statics(self, replay: Replay, accepts: tuple[int, ...], bs: int) -> None:
        """The static inputs of this replay; past `bs` other batches' valid leftovers."""
        pools, raw = self.pools, replay.raw_bs
        for tensor, values in (
            (pools.seq_lens, replay.lengths),
            (pools.accepts, accepts),
            (pools.seq_lens_cpu, replay.lengths),
        ):
            tensor[:bs].fill_(fakes.FILL)
            tensor[:raw].copy_(torch.tensor(values, dtype=tensor.dtype))
        pools.rows[:raw].copy_(pools.tensor(replay.rows, pools.row_dtype))
        pools.leave(bs, replay)

    def capture_batch(self, bs: int) -> Any:
        pools = self.pools
        accept = pools.accepts[:bs]
        return Record(
            forward_mode=self.mode,
            batch_size=bs,
            seq_lens=pools.seq_lens[:bs],
            seq_lens_cpu=pools.seq_lens_cpu[:bs],
            req_pool_indices=pools.rows[:bs],
            spec_info=Record(accept_length=accept, num_accept_tokens=accept),
        )
