"""What the simulators do that a reader would not expect, and that no argument makes them run away."""

from __future__ import annotations

import copy
import json
import time
from decimal import Decimal
from typing import Any

import pytest

from tooluse_gym.envs.bfcl.simulators import SIMULATORS, GorillaFileSystem, MathAPI, Simulator, TwitterAPI
from tooluse_gym.envs.bfcl.simulators.file_tree import Directory, File
from tooluse_gym.envs.bfcl.simulators.limits import Budget, RefusedError, power, product, rounded
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.errors import DataNotFoundError
from tooluse_gym.formats.reply import Call

PAYLOAD = {
    "FILE_CONTENT_EXTENSION": " and more",
    "POPULATE_FILE_EXTENSION": ["image_1.jpg", "image_2.jpg"],
    "FILES_TAIL_USED": ["log.txt"],
}


def folder(**contents: Any) -> dict[str, Any]:
    return {"type": "directory", "contents": contents}


def file(text: str) -> dict[str, Any]:
    return {"type": "file", "content": text}


def file_system(**contents: Any) -> GorillaFileSystem:
    return GorillaFileSystem({"root": {"w": folder(**contents)}})


class Counter(Simulator):
    """A simulator that draws random numbers."""

    defaults = {"seen": [], "step": 1}  # noqa: RUF012
    default_seed = 7
    seen: list[int]


class TestSimulator:
    def test_attributes_come_from_the_scenario_or_are_fresh_copies_of_the_defaults(self) -> None:
        scenario = {"step": [2], "unknown": 1}
        first, second = Counter(scenario), Counter()
        first.seen.append(1)
        assert first.state() == {"seen": [1], "step": [2]}
        assert second.state() == {"seen": [], "step": 1}
        assert first.state()["step"] is not scenario["step"]

    def test_a_copy_continues_the_random_sequence_on_its_own(self) -> None:
        counter = Counter()
        counter._random.random()
        clone = copy.deepcopy(counter)
        expected = [counter._random.random() for _ in range(3)]
        assert [clone._random.random() for _ in range(3)] == expected
        assert Counter({"random_seed": 8})._random.random() != Counter()._random.random()

    def test_a_copy_shares_the_payload_and_nothing_else(self) -> None:
        simulator = TwitterAPI({"authenticated": True}, payload=PAYLOAD)
        simulator.post_tweet("a")
        clone = copy.deepcopy(simulator)
        assert clone._payload is simulator._payload
        simulator.mention(0, ["@a"])
        assert clone.tweets[0]["mentions"] == []
        clone.post_tweet("b")
        clone.mention(0, ["@b"])
        assert clone.tweets[1]["mentions"] == ["@b"], "the default list is still shared inside the copy"

    def test_every_tool_is_described(self) -> None:
        for simulator in SIMULATORS.values():
            for tool in simulator.tools.values():
                assert all("description" in schema for schema in tool.parameters["properties"].values()), tool.name


