"""Call texts mean what upstream's ``eval`` makes of them; nothing else of Python can be reached."""

from __future__ import annotations

import json
import time
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tooluse_gym.envs.bfcl import executor as executor_module
from tooluse_gym.envs.bfcl.world import World
from tooluse_gym.formats import FORMATS, Call, get_format
from tooluse_gym.formats.wording import UnwritableReplyError

ERROR = "Error during execution: "
SOURCE = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
ADD = f"{SOURCE}.math_api.MathAPI.add()"
ASYNCHRONOUS = "asynchronous comprehension outside of an asynchronous function"


def world(actor: str = "model") -> World:
    contents = {
        "f": {"type": "file", "content": "one\ntwo"},
        "d": {"type": "directory", "contents": {}},
    }
    scenario = {
        "GorillaFileSystem": {"root": {"w": {"type": "directory", "contents": contents}}},
        "TwitterAPI": {"authenticated": True},
    }
    return World(["GorillaFileSystem", "MathAPI", "TwitterAPI"], scenario, actor=actor)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add(1, b=2)", '{"result": 3}'),
        ("  add(1, 2)", '{"result": 3}'),
        ("add \n\t(1, 2)", '{"result": 3}'),
        ("add(*[1, 2])", '{"result": 3}'),
        ("add(**{'a': 1, 'b': -2})", '{"result": -1}'),
        ("add(add(1, 2)['result'], 3)", '{"result": 6}'),
        ("cat(file_name=ls()['current_directory_content'][0])", '{"file_content": "one\\ntwo"}'),
        ("touch('new')", "None"),
        ("get_user_tweets('x')", "[]"),
        ("[add(1, 2), pwd()]", "[{'result': 3}, {'current_working_directory': '/w'}]"),
        ("len('abc')", "3"),
        ("len (pwd())", "1"),
        ("print('x')", "None"),
        ("str", "<class 'str'>"),
        ("max([1, 3], key=abs)", "3"),
        ("round(2.567, 1)", "2.6"),
        ("round(2.567, ndigits=1)", "2.6"),
        ("round(2.5), round(number=3.5, ndigits=None)", "(2, 4)"),
        ("sum([1.5, 2]), sum([1], start=2)", "(3.5, 3)"),
        ("sum([[1]], [2]), sum([], ())", "([2, 1], ())"),
        ("print(1, sep='', end='', flush=True)", "None"),
        ("logarithm(9, 2, 5)['result'] ** 2", "10.048"),
        ("int(logarithm(9, 2, 5)['result'] % 2 * 100)", "116"),
        ("'a' 'b'", "ab"),
        ("{'a': 1, **{'b': (1, 'é')}}", '{"a": 1, "b": [1, "\\u00e9"]}'),
        ("{1: b'x'}", "{1: b'x'}"),
        ("1 + 2 * 3 ** 2 - 4 // 3 % 2 / 1", "18.0"),
        ("'ab' * 2 + 'c'", "ababc"),
        ("'abcd'[1:-1], [1, 2, 3][::2]", "('bc', [1, 3])"),
        ("1 < 2 < 3 != 4", "True"),
        ("1 > 2 > nope", "False"),
        ("0 or '' or 'x'", "x"),
        ("1 and 0 and nope", "0"),
        ("'y' if 2 in [1, 2] else nope", "y"),
        ("not None", "True"),
        ("-0.0", "-0.0"),
        ("...", "Ellipsis"),
    ],
)
def test_results(text: str, expected: str) -> None:
    assert world().execute(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nope(a=undefined)", "name 'nope' is not defined"),
        ("touch(a=undefined)", "name 'undefined' is not defined"),
        ("touch", "name 'touch' is not defined"),
        ("math_api.add(1, 2)", "name 'math_api' is not defined"),
        ("add(", "'(' was never closed (<string>, line 1)"),
        ("add(1))", "unmatched ')' (<string>, line 1)"),
        ("add(a=1, a=2)", "keyword argument repeated: a (<string>, line 1)"),
        ("rmdir()", "GorillaFileSystem.rmdir() missing 1 required positional argument: 'dir_name'"),
        ("rmdir(zzz=1)", "GorillaFileSystem.rmdir() got an unexpected keyword argument 'zzz'"),
        ("pwd(1)", "GorillaFileSystem.pwd() takes 1 positional argument but 2 were given"),
        ("wc(1, 2, 3)", "GorillaFileSystem.wc() takes from 2 to 3 positional arguments but 4 were given"),
        ("cat('f', file_name='f')", "GorillaFileSystem.cat() got multiple values for argument 'file_name'"),
        ("[1,2][5]()", "list index out of range"),
        ("{'a': 1}['b']", "'b'"),
        ("'a'(nope)", "name 'nope' is not defined"),
        ("'a'(1)", "'str' object is not callable"),
        ("touch('x')()", "'NoneType' object is not callable"),
        ("'a' + 1", 'can only concatenate str (not "int") to str'),
        ("{[]: 1}", "unhashable type: 'list'"),
        ("int.nope", "type object 'int' has no attribute 'nope'"),
        ("'a'.nope", "'str' object has no attribute 'nope'"),
        ("(yield)", "'yield' outside function (<string>, line 1)"),
        ("nope(await x)", "'await' outside function (<string>, line 1)"),
        ("nope([x async for x in y])", f"{ASYNCHRONOUS} (<string>, line 1)"),
        ("nope(__debug__=1)", "cannot assign to __debug__ (<string>, line 1)"),
        ("nope(a=1, b=2,\nb=3,\na=4)", "keyword argument repeated: a (<string>, line 3)"),
        ("[nope(a=1, a=2), (yield)]", "keyword argument repeated: a (<string>, line 1)"),
        ("[(yield), nope(a=1, a=2)]", "'yield' outside function (<string>, line 1)"),
        ("add(*1)", f"{ADD} argument after * must be an iterable, not int"),
        ("add(*1, 2)", "Value after * must be an iterable, not int"),
        ("add(*1, b=nope)", "name 'nope' is not defined"),
        ("add(**1)", f"{ADD} argument after ** must be a mapping, not int"),
        ("add(*None, **None)", f"{ADD} argument after ** must be a mapping, not NoneType"),
        ("add(a=1, **{'a': 2})", f"{ADD} got multiple values for keyword argument 'a'"),
        ("add(**{'a': 1}, a=2, b=nope)", "name 'nope' is not defined"),
        ("add(**{1: 2}, b=nope)", "name 'nope' is not defined"),
        ("add(**{1: 2})", "keywords must be strings"),
        ("get_tweet(**1)", f"{SOURCE}.posting_api.TwitterAPI.get_tweet() argument after ** must be a mapping, not int"),
        ("str(**1)", "str() argument after ** must be a mapping, not int"),
        ("'a'(*1)", "a argument after * must be an iterable, not int"),
        ("'a'(**{1: 1})", "'str' object is not callable"),
        ("{[]: 1, 2: nope}", "name 'nope' is not defined"),
        ("{[]: 1, **nope}", "unhashable type: 'list'"),
        (f"{{[]: 1, {'2: 2, ' * 15} 3: nope}}", "unhashable type: 'list'"),
        ("round()", "round() missing required argument 'number' (pos 1)"),
        ("round(1, number=2)", "argument for round() given by name ('number') and position (1)"),
        ("sum()", "sum() takes at least 1 positional argument (0 given)"),
        ("sum([1], 2, 3)", "sum() takes at most 2 arguments (3 given)"),
        ("sum([1], [])", 'can only concatenate list (not "int") to list'),
        ("sum([[1]])", "unsupported operand type(s) for +: 'int' and 'list'"),
        ("print(sep=1)", "sep must be None or a string, not int"),
        ("print(1, file=2)", "'int' object has no attribute 'write'"),
        ("kill(pid=1)", "Function call kill is not allowed."),
        ("exit", "Function call exit is not allowed."),
        ("os.remove (path='x')", "Function call remove is not allowed."),
        ("os.path.remove('x')", "name 'os' is not defined"),
    ],
)
def test_errors_read_as_cpythons(text: str, expected: str) -> None:
    assert world().execute(text) == ERROR + expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open('/etc/passwd')",
        "eval('1')",
        "input('x')",
        "set([1])",
        "{1, 2}",
        "(lambda: 1)()",
        "[x for x in 'ab']",
        "f'{1}'",
        "(x := 1)",
        "'abc'.upper()",
        "().__class__",
        "'%1000000000d' % 1",
        "1 << 10",
        "model_MathAPI_instance.__class__",
        "model_MathAPI_instance",
        "model_MathAPI_instance._commons",
        "model_MathAPI_instance.state()",
        " exit()",
    ],
)
def test_the_rest_of_python_is_out_of_reach(text: str) -> None:
    before = world().state()
    after = world()
    assert after.execute(text).startswith(ERROR)
    assert after.state() == before


