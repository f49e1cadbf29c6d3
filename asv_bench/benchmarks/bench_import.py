"""What importing costs, in a process of its own."""

from __future__ import annotations


def timeraw_import_hotloop() -> str:
    return "import hotloop"


def timeraw_import_native() -> str:
    return "import hotloop; hotloop.cache_key"


def timeraw_import_client() -> str:
    return "import hotloop; hotloop.LLMClient"
