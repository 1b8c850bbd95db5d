"""The command `bench-nsa-opt`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from patcher.cli import common, outputs
from patcher.cli import options as shared
from patcher.results import Exit, Refusal, misused, require_known
from verify.cli import options

HELP = """Time the replay of a patched sglang tree against its originals, in one run.

TREE must have patches applied. Every side (the originals, each route of the tree, and
whatever --against names) has a process of its own; they take turns in shuffled rounds,
on inputs in rotation. Buffers are compared after the timing: a side whose output
differs has no figures. Routes that fill a graph are timed inside the tree's own runner.

\b
Examples:
  bench-nsa-opt ~/sglang --quick                         a first look, under a minute
  bench-nsa-opt ~/sglang --against 0.5.7 --report out    the table, page and plots
  bench-nsa-opt ~/sglang --curves --report out           steps, batch sizes, lengths
  bench-nsa-opt ~/sglang --route fan-out --bs 32 --len 16k --min-speedup 15

With --engine MODEL the installed sglang itself runs, before and after: the same tokens,
and the time of a verify step (docs/engine.md). MODEL is a model's folder, or `tiny`.

\b
  bench-nsa-opt ~/sglang --engine tiny --steps 3,4 --prompt 3k,120k --bs 1,4
  bench-nsa-opt ~/sglang --engine /models/v3.2 --engine-arg tp_size=8
  bench-nsa-opt ~/sglang --engine tiny --soak 20 --bs 8       both under the same load

`bench-nsa-opt compare A.json B.json` sets reports beside each other: --help says how.

\b
Exit codes: 0 done; 1 an output differs, or slower than --min-speedup; 2 usage;
3 the tree refuses; 4 the environment can't (no GPU, no torch, a worker that died);
130 stopped: the points timed by then are shown, marked incomplete.
"""


def modes() -> list[str]:
    """What the shell may complete after `--mode`."""
    from verify.bench.points import MODES

    return list(MODES)


def kernels() -> list[str]:
    """What the shell may complete after `--decode-kernel`."""
    from verify.bench.points import IMPLS

    return list(IMPLS)


@common.app(HELP, undone="nothing was measured")
def app(
    context: typer.Context,
    tree: shared.Tree,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RELEASE|PATH",
            help="Another side; repeatable.",
            autocompletion=common.releases,
        ),
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME,...",
            help="decode, target_verify or draft_extend.",
            autocompletion=modes,
        ),
    ] = None,
    route: options.Routes = None,
    steps: Annotated[
        list[str] | None, typer.Option(metavar="N,...", help="Draft steps of decode.")
    ] = None,
    bs: Annotated[
        list[str] | None, typer.Option(metavar="N,...", help="Batch sizes.")
    ] = None,
    length: Annotated[
        list[str] | None,
        typer.Option("--len", metavar="N,...", help="Longest lengths; 16k is 16384."),
    ] = None,
    decode_kernel: Annotated[
        str,
        typer.Option(
            metavar="fa3|flashmla_kv",
            help="The backend's decode kernel.",
            autocompletion=kernels,
        ),
    ] = "fa3",
    rounds: Annotated[
        int, typer.Option(metavar="N", help="Rounds a point; 0: as many as usual.")
    ] = 0,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    python: options.Python = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Two sizes, four steps, fewer rounds; --engine: each side starts once.",
        ),
    ] = False,
    curves: Annotated[
        bool, typer.Option("--curves", help="Also over steps, batch sizes, lengths.")
    ] = False,
    min_speedup: Annotated[
        float | None,
        typer.Option(metavar="X", help="Exit 1 if any route's lower bound is less."),
    ] = None,
    json: shared.Json = None,
    report: options.Report = None,
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL|tiny[:LAYERS]", help="Run sglang itself; see above."
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="N[:BS],...", help="--engine: prompt lengths; 120k:8: of 8 at most."
        ),
    ] = None,
    new_tokens: Annotated[
        int, typer.Option(metavar="N", help="--engine: new tokens a request.")
    ] = 128,
    load: Annotated[
        int,
        typer.Option(
            metavar="N", help="--engine: N requests that come and go, some aborted."
        ),
    ] = 0,
    beside: Annotated[
        bool,
        typer.Option(
            "--beside",
            help="--engine: all sides up at once; with --quick asked at once, for tokens.",
        ),
    ] = False,
    soak: Annotated[
        float,
        typer.Option(
            metavar="MINUTES", help="--engine: all sides up, the same load for so long."
        ),
    ] = 0,
    without: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATCH",
            help="--engine: also a side with this one's gate off; repeatable.",
        ),
    ] = None,
    gpu_time: Annotated[
        bool,
        typer.Option(
            "--gpu-time", help="--engine: also how long the GPU is busy in a step."
        ),
    ] = False,
    engine_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="--engine: for sglang; repeatable."),
    ] = None,
    version: shared.Version = False,
) -> Exit:
    outputs.require_writable((json,), report)

    def make() -> Exit:
        if engine is not None:
            others = {
                "--against": against, "--mode": mode, "--route": route, "--len": length,
                "--curves": curves, "--min-speedup": min_speedup,
            }  # fmt: skip
            if strange := [name for name, value in others.items() if value]:
                raise _misused(f"not with --engine: {', '.join(strange)}")
            from verify.engine import engine as server
            from verify.engine.request import EngineOptions

            return server.work(
                EngineOptions(
                    tree=tree, model=engine, steps=tuple(steps or ()),
                    prompts=tuple(prompt or ()), bs=tuple(bs or ()),
                    new_tokens=new_tokens, engine_args=tuple(engine_arg or ()),
                    rounds=rounds, seed=seed, python=str(python) if python else None,
                    json=json, report=report, arguments=context.obj.arguments,
                    load=load, quick=quick, beside=beside, soak=soak,
                    without=tuple(without or ()), gpu_time=gpu_time,
                )
            )  # fmt: skip
        alone = {
            "--prompt": prompt, "--engine-arg": engine_arg, "--load": load,
            "--beside": beside, "--soak": soak, "--without": without,
            "--gpu-time": gpu_time,
        }  # fmt: skip
        if strange := [name for name, value in alone.items() if value]:
            raise _misused(f"go with --engine: {', '.join(strange)}")
        from verify.bench.bench import BenchOptions, work
        from verify.bench.points import PointError, Request, numbers

        asked_modes = common.names(mode)
        require_known(asked_modes, modes(), "mode", "--mode")
        require_known([decode_kernel], kernels(), "kernel", "--decode-kernel")
        try:
            request = Request(
                modes=asked_modes,
                steps=numbers(steps or (), "--steps"),
                bs=numbers(bs or (), "--bs"),
                lengths=numbers(length or (), "--len"),
                impl=decode_kernel,
                quick=quick,
                curves=curves,
                rounds=rounds,
            )
        except PointError as error:
            raise _misused(str(error)) from None
        asked = BenchOptions(
            tree=tree,
            against=tuple(against or ()),
            routes=common.names(route),
            request=request,
            seed=seed,
            device=device,
            python=str(python) if python else None,
            min_speedup=min_speedup,
            json=json,
            report=report,
            arguments=context.obj.arguments,
        )
        return work(asked)

    with common.refusals_in(json, report and report / "report.json"):
        return make()


def _misused(what: str) -> Refusal:
    return misused("", what, "see bench-nsa-opt --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; `compare` is a command of its own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["compare"]:
        from verify.cli import compare

        return compare.main(arguments[1:])
    return common.run(app, "bench-nsa-opt", arguments)


if __name__ == "__main__":
    sys.exit(main())
