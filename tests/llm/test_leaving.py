"""The end of a process that has used pyreqwest."""

import _thread
import threading

from hotloop.llm.wire import leaving


def test_a_thread_that_python_does_not_know_of_is_waited_for(monkeypatch):
    entered, told = threading.Event(), threading.Event()
    ended = []

    def work():
        entered.set()
        told.wait()
        ended.append(True)

    _thread.start_new_thread(work, ())
    entered.wait()
    monkeypatch.setattr(leaving, "sleep", lambda _: told.set())
    leaving.wait_for_strangers()
    assert ended == [True]


def test_one_that_never_ends_is_waited_for_no_longer_than_said(monkeypatch):
    entered, told, clock = threading.Event(), threading.Event(), [0.0]

    def work():
        entered.set()
        told.wait()

    def sleep(seconds):
        clock[0] += seconds

    _thread.start_new_thread(work, ())
    entered.wait()
    monkeypatch.setattr(leaving, "sleep", sleep)
    monkeypatch.setattr(leaving, "monotonic", lambda: clock[0])
    leaving.wait_for_strangers()
    told.set()
    assert 0.5 <= clock[0] < 0.51
