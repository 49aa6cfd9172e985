"""What MessageAPI does that a reader would not expect."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators.limits import RefusedError
from tooluse_gym.envs.bfcl.simulators.message_api import MessageAPI
from tooluse_gym.envs.bfcl.world import World

LOG_IN_FIRST = '{"error": "No user is currently logged in."}'
SENT = '{{"sent_status": true, "message_id": {{"new_id": {}}}, "message": "Message sent to \'USR002\' successfully."}}'


def world(commons: dict[str, Any] | None = None, **scenario: Any) -> World:
    return World(["MessageAPI"], {"MessageAPI": {"current_user": "USR001", **scenario}}, commons=commons)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("message_login('USR009')", '{"login_status": false, "message": "User ID \'USR009\' not found."}'),
        ("message_login('USR002')", '{"login_status": true, "message": "User \'USR002\' logged in successfully."}'),
        ("message_login('Alice')", '{"login_status": false, "message": "User ID \'Alice\' not found."}'),
        ("message_get_login_status()", '{"login_status": true}'),
        ("list_users()", '{"user_list": ["Alice", "Bob", "Catherine", "Daniel"]}'),
        ("get_user_id('Bob')", '{"user_id": "USR002"}'),
        ("get_user_id('USR002')", '{"error": "User \'USR002\' not found in the workspace."}'),
        ("get_user_id([])", "Error during execution: unhashable type: 'list'"),
        ("add_contact('Bob')", '{"error": "User name \'Bob\' already exists."}'),
        (
            "add_contact('Eve')",
            '{"added_status": true, "user_id": "USR005", "message": "Contact \'Eve\' added successfully."}',
        ),
        ("send_message('USR009', 'x')", '{"error": "Receiver ID \'USR009\' not found."}'),
        ("send_message('Bob', 'x')", '{"error": "Receiver ID \'Bob\' not found."}'),
        ("send_message('USR002', 'x')", SENT.format(67410)),
        (
            "send_message('USR002')",
            "Error during execution: MessageAPI.send_message() missing 1 required positional argument: 'message'",
        ),
        (
            "delete_message('USR004')",
            '{"deleted_status": true, "receiver_id": "USR004", '
            '"message": "Receiver USR004\'s latest message deleted successfully."}',
        ),
        ("delete_message('USR001')", '{"error": "Receiver ID USR001 not found."}'),
        (
            "view_messages_sent()",
            '{"messages": {"USR002": ["My name is Alice. I want to connect."], '
            '"USR003": ["Could you upload the file?"], "USR004": ["Could you upload the file?"]}}',
        ),
        (
            "search_messages('my NAME')",
            '{"results": [{"receiver_id": "USR002", "message": "My name is Alice. I want to connect."}]}',
        ),
        ("search_messages('usr002')", '{"results": []}'),
        ("search_messages(2)", "Error during execution: 'int' object has no attribute 'lower'"),
        ("get_message_stats()", '{"stats": {"received_count": 3, "total_contacts": 3}}'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_results(call: str, expected: str) -> None:
    assert world().execute(call) == expected


@pytest.mark.parametrize(
    "call",
    [
        "send_message('USR009', 'x')",
        "delete_message('USR002')",
        "view_messages_sent()",
        "search_messages(2)",
        "get_message_stats()",
    ],
)
def test_what_needs_a_login_says_so_first(call: str) -> None:
    assert World(["MessageAPI"]).execute(call) == LOG_IN_FIRST


def test_the_first_ids_are_upstreams() -> None:
    messages = world()
    assert [messages.execute("send_message('USR002', 'x')") for _ in range(2)] == [
        SENT.format(67410),
        SENT.format(41772),
    ]
    assert messages.state()["MessageAPI"]["generated_ids"] == {"__set__": [41772, 67410]}


def test_refused_messages_draw_no_id_and_used_ids_are_skipped() -> None:
    messages = world(generated_ids={67410})
    messages.execute("send_message('USR009', 'x')")
    assert messages.execute("send_message('USR002', 'x')") == SENT.format(41772)


def test_ids_given_as_json_cannot_grow() -> None:
    messages = world(generated_ids=[])
    text = messages.execute("send_message('USR002', 'x')")
    assert text == "Error during execution: 'list' object has no attribute 'add'"
    assert messages.state()["MessageAPI"]["message_count"] == 3


def test_drawing_ids_ends_when_all_are_used() -> None:
    messages = MessageAPI({"current_user": "USR001", "generated_ids": set(range(10_000, 100_000)) - {54_321}})
    assert messages.send_message("USR002", "x")["message_id"] == {"new_id": 54_321}
    with pytest.raises(RefusedError, match="no message id is left"):
        messages.send_message("USR002", "x")


def test_contacts_are_counted_before_their_id_is_found_taken() -> None:
    messages = world(user_map={"Eve": "USR005"})
    assert messages.execute("add_contact('Bob')") == '{"error": "User ID \'USR005\' already exists."}'
    assert '"USR006"' in messages.execute("add_contact('Bob')")
    assert messages.state()["MessageAPI"]["user_map"] == {"Eve": "USR005", "Bob": "USR006"}
    assert messages.state()["MessageAPI"]["user_count"] == 6


def test_deleting_removes_the_earliest_of_equal_messages_and_no_count() -> None:
    messages = MessageAPI({"current_user": "USR001", "inbox": [{"b": "x"}, {"c": "y"}, {"b": "z"}, {"b": "x"}]})
    messages.delete_message("b")
    assert messages.inbox == [{"c": "y"}, {"b": "z"}, {"b": "x"}]
    assert messages.message_count == 3


def test_of_several_receivers_the_first_counts() -> None:
    messages = MessageAPI({"current_user": "USR001", "inbox": [{"a": "x", "b": "y"}, {"b": ["z"]}, {"a": "x"}]})
    assert messages.view_messages_sent() == {"messages": {"a": ["x", "x"], "b": [["z"]]}}
    assert messages.get_message_stats() == {"stats": {"received_count": 3, "total_contacts": 2}}
    with pytest.raises(AttributeError, match="'list' object has no attribute 'lower'"):
        messages.search_messages("x")
    messages.delete_message("b")
    assert messages.inbox == [{"a": "x", "b": "y"}, {"a": "x"}]


def test_an_item_without_a_receiver_breaks_what_reads_the_inbox() -> None:
    for call in ("view_messages_sent()", "search_messages('x')", "get_message_stats()", "delete_message('USR002')"):
        assert world(inbox=[{}]).execute(call) == "Error during execution: list index out of range"


def test_worlds_share_nothing() -> None:
    commons: dict[str, Any] = {}
    first, second = world(commons), world(commons)
    for call in ("add_contact('Eve')", "send_message('USR002', 'x')", "delete_message('USR003')"):
        first.execute(call)
    assert second.state() == world().state()
    assert second.execute("send_message('USR002', 'x')") == SENT.format(67410)


def test_a_copy_continues_exactly() -> None:
    messages = world()
    messages.execute("send_message('USR002', 'x')")
    clone = copy.deepcopy(messages)
    before = clone.state()
    assert messages.execute("send_message('USR002', 'y')") == SENT.format(41772)
    assert clone.state() == before
    assert clone.execute("send_message('USR002', 'y')") == SENT.format(41772)
    assert clone.differs(messages) == {}
