"""The options of an engine bench, read: which cells, and what an engine is given."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patcher.results import Exit, Reason, Refusal
from verify.bench.points import PointError, numbers
from verify.engine import tiny
from verify.engine.compare import Workload

TINY = "tiny"
STEPS, PROMPTS, BATCHES = (3,), (3000,), (1,)
NEW_TOKENS = 128
REPETITIONS = 3

Arguments = dict[str, Any]


@dataclass(frozen=True)
class EngineOptions:
    """The command line. model: a folder, or `tiny`. rounds: repetitions a start.

    load: requests that come and go in every start. quick: each side starts once, and not
    with its gates off.
    """

    tree: Path
    model: str
    steps: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    bs: tuple[str, ...] = ()
    new_tokens: int = NEW_TOKENS
    engine_args: tuple[str, ...] = ()
    rounds: int = 0
    seed: int = 0
    python: str | None = None
    json: Path | None = None
    report: Path | None = None
    arguments: tuple[str, ...] = ()
    load: int = 0
    quick: bool = False


@dataclass(frozen=True)
class Asked:
    """What to ask of every engine. given: engine arguments, the same for all cells."""

    cells: tuple[Workload, ...]
    new_tokens: int
    repetitions: int
    seed: int
    vocabulary: int
    given: Mapping[str, Any]

    def arguments(self, model: str, steps: int) -> Arguments:
        """All that `sglang.Engine` is given at a number of draft steps."""
        return {
            "model_path": model,
            "speculative_num_steps": steps,
            "speculative_num_draft_tokens": steps + 1,
            **self.given,
        }

    @property
    def more_than_slots(self) -> bool:
        """Whether some cell's requests have to queue, as far as is known."""
        slots = self.given.get("max_running_requests")
        return slots is not None and any(cell.bs > slots for cell in self.cells)


def read(options: EngineOptions) -> Asked:
    """Raises `Refusal` for options that make no sense."""
    try:
        steps = numbers(options.steps, "--steps") or STEPS
        prompts = numbers(options.prompts, "--prompt") or PROMPTS
        batches = numbers(options.bs, "--bs") or BATCHES
    except PointError as error:
        raise _usage("", str(error)) from None
    if options.new_tokens < 1:
        raise _usage("--new-tokens", "must be positive")
    for name, value in (("--rounds", options.rounds), ("--load", options.load)):
        if value < 0:
            raise _usage(name, "must be positive")
    tiny_one = options.model == TINY
    config = tiny.CONFIG if tiny_one else _config(Path(options.model))
    return Asked(
        cells=tuple(
            cell
            for s in steps
            for cell in (
                *(Workload(s, p, b) for p in prompts for b in batches),
                *(
                    [Workload(s, max(prompts), max(batches), options.load)]
                    * bool(options.load)
                ),
            )
        ),
        new_tokens=options.new_tokens,
        repetitions=options.rounds or REPETITIONS,
        seed=options.seed,
        vocabulary=int(config["vocab_size"]),
        given={
            **_usual(options.seed),
            **(_for_tiny(max(batches)) if tiny_one else {}),
            **dict(map(_engine_arg, options.engine_args)),
        },
    )


def _usual(seed: int) -> Arguments:
    return {
        "skip_tokenizer_init": True,
        "speculative_algorithm": "EAGLE",
        "speculative_eagle_topk": 1,
        "random_seed": seed,
        "disable_radix_cache": True,
        "log_level": "warning",
    }


def _for_tiny(bs: int) -> Arguments:
    """fp8 KV as in production; nothing that needs more packages than the model does."""
    return {
        "kv_cache_dtype": "fp8_e4m3",
        "max_running_requests": bs,
        "mem_fraction_static": 0.5,
        "context_length": tiny.CONFIG["max_position_embeddings"],
        "chunked_prefill_size": 16384,
        "sampling_backend": "pytorch",
        "grammar_backend": "none",
        "moe_runner_backend": "triton",
        "disable_shared_experts_fusion": True,
        "device": "cuda",
    }


def _engine_arg(text: str) -> tuple[str, Any]:
    """`name=value`; the value is JSON, or a text as it stands."""
    name, equals, written = text.partition("=")
    if not equals or not name:
        raise _usage("--engine-arg", f"{text!r} is not NAME=VALUE")
    value: Any = written
    with contextlib.suppress(ValueError):
        value = json.loads(written)
    return name.strip("-").replace("-", "_"), value


def _config(model: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        int(config["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError):
        what = "is no folder with a config.json of a model"
        hint = "--engine takes a model's folder, or `tiny`"
        reason = Reason(str(model), "", what, hint)
        raise Refusal(reason, code=Exit.USAGE) from None
    return dict(config)


def _usage(option: str, what: str) -> Refusal:
    return Refusal(Reason(option, "", what, "see --help"), code=Exit.USAGE)
