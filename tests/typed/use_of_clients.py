"""What people write with clients, for mypy: it is checked, and never run."""

from typing import Any, Literal, assert_type

from pydantic import BaseModel

from hotloop import LLMClient, Reply, TextDelta


class Order(BaseModel):
    count: int


async def ask(client: LLMClient) -> None:
    messages = [{"role": "user", "content": "Hello"}]
    assert_type((await client.chat(messages, temperature=0)).output, str)
    assert_type((await client.chat(messages, output_type=Order)).output, Order)
    assert_type((await client.chat(messages, output_type=list[Order], seed=1)).output, list[Order])
    assert_type((await client.chat(messages, output_type=int | None)).output, Any)
    assert_type((await client.chat(messages, output_type=Literal["yes", "no"])).output, Any)
    reply: Reply = await client.chat(messages, output_type=Order)
    messages.append(reply.message)
    async with client.stream(messages, output_type=Order) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                assert_type(event.text, str)
