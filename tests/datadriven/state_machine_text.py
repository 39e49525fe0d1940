"""The state machine as verbs and text; shared by the scenarios of mvcc and lease.

Writing   put KEY [VALUE] [lease= prev-kv ignore-value ignore-lease] · delete KEY [END] [prev-kv]
          txn, with a body of lines "if FIELD KEY RELATION OPERAND", "then OPERATION", "else OPERATION"
          compact REVISION · remove RECORDS (one slice) · batch, one operation per line of the body
Reading   range KEY [END] [rev= limit= order= target= min-mod= ... keys-only count-only]
          history REVISION · hash [REVISION] · records
Leases    grant ID TTL · revoke ID · lead · follow · at SECONDS · keep-alive ID · time-to-live ID
          expire (hands out and applies) · checkpoint (hands out and applies) · stale-expire ID · leases
Restart   restart
"""

from __future__ import annotations

from collections.abc import Callable

from tests.datadriven.runner import Command
from tests.unit.apply.machine import Machine
from zetcd.apply.lease_proposals import LeaseProposalLimits, lease_proposals
from zetcd.errors import ZetcdError
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRangeRequest,
    DeleteRangeResponse,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    RequestOp,
    SortOrder,
    SortTarget,
    TxnRequest,
    TxnResponse,
)
from zetcd.messages.lease import (
    LeaseExpireRequest,
    LeaseGrantRequest,
    LeaseGrantResponse,
    LeaseRevokeRequest,
)
from zetcd.messages.node import Proposal
from zetcd.mvcc import HashKV, Table, View, execute_range, read_history
from zetcd.mvcc.revision import unpack_key

RELATIONS = {
    "=": CompareResult.EQUAL,
    "!=": CompareResult.NOT_EQUAL,
    ">": CompareResult.GREATER,
    "<": CompareResult.LESS,
}
LIMITS = LeaseProposalLimits(expire_max=10, expire_batch=2, checkpoint_max=10)


def show_kv(kv: KeyValue) -> str:
    lease = f" lease {kv.lease}" if kv.lease else ""
    return (
        f"{kv.key.decode()}={kv.value.decode()} "
        f"create {kv.create_revision} mod {kv.mod_revision} version {kv.version}{lease}"
    )


def show_event(event: Event) -> str:
    if event.type is EventType.DELETE:
        return f"DELETE {event.kv.key.decode()} mod {event.kv.mod_revision}"
    return f"PUT {show_kv(event.kv)}"


def show(response: Message) -> list[str]:
    """Return a response as lines."""
    if isinstance(response, ErrorBody):
        return [f"error {response.text}"]
    if isinstance(response, PutResponse):
        before = [f"  before {show_kv(response.prev_kv)}"] if response.prev_kv else []
        return [f"put at {response.header.revision}", *before]
    if isinstance(response, DeleteRangeResponse):
        before = [f"  before {show_kv(kv)}" for kv in response.prev_kvs]
        return [f"deleted {response.deleted} at {response.header.revision}", *before]
    if isinstance(response, RangeResponse):
        more = " more" if response.more else ""
        head = f"count {response.count} at {response.header.revision}{more}"
        return [head, *(f"  {show_kv(kv)}" for kv in response.kvs)]
    if isinstance(response, TxnResponse):
        branch = "then" if response.succeeded else "else"
        lines = [f"  {line}" for each in response.responses for line in show(each)]
        return [f"{branch} at {response.header.revision}", *lines]
    if isinstance(response, CompactionResponse):
        return [f"compacting at {response.header.revision}"]
    if isinstance(response, LeaseGrantResponse):
        return [f"lease {response.id} ttl {response.ttl}"]
    return ["done"]


