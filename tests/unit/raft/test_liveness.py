from zetcd.raft.liveness import Liveness, Questions


def liveness() -> Liveness:
    return Liveness(silence_ticks_max=8, unstable_ticks_max=10)


def yes() -> bool:
    return True


def no() -> bool:
    return False


def never() -> bool:
    raise AssertionError("asked without need")


def test_silence_is_asked_about_once() -> None:
    """A process that is stopped finds one question when it goes on."""
    node = liveness()
    asked = [node.tick() for _ in range(6)]
    nothing = Questions(wal=False, apply=False)
    assert asked == [nothing, Questions(wal=True, apply=True), *[nothing] * 4]
    node.apply.heard()
    assert [node.tick() for _ in range(2)] == [nothing, Questions(wal=False, apply=True)]


def test_who_speaks_is_not_asked() -> None:
    """Under load nobody is."""
    node = liveness()
    for _ in range(30):
        node.wal.heard()
        node.apply.heard()
        assert node.tick() == Questions(wal=False, apply=False)
    assert node.complaint(never) == ""


def test_apply_may_not_be_silent_for_an_election_timeout() -> None:
    """It waits for nothing."""
    node = liveness()
    for _ in range(7):
        node.wal.heard()
        node.tick()
    assert node.complaint(never) == ""
    node.wal.heard()
    node.tick()
    assert node.complaint(never) == "apply is silent"
    node.apply.heard()
    assert node.complaint(never) == ""


def test_wal_may_be_silent_as_long_as_a_disk_is_slow() -> None:
    """But not while its process is stopped."""
    node = liveness()
    for tick in range(1, 20):
        node.apply.heard()
        node.tick()
        assert node.complaint(yes) == ("wal is stopped" if tick >= 8 else "")
        assert node.complaint(no if tick >= 8 else never) == ""
    node.apply.heard()
    node.tick()
    assert node.complaint(never) == "wal is silent"


def test_a_new_process_is_asked_anew_and_has_yet_to_answer() -> None:
    """Its start alone does not show that it works."""
    node = liveness()
    for _ in range(8):
        node.wal.heard()
        node.tick()
    node.apply.restarted()
    assert node.complaint(never) == "apply is silent"
    assert node.tick().apply
    node.apply.heard()
    assert node.complaint(never) == ""
