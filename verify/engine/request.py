"""The options of an engine bench, read: which cells, and what an engine is given."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from patcher.results import Exit, Reason, Refusal, misused
from verify.bench.points import PointError, numbers
from verify.engine.compare import Workload
from verify.engine.tiny import arguments as of_tiny
from verify.engine.tiny.config import CONFIG, LAYERS

TINY = "tiny"
STEPS, PROMPTS, BATCHES = (3,), (3000,), (1,)
NEW_TOKENS = 128
REPETITIONS = 3
PORT, PORTS_APART = 30000, 500

Arguments = dict[str, Any]


@dataclass(frozen=True)
class EngineOptions:
    """The command line. model: a folder, `tiny` or `tiny:LAYERS`. rounds: repetitions a start.

    load: requests that come and go in every start. quick: each side starts once, and not
    with its gates off. beside: all sides are up at once. soak: minutes of a load that goes
    on. without: patches, each of which is off in a side of its own. gpu_time: also how
    long the GPU is busy in a step.
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
    beside: bool = False
    soak: float = 0.0
    without: tuple[str, ...] = ()
    gpu_time: bool = False


@dataclass(frozen=True)
class Asked:
    """The options, read: what to ask of every engine.

    options: with rounds, and beside each other where a soak needs it. given: engine
    arguments, the same for all cells. layers: of `tiny`, the target's; 0: another model.
    """

    options: EngineOptions
    cells: tuple[Workload, ...]
    given: Mapping[str, Any]
    layers: int
    vocabulary: int

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(cell.steps for cell in self.cells))

    @property
    def needs(self) -> int:
        """Bytes of GPU memory that an engine takes at most; 0: not known."""
        longest = max(cell.prompt for cell in self.cells)
        return of_tiny.needed(self.given, self.layers, longest) if self.layers else 0

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that an engine's process gets, unless they are set."""
        return of_tiny.ALLOCATOR if self.layers else {}

    def arguments(self, model: str, steps: int, turn: int = 0) -> Arguments:
        """All that `sglang.Engine` is given at a number of draft steps.

        turn: which of the engines that are up at once it is; each has ports of its own.
        """
        made = {
            "model_path": model,
            "speculative_num_steps": steps,
            "speculative_num_draft_tokens": steps + 1,
            **self.given,
        }
        if self.options.beside:
            # sglang looks for a free one for NCCL and opens it later: two may find the same.
            port, apart = made.get("port", PORT), PORTS_APART * turn
            made["nccl_port"] = made.get("nccl_port", port + steps) + apart
            made["port"] = port + apart
        return made

    @property
    def more_than_slots(self) -> bool:
        """Whether some cell's requests have to queue, as far as is known."""
        slots = self.given.get("max_running_requests")
        return slots is not None and any(cell.bs > slots for cell in self.cells)


def read(options: EngineOptions) -> Asked:
    """Raises `Refusal` for options that make no sense."""
    try:
        steps = numbers(options.steps, "--steps") or STEPS
        batches = numbers(options.bs, "--bs") or BATCHES
        prompts = _prompts(options.prompts, max(batches))
    except PointError as error:
        raise misused("", str(error)) from None
    if options.new_tokens < 1:
        raise misused("--new-tokens", "must be positive")
    for name, value in (
        ("--rounds", options.rounds), ("--load", options.load), ("--soak", options.soak),
    ):  # fmt: skip
        if value < 0:
            raise misused(name, "must be positive")
    layers = _layers(options.model)
    config = CONFIG if layers else _config(Path(options.model))
    cells = tuple(_cells(steps, prompts, batches, options.load))
    if all(cell.load for cell in cells):
        raise misused("--prompt", "no --bs is as small as it asks for")
    options = replace(
        options,
        rounds=options.rounds or REPETITIONS,
        beside=options.beside or bool(options.soak),
    )
    idles = options.beside and not options.quick
    given = {
        **_usual(options.seed),
        **(of_tiny.arguments(cells, options.new_tokens) if layers else {}),
        **({"sleep_on_idle": True} if idles else {}),
        **dict(map(_engine_arg, options.engine_args)),
    }
    return Asked(options, cells, given, layers, int(config["vocab_size"]))


def _prompts(texts: Sequence[str], most: int) -> dict[int, int]:
    """`3k,120k:8`: by length how many of it there are at once, `most` or fewer."""
    found: dict[int, int] = {}
    for text in (part for item in texts for part in item.split(",")):
        length, colon, bound = text.partition(":")
        (tokens,) = numbers([length], "--prompt")
        found[tokens] = numbers([bound], "--prompt")[0] if colon else most
    return found or dict.fromkeys(PROMPTS, most)


def _cells(
    steps: Sequence[int], prompts: Mapping[int, int], batches: Sequence[int], load: int
) -> Iterator[Workload]:
    for s in steps:
        for prompt, most in prompts.items():
            yield from (Workload(s, prompt, b) for b in batches if b <= most)
        if load:
            yield Workload(s, max(prompts), max(batches), load)


def _layers(model: str) -> int:
    """Of `tiny` or `tiny:LAYERS`, the target's; 0 for another model. Raises `Refusal`."""
    name, colon, count = model.partition(":")
    if name != TINY:
        return 0
    if not colon:
        return LAYERS
    if not count.isdecimal() or int(count) < LAYERS:
        raise misused("--engine", f"{model!r}: tiny has {LAYERS} layers or more")
    return int(count)


def _usual(seed: int) -> Arguments:
    return {
        "skip_tokenizer_init": True,
        "speculative_algorithm": "EAGLE",
        "speculative_eagle_topk": 1,
        "random_seed": seed,
        "disable_radix_cache": True,
        "log_level": "info",  # the routes of the metadata are logged so
    }


def _engine_arg(text: str) -> tuple[str, Any]:
    """`name=value`; the value is JSON, or a text as it stands."""
    name, equals, written = text.partition("=")
    if not equals or not name:
        raise misused("--engine-arg", f"{text!r} is not NAME=VALUE")
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
