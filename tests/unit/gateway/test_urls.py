from __future__ import annotations

import pytest

from zetcd.gateway.urls import all_urls, urls_of

A, B, C = "tcp://127.0.0.1:2382", "tcp://[::1]:2400", "ipc:///run/zetcd/native"


@pytest.mark.parametrize(
    ("urls", "processes", "expected"),
    [
        ([A], 1, [(A,)]),
        ([A, B], 1, [(A, B)]),
        ([A, B], 2, [(A,), (B,)]),
        ([A, B, C], 2, [(A, C), (B,)]),
        ([A], 3, [(A,), ("tcp://127.0.0.1:2383",), ("tcp://127.0.0.1:2384",)]),
        ([A, B], 4, [(A,), (B,), ("tcp://[::1]:2401",), ("tcp://[::1]:2402",)]),
        ([C], 2, [(C,), (f"{C}-1",)]),
    ],
)
def test_every_gateway_has_its_own_urls(
    urls: list[str], processes: int, expected: list[tuple[str, ...]]
) -> None:
    assert [urls_of(urls, instance, processes) for instance in range(processes)] == expected
    everything = all_urls(urls, processes)
    assert set(urls) <= set(everything)
    assert len(everything) == len(set(everything))
