"""Bugs in what is handed over: whole static buffers, captures, placeholders, the host."""

from __future__ import annotations

from tests.mutants.catalogue import BACKEND, RUNNER, Mutant
from tests.mutants.holes import BASE, CAPTURE, MULTI, REPLAY, after, around, planted
from tests.mutants.mutate import Drop, Edit, Swap

_REPLAY = f"{BASE}.{REPLAY}"
_FLASHMLA = f"{BASE}._compute_flashmla_metadata"
_RUN_ONCE = "EAGLEDraftCudaGraphRunner.capture_one_batch_size.run_once"
_BACKUP = "output_cache_loc_backup = forward_batch.out_cache_loc"


def _static(name: str, edit: Edit, mode: str = "draft_extend") -> Mutant:
    title = f"{mode}: {name}"
    return Mutant(
        title, "", BACKEND, (edit,), "original", mode, "", kind="static inputs"
    )


def _writes(name: str, body: str, mode: str, names: str) -> Mutant:
    take = "bs, rows, lens, cpu = a[0], a[1], a[2], k['seq_lens_cpu']\n"
    edit = around(BASE, REPLAY, f"{take}old(*a, **k)\n{body}")
    return planted("inputs are read only", name, edit, "original", mode, names)


def _capture(
    name: str, code: str, names: str = "", mode: str = "target_verify"
) -> Mutant:
    edit = after(BASE, CAPTURE, f"m, bs = self.forward_metadata, a[0]\n{code}")
    return planted(
        "what only a capture writes", f"{mode} capture: {name}", edit, "original", mode,
        names,
    )  # fmt: skip


def _decode_capture(name: str, code: str, names: str = "") -> Mutant:
    edit = after(BASE, CAPTURE, f"m, bs = self.forward_metadata, a[0]\n{code}")
    return planted(
        "what only a capture writes", f"decode capture: {name}", edit, "per-backend",
        "decode", names,
    )  # fmt: skip


def _stray(name: str, code: str, mode: str = "target_verify") -> Mutant:
    route = "original" if mode != "decode" else "per-backend"
    body = f"m = self.forward_metadata\n{code}"
    edit = after(BASE, REPLAY, body)
    return planted("stray writes", f"{mode}: {name}", edit, route, mode, "guard band")


def _beyond(field: str, start: str, count: int) -> str:
    return (
        f"t = m.{field}\n"
        f"t.as_strided(({count},), (1,), t.storage_offset() + ({start})).fill_(0)"
    )


def _plan(name: str, old: str, new: str, nth: int = 0, of: int = 1) -> Mutant:
    edit = Swap(_FLASHMLA, old, new, nth, of)
    return Mutant(
        f"FlashMLA asked with {name}", "", BACKEND, (edit,), "per-backend", "decode",
        "flashmla_metadata", kind="arguments of outside kernels",
    )  # fmt: skip


def _asks(name: str, code: str) -> Mutant:
    edit = around(BASE, REPLAY, f"{code}\nold(*a, **k)")
    return planted(
        "placeholders", name, edit, "per-backend", "decode", "only a placeholder"
    )


def _host(name: str, code: str) -> Mutant:
    edit = Swap(_RUN_ONCE, _BACKUP, f"{_BACKUP}\n{code}")
    return Mutant(
        f"the captured function {name}", "", RUNNER, (edit,), "per-backend",
        "decode@runner", "host read", kind="host reads in a graph",
    )  # fmt: skip


