"""Responsible for the command line: `python -m bench …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench.guard import ROOT, RUNS_DIR, Refused, clean, interruptible, only_one
from bench.machine import name_of_machine
from bench.report import write_report
from bench.report.publishing import publish
from bench.results import Session, from_json
from bench.scenarios import SCENARIOS, Size, run_scenarios
from bench.session import ETCD, NATIVE, ZETCD, Options, new_session, run_rounds
from bench.sweep import DELAYS_MS, WHO, SweepPlan, require_strace, run_sweep
from bench.workloads import WORKLOADS, chosen

RESULTS_DIR = ROOT / "bench" / "results"
#: What `make bench` may take on two cores, the report included.
_SHORT_MINUTES = 9.0
_SHORT_SECONDS = 2.5


def _directory(arguments: argparse.Namespace, part: str) -> Path:
    if arguments.output is not None:
        return Path(arguments.output)
    return RESULTS_DIR / f"{datetime.now(UTC):%Y-%m-%d}-{name_of_machine()}" / part


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warmup_seconds=arguments.warmup,
        base_port=arguments.base_port,
        runs_dir=Path(arguments.dir),
        minutes_max=arguments.minutes,
        systems=tuple(arguments.systems.split(",")),
        say=lambda line: print(line, flush=True),
    )


def _measure(
    arguments: argparse.Namespace, part: str, run: Callable[[Session, Options], None]
) -> int:
    """Run a part with nothing left behind, and report what was measured even if it was interrupted."""
    options = _options(arguments)
    code = 0
    try:
        with interruptible(), only_one(options.runs_dir):
            session = new_session(options)
            if not options.systems:
                raise Refused(
                    "neither system can be measured here: " + "; ".join(session.absent.values())
                )
            try:
                run(session, options)
            except KeyboardInterrupt:
                session.notes.append("interrupted: this is not the whole of it")
                code = 130
    except Refused as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    write_report(session, _directory(arguments, part))
    return code


def _run(arguments: argparse.Namespace) -> int:
    workloads = chosen(arguments.names, is_short=arguments.command == "short")
    return _measure(
        arguments,
        arguments.command,
        lambda session, options: run_rounds(session, workloads, options),
    )


def _sweep(arguments: argparse.Namespace) -> int:
    delays = tuple(int(each) for each in arguments.delays.split(","))
    plan = SweepPlan(delays, tuple(arguments.who.split(",")), arguments.clients, arguments.rate)

    def run(session: Session, options: Options) -> None:
        require_strace()
        run_sweep(session, plan, options)

    return _measure(arguments, "sweep", run)


def _scenarios(arguments: argparse.Namespace) -> int:
    names = arguments.names or list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise ValueError(f"no such scenario: {', '.join(unknown)} (see python -m bench list)")
    size = Size(arguments.keys)
    return _measure(
        arguments,
        "scenarios",
        lambda session, options: run_scenarios(session, names, size, options),
    )


def _report(arguments: argparse.Namespace) -> int:
    path = Path(arguments.directory)
    write_report(from_json((path / "results.json").read_bytes()), path)
    return 0


def _publish(arguments: argparse.Namespace) -> int:
    for path in publish(Path(arguments.directory), ROOT):
        print(f"wrote {path}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    del arguments
    for each in WORKLOADS:
        marks = "".join(mark for mark, on in (("s", each.is_short), ("n", each.is_native)) if on)
        print(f"{each.name:<22}{marks:<4}{each.about}")
    for name, scenario in SCENARIOS.items():
        print(f"{name:<26}{(scenario.__doc__ or '').splitlines()[0]}")
    print("s: in the short selection; n: over the native protocol too")
    return 0


def _clean(arguments: argparse.Namespace) -> int:
    try:
        for left in clean(Path(arguments.dir)):
            print(f"removed {left}")
    except Refused as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    main = argparse.ArgumentParser(prog="python -m bench", description="zetcd beside etcd")
    commands = main.add_subparsers(dest="command", required=True)
    short = commands.add_parser("short", help="the short selection, in ten minutes")
    _common(short, rounds=3, seconds=_SHORT_SECONDS, minutes=_SHORT_MINUTES)
    short.set_defaults(run=_run, warmup=0.5)
    full = commands.add_parser("run", help="workloads by name, or all of them")
    _common(full, rounds=5, seconds=10.0, minutes=0.0)
    full.set_defaults(run=_run)
    for each in (short, full):
        each.add_argument("names", nargs="*", metavar="WORKLOAD")
    sweep = commands.add_parser("sweep", help="slow disks")
    _common(sweep, rounds=1, seconds=6.0, minutes=0.0)
    sweep.add_argument("--delays", default=",".join(map(str, DELAYS_MS)), help="ms, by comma")
    sweep.add_argument("--who", default=",".join(WHO), help="whose disks are slow, by comma")
    sweep.add_argument("--clients", type=int, default=100)
    sweep.add_argument("--rate", type=float, default=100.0, help="puts per second of the open loop")
    sweep.set_defaults(run=_sweep)
    scenarios = commands.add_parser("scenarios", help="large keyspace, snapshot catch-up")
    _common(scenarios, rounds=1, seconds=10.0, minutes=0.0)
    scenarios.add_argument("names", nargs="*", metavar="SCENARIO")
    scenarios.add_argument("--keys", type=int, default=1_000_000)
    scenarios.set_defaults(run=_scenarios)
    report = commands.add_parser(
        "report", help="make tables, plots and page again from results.json"
    )
    report.add_argument("directory")
    report.set_defaults(run=_report)
    publishing = commands.add_parser("publish", help="write figures into README and documents")
    publishing.add_argument("directory", help="with short/ and sweep/, for example bench/results/…")
    publishing.set_defaults(run=_publish)
    commands.add_parser("list", help="workloads and scenarios").set_defaults(run=_list)
    cleaning = commands.add_parser("clean", help="remove what an earlier run left")
    cleaning.add_argument("--dir", default=str(RUNS_DIR))
    cleaning.set_defaults(run=_clean)
    return main


def _common(each: argparse.ArgumentParser, *, rounds: int, seconds: float, minutes: float) -> None:
    each.add_argument("--rounds", type=int, default=rounds)
    each.add_argument("--seconds", type=float, default=seconds, help="of each run, warm-up apart")
    each.add_argument("--warmup", type=float, default=1.0, metavar="SECONDS")
    each.add_argument(
        "--minutes", type=float, default=minutes, help="nothing new is begun later; 0: no limit"
    )
    each.add_argument("--systems", default=f"{ETCD},{ZETCD},{NATIVE}", help="by comma")
    each.add_argument("--base-port", type=int, default=25_000)
    each.add_argument(
        "--dir",
        default=str(RUNS_DIR),
        help="where members keep their files: the disk that is measured",
    )
    each.add_argument("--output", help="directory of the report; default: bench/results/…")


def main() -> int:
    """Run a command."""
    arguments = parser().parse_args()
    try:
        return int(arguments.run(arguments))
    except ValueError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
