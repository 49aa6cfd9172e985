"""What the two memories do that a reader would not expect; every expected text is upstream's."""

from __future__ import annotations

import pytest

from tooluse_gym.envs.bfcl.world import World

FULL = '{"error": "Core memory is full. Please clear some entries."}'
KEY = '{"error": "Key must be in snake_case format and cannot contain spaces."}'
LONG = '{{"error": "Entry is too long. Please shorten the entry to less than {} characters."}}'
NOT_FOUND = '{"error": "Key not found."}'
KEYS = {"core_memory": {"a_b": "x", "b_c_d": "y", "c_a": "z"}, "archival_memory": {"a": "1"}}


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("core_memory_add('a_1', 5)", '{"status": "Key-value pair added."}'),
        ("core_memory_add('a1', 'x')", KEY),
        ("core_memory_add('A', 'x')", KEY),
        ("core_memory_add('a__b', 'x')", KEY),
        ("core_memory_add('e\\n', 'x')", '{"status": "Key-value pair added."}'),
        ("core_memory_add('a_b', 'x')", '{"error": "Key name must be unique."}'),
        ("core_memory_add('A', 'x' * 301)", LONG.format(300)),
        ("core_memory_replace('a_b', 'x' * 301)", LONG.format(300)),
        ("core_memory_replace('zz', 'x' * 301)", NOT_FOUND),
        ("core_memory_replace(['a'], 'x')", NOT_FOUND),
        ("core_memory_remove(['a'])", "Error during execution: unhashable type: 'list'"),
        ("core_memory_retrieve('A_B')", NOT_FOUND),
        ("core_memory_clear()", '{"status": "Short term memory cleared."}'),
        ("archival_memory_add('b', 'x')", '{"status": "Key added."}'),
        ("archival_memory_add('b', 'x' * 2001)", LONG.format(2000)),
        (
            "core_memory_key_search('A b', 2)",
            '{"ranked_results": [[2.8678303195686285, "a_b"], [2.1270623403442595, "c_a"]]}',
        ),
        ("core_memory_key_search('q', -2)", '{"ranked_results": [[0.0, "a_b"]]}'),
        ("core_memory_key_search(5)", "Error during execution: 'int' object has no attribute 'replace'"),
        ("archival_memory_key_search('q', None)", '{"ranked_results": [[0.0, "a"]]}'),
        (
            "core_memory_key_search('q' * 10_001)",
            "Error during execution: the query is too long (more than 10000 characters)",
        ),
    ],
)
def test_keys_and_values(call: str, expected: str) -> None:
    assert World(["MemoryAPI_kv"], {"MemoryAPI_kv": KEYS}).execute(call) == expected


def test_an_empty_memory_cannot_be_searched() -> None:
    for memory in ("core", "archival"):
        text = World(["MemoryAPI_kv"]).execute(f"{memory}_memory_key_search('a')")
        assert text == "Error during execution: division by zero"


def test_a_full_memory_says_nothing_else() -> None:
    world = World(["MemoryAPI_kv"], {"MemoryAPI_kv": {"core_memory": dict.fromkeys("abcdefg", "x")}})
    for key, value in (("h", "x"), ("a", "x"), ("H", "x" * 301)):
        assert world.execute(f"core_memory_add({key!r}, {value!r})") == FULL
    assert world.execute("core_memory_remove('a')") == '{"status": "Key removed."}'
    assert world.execute("core_memory_add('a', 'x')") != FULL


@pytest.mark.parametrize(
    ("memory", "call", "expected", "after"),
    [
        ("tea", "memory_append(5)", '{"status": "Memory appended."}', "tea5"),
        ("tea", "memory_update('')", '{"status": "Memory updated."}', ""),
        ("tea", "memory_retrieve()", '{"memory_content": "tea"}', "tea"),
        ("", "memory_retrieve()", '{"error": "Memory is empty."}', ""),
        ("tea tea", "memory_replace('tea', None)", '{"status": "Memory updated."}', "None None"),
        ("ab", "memory_replace('', '-')", '{"status": "Memory updated."}', "-a-b-"),
        ("tea", "memory_replace('tee', 'x')", '{"error": "Text \'tee\' not found in memory."}', "tea"),
        ("x" * 9_999, "memory_replace('x', 'yz')", '{"status": "Memory updated."}', "yz" * 9_999),
        (
            "x" * 9_999,
            "memory_append('yz')",
            LONG.format(10000).replace("is too long", "will be too long after appending"),
            "x" * 9_999,
        ),
        (
            "x" * 9_999,
            "memory_replace('x', 'y' * 200)",
            "Error during execution: the memory is too large (more than 1000000 characters)",
            "x" * 9_999,
        ),
    ],
)
def test_one_text(memory: str, call: str, expected: str, after: str) -> None:
    world = World(["MemoryAPI_rec_sum"], {"MemoryAPI_rec_sum": {"memory": memory}})
    assert world.execute(call) == expected
    assert world.state() == {"MemoryAPI_rec_sum": {"memory": after}}
