"""How a bug is wrapped around code that is there anyway: no anchor, so it stays valid."""

from __future__ import annotations

from textwrap import indent

from tests.mutants.catalogue import BACKEND, Mutant
from tests.mutants.mutate import Tail

BASE = "NativeSparseAttnBackend"
MULTI = "NativeSparseAttnMultiStepBackend"
REPLAY = "init_forward_metadata_replay_cuda_graph"
CAPTURE = "init_forward_metadata_capture_cuda_graph"
MET = {  # where a bug in that class's replay shows
    BASE: ("original", "target_verify"),
    MULTI: ("defaults", "decode"),
}


def around(owner: str, method: str, body: str) -> Tail:
    """`body` instead of the method; `old(*a, **k)` calls it, `self` is the object."""
    return Tail(
        "def _plant(method):\n"
        "    def planted(self, *a, **k):\n"
        "        old = lambda *a, **k: method(self, *a, **k)\n"
        f"{indent(body.strip(), ' ' * 8)}\n"
        "    return planted\n\n\n"
        f"{owner}.{method} = _plant({owner}.{method})\n"
    )


def after(owner: str, method: str, body: str) -> Tail:
    """The method, and `body` once it has run."""
    return around(owner, method, f"old(*a, **k)\n{body}")


def planted(
    kind: str,
    name: str,
    edit: Tail,
    route: str,
    mode: str,
    names: str = "",
    file: str = BACKEND,
    pair: bool = False,
) -> Mutant:
    return Mutant(name, "", file, (edit,), route, mode, names, pair, kind)


# Damage that a consumer would notice, in any mode: one length too many.
DAMAGE = "self.forward_metadata.cache_seqlens_int32[:1] += 1"
EVERY = "for b in self.attn_backends: b.forward_metadata.cache_seqlens_int32[:1] += 1"
