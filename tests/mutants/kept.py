"""Bugs in the launch past Triton's own: what is compiled once, and launched again."""

from __future__ import annotations

from tests.mutants.catalogue import DSA_KERNELS, KERNELS, NEWEST, RELEASE, Mutant
from tests.mutants.mutate import Edit, Set, Swap

_DIRECT = "_direct_launch"
_LAUNCH = "fill_metadata_inplace"
_DRAFT_LAUNCH = "fill_draft_metadata"
_TYPES = "*(t.dtype for t in inputs)"
_OF_ANOTHER = (
    Swap(_LAUNCH, "(id(metadata), bs, *mode, *types)", "(*mode, *types)"),
    Swap(_LAUNCH, "of() is metadata", "of()"),
)
_WITHOUT_CONSTEXPRS = Swap(
    _DIRECT,
    "len(numbers) if 'constexpr' in compiled.src.signature.values() else 5",
    "11",
)


def _mutant(
    name: str,
    names: str,
    *edits: Edit,
    release: str = RELEASE,
    file: str = KERNELS,
) -> Mutant:
    word = "" if release == RELEASE else f"{release}: "
    return Mutant(
        f"{word}kept: {name}", "fan-out", file, edits, "fan-out", "decode", names,
        kind="a kept kernel", release=release,
    )  # fmt: skip


def _newest(name: str, names: str, *edits: Edit) -> Mutant:
    return _mutant(name, names, *edits, release=NEWEST, file=DSA_KERNELS)


MUTANTS = (
    _mutant(
        "for one type of lengths",
        "seqlens",
        Set(_DIRECT, "key", "(*numbers[5:], inputs[1].dtype)"),
    ),
    _mutant(
        "for one type of row indices",
        "page_table",
        Set(_DIRECT, "key", "(*numbers[5:], inputs[0].dtype, inputs[2].dtype)"),
    ),
    _mutant(
        "for one page size",
        "page_table",
        Set(_DIRECT, "key", f"(*numbers[5:8], *numbers[9:], {_TYPES})"),
    ),
    _mutant(
        "two buffers change places",
        "seqlens",
        Swap(
            _DIRECT,
            "(t.data_ptr() for t in buffers)",
            "(buffers[i].data_ptr() for i in (0, 2, 1, 3, 4, 5, 6, 7))",
        ),
    ),
    _mutant(
        "the longest table of all",
        "page_table",
        Swap(_DIRECT, "numbers[:passed]", "(*numbers[:3], 512, *numbers[4:passed])"),
    ),
    _mutant("for buffers of the batch size before", "", *_OF_ANOTHER),
    _mutant(
        "without what the schedule is made with",
        "the route did not run",
        _WITHOUT_CONSTEXPRS,
        release="0.5.12.post1",
    ),
    _mutant(
        "for buffers of the batch size before",
        "",
        *_OF_ANOTHER,
        release="0.5.13.post1",
        file=DSA_KERNELS,
    ),
    _newest(
        "for one type of lengths",
        "",
        Set(_DIRECT, "key", "(*numbers[5:], inputs[1].dtype)"),
    ),
    _newest(
        "for one page size",
        "page_table",
        Set(_DIRECT, "key", f"(*numbers[5:7], *numbers[8:], {_TYPES})"),
    ),
    _newest(
        "two buffers change places",
        "dsa_cu_seqlens_k",
        Swap(
            _DIRECT,
            "(t.data_ptr() for t in buffers)",
            "(buffers[i].data_ptr() for i in (0, 1, 4, 3, 2, 5, 6, 7, 8, 9))",
        ),
    ),
    _newest(
        "for buffers of the batch size before",
        "",
        Swap(_DRAFT_LAUNCH, "id(metadata)", "0"),
        Swap(_DRAFT_LAUNCH, "of() is metadata", "of()"),
    ),
    _newest(
        "without what the kernel is compiled with",
        "the route did not run",
        _WITHOUT_CONSTEXPRS,
    ),
)
