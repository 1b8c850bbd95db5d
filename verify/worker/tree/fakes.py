"""The model runner, the pools and the inputs that a backend is given."""

from __future__ import annotations

import random
from typing import Any

import torch

from verify.worker.scenario import Replay, Scenario
from verify.worker.tree import family
from verify.worker.tree.stubs import Record, const

HIDDEN = 8
FILL = 1  # what the runners put in a padded row's length


class Pools:
    """`req_to_token` and the static inputs of one scenario, drawn from its seed.

    req_to_token: [pool_rows, context + draft + 4] int32, every entry random and
    positive, the part past a sequence's end too.
    seq_lens, rows, accepts, seq_lens_cpu: the static inputs, [max_bs].
    """

    def __init__(self, scenario: Scenario, seed: int, device: str) -> None:
        self.scenario = scenario
        self.device = device
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        columns = scenario.context + scenario.draft + 4
        table = torch.randint(
            0,
            2**31 - 1,
            (scenario.pool_rows, columns),
            generator=generator,
            dtype=torch.int64,
        )
        self.req_to_token = _own(table.to(torch.int32), device)
        self.seq_dtype = _integer(scenario.seq_bits)
        self.row_dtype = _integer(scenario.row_bits)
        self.seq_lens = _own(
            torch.full((scenario.max_bs,), FILL, dtype=_integer(scenario.static_bits)),
            device,
        )
        self.rows = _own(torch.zeros(scenario.max_bs, dtype=self.row_dtype), device)
        self.accepts = _own(torch.ones(scenario.max_bs, dtype=torch.int32), device)
        self.seq_lens_cpu = torch.full((scenario.max_bs,), FILL, dtype=torch.int32)

    def change(self, number: int, replay: Replay) -> None:
        """Between two replays other requests come, tokens are added, pages move.

        In turn every row changes its place and all its entries; nothing does; only
        entries past the first column do; only those of one row in use do.
        """
        table = self.req_to_token
        style = number % 4
        if style == 1:
            table.copy_(table.roll(1 + number, 0) ^ (number * 8191 + 5))
        elif style == 3:
            table[:, 1:].bitwise_xor_(number * 127 + 1)
        elif style == 0:
            table[replay.rows[-1]].bitwise_xor_(number * 511 + 3)

    def leave(self, bs: int, replay: Replay) -> None:
        """Valid values past `bs` in the static inputs, as larger batches leave them."""
        count = len(self.rows) - bs
        if not count:
            return
        draw = random.Random(f"{self.seed}:{replay}")
        end, draft = self.scenario.max_length, self.scenario.draft
        lengths = [draw.randint(min(draft, end), end) for _ in range(count)]
        rows = [draw.randrange(self.scenario.pool_rows) for _ in range(count)]
        accepts = [draw.randint(1, draft) for _ in range(count)]
        self.seq_lens[bs:].copy_(self.tensor(tuple(lengths), self.seq_lens.dtype))
        self.seq_lens_cpu[bs:].copy_(torch.tensor(lengths, dtype=torch.int32))
        self.rows[bs:].copy_(self.tensor(tuple(rows), self.row_dtype))
        self.accepts[bs:].copy_(self.tensor(tuple(accepts), torch.int32))

    def tensor(self, values: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return _own(torch.tensor(values, dtype=dtype), self.device)


def _own(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A copy made by an ordinary operation, so that guard bands apply to it."""
    return tensor.to(device).clone()


def _integer(bits: int) -> torch.dtype:
    return torch.int64 if bits == 64 else torch.int32


def model_runner(scenario: Scenario, pools: Pools) -> Any:
    """What NativeSparseAttnBackend and EAGLEDraftCudaGraphRunner read of a runner."""
    fp8 = scenario.kv == "fp8"
    speculative = scenario.driver != "plain"
    return Record(
        device=pools.device,
        page_size=scenario.page_size,
        dtype=torch.float32,
        kv_cache_dtype=torch.float8_e4m3fn if fp8 else torch.bfloat16,
        tp_size=1,
        dp_size=1,
        tp_group=Record(barrier=lambda: None),
        spec_algorithm=Record(
            is_eagle=lambda: speculative, is_standalone=lambda: False
        ),
        server_args=Record(
            nsa_prefill_backend=scenario.prefill,
            nsa_decode_backend=scenario.impl,
            **family.server_args(scenario),
            enable_deterministic_inference=False,
            enable_torch_compile=False,
            disable_cuda_graph_padding=False,
            enable_profile_cuda_graph=False,
        ),
        model_config=Record(
            hf_config=Record(
                architectures=["DeepseekV3ForCausalLM"], index_topk=scenario.topk
            ),
            context_len=scenario.context,
            num_attention_heads=128,
            hidden_size=HIDDEN,
            spec_hidden_size=HIDDEN,
            qk_nope_head_dim=128,
            kv_lora_rank=512,
            qk_rope_head_dim=64,
        ),
        token_to_kv_pool=Record(
            nsa_kv_cache_store_fp8=fp8,
            dsa_kv_cache_store_fp8=fp8,
            kv_cache_dim=656 if fp8 else 576,
            dtype=torch.float8_e4m3fn if fp8 else torch.bfloat16,
        ),
        req_to_token_pool=Record(
            req_to_token=pools.req_to_token, size=scenario.pool_rows
        ),
    )


def make_target(model_runner: Any, scenario: Scenario, backend: Any) -> None:
    """What DecodeCudaGraphRunner asks of a model runner beside what others do."""
    draft, no = const(scenario.draft), const(None)

    def logits(vocabulary: int, rows: int) -> torch.Tensor:
        return torch.zeros(rows, 1, device=model_runner.device)

    vars(model_runner).update(
        attn_backend=backend,
        capture=scenario.capture,
        is_draft_worker=False,
        enable_pdmux=False,
        decode_num_tokens_per_bs=draft,
        decode_num_tokens_per_req=draft,
        graph_shared_output=Record(get_logits_buffer=logits),
        ngram_embedding_manager=Record(enabled=False),
        kv_index_translator=Record(bind_runner_slots=no),
        get_pp_proxy_topk_size=no,
        get_pp_proxy_residual_num_blocks=no,
        get_pp_proxy_dspark_hidden_size=const(0),
        get_aux_hidden_states_width=const(0),
        attn_tp_sequence_sharded=const(False),
        capture_head_hooks=[],
        capture_tail_hooks=[],
        lora_manager=None,
        canary_manager=None,
        device_timer=None,
        hisparse_coordinator=None,
    )
    model_runner.server_args.enable_mamba_extra_buffer = const(False)
    vars(model_runner.spec_algorithm).update(
        is_speculative=const(True),
        is_none=const(False),
        is_ngram=const(False),
        is_dflash=const(False),
        is_dflash_family=const(False),
        is_dspark=const(False),
        supports_ragged_verify=const(False),
    )


def eagle_batch(scenario: Scenario, pools: Pools, replay: Replay, mode: Any) -> Any:
    """The unpadded ForwardBatch of one draft replay; drafts' payloads are arbitrary."""
    bs, device = replay.raw_bs, pools.device
    noise = random.Random(bs).randint(1, 1000)
    return Record(
        forward_mode=mode,
        batch_size=bs,
        seq_lens=pools.tensor(replay.lengths, pools.seq_dtype),
        seq_lens_cpu=torch.tensor(replay.lengths, dtype=torch.int64),
        seq_lens_sum=sum(replay.lengths),
        req_pool_indices=pools.tensor(replay.rows, pools.row_dtype),
        positions=torch.full((bs,), noise, dtype=torch.int64, device=device),
        out_cache_loc=torch.full(
            (bs * scenario.steps,), noise, dtype=torch.int64, device=device
        ),
        spec_info=Record(
            topk_p=torch.ones((bs, 1), device=device),
            topk_index=torch.ones((bs, 1), dtype=torch.int64, device=device),
            hidden_states=torch.ones((bs, HIDDEN), device=device),
        ),
    )