class TestTree:
    def test_parent_links_of_moved_directories_go_stale(self) -> None:
        files = file_system(d=folder(s=folder()))
        assert files.mv("d", "e") == {"result": "'d' moved to 'e'"}
        files.cd("e")
        files.cd("s")
        assert files.pwd() == {"current_working_directory": "/w/d/s"}
        assert files.cd("..") == {}
        files.touch("new")
        assert files.pwd() == {"current_working_directory": "/w/d"}
        files.cd("/")
        assert files.find()["matches"] == ["./e", "./e/s", "./e/new"], "the old node shares the moved one's entries"

    def test_copied_directories_share_their_files(self) -> None:
        files = file_system(d=folder(f=file("old"), s=folder()))
        files.cp("d", "e")
        files.cd("d")
        files.echo("new", "f")
        files.touch("g")
        files.cd("/")
        files.cd("e")
        assert files.cat("f") == {"file_content": "new"}
        assert files.ls() == {"current_directory_content": ["f", "s"]}
        files.cd("s")
        assert files.pwd() == {"current_working_directory": "/w/d/s"}

    def test_a_directory_moved_into_itself_vanishes(self) -> None:
        files = file_system(d=folder(f=file("x")))
        assert files.mv("d", "d") == {"result": "'d' moved to 'd/d'"}
        assert files.ls() == {"current_directory_content": []}

    def test_a_directory_copied_into_itself_contains_itself(self) -> None:
        files, other = file_system(d=folder()), file_system(d=folder())
        assert files.cp("d", "d") == {"result": "'d' copied to 'd/d'"}
        with pytest.raises(RefusedError, match="nested too deeply"):
            files.find()
        with pytest.raises(RefusedError, match="nested too deeply"):
            files.du()
        assert files.root != other.root
        other.cp("d", "d")
        assert files.root == other.root
        clone = copy.deepcopy(files)
        assert clone.root == files.root
        inner = clone.root.contents["d"]
        assert isinstance(inner, Directory)
        loop = inner.contents["d"]
        assert isinstance(loop, Directory)
        assert loop.contents["d"] is loop

    def test_copies_of_copies_stay_bounded(self) -> None:
        files = file_system(d=folder(f=file("x")))
        for _ in range(40):  # each round doubles what is below d
            files.cp("d", "e")
            files.mkdir("top")
            files.mv("d", "top")
            files.mv("e", "top")
            files.mv("top", "d")
        for walk in (files.find, files.du):
            with pytest.raises(RefusedError, match=r"too many entries|too large"):
                walk()
        world = World(["GorillaFileSystem"])
        world.toolsets["GorillaFileSystem"].root = files.root  # type: ignore[attr-defined]
        assert len(json.dumps(world.state())) < 100_000_000
        assert copy.deepcopy(files).root == files.root

    def test_deep_trees_can_be_copied_and_compared(self) -> None:
        files = file_system()
        for _ in range(3_000):
            files.mkdir("d")
            files.cd("d")
        clone = copy.deepcopy(files)
        assert clone.root == files.root
        assert clone.pwd() == files.pwd()
        clone.touch("x")
        assert clone.root != files.root

    def test_equality_ignores_order_and_parents(self) -> None:
        left, right = file_system(a=file("x"), b=folder()), file_system(b=folder(), a=file("x"))
        left.cd("b")
        assert left.root == right.root
        right.echo("y", "a")
        assert left.root != right.root
        assert File("a", "x") != Directory("a")
        assert file_system(a=file("")).root != file_system(a=folder()).root

    def test_long_context_extends_files_and_crowds_leaves(self) -> None:
        scenario = {"root": {"w": folder(**{"log.txt": file("a"), "b.txt": file("b"), "d": folder()})}}
        files = GorillaFileSystem(scenario, long_context=True, payload=PAYLOAD)
        assert files.cat("log.txt") == {"file_content": "a"}
        assert files.cat("b.txt") == {"file_content": "b and more"}
        assert files.find()["matches"] == ["./log.txt", "./b.txt", "./d", "./d/image_1.jpg", "./d/image_2.jpg"]
        assert files.state()["long_context"] is True
        assert GorillaFileSystem(long_context=True).ls() == {"current_directory_content": []}

    def test_long_context_without_payload_names_the_command(self) -> None:
        with pytest.raises(DataNotFoundError, match="tooluse-gym data get bfcl"):
            GorillaFileSystem({"root": {"w": folder()}}, long_context=True)

    def test_only_the_first_root_counts(self) -> None:
        files = GorillaFileSystem({"root": {"w": folder(a=file("")), "stray": folder()}})
        assert files.pwd() == {"current_working_directory": "/w"}


