"""The places that several patches edit, and how older releases spell them."""

from __future__ import annotations

from patcher.steps import (
    Adapt,
    AddEnvFlag,
    Drop,
    HasGlobal,
    HasStatement,
    LacksMethod,
    Rename,
    RequireKnown,
    Respell,
    Step,
    Where,
)

NSA_BACKEND = "sglang/srt/layers/attention/nsa_backend.py"
DSA_BACKEND = "sglang/srt/layers/attention/dsa_backend.py"
# Upstream's, from 0.5.7 to 0.5.12.post1.
OWN_PRECOMPUTE = "sglang/srt/layers/attention/nsa/nsa_backend_mtp_precompute.py"
INIT_STATE = "init_cuda_graph_state"
CAPTURE = "init_forward_metadata_capture_cuda_graph"
REPLAY = "init_forward_metadata_replay_cuda_graph"

# Up to 0.5.5.post3 the kernels' names are module globals; 0.5.4 cannot switch the
# prefill kernel per batch.
OLDER_NSA_BACKEND: tuple[Adapt, ...] = (
    Rename(
        old="self.nsa_decode_impl",
        new="NSA_DECODE_IMPL",
        when=HasGlobal("NSA_DECODE_IMPL"),
    ),
    *(
        Drop(
            statement=f"{backend}.set_nsa_prefill_impl(forward_batch=None)",
            when=LacksMethod("NativeSparseAttnBackend", "set_nsa_prefill_impl"),
        )
        for backend in ("self", "first")
    ),
    *(
        Drop(statement=statement, when=HasGlobal("NSA_PREFILL_IMPL"))
        for statement in (
            "backend.use_mha = first.use_mha",
            "backend.nsa_prefill_impl = first.nsa_prefill_impl",
        )
    ),
)

# From 0.5.13 on "native" is "DeepSeek".
DSA_SPELLING: tuple[Adapt, ...] = (
    Respell(old="nsa", new="dsa"),
    Respell(old="NativeSparseAttn", new="DeepseekSparseAttn"),
)

# See patches.shared.releases.
DRAFT_EXTEND_BY_TOKEN = HasStatement(
    function=f"NativeSparseAttnBackend.{REPLAY}",
    statement="extend_seq_lens = spec_info.accept_length[:bs]",
)

# What the payload does again in its own way. An edit of these leaves every anchor
# intact, and would be lost on the way around them.
KNOWN_REPLAY: tuple[Step, ...] = (
    *(
        RequireKnown(file=NSA_BACKEND, symbol=f"NativeSparseAttnBackend.{name}")
        for name in (REPLAY, "_transform_table_1_to_real", "_compute_flashmla_metadata")
    ),
    Where(
        RequireKnown(file=NSA_BACKEND, symbol="compute_cu_seqlens"),
        lacks=OWN_PRECOMPUTE,
    ),
    Where(
        RequireKnown(file=OWN_PRECOMPUTE, symbol="compute_cu_seqlens"),
        has=OWN_PRECOMPUTE,
    ),
)


def gate(name: str, section: str = "NSA Backend") -> AddEnvFlag:
    """The step that declares the environment variable which switches a patch off."""
    return AddEnvFlag(
        file="sglang/srt/environ.py",
        cls="Envs",
        name=name,
        default=True,
        section=section,
    )
