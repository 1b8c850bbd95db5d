"""The planted bugs: where, what, and which buffer a failure has to name.

Add one: name it after the mistake, point at the code with a Swap or a Drop, and say
which route meets it. `names` is looked for in what verify says of the failure.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.mutate import Edit

RELEASE = "0.5.6.post2"
NEWEST = "0.5.23"
BACKEND = "sglang/srt/layers/attention/nsa_backend.py"
KERNELS = "sglang/srt/layers/attention/nsa/triton_metadata_kernel.py"
DSA_BACKEND = "sglang/srt/layers/attention/dsa_backend.py"
DSA_KERNELS = "sglang/srt/layers/attention/dsa/triton_metadata_kernel.py"
RUNNER = "sglang/srt/speculative/eagle_draft_cuda_graph_runner.py"


@dataclass(frozen=True)
class Mutant:
    """A bug in one file; met by `route` (`pair`: its precomputed pair) in `mode`.

    route: a name, or a pattern where any of several will do. kind: what sort of mistake
    it is; of a patch's own code, the patch. only_cuda: a CPU cannot see it. release: of
    the tree that it is planted in; `RELEASE+name` has a patch that is no default too.
    """

    name: str
    patch: str
    file: str
    edits: tuple[Edit, ...]
    route: str
    mode: str
    names: str
    pair: bool = False
    kind: str = ""
    only_cuda: bool = False
    release: str = RELEASE

    @property
    def sort(self) -> str:
        return self.kind or f"code of {self.patch}"


def all_mutants() -> tuple[Mutant, ...]:
    from tests.mutants import (
        cuda,
        dsa,
        expanded,
        fresh_plans,
        holes_inputs,
        holes_settings,
        holes_world,
        kept,
        kernels,
        own_precompute,
        precompute,
        sharing,
        verify_graph,
        wide_table,
    )

    found = (
        *holes_world.MUTANTS,
        *holes_inputs.MUTANTS,
        *holes_settings.MUTANTS,
        *precompute.MUTANTS,
        *kernels.MUTANTS,
        *kept.MUTANTS,
        *sharing.MUTANTS,
        *own_precompute.MUTANTS,
        *expanded.MUTANTS,
        *dsa.MUTANTS,
        *fresh_plans.MUTANTS,
        *wide_table.MUTANTS,
        *verify_graph.MUTANTS,
        *cuda.MUTANTS,
    )
    names = [mutant.name for mutant in found]
    assert len(set(names)) == len(names), "two mutants have the same name"
    return found
