"""What people write with agents, for mypy: it is checked, and never run."""

from typing import Any, Literal, assert_type

from pydantic import BaseModel

from hotloop import Agent


class Order(BaseModel):
    count: int


assert_type(Agent("openai:m").run_sync("").output, str)
assert_type(Agent("openai:m", output_type=Order).run_sync("").output, Order)
assert_type(Agent("openai:m", output_type=list[int]).run_sync("").output, list[int])
assert_type(Agent("openai:m", output_type=int | None).run_sync("").output, Any)
assert_type(Agent("openai:m", output_type=Literal["yes", "no"]).run_sync("").output, Any)