def test_names_before_parentheses_are_rewritten_inside_strings_too() -> None:
    model, gold = world("model"), world("gold")
    for one in (model, gold):
        one.execute("post_tweet('call sort (x) or nothing (y)')")
    assert json.loads(model.execute("get_tweet(0)"))["content"] == (
        "call model_GorillaFileSystem_instance.sort(x) or nothing(y)"
    )
    assert model.differs(gold) == {"TwitterAPI": ["tweets"]}


def test_earlier_calls_of_a_failing_text_stay_done() -> None:
    files = world()
    assert files.execute("[touch('a'), nope()]") == ERROR + "name 'nope' is not defined"
    assert "a" in files.execute("ls()")


def test_nested_results_are_passed_as_copies() -> None:
    twitter = world()
    for text in ("post_tweet('a')", "post_tweet('b', mentions=[])"):
        twitter.execute(text)
    assert twitter.execute("mention(1, [get_tweet(1)])") == '{"mention_status": "Users mentioned successfully"}'
    assert json.loads(twitter.execute("get_tweet(1)"))["mentions"][0]["mentions"] == []


def test_odd_literals_neither_print_nor_warn(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert world().execute(r"len('\d')") == "2"
        assert world().execute("[1, 2]('a')") == ERROR + "'list' object is not callable"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "10 ** 10 ** 10",
        "'a' * 10 ** 9",
        "[0] * 10 ** 9",
        "+".join(["[0] * 99999"] * 5_000),
        "-" * 90_000 + "1",
        "not " * 20_000 + "1",
        "(" * 199 + ")" * 199,
        "1+" * 40_000 + "1",
        "x" * 200_000,
        "a " * 40_000,
        "a(" * 30_000,
        "[" + "du()," * 10_000 + "]",
        "[" + ",".join(["find('/')"] * 30) + "]",
        "sum([[0]] * 30000, [])",
        "[cat('big')] * 3000",
        "str(str([cat('big')] * 90))",
        "repr(" * 32 + "'\\\\'" + ")" * 32,
        "power(power(2, 0.5), 10 ** 4000)",
        "add(logarithm(2, 10, 10000)['result'], 1)",
        "power(logarithm(2, 10, 10)['result'], 10 ** 4000)",
        "logarithm(2, 10, 10 ** 4000)",
        "int(logarithm(8, 2, 5)['result'] ** 2 ** 35)",
        "int(power(logarithm(8, 2, 5)['result'], 2 ** 35)['result'])",
        "int(square_root(10 ** 4000, 5)['result'] ** 400)",
        "logarithm(8, 2, 5)['result'] ** 2 ** 35 % 3",
        "5 % logarithm(8, 2, 5)['result'] ** -(2 ** 35)",
        "2 ** (logarithm(8, 2, 5)['result'] ** 2 ** 35)",
        "power(2, logarithm(8, 2, 5)['result'] ** 2 ** 35)",
        "1.5 ** (logarithm(8, 2, 5)['result'] ** 20000)",
        "square_root(2, 9999)['result'] ** square_root(2, 9999)['result']",
        "power(square_root(2, 9999)['result'], square_root(2, 9999)['result'])",
        "sum([[0]] * 30000, [0] * 30000)",
        "square_root(0x" + "f" * 90_000 + ", 10000)",
        "multiply(0x" + "f" * 90_000 + ", 0x" + "f" * 9_000 + ")",
        "standard_deviation([0x" + "f" * 4_000 + "] * 20)",
        "round_number(0x" + "f" * 9_000 + ", -10**9)",
        "mention(0, ['@x'] * 90000)",
        "echo('x' * 99999999)",
        "\0",
        "'\ud800'",
    ],
    ids=lambda text: text[:24],
)
def test_no_text_runs_away(text: str) -> None:
    one = world()
    one.execute("post_tweet('x')")
    one.execute("touch('big')")
    one.execute(f"echo('{'x' * 90_000}', 'big')")
    start = time.perf_counter()
    result = one.execute(text)
    assert time.perf_counter() - start < 5
    assert len(result) <= 3_000_000


