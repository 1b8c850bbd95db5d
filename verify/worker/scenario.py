"""A scenario: the shapes, settings and replays of one comparison, as a value and as text.

The text form is what a person copies from a failure line:

    decode@runner:n4:p64:fa3:s32:r32:c1,8,32:x2304:k2048:d4:kv=bf16:tour6
    ^mode  ^driver  ^page   ^int32 lengths, rows    ^index topk, draft tokens
                  ^steps  ^decode kernel    ^context                ^script
                                      ^captured batch sizes ^settings, if not usual

A mode is one of sglang's ForwardModes. The driver is left out where the backend's own
replay is driven; `runner` drives the tree's draft runner, or in target_verify the runner of
its target model, `plain` a server without MTP.
Settings: `kv` (fp8, bf16), `prefill` (a kernel's name), `static` (bits of the static
lengths, where they are not those of `s`).

A script is a name (`tour6`, drawn from the seed) or the replays themselves:
`64,65@3,9/1*8/!/2049` is a replay of two rows (lengths 64 and 65 at pool rows 3
and 9), one of eight rows of length 1, a re-capture, and one row of length 2049.
`+2,1` after the rows gives accept lengths (draft_extend only).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

MODES = ("decode", "target_verify", "draft_extend", "draft_extend_v2")
DRIVERS = ("", "runner", "plain")
_DRIVEN = (("decode", "runner"), ("decode", "plain"), ("target_verify", "runner"))
IMPLS = ("fa3", "flashmla_kv", "flashmla_sparse")
KV = ("fp8", "bf16")
PREFILL = ("flashmla_auto", *IMPLS)


class ScenarioError(ValueError):
    """A scenario's text that cannot be read; the message says which part."""


