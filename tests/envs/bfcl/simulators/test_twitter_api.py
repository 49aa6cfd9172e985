"""What TwitterAPI does that a reader would not expect."""

from __future__ import annotations

from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.limits import RefusedError
from tooluse_gym.envs.bfcl.simulators.twitter_api import TwitterAPI


def test_default_lists_are_shared_and_given_ones_are_not() -> None:
    twitter = TwitterAPI({"authenticated": True})
    for content in ("a", "b"):
        twitter.post_tweet(content)
    twitter.post_tweet("c", mentions=[])
    twitter.mention(0, ["@x"])
    assert [tweet["mentions"] for tweet in twitter.tweets.values()] == [["@x"], ["@x"], []]
    assert twitter.post_tweet("d")["mentions"] == ["@x"]
    assert [tweet["tags"] for tweet in twitter.tweets.values()] == [[], [], [], []]
    assert TwitterAPI({"authenticated": True}).post_tweet("e")["mentions"] == []
    assert TwitterAPI.tools["post_tweet"].parameters["properties"]["mentions"]["default"] == []


def test_commons_are_shared_on_request() -> None:
    commons: dict[str, Any] = {}
    model, gold = (TwitterAPI({"authenticated": True}, commons=commons) for _ in range(2))
    model.post_tweet("a")
    gold.post_tweet("a")
    model.mention(0, ["@x"])
    assert gold.tweets[0]["mentions"] == ["@x"]


def test_comments_of_a_scenario_are_never_found() -> None:
    twitter = TwitterAPI({"authenticated": True, "tweets": {"1": {"id": 1}}, "comments": {"1": [{"content": "x"}]}})
    assert twitter.get_tweet_comments(1) == []
    twitter.comment(1, "y")
    assert twitter.get_tweet_comments(1) == [{"username": "john", "content": "y"}]
    assert list(twitter.comments) == ["1", 1]


def test_tags_match_as_a_whole() -> None:
    twitter = TwitterAPI({"authenticated": True})
    twitter.post_tweet("Hello", tags=["#World"])
    assert len(twitter.search_tweets("#WORLD")) == 1
    assert twitter.search_tweets("#worl") == []
    assert len(twitter.search_tweets("hell")) == 1


def test_mentions_do_not_grow_without_end() -> None:
    twitter = TwitterAPI({"authenticated": True})
    twitter.post_tweet("a")
    with pytest.raises(RefusedError, match="list of mentions"):
        twitter.mention(0, ["a" * 20_000])
    assert twitter.tweets[0]["mentions"] == []