@pytest.mark.parametrize(
    ("command", "arguments", "expected"),
    [
        ("cd", ["d/s"], {"error": "cd: d/s: Unsupported path. Only one folder level at a time is supported."}),
        ("cd", ["d//"], {"current_working_directory": "d"}),
        ("cd", ["//"], {"current_working_directory": "w"}),
        ("cd", ["."], {"current_working_directory": "w"}),
        ("cd", ["f"], {"error": "cd: 'f': No such file or directory"}),
        ("cd", [".."], {"error": "Current directory is already the root. Cannot go back."}),
        ("tail", ["f", 0], {"last_lines": "b\na\nc"}),
        ("tail", ["f", -1], {"last_lines": "a\nc"}),
        ("tail", ["f", 1], {"last_lines": "c"}),
        ("sort", ["f"], {"sorted_content": "a\nb\nc"}),
        ("diff", ["f", "g"], {"diff_lines": "- a\n+ x"}),
        ("wc", ["d", "z"], {"error": "wc: invalid mode 'z'"}),
        ("wc", ["f", "w"], {"count": 3, "type": "words"}),
        ("wc", ["f", "c"], {"count": 5, "type": "characters"}),
        ("echo", ["x", ""], {"terminal_output": "x"}),
        ("echo", ["x", "a|b"], {"error": "echo: cannot write to 'a|b': Invalid character"}),
        ("touch", ["a?"], {"error": "touch: cannot touch 'a?': Invalid character"}),
        ("cp", ["f", "f"], {"error": "cp: cannot copy 'f' to 'f': Not a directory"}),
        ("mv", ["f", "d"], {"error": "mv: cannot move 'f' to 'd/f': File exists"}),
        ("mv", ["f", "/d"], {"error": "mv: path not allowed in destination. Provide only a file or directory name."}),
        ("rmdir", ["d"], {"error": "rmdir: cannot remove 'd': Directory not empty"}),
        ("du", [], {"disk_usage": "8 bytes"}),
        ("du", [True], {"disk_usage": "8.00 B"}),
        ("find", ["d/"], {"matches": ["d/f", "d/s"]}),
        ("find", ["/", "s"], {"matches": ["/d/s"]}),
        ("find", [".."], {"error": "find: '..': No such file or directory"}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_commands(command: str, arguments: list[Any], expected: Any) -> None:
    files = file_system(f=file("b\na\nc"), g=file("b\nx"), d=folder(f=file(""), s=folder()))
    assert getattr(files, command)(*arguments) == expected


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("cp", ["f", "d"], "File 'f' already exists in directory 'd'."),
        ("cp", ["s", "d"], "Directory 's' already exists in directory 'd'."),
        ("echo", ["x", "d"], "'Directory' object has no attribute '_write'"),
    ],
)
def test_commands_that_raise(command: str, arguments: list[str], message: str) -> None:
    files = file_system(f=file(""), s=folder(), d=folder(f=file(""), s=folder()))
    with pytest.raises((ValueError, AttributeError)) as error:
        getattr(files, command)(*arguments)
    assert str(error.value) == message


def test_the_default_root_prints_twice() -> None:
    assert GorillaFileSystem().pwd() == {"current_working_directory": "//"}


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("logarithm", [10.0, 2.0, 5], "{'result': mpf('3.3219299')}"),
        ("logarithm", [0, 2, 5], "{'result': mpf('-inf')}"),
        ("logarithm", [10, 1, 5], '{"error": ""}'),
        ("logarithm", ["a", 2, 5], '{"error": "cannot create mpf from \'a\'"}'),
        ("logarithm", [2, 2, 10**9], '{"error": "precision is limited to 10000 digits"}'),
        ("logarithm", ["1e999999999l", 2, 5], '{"error": "the number is too large"}'),
        ("square_root", [2, 6], "{'result': Decimal('1.41421')}"),
        ("square_root", [-1, 0], '{"error": "Cannot calculate square root of a negative number"}'),
        ("power", [2, 10], '{"result": 1024}'),
        ("power", [2, -1], '{"result": 0.5}'),
        ("round_number", [2.5], '{"result": 2.0}'),
        ("round_number", [15, -(10**9)], '{"result": 0}'),
        ("add", ["a", "b"], '{"result": "ab"}'),
        ("multiply", ["a", 3], '{"error": "Both inputs must be numbers"}'),
        ("multiply", [True, 3], '{"result": 3}'),
        ("divide", [1, 0.0], '{"error": "Cannot divide by zero"}'),
        ("imperial_si_conversion", [3, "x", "x"], '{"result": 3}'),
        ("imperial_si_conversion", [100, "celsius", "fahrenheit"], '{"result": 212.0}'),
        (
            "si_unit_conversion",
            [10**400, "km", "m"],
            '{"error": "Conversion resulted in a value too large to represent"}',
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_math(tool: str, arguments: list[Any], expected: str) -> None:
    assert World(["MathAPI"]).execute(f"{tool}({', '.join(map(repr, arguments))})") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([0.0, -1], "0.0 cannot be raised to a negative power"),
        ([2.5, 10_000], "(34, 'Numerical result out of range')"),
        ([10**9, 10**9], "Exceeds the limit (4300 digits) for integer string conversion"),
    ],
)
def test_powers_that_raise(arguments: list[Any], message: str) -> None:
    with pytest.raises((ZeroDivisionError, OverflowError, RefusedError)) as error:
        MathAPI().power(*arguments)
    assert str(error.value).startswith(message)


def test_precision_does_not_leak() -> None:
    math = MathAPI()
    first = math.logarithm(10, 2, 5)
    math.logarithm(10, 2, 50)
    assert repr(first) == "{'result': mpf('3.3219299')}"
    math.square_root(2, 3)
    assert Decimal(1) / Decimal(3) == Decimal("0.3333333333333333333333333333")
    assert copy.deepcopy(first) == first


