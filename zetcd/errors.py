"""Responsible for every error and exit code zetcd has; the only place they are defined.

Two families
    Operating errors (`ZetcdError`) are values of the protocol: they carry a gRPC code, etcd's exact
    text (its clients recognise an error by that text alone) and say whether a client may try again.
    Defects are assertions (`InvariantViolation`): they end the process, the supervisor decides.

Invariants
    - A ``number`` is on the wire and is never reused; new errors take new numbers.
      1-63 are etcd's catalogue, 64-99 further texts an etcd client may see, from 100 on zetcd's own.
    - While applying, only errors with ``is_deterministic`` may be answered: every member comes to
      the same result. Any other error there stops the node, because members would diverge.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple


class Code(IntEnum):
    """gRPC status codes."""

    OK = 0
    CANCELED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RetryClass(IntEnum):
    """What a client may do after an error."""

    #: Nothing was done; the same request may be sent again, here or to another member.
    SAFE = 0
    #: The outcome is unknown; a mutation must not be sent again without looking first.
    AMBIGUOUS = 1
    #: Nothing was done, and the same request will fail again until something else changes.
    NEVER = 2


class ExitCode(IntEnum):
    """Exit codes of the ``zetcd`` processes."""

    OK = 0
    #: A defect or an error without a code of its own.
    FAILED = 1
    #: The command line is wrong.
    USAGE = 2
    #: The configuration is wrong.
    CONFIG = 3
    #: The log on disk is damaged below what was acknowledged; a person must decide.
    CORRUPTION = 4
    #: A write or fsync failed; it was not retried.
    DISK = 5
    #: Actors died too often in a row.
    GIVE_UP = 6
    #: The data directory belongs to another member, cluster or version, or is in use.
    DATA_DIR = 7
    #: A listen address is in use.
    PORT_IN_USE = 8
    #: An actor's: start me again at once, I have to begin from a checkpoint.
    RESTORE = 9
    #: The member was removed from the cluster; its data directory is of no use any more.
    REMOVED = 10
    #: No running cluster takes this node in.
    JOIN = 11


class InvariantViolation(AssertionError):
    """A defect: a state that must not exist. Never caught, except to log it and end the process."""


class ZetcdError(Exception):
    """Base of all operating errors; the class attributes are the error, ``detail`` the instance's."""

    #: Identifies the error on the wire; 0 = not in the catalogue.
    number: int = 0
    #: gRPC status code.
    code: Code = Code.UNKNOWN
    #: etcd's exact description.
    text: str = "zetcd: unknown error"
    #: What a client may do.
    retry: RetryClass = RetryClass.AMBIGUOUS
    #: Every member that applies the same log comes to this error at the same entry.
    is_deterministic: bool = False
    #: Exit code of a process that ends because of it.
    exit_code: ExitCode = ExitCode.FAILED

    def __init_subclass__(
        cls,
        *,
        number: int = 0,
        code: Code | None = None,
        text: str | None = None,
        retry: RetryClass | None = None,
        is_deterministic: bool | None = None,
        exit_code: ExitCode | None = None,
    ) -> None:
        """Fill one row of the catalogue; what is left out is inherited."""
        super().__init_subclass__()
        cls.number = number
        cls.code = cls.code if code is None else code
        cls.text = cls.text if text is None else text
        cls.retry = cls.retry if retry is None else retry
        cls.is_deterministic = (
            cls.is_deterministic if is_deterministic is None else is_deterministic
        )
        cls.exit_code = cls.exit_code if exit_code is None else exit_code
        if number:
            assert number not in BY_NUMBER, f"error number {number} is used twice"
            BY_NUMBER[number] = cls
            # Two errors may share a text (one text, two retry classes): the first owns it.
            BY_TEXT.setdefault(cls.text, cls)

    def __init__(self, detail: str = "") -> None:
        """Make an instance; ``detail`` is for people and may be empty."""
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        """Return the text, followed by the detail if there is one."""
        return f"{self.text} ({self.detail})" if self.detail else self.text


#: The catalogue by number.
BY_NUMBER: Final[dict[int, type[ZetcdError]]] = {}
#: The catalogue by exact text, as etcd's clients look errors up.
BY_TEXT: Final[dict[str, type[ZetcdError]]] = {}


