"""Responsible for writing transactions readably: conditions by comparison, then two lists of operations.

>>> from zetcd.client.requests import get, put
>>> txn = Conditions((value(b"k") == b"v", version(b"k") > 0)).then(put(b"k", b"w"))
>>> request = txn.otherwise(get(b"k")).request()
>>> len(request.compare), len(request.success), len(request.failure)
(2, 1, 1)
"""

from __future__ import annotations

from typing import Self

from zetcd.messages.kv import Compare, CompareResult, CompareTarget, RequestOp, TxnRequest


class Target:
    """What a condition looks at; comparing it with a value makes the condition (`Compare`)."""

    __slots__ = ("_key", "_range_end", "_target")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, target: CompareTarget, key: bytes, range_end: bytes = b"") -> None:
        """Look at ``target`` of a key, or of every key of a range."""
        self._target = target
        self._key = key
        self._range_end = range_end

    def compare(self, result: CompareResult, operand: bytes | int) -> Compare:
        """Return the condition."""
        return Compare(result, self._target, self._key, operand, self._range_end)

    def __eq__(self, operand: bytes | int) -> Compare:  # type: ignore[override]
        return self.compare(CompareResult.EQUAL, operand)

    def __ne__(self, operand: bytes | int) -> Compare:  # type: ignore[override]
        return self.compare(CompareResult.NOT_EQUAL, operand)

    def __gt__(self, operand: bytes | int) -> Compare:
        return self.compare(CompareResult.GREATER, operand)

    def __lt__(self, operand: bytes | int) -> Compare:
        return self.compare(CompareResult.LESS, operand)


def value(key: bytes, range_end: bytes = b"") -> Target:
    """Look at a value; false for a key that does not exist."""
    return Target(CompareTarget.VALUE, key, range_end)


def version(key: bytes, range_end: bytes = b"") -> Target:
    """Look at the number of puts since creation; 0 for a key that does not exist."""
    return Target(CompareTarget.VERSION, key, range_end)


def create_revision(key: bytes, range_end: bytes = b"") -> Target:
    """Look at the revision of creation; 0 for a key that does not exist."""
    return Target(CompareTarget.CREATE, key, range_end)


def mod_revision(key: bytes, range_end: bytes = b"") -> Target:
    """Look at the revision of the last put; 0 for a key that does not exist."""
    return Target(CompareTarget.MOD, key, range_end)


def lease(key: bytes, range_end: bytes = b"") -> Target:
    """Look at the attached lease; 0 for none."""
    return Target(CompareTarget.LEASE, key, range_end)


class Conditions:
    """A transaction being written; each step returns the same object."""

    __slots__ = ("_compare", "_failure", "_success")

    def __init__(self, conditions: tuple[Compare, ...] = ()) -> None:
        """Start with these conditions; without any, the transaction always succeeds."""
        self._compare = conditions
        self._success: tuple[RequestOp, ...] = ()
        self._failure: tuple[RequestOp, ...] = ()

    def when(self, *conditions: Compare) -> Self:
        """Add conditions; all must hold."""
        self._compare += conditions
        return self

    def then(self, *operations: RequestOp) -> Self:
        """Add what is done if they hold."""
        self._success += operations
        return self

    def otherwise(self, *operations: RequestOp) -> Self:
        """Add what is done if not."""
        self._failure += operations
        return self

    def request(self) -> TxnRequest:
        """Return the transaction as it is sent, also for use within another one."""
        return TxnRequest(self._compare, self._success, self._failure)