class TestTwitter:
    def test_default_lists_are_shared_and_given_ones_are_not(self) -> None:
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

    def test_commons_are_shared_on_request(self) -> None:
        commons: dict[str, Any] = {}
        model, gold = (TwitterAPI({"authenticated": True}, commons=commons) for _ in range(2))
        model.post_tweet("a")
        gold.post_tweet("a")
        model.mention(0, ["@x"])
        assert gold.tweets[0]["mentions"] == ["@x"]

    def test_comments_of_a_scenario_are_never_found(self) -> None:
        twitter = TwitterAPI({"authenticated": True, "tweets": {"1": {"id": 1}}, "comments": {"1": [{"content": "x"}]}})
        assert twitter.get_tweet_comments(1) == []
        twitter.comment(1, "y")
        assert twitter.get_tweet_comments(1) == [{"username": "john", "content": "y"}]
        assert list(twitter.comments) == ["1", 1]

    def test_tags_match_as_a_whole(self) -> None:
        twitter = TwitterAPI({"authenticated": True})
        twitter.post_tweet("Hello", tags=["#World"])
        assert len(twitter.search_tweets("#WORLD")) == 1
        assert twitter.search_tweets("#worl") == []
        assert len(twitter.search_tweets("hell")) == 1

    def test_mentions_do_not_grow_without_end(self) -> None:
        twitter = TwitterAPI({"authenticated": True})
        twitter.post_tweet("a")
        with pytest.raises(RefusedError, match="list of mentions"):
            twitter.mention(0, ["a" * 20_000])
        assert twitter.tweets[0]["mentions"] == []


class TestLimits:
    def test_copies_unfold_sharing(self) -> None:
        value: list[Any] = ["a"]
        for _ in range(60):
            value = [value, value]
        with pytest.raises(RefusedError, match="the arguments is too large"):
            Budget(1_000, "the arguments").copy(value)

    def test_cycles_end(self) -> None:
        value: list[Any] = []
        value.append(value)
        with pytest.raises(RefusedError, match="nested too deeply"):
            Budget(1_000, "the value").copy(value)

    @pytest.mark.parametrize(("number", "places"), [(15, -1), (25, -1), (949, -3), (951, -3), (5, 2), (2.675, 2)])
    def test_rounding_is_exact(self, number: Any, places: int) -> None:
        assert rounded(number, places) == round(number, places)

    def test_small_results_are_exact(self) -> None:
        assert power(3, 200) == 3**200
        assert power(1, 10**12) == 1
        assert power(-1, 10**12 + 1) == -1
        assert product("ab", 3) == "ababab"
        with pytest.raises(RefusedError):
            product([0], 10**9)


NASTY: list[Any] = [
    10**9,
    -(10**9),
    10**4_000,
    1e308,
    0.5,
    -1,
    True,
    None,
    "",
    "/",
    "..",
    "w",
    "1e999999999",
    "é" * 20_000,
    "a\n" * 10_000,
    list(range(4_000)),
    ["a" * 5_000] * 6,
    {"a": [{"b": 1}]},
    json.loads("[" * 90 + "]" * 90),
]


@pytest.mark.parametrize(
    ("owner", "tool"), [(owner, tool) for owner, simulator in SIMULATORS.items() for tool in simulator.tools]
)
def test_no_argument_makes_a_call_run_away(owner: str, tool: str) -> None:
    scenario = {
        "GorillaFileSystem": {"root": {"r": folder(w=folder(f=file("x" * 50_000)))}},
        "TwitterAPI": {"authenticated": True, "tweets": {"-1": {"id": -1, "tags": [], "mentions": [], "content": ""}}},
    }
    names = list(SIMULATORS[owner].tools[tool].parameters["properties"])
    choices = [
        *((value,) * len(names) for value in NASTY),
        *((value, 2, 10**9) for value in NASTY),
        *(("w", value, value) for value in NASTY if len(names) > 1),
    ]
    world = World([owner], scenario)
    for values in choices:
        arguments = dict(zip(names, values, strict=False))
        start = time.perf_counter()
        official = world.execute(Call(tool, arguments).text)
        strict = world.call(Call(tool, arguments)).text
        assert time.perf_counter() - start < 5, arguments
        assert len(official) + len(strict) < 5_000_000
