"""Level 3: films people like, and what they post."""

from __future__ import annotations

from .base import ApiSet, refuse


class Films(ApiSet):
    """Taste in films."""

    def UserMoviePreferences(self, user_name: str) -> dict[str, list[str]]:
        """List the genres of film a user likes.

        Args:
            user_name: name of the user.
        """
        likes = self._episode.library["UserMoviePreferences"]
        if user_name not in likes:
            refuse(repr(user_name))
        return {"preferences": likes[user_name]}

    def UserWatchedMovies(self, user_name: str) -> list[str]:
        """List the films a user has seen.

        Args:
            user_name: name of the user.
        """
        seen = self._episode.library["UserWatchedMovies"]
        if user_name not in seen:
            refuse("User not found.")
        films: list[str] = seen[user_name]
        return films

    def MovieRecommendations(self, preferences: list[str]) -> dict[str, list[str]]:
        """Recommend films of some genres.

        Args:
            preferences: the genres.
        """
        by_genre = self._episode.library["MovieRecommendations"]
        for genre in preferences:  # a list that came as text is gone through letter by letter, as upstream
            if genre not in by_genre:
                refuse(repr(genre))
        return {"recommended_movies": [film for genre in preferences for film in by_genre[genre]]}


class Posts(ApiSet):
    """A social network."""

    def UserPosts(self, user_id: int) -> dict[str, list[int]]:
        """List the numbers of a user's posts.

        Args:
            user_id: number of the user.
        """
        posts = self._episode.library["UserPosts"]
        if str(user_id) not in posts:
            refuse(str(user_id))
        return {"post_ids": posts[str(user_id)]}

    def LikeCount(self, post_id: int) -> dict[str, int]:
        """Tell how many people like a post.

        Args:
            post_id: number of the post.
        """
        likes = self._episode.library["LikeCount"]
        if str(post_id) not in likes:
            refuse(f"Post with ID {post_id} does not exist.")
        return {"like_count": likes[str(post_id)]}
