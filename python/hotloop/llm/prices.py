"""What models cost: a table, and the user's own over it."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ConfigError

if TYPE_CHECKING:
    from .usage import Usage

__all__ = ["Price", "Prices"]

_DATED = re.compile(r"-(latest|\d{4}|\d{8}|\d{4}-\d{2}-\d{2})$")
_FIELDS = frozenset({"input", "cached", "cache_write", "output"})
_BATCH = 0.5  # of the price, where an answer may wait for a day: at OpenAI and Anthropic


class Price(NamedTuple):
    """US dollars for a million tokens; fields as in prices.toml."""

    input: float
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None
    above: int | None = None
    long: Price | None = None

    def cost(self, usage: Usage, *, batch: bool = False) -> float:
        """Return the US dollars that an answer costs."""
        if self.long is not None and self.above is not None and usage.input_tokens > self.above:
            return self.long.cost(usage, batch=batch)
        fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
        sum_ = (
            fresh * self.input
            + usage.cached_tokens * (self.input if self.cached is None else self.cached)
            + usage.cache_write_tokens * (self.input if self.cache_write is None else self.cache_write)
            + usage.output_tokens * self.output
        )
        return sum_ * (_BATCH if batch else 1.0) / 1e6


_FREE = Price(0.0)


class Prices:
    """The prices of models, by their names; the server that runs them does not matter.

    Args:
        path: a TOML file of the user's own prices, in the form of prices.toml; None for none.

    Raises:
        ConfigError: the file cannot be read, or is of another form.
    """

    def __init__(self, path: str | None = None) -> None:
        self._own = {} if path is None else _read(Path(path).expanduser())

    def of(self, provider: str, model: str) -> Price | None:
        """Return the price of a model, also by a name that ends in a date; None where nobody knows it."""
        if provider == "local":
            return _FREE
        for table in (self._own, _table()):
            prices = table.get(provider, {})
            found = prices.get(model) or prices.get(_DATED.sub("", model))
            if found is not None:
                return found
        return None


@cache
def _table() -> dict[str, dict[str, Price]]:
    return _read(Path(__file__).with_name("prices.toml"))


def _read(path: Path) -> dict[str, dict[str, Price]]:
    import tomllib

    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"llm_client.prices: {path} cannot be read: {error}") from error
    if not all(isinstance(models, dict) for models in table.values()):
        raise ConfigError(f'llm_client.prices: {path} must hold tables of models, as in [openai]\\n"gpt-x" = {{...}}')
    return {
        provider: {model: _price(fields, f"{path}: {provider}.{model}") for model, fields in models.items()}
        for provider, models in table.items()
    }


def _price(fields: Any, where: str) -> Price:
    if isinstance(fields, dict) and "input" in fields:
        prices = {name: value for name, value in fields.items() if name in _FIELDS}
        rest = {name: value for name, value in fields.items() if name not in _FIELDS}
        if all(type(value) in (int, float) and 0 <= value < float("inf") for value in prices.values()):
            if not rest:
                return Price(**prices)
            if set(rest) == {"above", "long"} and type(rest["above"]) is int:
                return Price(**prices, above=rest["above"], long=_price(rest["long"], f"{where}.long"))
    raise ConfigError(
        f"llm_client.prices: {where} must be dollars for a million tokens, "
        "{ input = 1.25, cached = 0.125, cache_write = 1.25, output = 10 }, with above and long where they apply"
    )
