"""What replay metadata is, written from its definition, and buffers that tell on writers."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from hypothesis import strategies as st

from tests.patches.kernels import DEVICE

GUARD = 32
POISON = -0x5EED


@dataclass(frozen=True)
class Case:
    """One batch. Its repr is the whole of it, so a failing case prints as one line."""

    seq_lens: tuple[int, ...]
    context: int
    page_size: int = 64
    topk: int = 2048
    draft_tokens: int = 4
    accept: tuple[int, ...] = ()
    dtype: torch.dtype = torch.int32
    seed: int = 0

    @property
    def bs(self) -> int:
        return len(self.seq_lens)

    def longer(self, values: torch.Tensor) -> torch.Tensor:
        """`values` [n] at the head of a longer tensor, as a padded batch has them."""
        wide = torch.full((len(values) + 3,), POISON, dtype=self.dtype)
        wide[: len(values)] = values
        return wide.to(DEVICE)

    @property
    def lens(self) -> torch.Tensor:
        return self.longer(torch.tensor(self.seq_lens))

    @property
    def accepted(self) -> torch.Tensor:
        return self.longer(torch.tensor(self.accept))

    def pool(self) -> tuple[torch.Tensor, torch.Tensor]:
        """(req_to_token [bs + 3, context + draft_tokens], req_pool_indices [bs])."""
        rng = torch.Generator().manual_seed(self.seed)
        rows, cols = self.bs + 3, self.context + self.draft_tokens
        # Negative entries are no real pages, but // must round them as PyTorch does.
        req_to_token = torch.randint(
            -(2**31), 2**31 - 1, (rows, cols), dtype=torch.int32, generator=rng
        )
        req_pool_indices = torch.randint(0, rows, (self.bs,), generator=rng)
        return req_to_token.to(DEVICE), self.longer(req_pool_indices)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Small batches of every shape; accept lengths of 0 included."""
    context = draw(st.sampled_from([1, 63, 64, 65, 200, 1025]))
    draft_tokens = draw(st.integers(1, 5))
    seq_lens = draw(st.lists(st.integers(1, context), min_size=1, max_size=6))
    accept = draw(
        st.lists(
            st.integers(0, draft_tokens),
            min_size=len(seq_lens),
            max_size=len(seq_lens),
        )
    )
    return Case(
        seq_lens=tuple(seq_lens),
        context=context,
        page_size=draw(st.sampled_from([1, 64])),
        topk=draw(st.sampled_from([1, 50, 2048])),
        draft_tokens=draft_tokens,
        accept=tuple(accept),
        dtype=draw(st.sampled_from([torch.int32, torch.int64])),
    )


@dataclass
class Buffers:
    """int32 outputs between guard bands, all poisoned, and what they should hold."""

    bases: dict[str, torch.Tensor] = field(default_factory=dict)
    expected: dict[str, torch.Tensor] = field(default_factory=dict)

    def new(self, name: str, *size: int) -> torch.Tensor:
        """A poisoned [size] tensor in the middle of a larger one."""
        numel = torch.Size(size).numel()
        self.bases[name] = torch.full(
            (numel + 2 * GUARD,), POISON, dtype=torch.int32, device=DEVICE
        )
        self.expected[name] = self.bases[name].clone()
        return self._inner(self.bases[name], size)

    def expect(self, name: str, like: torch.Tensor, values: torch.Tensor) -> None:
        """`values` at the head of `like`, along every dimension; else untouched."""
        target = self._inner(self.expected[name], like.shape)
        target[tuple(slice(0, n) for n in values.shape)] = values.to(DEVICE)

    def check(self) -> None:
        for name, base in self.bases.items():
            wrong = (base != self.expected[name]).nonzero().flatten()
            assert not len(wrong), (
                f"{name}[{wrong[0] - GUARD}]: {base[wrong[0]]}, "
                f"not {self.expected[name][wrong[0]]}; {len(wrong)} wrong"
            )

    @staticmethod
    def _inner(base: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        return base[GUARD : len(base) - GUARD].view(size)


def expanded_lens(kv_lens: list[int], tokens: list[int]) -> torch.Tensor:
    """[sum(tokens)]: the last `tokens[i]` KV lengths of request i, one by one."""
    values = [
        kv - n + 1 + t for kv, n in zip(kv_lens, tokens, strict=True) for t in range(n)
    ]
    return torch.tensor(values, dtype=torch.int32)


def expect_metadata(
    case: Case,
    buffers: Buffers,
    out: dict[str, torch.Tensor],
    kv_lens: list[int],
    tokens: list[int],
) -> None:
    """Expect the metadata of a batch in which request i has `tokens[i]` query tokens."""
    req_to_token, req_pool_indices = case.pool()
    kv = torch.tensor(kv_lens, dtype=torch.int32)
    expanded = expanded_lens(kv_lens, tokens)
    nsa = expanded.clamp(max=case.topk)
    rows = req_pool_indices[: case.bs].long()
    pages = req_to_token[rows, : max(kv_lens)].cpu()
    pages = pages.repeat_interleave(torch.tensor(tokens), dim=0)

    values = {
        "cache_seqlens": kv,
        "cu_seqlens_k": kv.cumsum(0, dtype=torch.int32),
        "seqlens_expanded": expanded,
        "nsa_cache_seqlens": nsa,
        "nsa_cu_seqlens_k": nsa.cumsum(0, dtype=torch.int32),
        "page_table": pages,
        "real_page_table": pages[:, :: case.page_size] // case.page_size,
    }
    for name, like in out.items():
        if name.startswith(("cu_", "nsa_cu_")):
            # The leading zero is not the kernel's to write.
            head = torch.tensor([POISON], dtype=torch.int32)
            buffers.expect(name, like, torch.cat([head, values[name]]))
        else:
            buffers.expect(name, like, values[name])


def outputs(
    case: Case, buffers: Buffers, rows: int, expanded: bool = True
) -> dict[str, torch.Tensor]:
    """The buffers of a batch with at most `rows` query tokens, by metadata name."""
    cols = case.context + case.draft_tokens
    out = {
        "cache_seqlens": buffers.new("cache_seqlens", case.bs),
        "cu_seqlens_k": buffers.new("cu_seqlens_k", case.bs + 1),
        "nsa_cache_seqlens": buffers.new("nsa_cache_seqlens", rows),
        "nsa_cu_seqlens_k": buffers.new("nsa_cu_seqlens_k", rows + 1),
        "page_table": buffers.new("page_table", rows, cols),
    }
    if expanded:
        out["seqlens_expanded"] = buffers.new("seqlens_expanded", rows)
    if case.page_size > 1:
        real_cols = -(-cols // case.page_size)
        out["real_page_table"] = buffers.new("real_page_table", rows, real_cols)
    return out
