"""TwitterAPI: posting, commenting and following."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Simulator
from .limits import Budget

_LONGEST_MENTIONS = 10_000  # characters; the default list is part of many tweets at once
_NONE_GIVEN: list[str] = []  # stands for "argument left out"; never stored, never changed


class TwitterAPI(Simulator):
    """A micro-blog seen by one user."""

    username: str
    password: str
    authenticated: bool
    tweets: dict[int, dict[str, Any]]
    comments: dict[Any, list[dict[str, Any]]]
    retweets: dict[str, list[int]]
    following_list: list[str]
    tweet_counter: int

    defaults = {  # noqa: RUF012
        "username": "john",
        "password": "john123",
        "authenticated": False,
        "tweets": {},
        "comments": {},
        "retweets": {},
        "following_list": ["alice", "bob"],
        "tweet_counter": 0,
    }

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        super()._load(scenario, long_context)
        # JSON has no integer keys. Upstream converts those of tweets but not those of comments, so that comments of a
        # scenario are never found by an integer id.
        self.tweets = {int(key): tweet for key, tweet in self.tweets.items()}

    def authenticate_twitter(self, username: str, password: str) -> dict[str, Any]:
        """Log in.

        Args:
            username: name of the account.
            password: its password.
        """
        if username == self.username and password == self.password:
            self.authenticated = True
            return {"authentication_status": True}
        return {"authentication_status": False}

    def posting_get_login_status(self) -> dict[str, Any]:
        """Tell whether the account is logged in."""
        return {"login_status": bool(self.authenticated)}

    def post_tweet(
        self, content: str, tags: list[str] = _NONE_GIVEN, mentions: list[str] = _NONE_GIVEN
    ) -> dict[str, Any]:
        """Publish a tweet from the logged-in account.

        Args:
            content: text of the tweet.
            tags: hashtags of the tweet, each with its leading #.
            mentions: users named in the tweet, each with its leading @.
        """
        if not self.authenticated:
            return _log_in_first("posting")
        tweet = {
            "id": self.tweet_counter,
            "username": self.username,
            "content": content,
            "tags": self._shared("tags") if tags is _NONE_GIVEN else tags,
            "mentions": self._shared("mentions") if mentions is _NONE_GIVEN else mentions,
        }
        self.tweets[self.tweet_counter] = tweet
        self.tweet_counter += 1
        return tweet

    def _shared(self, parameter: str) -> list[str]:
        # Upstream's parameter defaults are one list each for the life of the process: every tweet posted without tags
        # or mentions holds that very list, and what `mention` appends to it shows in all of them.
        shared: list[str] = self._commons.setdefault(f"TwitterAPI.post_tweet.{parameter}", [])
        return shared

    def retweet(self, tweet_id: int) -> dict[str, Any]:
        """Repeat a tweet under the logged-in account.

        Args:
            tweet_id: number of the tweet.
        """
        if not self.authenticated:
            return _log_in_first("retweeting")
        if tweet_id not in self.tweets:
            return _no_tweet(tweet_id)
        retweeted = self.retweets.setdefault(self.username, [])
        if tweet_id in retweeted:
            return {"retweet_status": "Already retweeted"}
        retweeted.append(tweet_id)
        return {"retweet_status": "Successfully retweeted"}

    def comment(self, tweet_id: int, comment_content: str) -> dict[str, Any]:
        """Comment on a tweet.

        Args:
            tweet_id: number of the tweet.
            comment_content: text of the comment.
        """
        if not self.authenticated:
            return _log_in_first("commenting")
        if tweet_id not in self.tweets:
            return _no_tweet(tweet_id)
        comment = {"username": self.username, "content": comment_content}
        self.comments.setdefault(tweet_id, []).append(comment)
        return {"comment_status": "Comment added successfully"}

    def mention(self, tweet_id: int, mentioned_usernames: list[str]) -> dict[str, Any]:
        """Add users to those named in a tweet.

        Args:
            tweet_id: number of the tweet.
            mentioned_usernames: users to add, each with its leading @.
        """
        if tweet_id not in self.tweets:
            return _no_tweet(tweet_id)
        mentions = self.tweets[tweet_id]["mentions"]
        Budget(_LONGEST_MENTIONS, "the list of mentions").copy([mentions, mentioned_usernames])
        mentions.extend(mentioned_usernames)
        return {"mention_status": "Users mentioned successfully"}

    def follow_user(self, username_to_follow: str) -> dict[str, Any]:
        """Start to follow a user.

        Args:
            username_to_follow: name of the user.
        """
        if not self.authenticated:
            return _log_in_first("following")
        if username_to_follow in self.following_list:
            return {"follow_status": False}
        self.following_list.append(username_to_follow)
        return {"follow_status": True}

    def list_all_following(self) -> dict[str, Any]:
        """List the users that the logged-in account follows."""
        if not self.authenticated:
            return _log_in_first("listing following")
        return {"following_list": self.following_list}

    def unfollow_user(self, username_to_unfollow: str) -> dict[str, Any]:
        """Stop following a user.

        Args:
            username_to_unfollow: name of the user.
        """
        if not self.authenticated:
            return _log_in_first("unfollowing")
        if username_to_unfollow not in self.following_list:
            return {"unfollow_status": False}
        self.following_list.remove(username_to_unfollow)
        return {"unfollow_status": True}

    def get_tweet(self, tweet_id: int) -> dict[str, Any]:
        """Show a tweet.

        Args:
            tweet_id: number of the tweet.
        """
        return self.tweets[tweet_id] if tweet_id in self.tweets else _no_tweet(tweet_id)

    def get_user_tweets(self, username: str) -> list[dict[str, Any]]:
        """List the tweets of a user.

        Args:
            username: name of the user.
        """
        return [tweet for tweet in self.tweets.values() if tweet["username"] == username]

    def search_tweets(self, keyword: str) -> list[dict[str, Any]]:
        """Find tweets that contain a word or carry it as a tag, in upper or lower case.

        Args:
            keyword: the word, or a whole tag with its leading #.
        """
        return [
            tweet
            for tweet in self.tweets.values()
            if keyword.lower() in tweet["content"].lower() or keyword.lower() in [tag.lower() for tag in tweet["tags"]]
        ]

    def get_tweet_comments(self, tweet_id: int) -> Any:
        """List the comments on a tweet.

        Args:
            tweet_id: number of the tweet.
        """
        return self.comments.get(tweet_id, []) if tweet_id in self.tweets else _no_tweet(tweet_id)

    def get_user_stats(self, username: str) -> dict[str, Any]:
        """Count the tweets, followed users and retweets of a user.

        Args:
            username: name of the user.
        """
        return {
            "tweet_count": len(self.get_user_tweets(username)),
            "following_count": len(self.following_list) if username == self.username else 0,
            "retweet_count": len(self.retweets.get(username, [])),
        }


def _log_in_first(activity: str) -> dict[str, Any]:
    return {"error": f"User not authenticated. Please authenticate before {activity}."}


def _no_tweet(tweet_id: object) -> dict[str, Any]:
    return {"error": f"Tweet with ID {tweet_id} not found."}
