"""The published rewards of a reply's text, exactly as the programs of ToolRL and ResT give them.

What they compute is in :mod:`tooluse_gym.agreement`. Here are their entry point, the rubric that an environment trains
with, and a verdict.
"""

from __future__ import annotations

from typing import Literal

from tooluse_gym.agreement import Scores, Switches, published_scores
from tooluse_gym.rewards import Rubric, StepOutcome, Term, get_switches
from tooluse_gym.scoring import Verdict

Template = Literal["qwen", "llama"]

_MARKERS: dict[Template, tuple[str, str]] = {
    "qwen": ("<|im_start|>assistant", "<|im_end|>"),
    "llama": ("<|start_header_id|>assistant<|end_header_id|>", "<|eot_id|>"),
}


def reward(
    response: str,
    answer: str,
    step: int = 1,
    preset: str = "toolrl",
    *,
    template: Template | None = None,
    **switches: bool,
) -> float:
    """The reward of a response in ToolRL's format: format + correctness (+ length, in ToolRL's program).

    Args:
        response: the reply; with ``template``, the whole sequence that begins with the prompt.
        answer: the ground truth.
        step: the training step, from 1, for presets and switches with a schedule.
        preset: ``toolrl``, or ``rest``, which is ResT's program with its ``schedule``.
        template: cut the last reply out of the sequence first, by the markers of that chat template.
        **switches: those of :class:`tooluse_gym.agreement.Switches`, over the preset's.

    Raises:
        ValueError: the calls of ``answer`` are no JSON; or no preset, template or switch has that name.
    """
    chosen = get_switches(preset, switches)
    return total(_scores(cut(response, template), answer, chosen, step), chosen)


def scores(
    response: str,
    answer: str,
    step: int = 1,
    preset: str = "toolrl",
    *,
    template: Template | None = None,
    **switches: bool,
) -> Scores:
    """The parts of :func:`reward`, the length included where it is not added."""
    return _scores(cut(response, template), answer, get_switches(preset, switches), step)


def cut(sequence: str, template: Template | None) -> str:
    """The last reply in a sequence with chat markers; all of it, if no reply begins there."""
    if template is None:
        return sequence
    if template not in _MARKERS:
        raise ValueError(f"unknown template {template!r}; choose one of {', '.join(_MARKERS)} or None")
    begin, end = _MARKERS[template]
    _, found, reply = sequence.rpartition(begin)
    return reply.partition(end)[0] if found else sequence


def total(parts: Scores, switches: Switches) -> float:
    """What the program of ``switches`` makes of the parts: ResT's returns the length, but does not add it."""
    return parts.format + parts.correctness + (parts.length if switches.version == "toolrl" else 0.0)


def _scores(response: str, answer: str, switches: Switches, step: int) -> Scores:
    try:
        return published_scores(response, answer, switches, step)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"the calls of the answer {answer[:200]!r} are not one JSON object per line: {error}"
        ) from None


def textual(switches: Switches) -> Rubric:
    """The reward as a rubric of ``metadata["truth"]`` and a reply's text, term by term."""

    def term(part: int) -> Term:
        def value(outcome: StepOutcome) -> float:
            text, truth = outcome.replies[-1].text, outcome.task.metadata["truth"]
            return published_scores(text, truth, switches, outcome.update)[part]

        return value

    counts = (True, True, switches.length and switches.version == "toolrl")
    return Rubric({name: (1.0, term(part)) for part, name in enumerate(Scores._fields) if counts[part]})


_PLAIN = Switches(coarse=True)


def verdict(text: str, truth: str) -> Verdict:
    """Valid if ToolRL's format is right and the calls equal the truth's, one by one and in order."""
    found = published_scores(text, truth, _PLAIN)
    if found.correctness < 0:
        return Verdict(False, "wrong_calls")
    return Verdict(True) if found.format > 0 else Verdict(False, "wrong_format")