@dataclass(frozen=True)
class Replay:
    """One replay call; `lengths` has one entry a row of the unpadded batch.

    `recapture` is None for a replay; 0 re-captures everything first, and a
    captured batch size re-captures that one only.
    """

    lengths: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()
    accepts: tuple[int, ...] = ()
    recapture: int | None = None

    @property
    def raw_bs(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class Scenario:
    """Shapes and settings; `script` is a name or the replays as text."""

    mode: str = "decode"
    steps: int = 4
    page_size: int = 64
    impl: str = "fa3"
    seq_bits: int = 32
    row_bits: int = 32
    capture: tuple[int, ...] = (1, 8)
    context: int = 2304
    topk: int = 2048
    draft: int = 4
    script: str = "tour6"
    driver: str = ""
    kv: str = "fp8"
    prefill: str = "flashmla_auto"
    static: int = 0

    @property
    def kind(self) -> str:
        """The mode, and after an @ the driver if it is not the usual one."""
        return f"{self.mode}@{self.driver}" if self.driver else self.mode

    @property
    def static_bits(self) -> int:
        """Bits of the static lengths that a runner keeps."""
        return self.static or self.seq_bits

    @property
    def max_bs(self) -> int:
        return max(self.capture)

    @property
    def max_length(self) -> int:
        """The longest sequence that the mode's page table has room for."""
        if self.mode == "target_verify":
            return self.context - self.draft
        return self.context

    @property
    def pool_rows(self) -> int:
        """Rows of `req_to_token`; more than a batch, so that rows can move."""
        return self.max_bs + 5

    def text(self) -> str:
        capture = ",".join(map(str, self.capture))
        usual = Scenario()
        settings = "".join(
            f"{name}={getattr(self, name)}:"
            for name in ("kv", "prefill", "static")
            if getattr(self, name) != getattr(usual, name)
        )
        return (
            f"{self.kind}:n{self.steps}:p{self.page_size}:{self.impl}"
            f":s{self.seq_bits}:r{self.row_bits}:c{capture}:x{self.context}"
            f":k{self.topk}:d{self.draft}:{settings}{self.script}"
        )

    def with_replays(self, replays: tuple[Replay, ...]) -> Scenario:
        return replace(self, script=replays_text(replays))


def of_kind(kind: str, *shapes: Any, **settings: Any) -> Scenario:
    """A scenario of a mode, with its driver after an @."""
    mode, _, driver = kind.partition("@")
    return replace(Scenario(mode, *shapes, **settings), driver=driver)


def parse(text: str) -> Scenario:
    """The scenario that `Scenario.text` wrote. Raises ScenarioError."""
    every = text.strip().split(":")
    parts = [part for part in every if "=" not in part]
    if len(parts) != 11:
        raise ScenarioError(
            f"a scenario has 11 parts separated by ':', this one {len(parts)}: {text!r}"
        )
    mode, steps, page, impl, seq, row, capture, context, topk, draft, script = parts
    mode, _, driver = mode.partition("@")
    if driver not in DRIVERS:
        raise ScenarioError(f"unknown driver {driver!r}; known: runner, plain")
    if mode not in MODES:
        raise ScenarioError(f"unknown mode {mode!r}; known: {', '.join(MODES)}")
    if impl not in IMPLS:
        raise ScenarioError(
            f"unknown decode kernel {impl!r}; known: {', '.join(IMPLS)}"
        )
    scenario = Scenario(
        mode=mode,
        steps=_number(steps, "n"),
        page_size=_number(page, "p"),
        impl=impl,
        seq_bits=_number(seq, "s"),
        row_bits=_number(row, "r"),
        capture=tuple(_list(capture.removeprefix("c"), "captured batch sizes")),
        context=_number(context, "x"),
        topk=_number(topk, "k"),
        draft=_number(draft, "d"),
        script=script,
        driver=driver,
        **_settings(part for part in every if "=" in part),
    )
    _check(scenario)
    return scenario


def _settings(parts: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    known = {"kv": KV, "prefill": PREFILL, "static": ("32", "64")}
    for part in parts:
        name, _, value = part.partition("=")
        if value not in known.get(name, ()):
            raise ScenarioError(f"unknown setting {part!r}")
        found[name] = int(value) if name == "static" else value
    return found


def _check(scenario: Scenario) -> None:
    if scenario.seq_bits not in (32, 64) or scenario.row_bits not in (32, 64):
        raise ScenarioError("s and r are 32 or 64 (bits of an input's integers)")
    if list(scenario.capture) != sorted(set(scenario.capture)) or not scenario.capture:
        raise ScenarioError("captured batch sizes must be distinct and ascending")
    if min(scenario.capture) < 1 or scenario.steps < 1 or scenario.draft < 1:
        raise ScenarioError("batch sizes, steps and draft tokens start at 1")
    if scenario.driver and (scenario.mode, scenario.driver) not in _DRIVEN:
        raise ScenarioError(f"{scenario.kind}: this mode has no such driver")
    if not is_named(scenario.script):
        for replay in parse_replays(scenario.script):
            _check_replay(scenario, replay)


def _check_replay(scenario: Scenario, replay: Replay) -> None:
    if replay.recapture is not None:
        if replay.recapture and replay.recapture not in scenario.capture:
            raise ScenarioError(f"re-capture of {replay.recapture}, never captured")
        return
    if not 1 <= replay.raw_bs <= scenario.max_bs:
        raise ScenarioError(
            f"a replay of {replay.raw_bs} rows does not fit the capture"
        )
    if not all(1 <= n <= scenario.max_length for n in replay.lengths):
        raise ScenarioError(f"lengths must lie in 1..{scenario.max_length}")
    if not all(0 <= row < scenario.pool_rows for row in replay.rows):
        raise ScenarioError(f"rows must lie in 0..{scenario.pool_rows - 1}")


def is_named(script: str) -> bool:
    """A name starts with a letter; replays start with a digit or `!`."""
    return script[:1].isalpha()


def parse_replays(text: str) -> tuple[Replay, ...]:
    """Replays out of their text; raises `ScenarioError`."""
    return tuple(_parse_replay(item) for item in text.split("/"))


def replays_text(replays: tuple[Replay, ...]) -> str:
    """The text that `parse_replays` reads back."""
    return "/".join(_replay_text(replay) for replay in replays)


def _parse_replay(item: str) -> Replay:
    if item.startswith("!"):
        return Replay(recapture=int(item[1:] or 0))
    item, _, accepts = item.partition("+")
    lengths_text, _, rows_text = item.partition("@")
    lengths = tuple(_list(lengths_text, "lengths"))
    rows = tuple(_list(rows_text, "rows")) if rows_text else tuple(range(len(lengths)))
    accept = tuple(_list(accepts, "accept lengths")) if accepts else ()
    if len(rows) != len(lengths) or (accept and len(accept) != len(lengths)):
        raise ScenarioError(f"{item!r}: lengths, rows and accepts must be as many")
    return Replay(lengths, rows, accept)


def _replay_text(replay: Replay) -> str:
    if replay.recapture is not None:
        return f"!{replay.recapture or ''}"
    text = _list_text(replay.lengths)
    if replay.rows != tuple(range(replay.raw_bs)):
        text += "@" + _list_text(replay.rows)
    if replay.accepts:
        text += "+" + _list_text(replay.accepts)
    return text


def _list_text(values: tuple[int, ...]) -> str:
    """`7,7,7,9` as `7*3,9`."""
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    return ",".join(f"{v}*{n}" if n > 1 else str(v) for v, n in runs)


def _list(text: str, what: str) -> list[int]:
    values: list[int] = []
    for item in text.split(","):
        value, _, count = item.partition("*")
        try:
            values += [int(value)] * int(count or 1)
        except ValueError:
            raise ScenarioError(f"{what}: {item!r} is not a number") from None
    return values


def _number(text: str, prefix: str) -> int:
    if not text.startswith(prefix) or not text[len(prefix) :].isdigit():
        raise ScenarioError(f"expected {prefix}<number>, found {text!r}")
    return int(text[len(prefix) :])
