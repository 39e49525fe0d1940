from hypothesis import given
from hypothesis import strategies as st

from zetcd.raft.inflights import Inflights

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5), st.integers(0, 60)),
        st.tuples(st.just("free"), st.integers(0, 60), st.just(0)),
        st.tuples(st.just("reset"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 6), st.integers(1, 100))
def test_window_is_a_list(steps: list[tuple[str, int, int]], messages: int, bytes_max: int) -> None:
    """Against a plain list of (index, bytes)."""
    window = Inflights(messages_max=messages, bytes_max=bytes_max)
    model: list[tuple[int, int]] = []
    last = 0
    for name, number, size in steps:
        if name == "add" and not window.is_full:
            last += number
            window.add(last, size)
            model.append((last, size))
        elif name == "free":
            window.free_le(number)
            model = [one for one in model if one[0] > number]
        elif name == "reset":
            window.reset()
            model = []
        window.check()
        total = sum(one[1] for one in model)
        assert len(window) == len(model)
        assert window.bytes_total == total
        assert window.is_full == (len(model) >= messages or total >= bytes_max)
