"""Requests to a server: what is made of its answers, and of its troubles."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tooluse_gym.evaluation import server as server_module
from tooluse_gym.evaluation.server import ContextTooLongError, Said, Server, ServerError, only_model, reply_text
from tooluse_gym.formats import get_format

BAD_CALL = {"choices": [{"message": {"tool_calls": [{"function": {"name": "ls", "arguments": {}}}]}}]}
TROUBLES = {
    "busy": (503, {"error": "loading"}),
    "broken": (500, b"Traceback"),
    "too many": (429, b""),
    "not JSON": (200, b"cut o"),
    "nothing": (200, b""),
    "not a completion": (200, {"object": "list"}),
    "no choice": (200, {"choices": []}),
    "a list": (200, [1]),
    "not OpenAI's calls": (200, BAD_CALL),
    "not text": (200, {"choices": [{"message": {"content": [{"text": "hi"}]}}]}),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_a_request_that_fails_for_the_moment_is_made_again(trouble: tuple[int, Any], serve: Any, says: Any) -> None:
    troubles = [trouble, trouble]
    url = serve(lambda request: troubles.pop() if troubles else says("well"))
    assert Server(url, "m", pause=0.001).complete(messages=[]).content == "well"
    with pytest.raises(ServerError, match=r"http://127\.0\.0\.1:\d+/v1/chat/completions"):
        Server(serve(lambda request: trouble), "m", tries=2, pause=0.001).complete(messages=[])


def test_all_requests_wait_as_long_as_the_server_says(serve: Any, says: Any) -> None:
    troubles, asked = [(429, b"")], []

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        asked.append(time.monotonic())
        answered: tuple[int, Any] = troubles.pop() if troubles else says("well")
        return answered

    server = Server(serve(answer, Retry_After="0.3"), "m", pause=0.001)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(server.complete, messages=[])
        while not asked:
            time.sleep(0.001)
        time.sleep(0.05)
        second = threads.submit(server.complete, messages=[])
        assert [first.result().content, second.result().content] == ["well", "well"]
    assert min(asked[1:]) - asked[0] >= 0.3


def test_requests_are_spread_over_the_minute(serve: Any, says: Any) -> None:
    server = Server(serve(lambda request: says("well")), "m", per_minute=600)
    began = time.monotonic()
    for _ in range(4):
        server.complete(messages=[])
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ((404, {"error": "the model m does not exist"}), r"answers 404: .*the model m does not exist"),
        ((401, b"who?"), r"answers 401: who\? \(the key is \$OPENAI_API_KEY\)"),
        ((400, b"no such field"), "answers 400: no such field"),
    ],
    ids=["no such model", "wrong key", "bad request"],
)
def test_refusals_are_told_at_once(refusal: tuple[int, Any], message: str, serve: Any) -> None:
    asked = []

    def refuse(request: dict[str, Any]) -> tuple[int, Any]:
        asked.append(request)
        return refusal

    with pytest.raises(ServerError, match=message):
        Server(serve(refuse), "m").complete(messages=[])
    assert len(asked) == 1


def test_nobody_listens() -> None:
    with pytest.raises(ServerError, match=r"http://127\.0\.0\.1:9/chat/completions: URLError"):
        Server("http://127.0.0.1:9", "m", tries=2, pause=0.001).complete(messages=[])


HEAD = b"HTTP/1.1 200 OK\r\n"
HALF_DEAD = {
    "hangs up": b"",
    "is no server of HTTP": b"hello\r\n\r\n",
    "hangs up amid the head": HEAD + b"Content-Le",
    "hangs up amid the answer": HEAD + b'Content-Length: 100\r\n\r\n{"choices": [{"mess',
    "hangs up amid a part": HEAD + b"Transfer-Encoding: chunked\r\n\r\n50\r\n{",
    "hangs up amid a refusal": b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
    "nests without end": HEAD + b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000,
}


@pytest.mark.parametrize("said", HALF_DEAD.values(), ids=HALF_DEAD)
def test_a_server_that_dies_amid_an_answer(said: bytes, speak: Callable[[bytes], str]) -> None:
    url = speak(said)
    with pytest.raises(ServerError, match=f"{url}/chat/completions"):
        Server(url, "m", tries=2, pause=0.001).complete(messages=[])
    with pytest.raises(ServerError, match=f"{url}/models does not tell the model's name"):
        only_model(url)


@pytest.mark.parametrize(
    ("every", "message"),
    [(0.02, r"no whole answer within 0\.2 seconds"), (10.0, "timed out")],
    ids=["a byte now and then", "hangs"],
)
def test_an_answer_that_never_ends_is_waited_for_so_long(every: float, message: str, speak: Callable[..., str]) -> None:
    began = time.monotonic()
    url = speak(HEAD + b"Content-Length: 1000\r\n\r\n" + b" " * 900, every)
    with pytest.raises(ServerError, match=message):
        Server(url, "m", seconds=0.2, tries=1).complete(messages=[])
    assert time.monotonic() - began < 5


def test_a_conversation_that_is_too_long(serve: Any) -> None:
    refusal = 400, {"error": {"message": "maximum context length is 100 tokens"}}
    with pytest.raises(ContextTooLongError):
        Server(serve(lambda request: refusal), "m").complete(messages=[])


def test_long_answers_are_read_and_endless_ones_are_not(serve: Any, says: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = serve(lambda request: says("x" * 10_000_000))
    assert len(Server(url, "m").complete(messages=[]).content) == 10_000_000
    monkeypatch.setattr(server_module, "_LARGEST_ANSWER", 1_000_000)
    with pytest.raises(ServerError, match="an answer of more than 1000000 bytes"):
        Server(url, "m", tries=1).complete(messages=[])


def test_extra_fields_go_over_ours(serve: Any, says: Any) -> None:
    requests = []

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        requests.append(request)
        answered: tuple[int, Any] = says("well")
        return answered

    server = Server(serve(answer), "some-model", key="word", extra={"top_p": 0.9, "temperature": None})
    server.complete(messages=[], temperature=0.0, max_tokens=60)
    (request,) = requests
    assert (request["path"], request["model"], request["key"]) == ("/v1/chat/completions", "some-model", "Bearer word")
    assert (request["max_tokens"], request["top_p"]) == (60, 0.9)
    assert "temperature" not in request


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((200, {"data": [{"id": "a"}, {"id": "b"}]}), r"offers a, b: choose one with --name"),
        ((200, {"data": []}), "offers no model"),
        ((200, b"{"), "does not tell the model's name"),
        ((404, b""), "does not tell the model's name"),
    ],
    ids=["two", "none", "not JSON", "not there"],
)
def test_a_model_without_a_name(answer: tuple[int, Any], message: str, serve: Any) -> None:
    assert only_model(serve(lambda request: (200, {"data": [{"id": "the-one"}]}))) == "the-one"
    with pytest.raises(ServerError, match=message):
        only_model(serve(lambda request: answer))


def _call(arguments: str) -> dict[str, Any]:
    return {"id": "a", "function": {"name": "ls", "arguments": arguments}}


WRITTEN = '<tool_call>\n{"name": "ls", "arguments": {"a": true}}\n</tool_call>'


@pytest.mark.parametrize(
    ("format", "said", "expected"),
    [
        ("hermes", Said(" as it is\n", None, (), False), " as it is\n"),
        ("hermes", Said("", None, (), False), ""),
        ("hermes", Said("", None, (_call('{"a": true}'),), False), WRITTEN),
        ("hermes", Said("done", "easy", (), False), "<think>\neasy\n</think>\n\ndone"),
        ("hermes", Said("well", None, (_call("{"),), False), 'well\n{"name": "ls", "arguments": "{"}'),
        (
            "toolrl",
            Said("well", "easy", (_call(""),), False),
            '<think> easy </think>\n<tool_call>\n{"name": "ls", "parameters": {}}\n</tool_call>\n'
            "<response> well </response>",
        ),
        ("structured", Said("well", "easy", (_call("{"),), False), '[{"name": "ls", "arguments": "{"}]'),
        ("pythonic", Said("", "easy", (_call('{"a": 1}'),), False), "[ls(a=1)]"),
    ],
    ids=["text", "nothing", "call", "thought", "broken call", "all at once", "function calling", "no thoughts"],
)
def test_replies_are_made_of_messages(format: str, said: Said, expected: str) -> None:
    assert reply_text(said, get_format(format)) == expected
