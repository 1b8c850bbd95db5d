"""Drive a tree's classes for timing: no guard bands, no counting, calls made ready.

A call is the replay call alone, with its arguments bound beforehand; through the
draft runner there is a captured graph beside it, which can be replayed on its own.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from verify.worker.bench.floor import bytes_least
from verify.worker.bench.inputs import InputSet, Place, Pools
from verify.worker.play.draft_runner import DraftRunner
from verify.worker.play.driver import Driver, NoSuchPath
from verify.worker.play.dsa import DsaBase, DsaMultiStep
from verify.worker.play.dsa_runner import DsaRunner
from verify.worker.play.nsa import Base, MultiStep
from verify.worker.play.verify_runner import VerifyRunner
from verify.worker.tree import fakes, family
from verify.worker.tree.isolate import FORWARD_BATCH
from verify.worker.tree.runner import LogitsProcessorOutput, ShapeKey
from verify.worker.tree.stubs import Record

_MODES = {"target_verify": "TARGET_VERIFY", "draft_extend": "DRAFT_EXTEND"}
BALLAST_CYCLES = 40_000
"""Idle GPU cycles in the consumer: a graph must take longer than its launch."""


class _NoGuards:
    """Where a driver of the verifier would pause its guard bands."""

    @contextmanager
    def pause(self) -> Iterator[None]:
        yield


class Timed(Driver):
    """A driver on a point's pools; what it captures is what is timed."""

    def __init__(self, point: Place, pools: Pools, device: str, graph: bool) -> None:
        self.point = point
        self.scenario = point.scenario(graph)
        self.device = device
        self.bench_pools = pools
        shared: Any = pools  # has all that drivers use of the verifier's own
        self.pools = shared
        self.guards: Any = _NoGuards()
        self.module = importlib.import_module(self.names.module)
        self.backend = getattr(self.module, self.names.backend)
        modes = importlib.import_module(FORWARD_BATCH).ForwardMode
        self.mode = getattr(modes, _MODES.get(point.mode, "DECODE"))
        self.model_runner = fakes.model_runner(self.scenario, shared)
        self.model_runner.req_to_token_pool.size = pools.size
        self.build()
        if not self.backends:
            raise NoSuchPath(f"{point.steps} steps make no step backend here")
        before = _allocated(device)
        self.init_state()
        self.capture(point.bs)
        self.memory_bytes = _allocated(device) - before

    @property
    def inputs_sets(self) -> list[InputSet]:
        return self.bench_pools.sets

    def call(self, inputs: InputSet) -> Callable[[], Any]:
        """The replay call on one input set, ready to be timed."""
        raise NotImplementedError

    def run(self, inputs: InputSet) -> None:
        """The call, and what else must run for the buffers to be complete."""
        self.call(inputs)()

    def graph_replay(self) -> None:
        raise NotImplementedError

    def destinations(self) -> int:
        """Steps' buffers written by one replay: those that share memory count once."""
        found = [b.decode_cuda_graph_metadata[self.point.bs] for b in self.backends]
        return len({m.real_page_table.data_ptr() for m in found})

    def bytes_least(self) -> float:
        """Bytes that a replay must move at least, on average over the input sets."""
        sets = self.inputs_sets
        destinations = self.destinations()
        tails = family.leaves_tails()
        first = self.backends[0].decode_cuda_graph_metadata[self.point.bs]
        wide = first.page_table_1 is not None
        moved = [bytes_least(self.point, s, destinations, tails, wide) for s in sets]
        return sum(moved) / len(moved)

    def bench_batch(self, inputs: InputSet) -> Any:
        return Record(
            forward_mode=self.mode,
            batch_size=self.point.bs,
            seq_lens=inputs.lengths,
            seq_lens_cpu=inputs.lengths_cpu,
            seq_lens_sum=int(inputs.lengths_cpu.sum()),
            req_pool_indices=inputs.rows,
            spec_info=Record(
                accept_length=inputs.accepts, num_accept_tokens=inputs.accepts
            ),
            req_to_token_pool=self.model_runner.req_to_token_pool,
        )


class TimedMultiStep(Timed, MultiStep):
    """Decode: the multi-step backend's replay call."""

    def call(self, inputs: InputSet) -> Callable[[], Any]:
        replay = self.multi.init_forward_metadata_replay_cuda_graph
        return functools.partial(replay, self.bench_batch(inputs), self.point.bs)


class TimedBase(Timed, Base):
    """target_verify and draft_extend: one backend's replay call."""

    def call(self, inputs: InputSet) -> Callable[[], Any]:
        batch = self.bench_batch(inputs)
        return functools.partial(
            self.backends[0].init_forward_metadata_replay_cuda_graph,
            self.point.bs,
            batch.req_pool_indices,
            batch.seq_lens,
            batch.seq_lens_sum,
            encoder_lens=None,
            forward_mode=self.mode,
            spec_info=batch.spec_info,
            seq_lens_cpu=batch.seq_lens_cpu,
            out_cache_loc=None,
        )