def test_state_stays_bounded_when_results_feed_calls() -> None:
    one = world()
    one.execute("touch('x')")
    one.execute("echo('ab', 'x')")
    for _ in range(40):
        one.execute("echo(cat('x')['file_content'] * 2, 'x')")
    assert len(one.execute("cat('x')")) < 110_000
    one.execute("post_tweet('a', mentions=[])")
    for _ in range(60):
        one.execute("mention(0, [get_tweet(0)['mentions'], get_tweet(0)['mentions']])")
    assert len(one.execute("get_tweet(0)")) < 100_000


CALLS = st.lists(
    st.sampled_from(
        [
            *(
                "add",
                "cat",
                "cd",
                "cp",
                "mv",
                "find",
                "touch",
                "post_tweet",
                "mention",
                "logarithm",
                "power",
                "len",
                "x",
            ),
            *(
                "(",
                ")",
                "[",
                "]",
                "{",
                "}",
                ",",
                ":",
                "=",
                "*",
                "**",
                "-",
                "+",
                ".",
                " ",
                "'",
                '"',
                "\\",
                "\n",
                "lambda ",
            ),
            *(
                "0",
                "1",
                "1e9",
                "0.5",
                "'a'",
                "'d'",
                "None",
                "True",
                "not ",
                " if ",
                " else ",
                " for ",
                " in ",
                "a",
                "b",
            ),
        ]
    ),
    max_size=30,
).map("".join)