def range_of(command: Command) -> RangeRequest:
    words = command.words
    key, *end = [word for word in words if word not in {"keys-only", "count-only"}]
    return RangeRequest(
        key.encode(),
        end[0].encode().replace(b"\\0", b"\0") if end else b"",
        limit=command.number("limit", 0),
        revision=command.number("rev", 0),
        sort_order=SortOrder[command.options.get("order", "none").upper()],
        sort_target=SortTarget[command.options.get("target", "key").upper()],
        keys_only="keys-only" in words,
        count_only="count-only" in words,
        min_mod_revision=command.number("min-mod", 0),
        max_mod_revision=command.number("max-mod", 0),
        min_create_revision=command.number("min-create", 0),
        max_create_revision=command.number("max-create", 0),
    )


def put_of(command: Command) -> PutRequest:
    flags = {"prev-kv", "ignore-value", "ignore-lease"}
    key, *value = [word for word in command.words if word not in flags]
    return PutRequest(
        key.encode(),
        value[0].encode() if value else b"",
        command.number("lease", 0),
        prev_kv="prev-kv" in command.words,
        ignore_value="ignore-value" in command.words,
        ignore_lease="ignore-lease" in command.words,
    )


def delete_of(command: Command) -> DeleteRangeRequest:
    key, *end = [word for word in command.words if word != "prev-kv"]
    range_end = end[0].encode().replace(b"\\0", b"\0") if end else b""
    return DeleteRangeRequest(key.encode(), range_end, prev_kv="prev-kv" in command.words)


def operation_of(line: str) -> RequestOp:
    """Return the operation of one line of a body."""
    verb, *parts = line.split()
    words = tuple(part for part in parts if "=" not in part)
    command = Command(verb, words, dict(part.split("=", 1) for part in parts if "=" in part))
    makers: dict[str, Callable[[Command], RequestOp]] = {
        "put": put_of,
        "delete": delete_of,
        "range": range_of,
    }
    return makers[verb](command)


def txn_of(body: str) -> TxnRequest:
    """Return the transaction of a body."""
    compares: list[Compare] = []
    branches: dict[str, list[RequestOp]] = {"then": [], "else": []}
    for line in body.splitlines():
        word, rest = line.split(maxsplit=1)
        if word != "if":
            branches[word].append(operation_of(rest))
            continue
        field, key, relation, text = rest.split()
        target = CompareTarget[field.upper()]
        operand = text.encode() if target is CompareTarget.VALUE else int(text)
        compares.append(Compare(RELATIONS[relation], target, key.encode(), operand))
    return TxnRequest(tuple(compares), tuple(branches["then"]), tuple(branches["else"]))


