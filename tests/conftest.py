"""What all tests share."""

import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `support` is a package of the tests

from support.services import *  # noqa: F403 -- fixtures


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """A shell starts what runs in its background with Ctrl-C ignored, and children inherit that."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
