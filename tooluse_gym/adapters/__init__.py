"""The environments under the interfaces of other projects; each module says what it needs."""

from __future__ import annotations

from tooluse_gym.env import ToolUseEnv


def draw(env: ToolUseEnv, count: int, seed: int, split: str | None = None) -> list[str]:
    """Ids of ``count`` tasks; the same for the same seed."""
    drawn: list[str] = []
    for number in range(count):
        env.reset(seed=None if number else seed, options={} if split is None else {"split": split})
        drawn.append(env.task.id)
    return drawn
