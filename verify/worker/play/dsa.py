"""Drivers of family C: `init_forward_metadata_out_graph` for capture and replay alike.

The runners call it with `in_capture` at capture, then `init_forward_metadata_in_graph`
inside the captured function, and before each replay the former again.
"""

from __future__ import annotations

from verify.worker.play.driver import Around, Driver, Names, NoSuchPath, plainly
from verify.worker.play.nsa import Base, Loop, MultiStep, PrecomputedPair
from verify.worker.scenario import Replay
from verify.worker.tree import family

DSA = Names(
    family.BACKEND,
    "DeepseekSparseAttnBackend",
    "DeepseekSparseAttnMultiStepBackend",
)


class DsaMultiStep(MultiStep):
    """Decode through the multi-step backend's own replay."""

    names = DSA

    def capture(self, bs: int) -> None:
        # No graph is captured here, so nothing is recorded into one.
        batch = self.capture_batch(bs)
        self.multi.init_forward_metadata_out_graph(batch, in_capture=True)

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = self.batch(replay)
        # From 0.5.15 on the runners need not know the lengths on the host.
        if not getattr(self.multi, "needs_cpu_seq_lens", True) and replay.raw_bs % 2:
            batch.seq_lens_cpu = None
        around(lambda: self.multi.init_forward_metadata_out_graph(batch))
        return int(batch.batch_size)


class DsaLoop(DsaMultiStep, Loop):
    """Decode through each step backend's own replay: nothing shared between steps."""

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = self.batch(replay)

        def each() -> None:
            for backend in self.backends:
                backend.init_forward_metadata_out_graph(batch)

        around(each)
        return int(batch.batch_size)


class DsaBase(Base):
    """One backend's replay: target_verify, draft_extend, or decode without MTP."""

    names = DSA

    def capture(self, bs: int) -> None:
        batch = self.capture_batch(bs)
        self.backends[0].init_forward_metadata_out_graph(batch, in_capture=True)
        self.backends[0].init_forward_metadata_in_graph(batch)

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        batch = self.batch(replay)
        around(lambda: self.backends[0].init_forward_metadata_out_graph(batch))
        return int(batch.batch_size)


class DsaPair(DsaBase, PrecomputedPair):
    """The precomputed pair: compute once, then copy into the captured buffers."""

    def build(self) -> None:
        super().build()
        if self.scenario.mode.startswith("draft_extend"):
            raise NoSuchPath("this family precomputes no draft_extend")

    def replay(self, replay: Replay, around: Around = plainly) -> int:
        return PrecomputedPair.replay(self, replay, around)


DRIVERS: dict[str, type[Driver]] = {
    "multi": DsaMultiStep,
    "loop": DsaLoop,
    "base": DsaBase,
    "pair": DsaPair,
}
