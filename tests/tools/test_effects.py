"""What a call touches: the places that paths lead to."""

import sys
import threading

import pytest

from hotloop.tools.effects import access


@pytest.fixture
def swapped(tmp_path):
    """A link that another thread swaps for a file, again and again."""
    (tmp_path / "target").touch()
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "file").touch()
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            for one, other in (("link", "parked"), ("file", "link"), ("link", "file"), ("parked", "link")):
                (tmp_path / one).rename(tmp_path / other)

    thread = threading.Thread(target=swap)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    yield tmp_path / "link"
    stop.set()
    thread.join()
    sys.setswitchinterval(interval)


def test_a_link_that_is_swapped_meanwhile_leads_to_one_place_or_the_other(swapped):
    found = {access("read", [swapped]).reads for _ in range(5000)}
    assert {place[-1] for (place,) in found} <= {"target", "link"}
