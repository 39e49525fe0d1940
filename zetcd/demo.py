"""Responsible for showing a new cluster at work: a put, a get, a watch, and what to type next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from zetcd.client import Client
from zetcd.runtime.process import sibling_command

_KEY = b"greeting"
_PATIENCE_SECONDS = 10.0


def run_demo(endpoints: Sequence[str], say: Callable[[str], None]) -> None:
    """Put, get and watch a key through the client library; show each step with its duration.

    Args:
        endpoints: native URLs of the nodes.
        say: shows a line.

    Raises:
        ZetcdError: the cluster does not do its work.
    """
    last = endpoints[-1]
    with (
        Client(endpoints, timeout=_PATIENCE_SECONDS) as client,
        Client(last, timeout=_PATIENCE_SECONDS) as other,
        other.watch(_KEY) as watch,
    ):
        began = time.monotonic()
        revision = client.put(_KEY, b"hello").header.revision
        say(f"  put greeting = hello: on a majority of disks in {_ms(began)}, revision {revision}")
        began = time.monotonic()
        value = other.get(_KEY).kvs[0].value.decode()
        say(f"  get greeting from {last}: {value}, linearizable, in {_ms(began)}")
        response = watch.next(_PATIENCE_SECONDS)
        assert response is not None, "the watch did not deliver the put"
        event = response.events[0]
        shown = f"{event.type.name} {event.kv.key.decode()} = {event.kv.value.decode()}"
        say(f"  watch on {last}: {shown}, revision {event.kv.mod_revision}")
    for line in next_steps(endpoints):
        say(line)


def next_steps(endpoints: Sequence[str]) -> list[str]:
    """Return what to type next in another terminal."""
    control = f"{sibling_command('zetcdctl')} --endpoints {','.join(endpoints)}"
    return [
        "try in another terminal:",
        f"  {control} put key value",
        f"  {control} get key",
        f"  {control} watch key",
        f"  {control} endpoint status -w table",
    ]


def _ms(began: float) -> str:
    return f"{(time.monotonic() - began) * 1000:.1f} ms"
