"""An environment of your own in one file: tools, tasks, and a check that it keeps its promises."""

from typing import Any

import gymnasium

from tooluse_gym import Call, Task, TaskList, ToolSet, ToolUseEnv, Turn, check_tool_env
from tooluse_gym.messages import user


class Pantry(ToolSet):
    """Public methods are tools; public attributes are the state that decides whether the agent was right."""

    def __init__(self, stock: dict[str, int]):
        self.stock = stock

    def count(self, item: str) -> int:
        """Tell how many of an item there are.

        Args:
            item: name of the item.
        """
        return self.stock.get(item, 0)

    def take(self, item: str, amount: int = 1) -> dict[str, int]:
        """Take items out.

        Args:
            item: name of the item.
            amount: how many to take.
        """
        if not 0 < amount <= self.count(item):
            raise ValueError(f"there are {self.count(item)} of {item}")  # the agent sees this
        self.stock[item] -= amount
        return {"left": self.stock[item]}


COOK = Turn((user("Take two eggs, please."),), steps=((Call("take", {"item": "eggs", "amount": 2}),),))
ASK = Turn((user("How many are left?"),), steps=((Call("count", {"item": "eggs"}),),))
TASKS = [
    Task(f"eggs-{stock}", (COOK, ASK), toolsets=("Pantry",), initial_state={"Pantry": {"stock": {"eggs": stock}}})
    for stock in (6, 12)
]


class PantryEnv(ToolUseEnv):
    """A pantry with eggs."""

    toolsets = (Pantry,)

    def __init__(self, **options: Any):
        super().__init__(TaskList(TASKS), **options)


gymnasium.register("Pantry-v0", entry_point=PantryEnv)

if __name__ == "__main__":
    check_tool_env(gymnasium.make("Pantry-v0"))
    print(gymnasium.make("Pantry-v0").unwrapped.demonstrate(seed=0).verdict)
