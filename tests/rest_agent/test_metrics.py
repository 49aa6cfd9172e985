"""A log that survives being cut off."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from rest_agent.metrics import LOG_NAME, Record, RunLog, read_log


class Clock:
    """Says 0, 1, 2, …"""

    def __init__(self) -> None:
        self._ticks: Iterator[int] = iter(range(1000))

    def __call__(self) -> float:
        return float(next(self._ticks))


def test_a_line_is_flat_json(tmp_path: Path) -> None:
    with RunLog(tmp_path / "new" / "run", tensorboard=False, clock=Clock()) as log:
        log.write("rl", 3, {"reward": torch.tensor(0.5), "tokens": 7, "entropy/think": 0.25})
    line = (tmp_path / "new" / "run" / LOG_NAME).read_text()
    assert line.endswith("\n")
    assert json.loads(line) == {
        "stage": "rl",
        "update": 3,
        "seconds": 1.0,
        "reward": 0.5,
        "tokens": 7.0,
        "entropy/think": 0.25,
    }


def test_what_is_not_finite_is_written_as_text_and_read_back(tmp_path: Path) -> None:
    with RunLog(tmp_path, tensorboard=False) as log:
        log.write("rl", 0, {"norm": math.nan, "loss": math.inf, "kl": -math.inf})
    assert '"norm": "nan", "loss": "inf", "kl": "-inf"' in (tmp_path / LOG_NAME).read_text()
    (record,) = read_log(tmp_path)
    assert math.isnan(record.values["norm"])
    assert (record.values["loss"], record.values["kl"]) == (math.inf, -math.inf)


def test_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    log = RunLog(tmp_path, tensorboard=False)
    log.write("sft0", 0, {"loss": 1.0})
    assert len(read_log(tmp_path)) == 1
    log.close()


def test_resuming_appends_and_the_later_values_hold(tmp_path: Path) -> None:
    with RunLog(tmp_path, tensorboard=False, clock=Clock()) as log:
        log.write("rl", 0, {"reward": 0.0})
        log.write("rl", 1, {"reward": 0.1, "validation": 0.5})
    with RunLog(tmp_path, tensorboard=False, clock=Clock()) as log:
        log.write("rl", 1, {"reward": 0.2})
        log.write("rl", 2, {"reward": 0.3})
    # The clock begins anew at 0; the run's time goes on from 2.
    assert read_log(tmp_path) == [
        Record("rl", 0, 1.0, {"reward": 0.0}),
        Record("rl", 1, 3.0, {"reward": 0.2, "validation": 0.5}),
        Record("rl", 2, 4.0, {"reward": 0.3}),
    ]


@pytest.mark.parametrize(
    "torn", ['{"stage": "rl", "upd', '{"stage": "rl", "update": 1, "seconds": 1, "loss": 1', "\xe2"]
)
def test_a_torn_last_line_is_passed_over_and_dropped_when_the_run_goes_on(tmp_path: Path, torn: str) -> None:
    with RunLog(tmp_path, tensorboard=False) as log:
        log.write("rl", 0, {"loss": 1.0})
    with (tmp_path / LOG_NAME).open("ab") as file:
        file.write(torn.encode("latin-1"))
    assert [record.update for record in read_log(tmp_path)] == [0]
    with RunLog(tmp_path, tensorboard=False) as log:
        log.write("rl", 1, {"loss": 2.0})
    assert [record.update for record in read_log(tmp_path)] == [0, 1]


@pytest.mark.parametrize("line", ["{}", "nonsense", "[]", '{"stage": "rl", "update": 1, "seconds": 1, "loss": null}'])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    good = '{"stage": "rl", "update": 0, "seconds": 1}\n'
    (tmp_path / LOG_NAME).write_text(f"{good}{line}\n{good}")
    with pytest.raises(ValueError, match=rf"{LOG_NAME}:2: not a record"):
        read_log(tmp_path)


def test_reserved_names_are_refused(tmp_path: Path) -> None:
    with RunLog(tmp_path, tensorboard=False) as log, pytest.raises(ValueError, match="cannot be called 'seconds'"):
        log.write("rl", 0, {"seconds": 1.0})


def test_other_ranks_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with RunLog(None) as log:
        assert log.write("rl", 0, {"loss": 1}).values == {"loss": 1.0}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorboard")
def test_tensorboard_shows_the_same_numbers(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with RunLog(tmp_path) as log:
        log.write("sft0", 0, {"loss": 2.0})
        log.write("rl", 4, {"reward": 0.5})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["rl/reward", "sft0/loss"]
    (event,) = events.Scalars("rl/reward")
    assert (event.step, event.value) == (4, 0.5)
