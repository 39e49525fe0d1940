"""Responsible for lines of the log in the shape that etcd's have (its logger is called zap); pure.

    {"level":"info","ts":"2026-01-02T03:04:05.123456Z","caller":"zetcd/supervisor.py:301","msg":"…", …}
    2026-01-02T03:04:05.123456Z	info	zetcd/supervisor.py:301	…	{…}

What etcd has a message for is said with that message (`_MESSAGES`); everything else as zetcd says it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from structlog.processors import CallsiteParameter, CallsiteParameterAdder
from structlog.typing import EventDict, Processor, WrappedLogger

from zetcd.errors import MemberRemoved

#: Keys that have a place of their own in a line.
_PLACED: Final = ("ts", "level", "event", "pathname", "lineno", "node")
#: Levels by zap's names.
_LEVELS: Final = {"warning": "warn", "critical": "fatal"}
#: Signals by Go's names.
_SIGNALS: Final = {"SIGTERM": "terminated", "SIGINT": "interrupt", "SIGHUP": "hangup"}
_PACKAGE: Final = "zetcd/"


def call_site() -> Processor:
    """Return the processor that notes where a line was written."""
    parameters = [CallsiteParameter.PATHNAME, CallsiteParameter.LINENO]
    return CallsiteParameterAdder(parameters, additional_ignores=["zetcd.telemetry"])


def render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Return one line of JSON, keys in zap's order."""
    head, fields = _parts(event)
    return json.dumps({**head, **fields}, default=str, ensure_ascii=False, separators=(",", ":"))


def render_console(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """Return one line for people, with tabs, as zap's console encoder."""
    head, fields = _parts(event)
    line = "\t".join((head["ts"], head["level"], head["caller"], head["msg"]))
    return f"{line}\t{json.dumps(fields, default=str, ensure_ascii=False)}" if fields else line


def _parts(event: EventDict) -> tuple[dict[str, str], EventDict]:
    message = str(event.get("event", ""))
    fields = {
        key.replace("_", "-"): value
        for key, value in event.items()
        if key not in _PLACED and not (key == "actor" and not value)
    }
    say = _MESSAGES.get(message)
    if say is not None:
        message = say(fields)
    level = str(event.get("level", ""))
    head = {
        "level": _LEVELS.get(level, level),
        "ts": str(event.get("ts", "")),
        "caller": _caller(str(event.get("pathname", "")), event.get("lineno", 0)),
        "msg": message,
    }
    return head, fields


def _caller(path: str, line: object) -> str:
    _, found, inside = path.rpartition("/" + _PACKAGE)
    return f"{_PACKAGE if found else ''}{inside if found else path.rpartition('/')[2]}:{line}"


def _received_signal(fields: EventDict) -> str:
    name = str(fields.get("signal", ""))
    fields["signal"] = _SIGNALS.get(name, name)
    return "received signal; shutting down"


def _elected(fields: EventDict) -> str:
    leader, former, term = fields.get("leader"), fields.get("former-leader"), fields.get("term")
    was_led = former not in (None, "none")
    if leader == "none" and was_led:
        return f"raft.node: lost leader {former} at term {term}"
    if leader == "none":
        return f"became {str(fields.get('role')).replace('_', '-')} at term {term}"
    if was_led and leader != former:
        return f"raft.node: changed leader from {former} to {leader} at term {term}"
    return f"raft.node: elected leader {leader} at term {term}"


#: zetcd's events that etcd has a message for; each may change the fields.
_MESSAGES: Final[dict[str, Callable[[EventDict], str]]] = {
    "stopping": _received_signal,
    "leadership changed": _elected,
    "cannot start": lambda _: "failed to start etcd",
    MemberRemoved.text: lambda _: "the member has been permanently removed from the cluster",
}