def from_wire(number: int, code: int, text: str, retry: int, detail: str = "") -> ZetcdError:
    """Return the error that an `ErrorBody` stands for.

    The number decides, then the text. What neither knows (a newer server) becomes a plain
    `ZetcdError` with the given code, text and retry class; unknown values of those are read as
    UNKNOWN and AMBIGUOUS, the careful choices.
    """
    known = BY_NUMBER.get(number) or BY_TEXT.get(text)
    error = ZetcdError(detail) if known is None else known(detail)
    if known is None:
        error.number = number
        error.code = Code(code) if code in _CODES else Code.UNKNOWN
        error.text = text
    # The server knows better than the catalogue whether this very request was begun.
    error.retry = RetryClass(retry) if retry in _RETRY_CLASSES else RetryClass.AMBIGUOUS
    return error


def error_of(number: int, detail: str = "") -> ZetcdError:
    """Return the error with this number of the catalogue, as carried by messages within a node."""
    known = BY_NUMBER.get(number)
    return UnknownError(f"number {number}") if known is None else known(detail)


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code of a process that ends because of ``error``."""
    return error.exit_code if isinstance(error, ZetcdError) else ExitCode.FAILED


def require_asserts() -> None:
    """End the process if assertions are off (``python -O``): they guard the data."""
    if not __debug__:
        sys.stderr.write("zetcd: refusing to start under python -O: assertions guard the data\n")
        raise SystemExit(ExitCode.USAGE)


_CODES: Final = frozenset(Code)
_RETRY_CLASSES: Final = frozenset(RetryClass)


# --- what rows have in common, by gRPC code ----------------------------------------------------


class _Refused(ZetcdError, retry=RetryClass.NEVER, is_deterministic=True):
    """The replicated state does not allow the request; the row names its own code."""


class _Invalid(
    ZetcdError, code=Code.INVALID_ARGUMENT, retry=RetryClass.NEVER, is_deterministic=True
):
    """The request is wrong whatever the state."""


class _Precondition(
    ZetcdError, code=Code.FAILED_PRECONDITION, retry=RetryClass.NEVER, is_deterministic=True
):
    """The state does not allow the request."""


class _OutOfRange(
    ZetcdError, code=Code.OUT_OF_RANGE, retry=RetryClass.NEVER, is_deterministic=True
):
    """A number is beyond what the state or the rules allow."""


class _Unavailable(ZetcdError, code=Code.UNAVAILABLE, retry=RetryClass.AMBIGUOUS):
    """The cluster could not do it now."""


# --- the catalogue: one row per line, the text says what it means --------------------------------
# fmt: off

# etcd's own (its package rpctypes).
class EmptyKey(_Invalid, number=1, text="etcdserver: key is not provided"): ...
class KeyNotFound(_Invalid, number=2, text="etcdserver: key not found"): ...
class ValueProvided(_Invalid, number=3, text="etcdserver: value is provided"): ...
class LeaseProvided(_Invalid, number=4, text="etcdserver: lease is provided"): ...
class TooManyOps(_Invalid, number=5, text="etcdserver: too many operations in txn request"): ...
class DuplicateKey(_Invalid, number=6, text="etcdserver: duplicate key given in txn request"): ...
class InvalidClientAPIVersion(_Invalid, number=7, text="etcdserver: invalid client api version"): ...
class InvalidSortOption(_Invalid, number=8, text="etcdserver: invalid sort option"): ...
class Compacted(_OutOfRange, number=9, text="etcdserver: mvcc: required revision has been compacted"): ...
class FutureRev(_OutOfRange, number=10, text="etcdserver: mvcc: required revision is a future revision"): ...
class NoSpace(_Refused, number=11, code=Code.RESOURCE_EXHAUSTED, text="etcdserver: mvcc: database space exceeded"): ...
class LeaseNotFound(_Refused, number=12, code=Code.NOT_FOUND, text="etcdserver: requested lease not found"): ...
class LeaseExist(_Precondition, number=13, text="etcdserver: lease already exists"): ...
class LeaseTTLTooLarge(_OutOfRange, number=14, text="etcdserver: too large lease TTL"): ...
class WatchCanceled(ZetcdError, number=15, code=Code.CANCELED, text="etcdserver: watch canceled", retry=RetryClass.SAFE, is_deterministic=False): ...
class MemberExist(_Precondition, number=16, text="etcdserver: member ID already exist"): ...
class PeerURLExist(_Precondition, number=17, text="etcdserver: Peer URLs already exists"): ...
class MemberNotEnoughStarted(_Precondition, number=18, text="etcdserver: re-configuration failed due to not enough started members"): ...
class MemberBadURLs(_Invalid, number=19, text="etcdserver: given member URLs are invalid"): ...
class MemberNotFound(_Refused, number=20, code=Code.NOT_FOUND, text="etcdserver: member not found"): ...
class MemberNotLearner(_Precondition, number=21, text="etcdserver: can only promote a learner member"): ...
class LearnerNotReady(_Precondition, number=22, text="etcdserver: can only promote a learner member which is in sync with leader", retry=RetryClass.SAFE, is_deterministic=False): ...
class TooManyLearners(_Precondition, number=23, text="etcdserver: too many learner members in cluster"): ...
class ClusterIDMismatch(_Precondition, number=24, text="etcdserver: cluster ID mismatch"): ...
class RequestTooLarge(_Invalid, number=25, text="etcdserver: request is too large"): ...
class RequestTooManyRequests(ZetcdError, number=26, code=Code.RESOURCE_EXHAUSTED, text="etcdserver: too many requests", retry=RetryClass.SAFE, is_deterministic=False): ...
class RootUserNotExist(_Precondition, number=27, text="etcdserver: root user does not exist"): ...
class RootRoleNotExist(_Precondition, number=28, text="etcdserver: root user does not have root role"): ...
class UserAlreadyExist(_Precondition, number=29, text="etcdserver: user name already exists"): ...
class UserEmpty(_Invalid, number=30, text="etcdserver: user name is empty"): ...
class UserNotFound(_Precondition, number=31, text="etcdserver: user name not found"): ...
class RoleAlreadyExist(_Precondition, number=32, text="etcdserver: role name already exists"): ...
class RoleNotFound(_Precondition, number=33, text="etcdserver: role name not found"): ...
class RoleEmpty(_Invalid, number=34, text="etcdserver: role name is empty"): ...
class AuthFailed(_Invalid, number=35, text="etcdserver: authentication failed, invalid user ID or password"): ...
class PermissionNotGiven(_Invalid, number=36, text="etcdserver: permission not given"): ...
class PermissionDenied(_Refused, number=37, code=Code.PERMISSION_DENIED, text="etcdserver: permission denied"): ...
class RoleNotGranted(_Precondition, number=38, text="etcdserver: role is not granted to the user"): ...
class PermissionNotGranted(_Precondition, number=39, text="etcdserver: permission is not granted to the role"): ...
class AuthNotEnabled(_Precondition, number=40, text="etcdserver: authentication is not enabled"): ...
class InvalidAuthToken(_Refused, number=41, code=Code.UNAUTHENTICATED, text="etcdserver: invalid auth token", retry=RetryClass.SAFE): ...
class InvalidAuthMgmt(_Invalid, number=42, text="etcdserver: invalid auth management"): ...
class AuthOldRevision(_Invalid, number=43, text="etcdserver: revision of auth store is old", retry=RetryClass.SAFE): ...
class NoLeader(_Unavailable, number=44, text="etcdserver: no leader", retry=RetryClass.SAFE): ...
class NotLeader(_Precondition, number=45, text="etcdserver: not leader", retry=RetryClass.SAFE, is_deterministic=False): ...
class LeaderChanged(_Unavailable, number=46, text="etcdserver: leader changed", retry=RetryClass.SAFE): ...
class NotCapable(_Precondition, number=47, text="etcdserver: not capable", is_deterministic=False): ...
class Stopped(_Unavailable, number=48, text="etcdserver: server stopped"): ...
class Timeout(_Unavailable, number=49, text="etcdserver: request timed out"): ...
class TimeoutDueToLeaderFail(_Unavailable, number=50, text="etcdserver: request timed out, possibly due to previous leader failure"): ...
class TimeoutDueToConnectionLost(_Unavailable, number=51, text="etcdserver: request timed out, possibly due to connection lost"): ...
class TimeoutWaitAppliedIndex(_Unavailable, number=52, text="etcdserver: request timed out, waiting for the applied index took too long", retry=RetryClass.SAFE): ...
class Unhealthy(_Unavailable, number=53, text="etcdserver: unhealthy cluster", retry=RetryClass.SAFE): ...
class Corrupt(_Refused, number=54, code=Code.DATA_LOSS, text="etcdserver: corrupt cluster"): ...
class NotSupportedForLearner(_Precondition, number=55, text="etcdserver: rpc not supported for learner", is_deterministic=False): ...
class BadLeaderTransferee(_Precondition, number=56, text="etcdserver: bad leader transferee", is_deterministic=False): ...
class WrongDowngradeVersionFormat(_Invalid, number=57, text="etcdserver: wrong downgrade target version format"): ...
class InvalidDowngradeTargetVersion(_Invalid, number=58, text="etcdserver: invalid downgrade target version"): ...
class ClusterVersionUnavailable(_Precondition, number=59, text="etcdserver: cluster version not found during downgrade"): ...
class DowngradeInProcess(_Precondition, number=60, text="etcdserver: cluster has a downgrade job in progress"): ...
class NoInflightDowngrade(_Precondition, number=61, text="etcdserver: no inflight downgrade job"): ...
class Canceled(ZetcdError, number=62, code=Code.CANCELED, text="etcdserver: request canceled", retry=RetryClass.AMBIGUOUS, is_deterministic=False): ...
class DeadlineExceeded(ZetcdError, number=63, code=Code.DEADLINE_EXCEEDED, text="etcdserver: context deadline exceeded", retry=RetryClass.AMBIGUOUS, is_deterministic=False): ...

# Further texts that an etcd client may see.
class TimeoutLeaderTransfer(ZetcdError, number=64, text="etcdserver: request timed out, leader transfer took too long"): ...
class UnknownMethod(ZetcdError, number=65, text="etcdserver: unknown method", retry=RetryClass.NEVER): ...
class NotPrimaryLessor(ZetcdError, number=66, text="not a primary lessor", retry=RetryClass.SAFE): ...
class WatcherRangeEmpty(ZetcdError, number=67, text="mvcc: watcher range is empty", retry=RetryClass.NEVER): ...
class WatcherDuplicateID(ZetcdError, number=68, text="mvcc: duplicate watch ID provided on the WatchStream", retry=RetryClass.NEVER): ...
class ElectionNoLeader(ZetcdError, number=69, text="election: no leader", retry=RetryClass.SAFE): ...
class ElectionNotLeader(ZetcdError, number=70, text="election: not leader", retry=RetryClass.NEVER): ...
class MutexSessionExpired(ZetcdError, number=71, text="mutex: session is expired", retry=RetryClass.NEVER): ...
class LeaderFieldMissing(ZetcdError, number=72, text='"leader" field must be provided', retry=RetryClass.NEVER): ...

# zetcd's own.
class UnknownError(ZetcdError, number=100, text="zetcd: unknown error"): ...
class BadFrame(_Invalid, number=101, text="zetcd: malformed frame", is_deterministic=False): ...
class UnknownMessage(_Invalid, number=102, text="zetcd: unknown message", is_deterministic=False): ...
class UnsupportedVersion(_Precondition, number=103, text="zetcd: unsupported protocol version", is_deterministic=False): ...
class SessionExpired(_Precondition, number=104, text="zetcd: session expired", retry=RetryClass.SAFE, is_deterministic=False): ...
class NotImplementedYet(_Refused, number=106, code=Code.UNIMPLEMENTED, text="zetcd: not implemented"): ...
class WalCorruption(ZetcdError, number=107, code=Code.DATA_LOSS, text="zetcd: the log on disk is corrupt", retry=RetryClass.NEVER, exit_code=ExitCode.CORRUPTION): ...
class DataDirMismatch(_Precondition, number=108, text="zetcd: the data directory is not this member's", is_deterministic=False, exit_code=ExitCode.DATA_DIR): ...
class TxnTooDeep(_Invalid, number=109, text="zetcd: transaction is nested too deep"): ...
class DiskFailed(ZetcdError, number=111, code=Code.UNAVAILABLE, text="zetcd: a write to disk failed", retry=RetryClass.AMBIGUOUS, exit_code=ExitCode.DISK): ...
class PortInUse(_Precondition, number=112, text="zetcd: address already in use", is_deterministic=False, exit_code=ExitCode.PORT_IN_USE): ...
class GaveUp(ZetcdError, number=113, code=Code.UNAVAILABLE, text="zetcd: actors died too often", retry=RetryClass.AMBIGUOUS, exit_code=ExitCode.GIVE_UP): ...
class TooManySessions(ZetcdError, number=114, code=Code.RESOURCE_EXHAUSTED, text="zetcd: too many sessions", retry=RetryClass.SAFE): ...
class TooManyWatches(ZetcdError, number=115, code=Code.RESOURCE_EXHAUSTED, text="zetcd: too many watches in this session", retry=RetryClass.NEVER): ...
class NotConnected(_Unavailable, number=116, text="zetcd: no endpoint could be reached", retry=RetryClass.SAFE): ...
class CorruptCheckpoint(ZetcdError, number=118, code=Code.DATA_LOSS, text="zetcd: a checkpoint is damaged", retry=RetryClass.NEVER, exit_code=ExitCode.CORRUPTION): ...
class NothingToRestore(ZetcdError, number=119, code=Code.DATA_LOSS, text="zetcd: neither log nor checkpoint hold the state", retry=RetryClass.NEVER, exit_code=ExitCode.CORRUPTION): ...
class LogLost(ZetcdError, number=120, code=Code.DATA_LOSS, text="zetcd: acknowledged entries are not in the log", retry=RetryClass.NEVER, exit_code=ExitCode.CORRUPTION): ...
class MemberRemoved(ZetcdError, number=130, code=Code.FAILED_PRECONDITION, text="zetcd: this member was removed from the cluster", retry=RetryClass.NEVER, exit_code=ExitCode.REMOVED): ...
class CannotJoin(ZetcdError, number=131, code=Code.FAILED_PRECONDITION, text="zetcd: cannot join the cluster", retry=RetryClass.SAFE, exit_code=ExitCode.JOIN): ...
class DefragmentFailed(_Refused, number=140, code=Code.UNKNOWN, text="zetcd: the store could not be defragmented", is_deterministic=False): ...
class SnapshotUnavailable(_Unavailable, number=142, text="zetcd: no snapshot could be made", retry=RetryClass.SAFE): ...
class CorruptSnapshot(ZetcdError, number=141, code=Code.DATA_LOSS, text="zetcd: a snapshot file is damaged", retry=RetryClass.NEVER, exit_code=ExitCode.CORRUPTION): ...
# fmt: on


class UnknownOutcome(_Unavailable, number=105, text="etcdserver: request timed out"):
    """A mutation was proposed, and what became of it is not known. To etcd's clients: a `Timeout`."""


