"""The native module: keys, hot cache, buffer pool, file search."""

from typing import Literal

__version__: str
build_profile: Literal["debug", "release"]
