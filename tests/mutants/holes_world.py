"""Bugs that a changing world shows: what is kept between replays, routes that vanish."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, RUNNER, Mutant
from tests.mutants.holes import BASE, CAPTURE, MULTI, REPLAY, after, around, planted
from tests.mutants.mutate import Tail

_FORWARD = "sglang/srt/model_executor/forward_batch_info.py"

# Each replay that has the key of one before is left out.
_DECODE_KEYS = {
    "the captured size": "bs",
    "the size and the longest row": "(bs, int(b.seq_lens_cpu[:bs].max()))",
    "the lengths": "(bs, tuple(b.seq_lens_cpu[:bs].tolist()))",
    "the rows": "(bs, tuple(b.req_pool_indices[:bs].tolist()))",
    "lengths and rows": "(bs, tuple(b.seq_lens_cpu[:bs].tolist()), "
    "tuple(b.req_pool_indices[:bs].tolist()))",
    "lengths, rows and the first page of each": "(bs, tuple(b.seq_lens_cpu[:bs]"
    ".tolist()), tuple(b.req_pool_indices[:bs].tolist()), tuple(self.attn_backends[0]"
    ".req_to_token[b.req_pool_indices[:1].long(), 0].tolist()))",
    "the sum of the lengths": "(bs, int(b.seq_lens_cpu[:bs].sum()))",
    "the first row": "(bs, int(b.req_pool_indices[0]))",
}
_BASE_KEYS = {
    "the captured size": "bs",
    "the size and the longest row": "(bs, int(cpu[:bs].max()))",
    "the lengths": "(bs, tuple(cpu[:bs].tolist()))",
    "the rows": "(bs, tuple(rows[:bs].tolist()))",
    "lengths and rows": "(bs, tuple(cpu[:bs].tolist()), tuple(rows[:bs].tolist()))",
}
_LAST = """
{take}
key = {key}
kept = self.__dict__.setdefault("_kept", {{}})
if kept.get(bs) == key:
    {skip}
    return
kept[bs] = key
old(*a, **k)
"""


def _decode(name: str, key: str, route: str, mode: str) -> Mutant:
    skip = (
        "for x in self.attn_backends: "
        "x.set_nsa_prefill_impl(); x.forward_metadata = x.decode_cuda_graph_metadata[bs]"
    )
    body = _LAST.format(take="b, bs = a[0], a[1]", key=key, skip=skip)
    title = f"{mode}/{route}: replays with {name} of the last one left out"
    edit = around(MULTI, REPLAY, body)
    return planted("kept between replays", title, edit, route, mode)


def _base(name: str, key: str, mode: str) -> Mutant:
    take = "bs, rows, cpu = a[0], a[1], k['seq_lens_cpu']"
    skip = "self.set_nsa_prefill_impl(); self.forward_metadata = "
    skip += "self.decode_cuda_graph_metadata[bs]"
    body = _LAST.format(take=take, key=key, skip=skip)
    title = f"{mode}: replays with {name} of the last one left out"
    edit = around(BASE, REPLAY, body)
    return planted("kept between replays", title, edit, "original", mode)


_TABLE = """
class _Pool:
    def __init__(self, table, keep):
        self.table, self.keep, self.kept = table, keep, {}

    def __getitem__(self, item):
        rows, columns = item
        key = self.keep(rows, columns)
        found = self.table[item]
        return self.kept.setdefault(key, found) if key is not None else found

    def __getattr__(self, name):
        return getattr(self.table, name)
"""


def _pool(name: str, keep: str) -> Mutant:
    plant = around(
        BASE,
        "__init__",
        f"old(*a, **k)\nself.req_to_token = _Pool(self.req_to_token, {keep})",
    )
    return planted(
        "kept between replays",
        f"verify: pages kept by {name}",
        Tail(_TABLE + "\n\n" + plant.code),
        "original",
        "target_verify",
        "page_table",
    )


def _gone(name: str, code: str, route: str, mode: str, file: str, says: str) -> Mutant:
    return planted("a route that vanishes", name, Tail(code), route, mode, says, file)


MUTANTS = (
    *(
        _decode(name, key, "per-backend", "decode")
        for name, key in _DECODE_KEYS.items()
    ),
    *(
        _decode(name, key, "defaults", "decode")
        for name, key in list(_DECODE_KEYS.items())[2:6]
    ),
    *(
        _decode(name, key, "per-backend", "decode@runner")
        for name, key in list(_DECODE_KEYS.items())[1:5]
    ),
    *(_base(name, key, "target_verify") for name, key in _BASE_KEYS.items()),
    *(_base(name, key, "draft_extend") for name, key in _BASE_KEYS.items()),
    _pool("rows and columns", "lambda r, c: (tuple(r.tolist()), c.stop)"),
    _pool("the first row and columns", "lambda r, c: (len(r), int(r[0]), c.stop)"),
    _gone(
        "the draft runner's class has another name",
        "EAGLEDraftGraphRunner = EAGLEDraftCudaGraphRunner\ndel EAGLEDraftCudaGraphRunner",
        "in-graph",
        "decode@runner",
        RUNNER,
        "lost",
    ),
    _gone(
        "the multi-step class has another name",
        f"DraftBackend = {MULTI}\ndel {MULTI}",
        "defaults",
        "decode",
        BACKEND,
        "lost",
    ),
    _gone(
        "no step backends are made",
        after(MULTI, "__init__", "self.attn_backends = []").code,
        "per-backend",
        "decode",
        BACKEND,
        "lost",
    ),
    _gone(
        "a step backend too few is made",
        after(MULTI, "__init__", "self.attn_backends = self.attn_backends[:-1]\n"
              "self.speculative_num_steps -= 1").code,
        "per-backend",
        "decode",
        BACKEND,
        "",
    ),
    _gone(
        "the precomputed pair has another name",
        f"{BASE}._precompute = {BASE}._precompute_replay_metadata\n"
        f"del {BASE}._precompute_replay_metadata",
        "precomputed",
        "target_verify",
        BACKEND,
        "lost",
    ),
    _gone(
        "a mode is not one of the tree's any more",
        "class ForwardMode(IntEnum):\n    DECODE = 2\n    DRAFT_EXTEND = 6\n"
        "    is_decode_or_idle = lambda self: self == 2\n"
        "    is_target_verify = lambda self: False\n"
        "    is_draft_extend = lambda self, *a: self == 6\n"
        "    is_extend_without_speculative = lambda self: False\n",
        "original",
        "target_verify",
        _FORWARD,
        "lost",
    ),
    planted(
        "what only a capture writes",
        "a second capture is not a new one",
        around(
            BASE,
            CAPTURE,
            "bs = a[0]\n"
            "if isinstance(self.decode_cuda_graph_metadata.get(bs), NSAMetadata):\n"
            "    self.forward_metadata = self.decode_cuda_graph_metadata[bs]\n"
            "    self.forward_metadata.cu_seqlens_q.add_(1)\n"
            "    return\n"
            "old(*a, **k)",
        ),
        "original",
        "target_verify",
    ),
)  # fmt: skip
# The pair is driven where it exists; the others drive the backend's own replay.
MUTANTS = tuple(
    m if "pair" not in m.name else Mutant(**{**vars(m), "pair": True}) for m in MUTANTS
)
