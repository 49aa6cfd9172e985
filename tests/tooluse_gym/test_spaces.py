from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from gymnasium.spaces import Space, Tuple
from gymnasium.vector.utils import (
    batch_differing_spaces,
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    iterate,
)

from tooluse_gym.errors import ConfigurationError
from tooluse_gym.spaces import MessagesSpace, UnicodeText

SPACES = [UnicodeText(), UnicodeText(3), MessagesSpace()]


@pytest.mark.parametrize("space", SPACES, ids=repr)
class TestBoth:
    def test_samples_are_inside_and_seeded(self, space: Space[Any]) -> None:
        space.seed(7)
        first = [space.sample() for _ in range(200)]
        assert all(sample in space for sample in first)
        space.seed(7)
        assert [space.sample() for _ in range(200)] == first
        assert len({json.dumps(sample) for sample in first}) > 50

    def test_json_round_trip(self, space: Space[Any]) -> None:
        samples = [space.sample() for _ in range(20)]
        assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(samples)))) == samples

    def test_equal_by_value_also_when_copied(self, space: Space[Any]) -> None:
        space.seed(0)
        assert copy.deepcopy(space) == space
        assert pickle.loads(pickle.dumps(space)) == space
        assert space != Tuple(())

    def test_samples_without_masks_only(self, space: Space[Any]) -> None:
        with pytest.raises(ConfigurationError, match="without mask"):
            space.sample(mask=object())

    def test_batches_are_tuples(self, space: Space[Any]) -> None:
        batched = batch_space(space, 3)
        batched.seed(1)
        sample = batched.sample()
        assert isinstance(sample, tuple)
        assert sample in batched
        assert list(iterate(batched, sample)) == list(sample)
        empty: Any = create_empty_array(space, 3)
        assert empty in batched
        assert concatenate(space, sample, empty) == sample
        assert batch_differing_spaces([space, space]) == batch_space(space, 2)

    def test_no_shared_memory(self, space: Space[Any]) -> None:
        with pytest.raises(ConfigurationError, match=r"pass shared_memory=False to AsyncVectorEnv"):
            create_shared_memory(space, 2)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("", True),
        ("a b\n", True),
        ("你好🙂", True),
        ("\ud800\x00", True),
        ("abcd", True),
        ("abcde", False),
        (b"a", False),
    ],
)
def test_text_contains_any_text_up_to_its_length(text: Any, inside: bool) -> None:
    assert (text in UnicodeText(4)) is inside


def test_text_equality_and_repr() -> None:
    assert UnicodeText(3) == UnicodeText(3, seed=1) != UnicodeText(4)
    assert repr(UnicodeText(3)) == "UnicodeText(max_length=3)"
    assert UnicodeText(0).sample() == ""
    with pytest.raises(ConfigurationError, match="must not be negative"):
        UnicodeText(-1)


@pytest.mark.parametrize(
    ("value", "inside"),
    [
        ((), True),
        (({"role": "user", "content": ""},), True),
        (({"role": "tool", "name": "x", "content": "y"}, {"role": "assistant", "content": "z"}), True),
        ([{"role": "user", "content": ""}], False),
        (({"role": "robot", "content": ""},), False),
        (({"role": "user"},), False),
        (({"role": "user", "content": None},), False),
        (({"role": "user", "content": "", "extra": 1},), False),
        ("text", False),
        (("text",), False),
    ],
)
def test_messages_contains(value: Any, inside: bool) -> None:
    assert (value in MessagesSpace()) is inside
