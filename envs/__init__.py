"""One folder per benchmark. Each registers its ids when ``tooluse_gym`` is imported."""

from __future__ import annotations

import gymnasium
from gymnasium.envs.registration import EnvSpec


def registered() -> list[EnvSpec]:
    """The environments of these folders, in the order of their registration."""
    specs = gymnasium.registry.values()
    return [spec for spec in specs if isinstance(spec.entry_point, str) and spec.entry_point.startswith(f"{__name__}.")]
