"""One run: steps from a seed, both answers, and what they differ in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.differential.comparison import comparable, describe, describe_step
from tests.differential.fixed import fixed_steps
from tests.differential.generator import Generator
from tests.differential.known import KNOWN, Known, Met
from tests.differential.peer import Answer, Peer
from tests.differential.servers import both
from tests.differential.steps import Call, Dialogue, Step
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

#: A run that has gone apart shows nothing more: revisions differ for ever.
_DIFFERENCES_MAX = 25


@dataclass
class Report:
    """What a run came to."""

    requests: int = 0
    #: By method.
    counts: Counter[str] = field(default_factory=Counter)
    #: By status code, of single calls.
    codes: Counter[str] = field(default_factory=Counter)
    #: How often each known difference was met.
    known: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)


def run(seed: int, count: int, directory: Path) -> Report:
    """Ask both stores the same until ``count`` requests were made, or too much differs."""
    report = Report()
    generator = Generator(seed)
    with both(directory) as peers, ThreadPoolExecutor(2) as pool:
        for number, step in enumerate(_steps(generator, report, count)):
            raw = _ask(step, peers, pool)
            ours, theirs = map(comparable, raw, peers)
            _learn(generator, step, raw[1])
            _count(report, step, theirs)
            if ours == theirs and not (ours.complaints or theirs.complaints):
                continue
            known = _known(step, ours, theirs)
            if known is not None:
                report.known[known.name] += 1
                continue
            report.differences.append(_difference(number, step, ours, theirs))
            if len(report.differences) >= _DIFFERENCES_MAX:
                break
    return report


def _steps(generator: Generator, report: Report, count: int) -> Iterator[Step]:
    yield from fixed_steps()
    while report.requests < count:
        yield generator.step()


def _ask(step: Step, peers: tuple[Peer, Peer], pool: ThreadPoolExecutor) -> list[Answer]:
    if isinstance(step, Call):
        return [wait() for wait in [peer.begin(step) for peer in peers]]
    return list(pool.map(lambda peer: peer.run(step), peers))


def _learn(generator: Generator, step: Step, answer: Answer) -> None:
    for message in answer.messages:
        header = getattr(message, "header", None)
        if header is not None:
            generator.observe(header.revision)
    if isinstance(step, Call) and isinstance(step.request, pb.CompactionRequest):
        generator.observe(0, step.request.revision if answer.code == "OK" else None)


def _count(report: Report, step: Step, answer: Answer) -> None:
    report.requests += step.requests
    name = step.method if isinstance(step, Call) else type(step).__name__
    report.counts[name] += step.requests
    if not isinstance(step, Dialogue):
        report.codes[answer.code] += 1


def _known(step: Step, ours: Answer, theirs: Answer) -> Known | None:
    if ours.complaints or theirs.complaints:
        return None
    return next((known for known in KNOWN if known.explains(Met(step, ours, theirs))), None)


def _difference(number: int, step: Step, ours: Answer, theirs: Answer) -> str:
    return f"--- step {number}: {describe_step(step)}\n{describe(ours, theirs)}"
