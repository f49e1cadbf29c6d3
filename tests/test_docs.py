"""The generated parts of the documentation say what the code says."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_generated_parts_are_current(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for page, text in generate.pages():
        assert page.read_text("utf-8") == text, f"{page.name} is stale: run python docs/generate.py"