class InvalidArgument(_Invalid, number=110, text="zetcd: invalid argument"):
    """A field has a value that it cannot have; names the field, the value and the limit."""

    def __init__(
        self, detail: str = "", *, field: str = "", value: object = None, limit: str = ""
    ) -> None:
        """Make an instance from a ready detail, or from the field, its value and what is allowed."""
        super().__init__(detail or (f"{field} is {value!r}, must be {limit}" if field else ""))
        self.field = field
        self.value = value
        self.limit = limit


class Problem(NamedTuple):
    """One thing wrong with a configuration."""

    #: As written in the file, for example ``raft.inflight-bytes-max``.
    key: str
    #: The value found, as text; empty if it is missing.
    value: str
    #: The limit that it breaks, or why it is wrong.
    why: str
    #: What to do.
    mend: str

    def __str__(self) -> str:
        """Return one line for people."""
        shown = f" = {self.value}" if self.value else ""
        return f"{self.key}{shown}: {self.why}; {self.mend}"


class ConfigError(
    _Invalid,
    number=117,
    text="zetcd: configuration is not usable",
    is_deterministic=False,
    exit_code=ExitCode.CONFIG,
):
    """Every problem of a configuration at once."""

    def __init__(
        self, detail: str = "", *, problems: Sequence[Problem] = (), source: str = ""
    ) -> None:
        """Make an instance from problems; ``source`` is the file they were found in."""
        super().__init__(detail or source)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Return a readable list, one line per problem."""
        where = f" ({self.detail})" if self.detail else ""
        count = len(self.problems)
        head = f"{self.text}{where}: {count} problem{'s' if count != 1 else ''}"
        return "\n".join([head, *(f"  - {problem}" for problem in self.problems)])
