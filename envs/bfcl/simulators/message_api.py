"""MessageAPI: messages between the members of a workspace."""

from __future__ import annotations

from typing import Any

from .base import Simulator
from .limits import RefusedError

_IDS = range(10_000, 100_000)  # of messages


class MessageAPI(Simulator):
    """A workspace seen by one member, with a single inbox for everybody's messages."""

    generated_ids: set[int]
    user_count: int
    user_map: dict[str, str]  # name to id
    inbox: list[dict[str, Any]]  # each message under the id of its receiver
    message_count: int
    current_user: str | None

    defaults = {  # noqa: RUF012
        "generated_ids": set(),
        "user_count": 4,
        "user_map": {"Alice": "USR001", "Bob": "USR002", "Catherine": "USR003", "Daniel": "USR004"},
        "inbox": [
            {"USR002": "My name is Alice. I want to connect."},
            {"USR003": "Could you upload the file?"},
            {"USR004": "Could you upload the file?"},
        ],
        "message_count": 3,
        "current_user": None,
    }
    default_seed = 200191

    def message_login(self, user_id: str) -> dict[str, Any]:
        """Log in as a member of the workspace.

        Args:
            user_id: id of the member.
        """
        if user_id not in self.user_map.values():
            return {"login_status": False, "message": f"User ID '{user_id}' not found."}
        self.current_user = user_id
        return {"login_status": True, "message": f"User '{user_id}' logged in successfully."}

    def message_get_login_status(self) -> dict[str, Any]:
        """Tell whether a member is logged in."""
        return {"login_status": bool(self.current_user)}

    def list_users(self) -> dict[str, Any]:
        """List the names of all members."""
        return {"user_list": list(self.user_map)}

    def get_user_id(self, user: str) -> dict[str, Any]:
        """Look up the id of a member.

        Args:
            user: name of the member.
        """
        if user not in self.user_map:
            return {"error": f"User '{user}' not found in the workspace."}
        return {"user_id": self.user_map[user]}

    def add_contact(self, user_name: str) -> dict[str, Any]:
        """Add a member to the workspace.

        Args:
            user_name: name of the new member.
        """
        if user_name in self.user_map:
            return {"error": f"User name '{user_name}' already exists."}
        self.user_count += 1  # upstream counts before it finds the id taken
        user_id = f"USR{self.user_count:03d}"
        if user_id in self.user_map.values():
            return {"error": f"User ID '{user_id}' already exists."}
        self.user_map[user_name] = user_id
        return {"added_status": True, "user_id": user_id, "message": f"Contact '{user_name}' added successfully."}

    def send_message(self, receiver_id: str, message: str) -> dict[str, Any]:
        """Send a message to a member.

        Args:
            receiver_id: id of the member.
            message: text of the message.
        """
        if not self.current_user:
            return _log_in_first()
        if receiver_id not in self.user_map.values():
            return {"error": f"Receiver ID '{receiver_id}' not found."}
        new_id = self._new_id()
        self.inbox.append({receiver_id: message})
        self.message_count += 1
        return {
            "sent_status": True,
            "message_id": {"new_id": new_id},
            "message": f"Message sent to '{receiver_id}' successfully.",
        }

    def _new_id(self) -> int:
        if len(self.generated_ids) >= len(_IDS):
            raise RefusedError("no message id is left")  # upstream would draw without end
        new_id = self._random.randint(_IDS[0], _IDS[-1])
        while new_id in self.generated_ids:
            new_id = self._random.randint(_IDS[0], _IDS[-1])
        self.generated_ids.add(new_id)
        return new_id

    def delete_message(self, receiver_id: str) -> dict[str, Any]:
        """Delete the latest message sent to a member.

        Args:
            receiver_id: id of the member.
        """
        if not self.current_user:
            return _log_in_first()
        latest = next((item for item in reversed(self.inbox) if _message(item)[0] == receiver_id), None)
        if latest is None:
            return {"error": f"Receiver ID {receiver_id} not found."}
        self.inbox.remove(latest)  # as upstream: of equal messages the earliest goes, and none of the counters changes
        return {
            "deleted_status": True,
            "receiver_id": receiver_id,
            "message": f"Receiver {receiver_id}'s latest message deleted successfully.",
        }

    def view_messages_sent(self) -> dict[str, Any]:
        """Show all messages, grouped by the id of their receiver."""
        if not self.current_user:
            return _log_in_first()
        messages: dict[str, list[Any]] = {}
        for receiver_id, text in map(_message, self.inbox):
            messages.setdefault(receiver_id, []).append(text)
        return {"messages": messages}

    def search_messages(self, keyword: str) -> dict[str, Any]:
        """Find messages that contain a text, in upper or lower case.

        Args:
            keyword: the text to look for.
        """
        if not self.current_user:
            return _log_in_first()
        keyword = keyword.lower()
        return {
            "results": [
                {"receiver_id": receiver_id, "message": text}
                for receiver_id, text in map(_message, self.inbox)
                if keyword in text.lower()
            ]
        }

    def get_message_stats(self) -> dict[str, Any]:
        """Count the messages, and the members who were sent one."""
        if not self.current_user:
            return _log_in_first()
        receivers = {receiver_id for receiver_id, _ in map(_message, self.inbox)}
        return {"stats": {"received_count": len(self.inbox), "total_contacts": len(receivers)}}


def _message(item: dict[str, Any]) -> tuple[str, Any]:
    """Receiver and text of an inbox item. Of items with several receivers upstream sees the first alone."""
    return list(item.items())[0]  # noqa: RUF015 (what an empty item raises)


def _log_in_first() -> dict[str, Any]:
    return {"error": "No user is currently logged in."}