MUTANTS = (
    _static("lengths past bs are used", Drop(_REPLAY, "seq_lens = seq_lens[:bs]")),
    _static("host lengths past bs are used", Drop(_REPLAY, "seq_lens_cpu = seq_lens_cpu[:bs]")),
    _static("rows past bs are used", Drop(_REPLAY, "req_pool_indices = req_pool_indices[:bs]")),
    _static(
        "the longest of the whole static buffer counts",
        Swap(_REPLAY, "seq_lens_cpu = seq_lens_cpu[:bs]",
             "whole = seq_lens_cpu\nseq_lens_cpu = seq_lens_cpu[:bs]\n"
             "seq_lens_cpu = torch.cat([seq_lens_cpu[:-1], whole.max().reshape(1)])"),
    ),
    _static(
        "the first bs rows by value",
        Swap(_REPLAY, "req_pool_indices = req_pool_indices[:bs]",
             "req_pool_indices = req_pool_indices.sort().values[:bs]"),
    ),
    _static(
        "the last bs lengths",
        Swap(_REPLAY, "seq_lens = seq_lens[:bs]", "seq_lens = seq_lens[-bs:]"),
    ),
    _static(
        "the last bs host lengths",
        Swap(_REPLAY, "seq_lens_cpu = seq_lens_cpu[:bs]", "seq_lens_cpu = seq_lens_cpu[-bs:]"),
    ),
    _static(
        "the last bs rows",
        Swap(_REPLAY, "req_pool_indices = req_pool_indices[:bs]",
             "req_pool_indices = req_pool_indices[-bs:]"),
    ),
    _writes("lengths sorted in place", "lens.copy_(lens.sort().values)", "draft_extend", "input"),
    _writes("rows sorted in place", "rows.copy_(rows.sort().values)", "draft_extend", "input"),
    _writes("host lengths cleared", "cpu.zero_()", "draft_extend", "input"),
    _writes("rows past bs cleared", "rows[bs:].zero_()", "draft_extend", "input"),
    _writes("accepted lengths counted down", "k['spec_info'].accept_length.sub_(1)",
            "draft_extend", "input"),
    _writes("the pool's last column cleared", "self.req_to_token[:, -1].zero_()",
            "target_verify", "req_to_token"),
    _writes("the pool's first row rewritten", "self.req_to_token[0].add_(1)",
            "target_verify", "req_to_token"),
    _capture("leading zero of cu_seqlens_k", "m.cu_seqlens_k[:1].fill_(1)", "cu_seqlens_k"),
    _capture("leading zero of nsa_cu_seqlens_k", "m.nsa_cu_seqlens_k[:1].fill_(1)",
             "nsa_cu_seqlens_k"),
    _capture("cu_seqlens_q off by one", "m.cu_seqlens_q.add_(1)", "cu_seqlens_q"),
    _capture("last of cu_seqlens_q", "m.cu_seqlens_q[-1:].add_(1)", "cu_seqlens_q"),
    _capture("nsa_cu_seqlens_q off by one", "m.nsa_cu_seqlens_q.add_(1)", "cu_seqlens_q"),
    _capture("longest key length", "object.__setattr__(m, 'max_seq_len_k', 7)", "max_seq_len_k"),
    _capture("longest query length", "object.__setattr__(m, 'max_seq_len_q', 7)",
             "max_seq_len_q"),
    _capture("list of extend lengths", "m.nsa_extend_seq_lens_list.append(1)",
             "nsa_extend_seq_lens_list"),
    _capture("page size", "object.__setattr__(m, 'page_size', 2)", ""),
    _capture("a buffer of another width",
             "object.__setattr__(m, 'cu_seqlens_q', m.cu_seqlens_q.long())", "cu_seqlens_q"),
    _capture("a table without its last column",
             "object.__setattr__(m, 'page_table_1', m.page_table_1[:, :-1])", ""),
    _capture("leading zero of cu_seqlens_k", "m.cu_seqlens_k[:1].fill_(1)", "cu_seqlens_k",
             "draft_extend"),
    _decode_capture("leading zero of cu_seqlens_k", "m.cu_seqlens_k[:1].fill_(1)",
                    "cu_seqlens_k"),
    _decode_capture("leading zero of nsa_cu_seqlens_k", "m.nsa_cu_seqlens_k[:1].fill_(1)",
                    "nsa_cu_seqlens_k"),
    _decode_capture("cu_seqlens_q of one size", "if bs == 3: m.cu_seqlens_q.add_(1)",
                    "cu_seqlens_q"),
    _decode_capture("lengths no longer those of the static input",
                    "object.__setattr__(m, 'cache_seqlens_int32', "
                    "m.cache_seqlens_int32.repeat(2)[:bs])", ""),
    _stray("one element past lengths",
           _beyond("nsa_cache_seqlens_int32", "t.numel()", 1)),
    _stray("a block of 1,024 past lengths",
           _beyond("nsa_cache_seqlens_int32", "t.numel()", 1024)),
    _stray("a block of 1,024 past the last sum",
           _beyond("nsa_cu_seqlens_k", "t.numel() + 1", 1024)),
    _stray("4,000 elements past expanded lengths",
           _beyond("nsa_seqlens_expanded", "t.numel() + 3999", 1)),
    _stray("one element before lengths", _beyond("nsa_cache_seqlens_int32", "-1", 1)),
    _stray("a block of 1,024 before the sums", _beyond("cu_seqlens_k", "-1024", 1024)),
    _stray("a row past lengths", _beyond("nsa_cache_seqlens_int32", "t.numel() + 2000", 8),
           "draft_extend"),
    _stray("a block of 1,024 past the sums", _beyond("cu_seqlens_k", "t.numel()", 1024),
           "decode"),
    _plan("another number of query tokens", "seq_len_q * self.num_q_heads // 1",
          "seq_len_q * self.num_q_heads // 2"),
    _plan("all heads as one", "self.num_q_heads", "1", nth=1, of=2),
    _plan("no topk", "self.nsa_index_topk", "None"),
    _plan("the other number format", "NSA_FLASHMLA_BACKEND_DECODE_COMPUTE_FP8",
          "not NSA_FLASHMLA_BACKEND_DECODE_COMPUTE_FP8"),
    _asks("a helper that is not there is called",
          "from sglang.srt.utils import round_up_seq_lens\nround_up_seq_lens(a[2])"),
    _asks("a helper that is not there is asked for its truth",
          "from sglang.srt.distributed import is_last_rank\nif is_last_rank: pass"),
    _asks("a setting that is not there is compared",
          "from sglang.srt.server_args import MODE\nMODE == 'fast'"),
    _asks("a table that is not there is indexed",
          "from sglang.srt.layers.tuning import BLOCKS\nBLOCKS[64]"),
    planted(
        "placeholders", "an unset field of the batch is read",
        around(MULTI, REPLAY, "a[0].extend_prefix_lens\nold(*a, **k)"),
        "per-backend", "decode", "only a placeholder",
    ),
    planted(
        "placeholders", "an unset setting of the server is read",
        around(BASE, "__init__", "a[0].server_args.nsa_metadata_mode\nold(*a, **k)"),
        "per-backend", "decode", "only a placeholder",
    ),
    _host("takes the longest length", "forward_batch.seq_lens.max().item()"),
    _host("lists the lengths", "forward_batch.seq_lens.tolist()"),
    _host("copies rows to the host", "forward_batch.req_pool_indices.cpu()"),
    _host("branches on a length", "if forward_batch.seq_lens[0] > 5: pass"),
    _host("uses a length as an index", "[0] * int(forward_batch.seq_lens[0])"),
    _host("looks at the host's lengths", "forward_batch.seq_lens_cpu + 1"),
)  # fmt: skip
