"""The error catalogue: etcd's exact texts, the wire, retry classes, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from zetcd import errors
from zetcd.errors import (
    BY_NUMBER,
    Code,
    Compacted,
    ConfigError,
    ExitCode,
    InvalidArgument,
    InvariantViolation,
    LeaseNotFound,
    NoLeader,
    NoSpace,
    Problem,
    RequestTooManyRequests,
    RetryClass,
    Timeout,
    UnknownOutcome,
    WalCorruption,
    ZetcdError,
    error_of,
    exit_code_of,
    from_wire,
)

#: (class, code, text) as etcd's clients know them; one of each code.
ETCD_FACTS = [
    (errors.EmptyKey, Code.INVALID_ARGUMENT, "etcdserver: key is not provided"),
    (errors.TooManyOps, Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"),
    (Compacted, Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"),
    (
        errors.FutureRev,
        Code.OUT_OF_RANGE,
        "etcdserver: mvcc: required revision is a future revision",
    ),
    (NoSpace, Code.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"),
    (LeaseNotFound, Code.NOT_FOUND, "etcdserver: requested lease not found"),
    (errors.LeaseExist, Code.FAILED_PRECONDITION, "etcdserver: lease already exists"),
    (errors.PeerURLExist, Code.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists"),
    (RequestTooManyRequests, Code.RESOURCE_EXHAUSTED, "etcdserver: too many requests"),
    (errors.PermissionDenied, Code.PERMISSION_DENIED, "etcdserver: permission denied"),
    (errors.InvalidAuthToken, Code.UNAUTHENTICATED, "etcdserver: invalid auth token"),
    (NoLeader, Code.UNAVAILABLE, "etcdserver: no leader"),
    (Timeout, Code.UNAVAILABLE, "etcdserver: request timed out"),
    (errors.Corrupt, Code.DATA_LOSS, "etcdserver: corrupt cluster"),
    (errors.Canceled, Code.CANCELED, "etcdserver: request canceled"),
    (errors.DeadlineExceeded, Code.DEADLINE_EXCEEDED, "etcdserver: context deadline exceeded"),
]


@pytest.mark.parametrize(("kind", "code", "text"), ETCD_FACTS)
def test_a_row_has_etcds_code_and_text(kind: type[ZetcdError], code: Code, text: str) -> None:
    assert (kind.code, kind.text, str(kind())) == (code, text, text)


def test_the_numbers_of_etcds_catalogue_are_complete() -> None:
    assert [number for number in sorted(BY_NUMBER) if number < 64] == list(range(1, 64))


@pytest.mark.parametrize("number", sorted(BY_NUMBER))
def test_every_error_comes_back_from_the_wire_as_itself(number: int) -> None:
    kind = BY_NUMBER[number]
    error = from_wire(kind.number, kind.code, kind.text, kind.retry, "why")
    assert type(error) is kind
    assert (error.detail, error.retry) == ("why", kind.retry)


def test_an_error_of_a_newer_server_is_recognised_by_its_text() -> None:
    assert type(from_wire(60_000, Code.UNAVAILABLE, "etcdserver: no leader", 0)) is NoLeader


def test_an_unknown_error_keeps_what_the_wire_says() -> None:
    error = from_wire(60_000, Code.ABORTED, "something new", RetryClass.NEVER)
    assert (error.number, error.code, error.text) == (60_000, Code.ABORTED, "something new")
    assert error.retry is RetryClass.NEVER
    assert ZetcdError.text == "zetcd: unknown error"


def test_unknown_codes_and_retry_classes_are_read_carefully() -> None:
    error = from_wire(60_000, 99, "something new", 99)
    assert (error.code, error.retry) == (Code.UNKNOWN, RetryClass.AMBIGUOUS)


def test_the_retry_class_of_the_server_wins() -> None:
    assert from_wire(Timeout.number, 14, Timeout.text, RetryClass.SAFE).retry is RetryClass.SAFE
    assert Timeout.retry is RetryClass.AMBIGUOUS


def test_two_errors_with_one_text_are_told_apart_by_number() -> None:
    assert UnknownOutcome.text == Timeout.text
    assert type(error_of(UnknownOutcome.number)) is UnknownOutcome
    assert type(from_wire(0, 14, Timeout.text, 1)) is Timeout


def test_a_refusal_may_be_retried_and_an_unknown_outcome_may_not() -> None:
    assert NoLeader.retry is RequestTooManyRequests.retry is RetryClass.SAFE
    assert Timeout.retry is UnknownOutcome.retry is errors.Stopped.retry is RetryClass.AMBIGUOUS
    assert Compacted.retry is LeaseNotFound.retry is NoSpace.retry is RetryClass.NEVER


def test_only_errors_of_the_replicated_state_may_be_answered_while_applying() -> None:
    assert all(
        kind.is_deterministic
        for kind in (errors.EmptyKey, Compacted, LeaseNotFound, NoSpace, errors.DuplicateKey)
    )
    assert not any(
        kind.is_deterministic
        for kind in (Timeout, NoLeader, errors.NotLeader, WalCorruption, errors.DiskFailed)
    )


def test_an_unknown_number_within_the_node_is_named() -> None:
    assert "12345" in str(error_of(12_345))


def test_an_invalid_argument_names_field_value_and_limit() -> None:
    error = InvalidArgument(field="limit", value=-1, limit="0 or more")
    assert str(error) == "zetcd: invalid argument (limit is -1, must be 0 or more)"


def test_exit_codes() -> None:
    assert exit_code_of(WalCorruption()) is ExitCode.CORRUPTION
    assert exit_code_of(errors.DataDirMismatch()) is ExitCode.DATA_DIR
    assert exit_code_of(errors.PortInUse()) is ExitCode.PORT_IN_USE
    assert exit_code_of(errors.DiskFailed()) is ExitCode.DISK
    assert exit_code_of(ConfigError()) is ExitCode.CONFIG
    assert exit_code_of(NoLeader()) is ExitCode.FAILED
    assert exit_code_of(ValueError()) is ExitCode.FAILED


def test_a_defect_is_an_assertion_and_no_operating_error() -> None:
    assert issubclass(InvariantViolation, AssertionError)
    assert not issubclass(InvariantViolation, ZetcdError)


def test_a_number_cannot_be_given_twice() -> None:
    with pytest.raises(AssertionError, match="number 1 is used twice"):
        type("Again", (ZetcdError,), {}, number=1)


def test_a_config_error_lists_every_problem() -> None:
    problems = [Problem("a", "1", "is wrong", "set 2"), Problem("b", "", "is missing", "add it")]
    assert str(ConfigError(problems=problems, source="x.toml")).splitlines() == [
        "zetcd: configuration is not usable (x.toml): 2 problems",
        "  - a = 1: is wrong; set 2",
        "  - b: is missing; add it",
    ]


def test_running_without_assertions_is_refused() -> None:
    code = "from zetcd.errors import require_asserts; require_asserts(); print('ran')"
    with_asserts = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    without = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, check=False)
    assert (with_asserts.returncode, with_asserts.stdout) == (0, b"ran\n")
    assert without.returncode == ExitCode.USAGE
    assert b"python -O" in without.stderr
