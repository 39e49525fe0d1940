from zetcd.raft.ready import Ready, Refusal


def test_limits_are_told_from_inability() -> None:
    """Some refusals mean "too many requests", others "not now"."""
    limits = {one for one in Refusal if one.is_too_many_requests}
    assert limits == {
        Refusal.UNCOMMITTED_FULL,
        Refusal.STORAGE_FULL,
        Refusal.APPLY_LAGGING,
        Refusal.READS_FULL,
    }


def test_empty() -> None:
    """Nothing to do is all defaults."""
    ready = Ready()
    assert ready.messages == ()
    assert ready.append is None
    assert ready.apply is None
