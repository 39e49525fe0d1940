"""Differences from etcd that stay, each with its reason. A run fails when it does not meet one of them.

What may stay different is what no client can depend on, or what zetcd does on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tests.differential.peer import Answer
from tests.differential.siblings import deletes_what_a_sibling_puts
from tests.differential.steps import Call, Create, Dialogue, RawCall, Step
from zetcd.gateway.etcd.proto import rpc_pb2 as pb


class Met(NamedTuple):
    """What was asked, and two answers that are not the same."""

    step: Step
    ours: Answer
    theirs: Answer


@dataclass(frozen=True)
class Known:
    """One difference."""

    name: str
    reason: str
    explains: Callable[[Met], bool]


def _malformed(met: Met) -> bool:
    prefix = "grpc: error unmarshalling request: "
    return (
        isinstance(met.step, RawCall)
        and (met.ours.code, met.theirs.code) == ("INTERNAL", "INTERNAL")
        and met.ours.text.startswith(prefix)
        and met.theirs.text.startswith(prefix)
    )


def _range_stream(met: Met) -> bool:
    return (
        isinstance(met.step, RawCall)
        and met.step.path.endswith("/RangeStream")
        and met.theirs.code == "UNIMPLEMENTED"
        and met.ours.code == "OK"
    )


def _enum(met: Met) -> bool:
    return (
        met.ours.text.startswith("zetcd: invalid argument: ")
        and ", must be one of [" in met.ours.text
    )


def _downgrade(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.DowngradeRequest)
        and met.step.request.version.startswith("3.5")
        and met.ours.text == "etcdserver: invalid downgrade target version"
        and met.theirs.code == "OK"
    )


def _watch_id(met: Met) -> bool:
    return isinstance(met.step, Dialogue) and any(
        isinstance(action, Create) and action.request.watch_id == -1 for action in met.step.actions
    )


def _compact_nothing(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.CompactionRequest)
        and met.step.request.revision == 0
        and met.ours.text == "etcdserver: mvcc: required revision has been compacted"
    )


def _negative_hash(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.HashKVRequest)
        and met.step.request.revision < 0
        and met.ours.code == met.theirs.code == "OK"
    )


def _kept_hash(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.HashKVRequest)
        and met.theirs.code == "OK"
        and any(
            isinstance(each, pb.HashKVResponse) and each.compact_revision < each.hash_revision
            for each in met.theirs.messages
        )
    )


def _to_the_end(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.TxnRequest)
        and any(each.request_delete_range.range_end == b"\0" for each in met.step.request.success)
        and met.ours.text == "etcdserver: duplicate key given in txn request"
    )


def _later_sibling(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.TxnRequest)
        and met.ours.text == "etcdserver: duplicate key given in txn request"
        and met.theirs.code == "OK"
        and any(
            map(deletes_what_a_sibling_puts, (met.step.request.success, met.step.request.failure))
        )
    )


def _two_mistakes(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, pb.TxnRequest)
        and met.ours.code == met.theirs.code == "INVALID_ARGUMENT"
        and met.ours.text in ("etcdserver: key not found", "etcdserver: invalid sort option")
    )


def _negative_lease(met: Met) -> bool:
    return (
        isinstance(met.step, Call)
        and isinstance(met.step.request, (pb.LeaseGrantRequest, pb.LeaseRevokeRequest))
        and met.step.request.ID < 0
        and met.ours.code in ("INVALID_ARGUMENT", "NOT_FOUND")
        and met.theirs.code == "OK"
    )


KNOWN: tuple[Known, ...] = (
    Known(
        "words for a message that is no protobuf",
        "the code and the beginning are those of grpc-go; what follows are each library's own words",
        _malformed,
    ),
    Known(
        "RangeStream",
        "zetcd serves the method that etcd has from 3.7 on",
        _range_stream,
    ),
    Known(
        "numbers that name nothing in an enum",
        "zetcd says which field is wrong; etcd takes them for whatever its code comes to",
        _enum,
    ),
    Known(
        "downgrade to 3.5",
        "zetcd's store has no older form, so there is nothing to downgrade to",
        _downgrade,
    ),
    Known(
        "watch id -1",
        "it stands for no watcher in answers, so zetcd refuses it as an id; etcd takes it",
        _watch_id,
    ),
    Known(
        "compaction of revision 0 in a new store",
        "etcd's compacted revision begins with -1, so that this succeeds once and does nothing",
        _compact_nothing,
    ),
    Known(
        "put and delete of everything from a key on in one transaction",
        "zetcd refuses it as it refuses any put of a key that is deleted; etcd reads the end of such a"
        " range as a key and sees no overlap",
        _to_the_end,
    ),
    Known(
        "put in a nested transaction, and a delete of it in a nested one behind that",
        "zetcd refuses it in either order, since one key would change twice at one revision; etcd refuses"
        " it only if the delete comes first",
        _later_sibling,
    ),
    Known(
        "which of two mistakes in one transaction is named",
        "zetcd looks for operations without content and for wrong orders before everything else, etcd"
        " names what comes first; both refuse the transaction",
        _two_mistakes,
    ),
    Known(
        "leases with negative ids",
        "zetcd grants none: ids are positive wherever they are shown; no client of etcd asks for one",
        _negative_lease,
    ),
    Known(
        "HashKV at a negative revision",
        "zetcd takes it for the current one and says so; etcd gives the negative number back",
        _negative_hash,
    ),
    Known(
        "HashKV at a compacted revision",
        "etcd answers from the ten hashes it kept of compactions, with what was compacted before",
        _kept_hash,
    ),
)
