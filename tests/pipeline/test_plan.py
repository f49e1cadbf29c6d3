"""Which calls wait for which."""

from hypothesis import given
from hypothesis import strategies as st

from hotloop.pipeline.plan import plan
from hotloop.tools.effects import ANYTHING, NOTHING, Access

PLACES = st.lists(st.sampled_from("ab"), max_size=3).map(tuple)
ACCESSES = st.lists(
    st.builds(Access, st.lists(PLACES, max_size=2).map(tuple), st.lists(PLACES, max_size=2).map(tuple)), max_size=12
)


def overlap(one, other):
    return one[: len(other)] == other[: len(one)]


def conflict(one, other):
    return any(
        overlap(written, touched)
        for writer, toucher in ((one, other), (other, one))
        for written in writer.writes
        for touched in (*toucher.reads, *toucher.writes)
    )


@given(ACCESSES)
def test_calls_that_conflict_wait_and_no_others(accesses):
    after = plan(accesses)
    waits: list[set[int]] = []  # with what is waited for through others
    for call in range(len(accesses)):
        direct = after.get(call, set())
        assert all(earlier < call for earlier in direct)
        assert all(conflict(accesses[call], accesses[earlier]) for earlier in direct)
        waits.append(direct.union(*(waits[earlier] for earlier in direct)))
    for call, access in enumerate(accesses):
        for earlier in range(call):
            if conflict(access, accesses[earlier]):
                assert earlier in waits[call]


def test_the_three_kinds_of_places():
    read, write = (lambda *place: Access(reads=(place,))), (lambda *place: Access(writes=(place,)))
    assert plan([read("path", "/", "a"), read("path", "/", "a"), NOTHING]) == {}
    assert plan([write("path", "/", "a", "b"), read("path", "/", "a"), read("path", "/", "c")]) == {1: {0}}
    assert plan([write("name", "db"), write("name", "mail"), read("name", "db")]) == {2: {0}}
    assert plan([read("name", "db"), ANYTHING, ANYTHING, read("name", "db"), NOTHING]) == {1: {0}, 2: {1}, 3: {2}}


def test_a_long_chain_costs_one_step_a_call():
    assert plan([ANYTHING] * 10_000)[9_999] == {9_998}
