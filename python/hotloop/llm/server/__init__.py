"""The embedded model: where its weights are, and the process that runs it."""

from .process import LocalServer
from .weights import Weights, find_weights

__all__ = ["LocalServer", "Weights", "find_weights"]