class Rotation:
    """The model's place: moves the runner's static inputs on to the next set.

    It does so inside the graph, so that graphs can be replayed back to back, each on
    other inputs, without a launch in between. Reads no metadata. `hold` makes it write
    the inputs of one set, whatever the turn.
    """

    def __init__(self, sets: list[InputSet]) -> None:
        self.lengths = torch.stack([s.lengths for s in sets])
        self.rows = torch.stack([s.rows for s in sets])
        self.extra = False  # whether this release's draft has probabilities too
        self.pairs: dict[int, Any] = {}  # nothing is copied
        self.turn = torch.zeros(1, dtype=torch.int64, device=self.rows.device)
        self.step = torch.ones_like(self.turn)

    def hold(self, index: int) -> None:
        self.turn.fill_(index)
        self.step.zero_()

    def draft_forward(self, forward_batch: Any) -> tuple[Any, ...]:
        self.move_on(forward_batch)
        hidden = forward_batch.spec_info.hidden_states[:, :1]
        return (*(hidden,) * 3, None)[: 4 if self.extra else 3]

    def forward(self, input_ids: Any, positions: Any, forward_batch: Any) -> Any:
        """As the target model is called."""
        self.move_on(forward_batch)
        return LogitsProcessorOutput()

    def move_on(self, forward_batch: Any) -> None:
        self.turn.add_(self.step).remainder_(self.rows.shape[0])
        forward_batch.seq_lens.copy_(self.lengths.index_select(0, self.turn)[0])
        forward_batch.req_pool_indices.copy_(self.rows.index_select(0, self.turn)[0])
        if self.rows.is_cuda:
            torch.cuda._sleep(BALLAST_CYCLES)  # type: ignore[no-untyped-call]


class _Turning(Driver):
    """One of the tree's own runners, whose model moves its inputs on."""

    inputs_sets: list[InputSet]
    point: Place
    rotation: Rotation
    runner: Any
    statics: Any

    def run(self, inputs: InputSet) -> None:
        self.rotation.hold(self.inputs_sets.index(inputs))
        self.statics.seq_lens[: self.point.bs].copy_(inputs.lengths)
        self.statics.req_pool_indices[: self.point.bs].copy_(inputs.rows)
        self.call(inputs)()
        self.graph_replay()

    def call(self, inputs: InputSet) -> Callable[[], Any]:
        raise NotImplementedError

    def graph_replay(self) -> None:
        raise NotImplementedError


class _Rotating(_Turning, DraftRunner):
    """The tree's own draft runner."""

    def build(self) -> None:
        super().build()
        self.rotation = Rotation(self.inputs_sets)  # here: not the tree's memory

    def make_consumer(self) -> Any:
        self.rotation.extra = getattr(super().make_consumer(), "old", True) is False
        return self.rotation

    def graph_replay(self) -> None:
        self.runner.graphs[self.point.bs].replay()


class TimedRunner(_Rotating, TimedMultiStep):
    """Decode through the tree's own draft runner: the call, and the graph it captured."""

    call = TimedMultiStep.call


class TimedDsaMultiStep(Timed, DsaMultiStep):
    """Decode of family C."""

    def call(self, inputs: InputSet) -> Callable[[], Any]:
        replay = self.multi.init_forward_metadata_out_graph
        return functools.partial(replay, self.bench_batch(inputs))


class TimedDsaBase(Timed, DsaBase):
    """target_verify and draft_extend of family C."""

    def call(self, inputs: InputSet) -> Callable[[], Any]:
        replay = self.backends[0].init_forward_metadata_out_graph
        return functools.partial(replay, self.bench_batch(inputs))


class TimedDsaRunner(_Rotating, TimedDsaMultiStep, DsaRunner):
    """Decode of family C through its draft runner."""

    call = TimedDsaMultiStep.call

    def graph_replay(self) -> None:
        if hasattr(self.runner, "backend"):  # from 0.5.14 on
            self.runner.backend.replay(ShapeKey(self.point.bs), None)
        else:
            super().graph_replay()


class TimedVerifyRunner(_Turning, Timed, VerifyRunner):
    """target_verify of family C through its target model's runner."""

    call = TimedDsaBase.call

    def make_consumer(self) -> Any:
        self.rotation = Rotation(self.inputs_sets)
        return self.rotation

    def graph_replay(self) -> None:
        self.runner.backend.replay(ShapeKey(self.point.bs), None)


def make(point: Place, seed: int, device: str, graph: bool) -> Timed:
    """The driver of a point. Raises NoSuchPath where the tree has no such path."""
    pools = Pools(point, seed, device)
    dsa = family.is_dsa_here()
    if point.mode == "target_verify" and graph:
        kind: type[Timed] = TimedVerifyRunner
    elif point.mode != "decode":
        kind = TimedDsaBase if dsa else TimedBase
    elif graph:
        kind = TimedDsaRunner if dsa else TimedRunner
    else:
        kind = TimedDsaMultiStep if dsa else TimedMultiStep
    return kind(point, pools, device, graph)


def _allocated(device: str) -> int:
    return int(torch.cuda.memory_allocated()) if device != "cpu" else 0
