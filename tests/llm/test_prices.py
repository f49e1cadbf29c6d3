"""What answers cost: the table, the user's own over it, and None where nobody knows."""

import pytest

from hotloop import Config, LLMClient, MemoryCache, Usage
from hotloop.errors import ConfigError
from hotloop.llm.prices import Prices
from support.origin import END, Origin, completion, delta, streamed, usage

ASK = [{"role": "user", "content": "Hi"}]
MILLION = Usage(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("provider", "model", "counts", "dollars"),
    [
        ("openai", "gpt-4o", Usage(1_000_000), 2.5),
        ("openai", "gpt-4o-2024-08-06", Usage(1_000_000), 2.5),
        ("openai", "gpt-4o-2024-05-13", Usage(1_000_000), 5.0),
        ("openai", "gpt-4o", Usage(1_000_000, 0, 400_000), 0.6 * 2.5 + 0.4 * 1.25),
        ("openai", "gpt-4", Usage(1_000_000, 0, 400_000), 30.0),  # no price of its own: as the rest
        ("openai", "text-embedding-3-small", Usage(1_000_000), 0.02),
        ("anthropic", "claude-haiku-4-5-20251001", Usage(1_000_000, 0, 500_000, 100_000), 0.4 + 0.05 + 0.125),
        ("anthropic", "claude-sonnet-4-5", Usage(200_000, 100_000), 0.6 + 1.5),
        ("anthropic", "claude-sonnet-4-5", Usage(200_001, 100_000), 1.200006 + 2.25),
        ("local", "smollm2", MILLION, 0.0),
    ],
)
def test_the_table(provider, model, counts, dollars):
    assert Prices().of(provider, model).cost(counts) == pytest.approx(dollars)
    assert Prices().of(provider, model).cost(counts, batch=True) == pytest.approx(dollars / 2)


@pytest.mark.parametrize("model", ["m", "gpt", "gpt-4o-mini-nonsense", "", "gpt-9"])
def test_what_nobody_knows_has_no_price(model):
    assert Prices().of("openai", model) is None
    assert Prices().of("elsewhere", "gpt-4o") is None


async def test_a_users_table_is_over_the_built_in_one(tmp_path):
    table = tmp_path / "prices.toml"
    table.write_text("[openai]\nm = { input = 1, output = 2, above = 10, long = { input = 10, output = 20 } }\n")
    config = Config().replace(llm_client={"prices": str(table)}, response_cache={"enabled": False})
    with Origin(completion()) as origin:
        async with LLMClient("openai:m", base_url=origin.url, config=config, cache=MemoryCache()) as llm:
            assert (await llm.chat(ASK, temperature=0)).cost == pytest.approx((11 * 10 + 7 * 20) / 1e6)
            assert (await llm.chat(ASK, temperature=0)).cost == 0
            origin.script(streamed(delta(content="x"), delta("stop"), usage(10, 1, 0), END))
            async with llm.stream(ASK) as events:
                assert [event async for event in events][-1].reply.cost == pytest.approx(12 / 1e6)
            assert llm.metrics().cost == pytest.approx((250 + 12) / 1e6)
        prices = Prices(str(table))
        assert prices.of("openai", "gpt-4o") is not None


async def test_a_cost_that_is_not_known_is_none():
    with Origin(completion()) as origin:
        async with LLMClient("openai:m", base_url=origin.url, cache=MemoryCache()) as llm:
            assert llm.metrics().cost == 0
            assert (await llm.chat(ASK, temperature=0)).cost is None
            assert (await llm.chat(ASK, temperature=0)).cost == 0
            assert llm.metrics().cost is None


@pytest.mark.parametrize(
    "text",
    [
        "m = 5",
        "[openai]\nm = 5",
        "[openai]\nm = { output = 1 }",
        "[openai]\nm = { input = -1 }",
        "[openai\n",
        "[a]\nb = {input = 1, x = 2}",
        "[a]\nb = {input = true}",
        "[a]\nb = {input = 1, above = 5, long = 6}",
    ],
)
def test_a_table_that_is_none_is_said_at_once(tmp_path, text):
    table = tmp_path / "prices.toml"
    table.write_text(text)
    with pytest.raises(ConfigError, match="prices"):
        LLMClient("openai:m", base_url="http://h", config=Config().replace(
            llm_client={"prices": str(table)}, response_cache={"enabled": False}))  # fmt: skip
    with pytest.raises(ConfigError, match="cannot be read"):
        Prices(str(tmp_path / "nothing.toml"))
