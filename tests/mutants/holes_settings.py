"""Bugs under one setting only: is it met, in the mode and on the route that has it?"""

from __future__ import annotations

from tests.mutants.catalogue import Mutant
from tests.mutants.holes import BASE, DAMAGE, EVERY, MULTI, REPLAY, after, planted

_PREFIX = "SGLANG_NSA_"
_PRECOMPUTE = f"{_PREFIX}ENABLE_MTP_PRECOMPUTE_METADATA"
_TRITON = f"{_PREFIX}USE_TRITON_METADATA"
_FAN_OUT = f"{_PREFIX}METADATA_FAN_OUT"
_IN_GRAPH = f"{_PREFIX}METADATA_IN_GRAPH"

_SETTINGS = {
    "bf16 KV": "not self.nsa_kv_cache_store_fp8",
    "fp8 KV": "self.nsa_kv_cache_store_fp8",
    "FlashMLA sparse decode": "self.nsa_decode_impl == 'flashmla_sparse'",
    "FlashMLA decode": "self.nsa_decode_impl == 'flashmla_kv'",
    "fa3 decode": "self.nsa_decode_impl == 'fa3'",
    "an explicit prefill kernel": "not self.enable_auto_select_prefill_impl",
    "page size 1": "self.real_page_size == 1",
    "page size 64": "self.real_page_size == 64",
    "a page size between": "self.real_page_size == 32",
    "a small indexer": "self.nsa_index_topk < 2048",
    "a context that ends within a page": "self.max_context_len % 64",
    "bf16 KV with an explicit prefill kernel": "not self.nsa_kv_cache_store_fp8 "
    "and not self.enable_auto_select_prefill_impl",
    "bf16 KV with fa3 decode": "not self.nsa_kv_cache_store_fp8 "
    "and self.nsa_decode_impl == 'fa3'",
    "sparse decode with page size 1": "self.nsa_decode_impl == 'flashmla_sparse' "
    "and self.real_page_size == 1",
}
_INPUTS = {
    "lengths of 64 bits": "a[2].dtype == torch.int64",
    "lengths of 32 bits": "a[2].dtype == torch.int32",
    "rows of 64 bits": "a[1].dtype == torch.int64",
    "rows of 32 bits": "a[1].dtype == torch.int32",
    "64-bit lengths and 32-bit rows": "a[2].dtype == torch.int64 and a[1].dtype == torch.int32",
    "a batch of one": "a[0] == 1",
    "the middle captured size": "a[0] == 3",
    "a request that stands twice": "len(set(a[1][:a[0]].tolist())) < a[0]",
    "every request of length one": "int(k['seq_lens_cpu'][:a[0]].max()) == 1",
    "a length past 2,048": "int(k['seq_lens_cpu'][:a[0]].max()) > 2048",
    "a length of exactly a page": "64 in k['seq_lens_cpu'][:a[0]].tolist()",
    "the longest length there is": "int(k['seq_lens_cpu'][:a[0]].max()) "
    ">= self.max_context_len - self.speculative_num_draft_tokens",
}
_TOKENS = {
    "one draft token": "self.speculative_num_draft_tokens == 1",
    "many draft tokens": "self.speculative_num_draft_tokens > 4",
    "three draft tokens": "self.speculative_num_draft_tokens == 3",
}
_STEPS = {
    "one step": "len(self.attn_backends) == 1",
    "eight steps": "len(self.attn_backends) == 8",
    "five steps with bf16 KV": "len(self.attn_backends) == 5 "
    "and self.attn_backends[0].nsa_kv_cache_store_fp8",
    "32-bit lengths after 64-bit ones": "a[0].seq_lens.dtype == torch.int32 "
    "and self.__dict__.get('_wide') or self.__dict__.update("
    "_wide=a[0].seq_lens.dtype == torch.int64 or self.__dict__.get('_wide'))",
}


def _base(condition: str, test: str, route: str, mode: str) -> Mutant:
    edit = after(BASE, REPLAY, f"if {test}:\n    {DAMAGE}")
    name = f"{mode}/{route}: wrong with {condition}"
    return planted("a setting", name, edit, route, mode)


def _multi(condition: str, test: str, route: str, mode: str) -> Mutant:
    edit = after(MULTI, REPLAY, f"if {test}:\n    {EVERY}")
    name = f"{mode}/{route}: wrong with {condition}"
    return planted("a setting", name, edit, route, mode)


def _gates(name: str, test: str, route: str, mode: str) -> Mutant:
    owner, damage = (MULTI, EVERY) if mode.startswith("decode") else (BASE, DAMAGE)
    if mode == "decode@plain":
        owner, damage = BASE, DAMAGE
    edit = after(owner, REPLAY, f"import os\nif {test}:\n    {damage}")
    return planted("gates", f"{mode}: wrong with {name}", edit, route, mode)