@given(st.one_of(st.text(max_size=200), CALLS))
@example("\x00")
@example("'\ud800'")
@example("\ufeff1")
@settings(max_examples=500)
def test_any_text_gives_an_observation(text: str) -> None:
    result = world().execute(text)
    assert isinstance(result, str)
    assert result == world().execute(text)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.sampled_from(["f", "d", "call sort (x)", "(", "'", "\\", "\ud800", 10**4000, -0.0, 1j, b"x", ...]),
    ),
    lambda items: st.one_of(
        st.lists(items, max_size=3),
        st.lists(items, max_size=2).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(), st.none()), items, max_size=2),
        st.integers(1, 30).flatmap(lambda depth: items.map(lambda item: _nested(item, depth))),
    ),
    max_leaves=6,
)
ODD_NAMES = ("self", "class", "None", "__debug__", "été", "ﬁ", "a b", "x=1, y", "**", "")


def _nested(item: object, depth: int) -> object:
    for level in range(depth):
        item = [item] if level % 2 else {"a": item}
    return item


@st.composite
def generated_calls(draw: st.DrawFn) -> Call:
    """Calls as they come out of a format, and calls that no format makes."""
    tools = world().tools
    name = draw(st.sampled_from([*tools, "len", "exit", "nope", "été", ""]))
    known = [*tools[name].parameters["properties"]] if name in tools else []
    arguments = {name: draw(VALUES) for name in known if draw(st.integers(0, 9))}
    if not draw(st.integers(0, 9)):
        arguments[draw(st.sampled_from(ODD_NAMES))] = draw(VALUES)
    call = Call(name, arguments, source=draw(st.sampled_from([None, None, None, "add(1, 2)", f"{name}()", ""])))
    try:
        reply_format = get_format(draw(st.sampled_from(FORMATS)))
        return reply_format.parse(reply_format.write([call])).calls[0] if draw(st.booleans()) else call
    except UnwritableReplyError:
        return call


@given(st.lists(generated_calls(), max_size=6))
@example([Call("pwd", {"__debug__": 1})])
@example([Call("post_tweet", {"content": "call sort (x)"})])
@example([Call("post_tweet", {"content": "", "mentions": _nested([], 90)}), Call("get_user_tweets", {"username": ""})])
@settings(max_examples=300)
def test_a_call_does_what_its_text_does(calls: list[Call]) -> None:
    by_call, by_text = world(), world()
    for call in calls:
        assert by_call.execute_call(call) == by_text.execute(call.text)
    assert repr(by_call.state()) == repr(by_text.state())


def test_the_module_evaluates_nothing() -> None:
    assert executor_module.__file__ is not None
    source = Path(executor_module.__file__).read_text(encoding="utf-8")
    for forbidden in (" eval(", " exec(", " compile(", "importlib"):
        assert forbidden not in source
