"""Every exception the gym raises on purpose. A model's bad reply never raises: it becomes an observation."""

from __future__ import annotations


class ToolUseError(Exception):
    """Base of all errors raised on purpose by this package."""


class InvalidToolError(ToolUseError):
    """A method cannot become a tool: a type hint or a docstring is missing or has no JSON Schema."""


class TaskError(ToolUseError):
    """A task, or a task file, does not have the documented form. The message names file, line and field."""


class DataNotFoundError(ToolUseError):
    """Benchmark data is absent. The message names the command that gets it."""


class ConfigurationError(ToolUseError, ValueError):
    """An environment, a format or a rubric was asked for something it does not offer."""


class TrajectoryError(ToolUseError):
    """A saved trajectory is malformed, or its replay gave other bytes than the record."""
