"""The layers of docs/architecture.md: imports point down, and siblings do not know each other."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "python" / "hotloop"
LAYERS = [
    {"cli", "integrations", "__main__"},
    {"agent"},
    {"tools", "pipeline", "llm"},
    {"calls", "http"},
    {"cache", "keys", "observe", "config", "toolcall"},
    {"errors", "_core"},
]
# Sideways arrows that are part of the design: who may know which sibling.
SIDEWAYS = {("__main__", "cli"), ("pipeline", "tools"), ("calls", "http"), ("http", "calls"), ("cache", "config")}
DEPTH = {room: depth for depth, rooms in enumerate(LAYERS) for room in rooms}


def files() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The rooms of hotloop that a file imports, also inside functions and for type checkers."""
    found = set()
    package = ["hotloop", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
            targets = [base] if len(base) > 1 else [[*base, alias.name] for alias in node.names]
            found |= {target[1] for target in targets}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not any(name.split(".")[0] == "hotloop" for name in names), f"{path}: absolute import of hotloop"
    return found


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    here = room(path)
    assert here in DEPTH, f"{here} has no layer: add it to docs/architecture.md and here"
    for there in imports(path) - {here}:
        assert there in DEPTH, f"{path} imports {there}, which has no layer"
        down = DEPTH[there] > DEPTH[here]
        assert down or (here, there) in SIDEWAYS, f"{path.relative_to(PACKAGE)} imports {there}: up or sideways"


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_holds_one_concept(path):
    assert len(path.read_text().splitlines()) <= 400