def _unset(gate: str) -> str:
    return f"{gate!r} not in os.environ"


def _on(gate: str) -> str:
    return f"os.environ.get({gate!r}) == '1'"


def _off(gate: str) -> str:
    return f"os.environ.get({gate!r}) == '0'"


MUTANTS = (
    *(_base(c, t, "original", "target_verify") for c, t in _SETTINGS.items()),
    *(_base(c, t, "original", "draft_extend") for c, t in list(_SETTINGS.items())[:8]),
    *(_base(c, t, "original", "target_verify") for c, t in _INPUTS.items()),
    *(_base(c, t, "original", "target_verify") for c, t in _TOKENS.items()),
    *(_base(c, t, "original", "draft_extend") for c, t in list(_TOKENS.items())[:2]),
    *(_multi(c, t, "precomputed", "decode") for c, t in list(_STEPS.items())[2:]),
    *(
        _multi(c, t, route, mode)
        for c, t in list(_STEPS.items())[:2]
        for route, mode in (
            ("precomputed", "decode"), ("fan-out", "decode"), ("in-graph", "decode@runner"),
        )
    ),
    *(
        _multi(c, t.replace("self.", "self.attn_backends[0]."), "in-graph", "decode@runner")
        for c, t in list(_SETTINGS.items())[:8]
    ),
    *(
        _multi(c, t.replace("self.", "self.attn_backends[0]."), "precomputed", "decode")
        for c, t in list(_SETTINGS.items())[:3]
    ),
    _multi(
        "a batch of more than 256", "a[1] > 256", "in-graph", "decode@runner"
    ),
    *(
        _gates(f"no {gate.removeprefix(_PREFIX)} set", _unset(gate), "defaults", mode)
        for gate, mode in (
            (_PRECOMPUTE, "decode"), (_FAN_OUT, "decode"), (_IN_GRAPH, "decode@runner"),
            (_TRITON, "decode@plain"),
        )
    ),
    _gates(
        "fan-out on, the precompute's gate off",
        f"{_on(_FAN_OUT)} and {_off(_PRECOMPUTE)}", "fan-out", "decode",
    ),
    _gates(
        "in-graph on, the precompute's gate off",
        f"{_on(_IN_GRAPH)} and {_off(_PRECOMPUTE)}", "in-graph", "decode@runner",
    ),
    _gates(
        "in-graph on, fan-out off",
        f"{_on(_IN_GRAPH)} and {_off(_FAN_OUT)}", "not-in-graph", "decode",
    ),
    planted(
        "gates", "plain decode: wrong without draft tokens",
        after(BASE, REPLAY, f"if self.speculative_num_draft_tokens is None:\n    {DAMAGE}"),
        "defaults", "decode@plain",
    ),
    *(
        planted("crashes and fallbacks", name, after(BASE, REPLAY, code), "original", mode, says)
        for name, code, mode, says in (
            ("an exception after the work", "raise KeyError(9)", "target_verify", "KeyError"),
            ("the process ends", "import os\nos._exit(3)", "target_verify", "exit status 3"),
            ("a segmentation fault", "import os\nos.kill(os.getpid(), 11)", "target_verify",
             "SIGSEGV"),
            ("an abort", "import os\nos.abort()", "draft_extend", "SIGABRT"),
            ("SystemExit with success", "raise SystemExit(0)", "target_verify", ""),
            ("no end to a recursion", "f = lambda n: f(n + 1)\nf(0)", "target_verify",
             "RecursionError"),
        )
    ),
    *(
        planted("plain state", f"{name}", after(BASE, REPLAY, code), "original",
                "target_verify", says)
        for name, code, says in (
            ("metadata of another size left current",
             "self.forward_metadata = next(m for b, m in self.decode_cuda_graph_metadata"
             ".items() if isinstance(b, int) and b != a[0])", "forward_metadata"),
            ("metadata copied", "import copy\nself.forward_metadata = copy.copy("
             "self.forward_metadata)", "forward_metadata"),
            ("MHA chosen", "self.use_mha = True", "use_mha"),
            ("another prefill kernel", "self.nsa_prefill_impl = 'fa3'", "nsa_prefill_impl"),
            ("another page size", "object.__setattr__(self.forward_metadata, 'page_size', 3)",
             ""),
            ("the longest length kept on the host",
             "object.__setattr__(self.forward_metadata, 'max_seq_len_k', "
             "int(k['seq_lens_cpu'].max()))", "max_seq_len_k"),
        )
    ),
)  # fmt: skip