class Scenario:
    """Executes the verbs on one machine."""

    def __init__(self) -> None:
        self.machine = Machine()

    def handle(self, command: Command) -> str:
        verb = getattr(self, f"do_{command.verb.replace('-', '_')}")
        lines: list[str] = verb(command)
        return "\n".join(lines)

    def ask(self, *requests: Proposal) -> list[str]:
        return [line for each in self.machine.ask(*requests) for line in show(each)]

    def do_put(self, command: Command) -> list[str]:
        return self.ask(put_of(command))

    def do_delete(self, command: Command) -> list[str]:
        return self.ask(delete_of(command))

    def do_txn(self, command: Command) -> list[str]:
        return self.ask(txn_of(command.body))

    def do_batch(self, command: Command) -> list[str]:
        return self.ask(*(operation_of(line) for line in command.body.splitlines()))

    def do_compact(self, command: Command) -> list[str]:
        return self.ask(CompactionRequest(int(command.words[0])))

    def do_remove(self, command: Command) -> list[str]:
        step = self.machine.applier.compact_step(int(command.words[0]))
        return [f"removed {step.removed}{', finished' if step.is_finished else ''}"]

    def do_range(self, command: Command) -> list[str]:
        with self.machine.backend.read() as transaction:
            try:
                return show(execute_range(View(transaction), range_of(command)))
            except ZetcdError as error:
                return [f"error {error.text}"]

    def do_history(self, command: Command) -> list[str]:
        with self.machine.backend.read() as transaction:
            view = View(transaction)
            try:
                found = read_history(view, int(command.words[0]), events_max=99, bytes_max=9999)
            except ZetcdError as error:
                return [f"error {error.text}"]
        return [
            f"{each.revision}: {show_event(event)}"
            for each in found.revisions
            for event in each.events
        ] or ["nothing"]

    def do_hash(self, command: Command) -> list[str]:
        cursor = HashKV(int(command.words[0]) if command.words else 0)
        with self.machine.backend.read() as transaction:
            result = cursor.step(transaction, records_max=1000)
        assert result is not None
        return [
            f"{result.hash:08x} of {result.hash_revision}, compacted at {result.compact_revision}"
        ]

    def do_records(self, command: Command) -> list[str]:
        with self.machine.backend.read() as transaction:
            names = [unpack_key(key) for key, _ in transaction.table(Table.REV).scan(b"", None)]
        return [" ".join(f"{main}.{sub}" for main, sub in names) or "none"]

    # --- leases ---

    def do_grant(self, command: Command) -> list[str]:
        lease_id, ttl = map(int, command.words)
        return self.ask(LeaseGrantRequest(ttl, lease_id))

    def do_revoke(self, command: Command) -> list[str]:
        return self.ask(LeaseRevokeRequest(int(command.words[0])))

    def do_lead(self, command: Command) -> list[str]:
        self.machine.term += 1
        extend = float(command.options.get("extend", "0"))
        self.machine.lessor.promote(self.machine.now, extend)
        return [f"leads term {self.machine.term}"]

    def do_follow(self, command: Command) -> list[str]:
        self.machine.lessor.demote()
        return ["follows"]

    def do_at(self, command: Command) -> list[str]:
        self.machine.now = float(command.words[0])
        return [f"at {self.machine.now}"]

    def do_keep_alive(self, command: Command) -> list[str]:
        renewal = self.machine.lessor.renew(int(command.words[0]), self.machine.now)
        waits = ", once its checkpoint is cleared" if renewal.needs_checkpoint else ""
        return [f"ttl {renewal.ttl}{waits}"]

    def do_time_to_live(self, command: Command) -> list[str]:
        left = self.machine.lessor.time_to_live(int(command.words[0]), self.machine.now)
        return [f"ttl {left.ttl} of {left.granted_ttl}"]

    def do_expire(self, command: Command) -> list[str]:
        proposals = lease_proposals(
            self.machine.lessor, term=self.machine.term, now=self.machine.now, limits=LIMITS
        )
        lines = []
        for proposal in proposals:
            output = self.machine.apply(self.machine.entry(proposal))
            kind = type(proposal).__name__.removesuffix("Request")
            ids = proposal.ids if isinstance(proposal, LeaseExpireRequest) else ()
            pairs = (
                ()
                if isinstance(proposal, LeaseExpireRequest)
                else tuple((each.id, each.remaining_ttl) for each in proposal.checkpoints)
            )
            lines.append(f"{kind} {' '.join(map(str, ids or pairs))}")
            lines += [
                f"  {each.revision}: {show_event(event)}"
                for each in output.revisions
                for event in each.events
            ]
        return lines or ["nothing is due"]

    def do_stale_expire(self, command: Command) -> list[str]:
        """An old leader's proposal arrives with the term it had."""
        request = LeaseExpireRequest((int(command.words[0]),), self.machine.term - 1)
        output = self.machine.apply(self.machine.entry(request))
        return [f"{len(output.revisions)} revisions"]

    def do_leases(self, command: Command) -> list[str]:
        lessor = self.machine.lessor
        return [
            f"{lease_id} granted {lessor.leases[lease_id].granted_ttl}"
            f" checkpoint {lessor.leases[lease_id].remaining_ttl}"
            for lease_id in lessor.lease_ids()
        ] or ["none"]

    def do_restart(self, command: Command) -> list[str]:
        self.machine.restart()
        state = self.machine.applier.state
        return [f"index {state.consistent_index} revision {state.current_revision}"]
