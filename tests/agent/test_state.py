"""A run changes its state only along legal transitions."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotloop.agent import RunState, State
from hotloop.errors import StateError


@pytest.mark.parametrize(
    "way",
    [
        [State.MODEL, State.DONE],
        [State.MODEL, State.TOOLS, State.MODEL, State.DONE],
        [State.MODEL, State.MODEL, State.DONE],
        [State.MODEL, State.TOOLS, State.CANCELLED],
        [State.FAILED],
    ],
)
def test_legal_ways(way):
    run = RunState()
    for state in way:
        assert not run.ended
        run.to(state)
    assert run.ended


@pytest.mark.parametrize(
    ("way", "illegal"),
    [
        ([], State.TOOLS),
        ([], State.DONE),
        ([State.MODEL, State.TOOLS], State.DONE),
        ([State.MODEL, State.TOOLS], State.TOOLS),
    ],
)
def test_illegal_transitions_are_refused_and_change_nothing(way, illegal):
    run = RunState()
    for state in way:
        run.to(state)
    before = run.now
    with pytest.raises(StateError, match=illegal.value):
        run.to(illegal)
    assert run.now is before


@given(st.lists(st.sampled_from(State)))
def test_a_run_that_has_ended_stays_as_it_ended(states):
    run = RunState()
    for state in states:
        ended = run.now if run.ended else None
        with suppress(StateError):
            run.to(state)
        if ended is not None:
            assert run.now is ended
