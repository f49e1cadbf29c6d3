"""The breaker as a state machine: whatever happens, it is closed, open or half open, and never stuck."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hotloop.calls.breaker import Breaker, Breakers, Breaking
from hotloop.errors import CircuitOpenError

FAILURES, PAUSE = 3, 10.0


class Machine(RuleBasedStateMachine):
    """Attempts enter and leave in any order while time passes; a model knows what must come of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = Breaker("o", Breaking(FAILURES, PAUSE), lambda: self.now)
        self.under_way: list[tuple[int, bool]] = []  # what leave wants, and whether it is the trial
        self.row = 0  # failures in a row while closed

    @rule(seconds=st.sampled_from([0.0, 1.0, 5.0, 10.0]))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def enter(self):
        state = self.breaker.state
        try:
            entered = self.breaker.enter()
        except CircuitOpenError as error:
            assert state != "closed"
            assert error.retry_after <= PAUSE  # noqa: PT017 -- it may be raised, and may not
            with pytest.raises(CircuitOpenError):
                self.breaker.check()
        else:
            assert state != "half-open", "two attempts try at once"
            self.under_way.append((entered, state == "open"))

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 100), well=st.sampled_from([True, False, None]))
    def leave(self, which, well):
        entered, trial = self.under_way.pop(which % len(self.under_way))
        before = self.breaker.state
        self.breaker.leave(entered, well)
        if before == "half-open" and trial and not any(other for _, other in self.under_way):
            assert self.breaker.state == ("closed" if well else "open")
        if well is None and before == "closed":
            assert self.breaker.state == "closed"

    @invariant()
    def never_stuck(self):
        trials = [one for one in self.under_way if one[1]]
        assert self.breaker.state != "half-open" or trials, "half open, and nobody tries"
        if self.breaker.state == "open":
            now, self.now = self.now, self.now + PAUSE
            self.breaker.check()  # may be tried at the latest after a pause
            self.now = now


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    breaker = Breaker("o", Breaking(3, 10.0), lambda: 0.0)
    for well in (False, False, True, False, False):
        breaker.leave(breaker.enter(), well)
    assert breaker.state == "closed"
    breaker.leave(breaker.enter(), False)
    assert breaker.state == "open"


def test_what_began_before_it_opened_neither_closes_nor_prolongs_it():
    now = 0.0
    breaker = Breaker("o", Breaking(1, 10.0), lambda: now)
    early = [breaker.enter() for _ in range(3)]
    breaker.leave(early[0], False)
    breaker.leave(early[1], True)
    assert breaker.state == "open"
    now = 10.0
    trial = breaker.enter()
    breaker.leave(early[2], False)
    assert breaker.state == "half-open"
    breaker.leave(trial, True)
    assert breaker.state == "closed"


def test_a_trial_that_finds_nothing_out_lets_the_next_one_try_at_once():
    now = 0.0
    breaker = Breaker("o", Breaking(1, 10.0), lambda: now)
    breaker.leave(breaker.enter(), False)
    now = 10.0
    breaker.leave(breaker.enter(), None)
    assert breaker.state == "open"
    breaker.leave(breaker.enter(), True)
    assert breaker.state == "closed"


def test_it_can_be_turned_off_and_forgets_healthy_origins():
    assert Breakers(Breaking(None)).of("o") is None
    assert Breakers(Breaking()).of("") is None
    many = Breakers(Breaking(1))
    ill = many.of("ill")
    ill.leave(ill.enter(), False)
    for number in range(5000):
        many.of(str(number))
    assert len(many._found) <= 4096
    assert many.of("ill") is ill
