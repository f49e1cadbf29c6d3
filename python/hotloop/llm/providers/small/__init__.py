"""How a very small model is asked: plain messages, a short list of functions, and a grammar for its call."""

from .prompt import ONE_LINE, Prompt, read_call, render
from .text import cut, tokens

__all__ = ["ONE_LINE", "RENDERING", "Prompt", "cut", "read_call", "render", "tokens"]

RENDERING = 2
"""Changes with every change of this folder that changes what the model reads; it is part of the requests' keys."""
