"""A kernel that does not compile is tried once, and said so once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.patches import run
from tests.patches.kernels import kernel_module, load
from tests.patches.reference import Buffers, Case, outputs

CASE = Case(seq_lens=(3, 5), context=8, accept=(1, 2))


class Refusing:
    """Stands for a kernel that the compiler refuses."""

    def __init__(self) -> None:
        self.tried = 0

    def __getitem__(self, grid: object) -> Any:
        self.tried += 1
        raise RuntimeError("no compiler here")


def test_tried_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    module: Any = load("refusing_kernel", kernel_module())
    module._metadata_kernel = kernel = Refusing()
    out = outputs(CASE, Buffers(), CASE.bs * CASE.draft_tokens)
    filled = [
        module.fill_metadata_inplace(
            run.metadata(CASE, out),
            CASE.bs,
            **run.inputs(CASE),
            nsa_index_topk=CASE.topk,
            draft_tokens=draft_tokens,
        )
        for draft_tokens in (0, 0, 4)
    ]
    assert filled == [False, False, False]
    assert kernel.tried == 1
    (record,) = (r for r in caplog.records if r.levelname == "WARNING")
    assert "no compiler here" in record.getMessage()
