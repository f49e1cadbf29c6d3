"""What all tests share."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # `support` is a package of the tests

from support.services import *  # noqa: F403 -- fixtures
