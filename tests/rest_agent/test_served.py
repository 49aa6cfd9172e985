"""Evaluation over HTTP: what is said to a server, and that a real one is played as the model itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils.import_utils import is_serve_available

from rest_agent import policy, served
from rest_agent.chat import Chat
from rest_agent.config import EnvironmentConfig, ModelConfig
from rest_agent.environments import make_env
from rest_agent.regions import TokenText
from rest_agent.rollout import Arena
from rest_agent.sampling.decode import Sampling
from rest_agent.served import ContextTooLongError, Said, ServedArena, Server, ServerError, reply_text
from rest_agent.sft import demonstration_batch, sft_loss
from tooluse_gym import trajectory
from tooluse_gym.formats import get_format

DATA = Path(os.environ.get("TOOLUSE_TEST_DATA", Path(__file__).parents[2] / "../shared/data")) / "bfcl"
SMALL = {"starter": {"turns": 2, "tools_shown": 2}}
TASKS = 16

Answer = Callable[[dict[str, Any]], tuple[int, Any]]
"""The status and the body of the answer to a request."""


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """Starts a server that answers so; its address."""
    servers = []

    def start(answer: Answer, **headers: str) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request["path"], request["key"] = self.path, self.headers.get("Authorization")
                status, body = answer(request)
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _says(content: str | None, finish_reason: str = "stop", **message: Any) -> tuple[int, Any]:
    return 200, {"choices": [{"message": {"content": content, **message}, "finish_reason": finish_reason}]}


def _arena(**config: Any) -> ServedArena:
    return ServedArena(EnvironmentConfig(**{"options": SMALL, "tools_from": "system", **config}))


# A real server


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Arena, Any, list[Any]]:
    """A new model that has learned some tasks by heart: its folder, where it plays, itself, the tasks' beginnings."""
    env = make_env(EnvironmentConfig(options=SMALL))
    texts: list[str] = []
    for seed in range(TASKS):
        env.demonstrate(seed=seed)
        texts += [*(message["content"] for message in env.conversation), *map(json.dumps, env.tools)]
    tokenizer = policy.train_tokenizer(texts, 500)
    torch.manual_seed(0)
    model = policy.new_model(ModelConfig(hidden_size=64, layers=2, intermediate_size=128), tokenizer)
    arena = Arena(EnvironmentConfig(options=SMALL), Chat(tokenizer, show_tools=True), TokenText(tokenizer))
    demonstrations = [arena.demonstration(seed, 0.0) for seed in range(TASKS)]
    batch = demonstration_batch(demonstrations, tokenizer.pad_token_id, "sft", 1.0, None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    for _ in range(55):
        sft_loss(model, batch, float(batch.weights.sum())).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    folder = tmp_path_factory.mktemp("learned")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, arena, model.eval(), [arena._start(env, task_id=one.task_id) for one in demonstrations]


@pytest.fixture(scope="module")
def transformers_serve(
    learned: Any, free_port: Callable[[], int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of ``transformers serve`` with that model."""
    port = free_port()
    run = "from transformers.cli.transformers import main; main()"
    options = ["serve", str(learned[0]), "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as file:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        server = subprocess.Popen([sys.executable, "-c", run, *options], env=environment, stdout=file, stderr=file)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.5)
        else:
            pytest.fail(f"the server does not start: {log.read_text()}")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.mark.skipif(not is_serve_available(), reason="transformers[serving] is not installed")
def test_a_served_model_says_what_the_model_itself_says(learned: Any, transformers_serve: str) -> None:
    """Greedy, over whole episodes: the same texts, results, rewards and verdicts."""
    folder, arena, model, starts = learned
    expected = arena.rollouts(model, starts, Sampling(0.0, max_reply_tokens=80, max_tokens=4000), seed=0)
    found = ServedArena(arena.config).rollouts(Server(transformers_serve, str(folder)), starts, 0.0, 80)
    for one, two in zip(found, expected, strict=True):
        assert one.trajectory == two.trajectory
        assert (one.reward, one.truncated, one.turn_rewards) == (two.reward, two.truncated, two.turn_rewards)
    assert sum(one.valid for one in found) >= TASKS // 2
    assert sum(one.calls for one in found) >= TASKS


@pytest.mark.skipif(not is_serve_available(), reason="transformers[serving] is not installed")
def test_a_real_server_refuses_what_it_does_not_know(learned: Any, transformers_serve: str) -> None:
    with pytest.raises(ServerError, match="answers 4"):
        Server(transformers_serve, "another-model").complete(messages=[])


# What is said to a server, and what is made of its answers


def test_what_a_request_says(serve: Any) -> None:
    requests = []

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        requests.append(request)
        calls = '<tool_call>\n{"name": "nope", "arguments": {}}\n</tool_call>' if len(requests) == 1 else "that is all"
        return _says(calls)

    arena = _arena(results_as="user")
    extra = {"top_p": 0.9, "temperature": None}
    server = Server(serve(answer), "some-model", key="word", extra=extra)
    starts = arena.sample_tasks("train", 0, 1)
    arena.rollouts(server, starts, 0.0, 60)
    first, second, third = requests
    assert (first["path"], first["model"], first["key"]) == ("/v1/chat/completions", "some-model", "Bearer word")
    assert (first["max_tokens"], first["top_p"]) == (60, 0.9)
    assert not first.keys() & {"tools", "temperature"}
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "user"]
    assert second["messages"][-1]["content"].startswith("<tool_response>")
    assert third["messages"][-1]["role"] == "user"
    seeds = [request["seed"] for request in requests]
    assert len(set(seeds)) == 3
    requests.clear()
    arena.rollouts(server, starts, 0.0, 60)
    assert [request["seed"] for request in requests] == seeds


OFFICIAL = pytest.param(
    {"dataset": "miss_func", "data_dir": str(DATA), "validation": "official", "rubric": "official"},
    id="miss_func",
    marks=pytest.mark.skipif(not DATA.is_dir(), reason="BFCL's files are not here"),
)


@pytest.mark.parametrize("options", [pytest.param(SMALL, id="starter"), OFFICIAL])
def test_function_calling_is_told_in_openais_form(options: dict[str, Any], serve: Any) -> None:
    """A server that knows the right calls: its episodes are valid, and every result answers a call by its id."""
    arena = _arena(format="structured", tools_from="template", options=options)
    starts = arena.held_out_tasks("test", 3)
    right = {}
    for start in starts:
        env = arena.take(start)
        record = env.demonstrate(seed=0, options={"task_id": start.task.id})
        right[start.task.turns[0].messages[0]["content"]] = [step.action for step in record.steps]
        arena.give_back(env)
    offered: dict[str, set[int]] = {}

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        said = request["messages"]
        calls = [call for message in said for call in message.get("tool_calls", ())]
        results = [message for message in said if message["role"] == "tool"]
        assert [call["id"] for call in calls] == [result["tool_call_id"] for result in results]
        number = sum(message["role"] == "assistant" for message in said)
        asked = next(message["content"] for message in said if message["role"] == "user")
        offered.setdefault(asked, set()).add(len(request["tools"]))
        action = right[asked][number]
        if not action.startswith("["):
            return _says(action)
        calls = [
            {
                "id": f"call-{number}-{place}",
                "type": "function",
                "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
            }
            for place, call in enumerate(json.loads(action))
        ]
        return _says(None, "tool_calls", tool_calls=calls)

    played = arena.rollouts(Server(serve(answer), "m"), starts, 0.0, 60)
    assert [one.valid for one in played] == [True] * 3
    assert sum(one.calls for one in played) > 3
    assert any(len(counts) > 1 for counts in offered.values()) == ("dataset" in options)  # some are revealed later


def test_calls_that_were_not_carried_out_are_told_as_text(serve: Any) -> None:
    requests = []
    call = {"id": "a", "type": "function", "function": {"name": "ls", "arguments": "{"}}

    def answer(request: dict[str, Any]) -> tuple[int, Any]:
        requests.append(request)
        return _says(None, tool_calls=[call]) if len(requests) == 1 else _says("that is all")

    arena = _arena(format="structured", tools_from="template", options={**SMALL, "validation": "official"})
    (played,) = arena.rollouts(Server(serve(answer), "m"), arena.sample_tasks("train", 0, 1), 0.0, 60)
    assert requests[1]["messages"][-2:][0] == {
        "role": "assistant",
        "content": '[{"name": "ls", "arguments": "{"}]',
    }
    assert played.calls == 0


def test_a_reply_that_was_cut_truncates_its_episode(serve: Any) -> None:
    arena = _arena()
    server = Server(serve(lambda request: _says("well,", finish_reason="length")), "m")
    (played,) = arena.rollouts(server, arena.sample_tasks("train", 0, 1), 0.0, 60)
    assert played.truncated


BAD_CALL = {"choices": [{"message": {"tool_calls": [{"function": {"name": "ls", "arguments": {}}}]}}]}


@pytest.mark.parametrize(
    "trouble",
    [(503, {"error": "loading"}), (200, b"cut o"), (200, {"object": "list"}), (200, [1]), (200, BAD_CALL), (429, b"")],
    ids=["busy", "not JSON", "not a completion", "a list", "not OpenAI's calls", "too many"],
)
def test_a_request_that_fails_for_the_moment_is_made_again(trouble: tuple[int, Any], serve: Any) -> None:
    troubles = [trouble, trouble]
    url = serve(lambda request: troubles.pop() if troubles else _says("well"))
    assert Server(url, "m", pause=0.001).complete(messages=[]).content == "well"
    with pytest.raises(ServerError, match=r"http://127\.0\.0\.1:\d+/v1/chat/completions"):
        Server(serve(lambda request: trouble), "m", tries=2, pause=0.001).complete(messages=[])


def test_the_server_says_how_long_to_wait(serve: Any) -> None:
    troubles = [(429, b"")]
    url = serve(lambda request: troubles.pop() if troubles else _says("well"), Retry_After="0.3")
    began = time.monotonic()
    assert Server(url, "m", pause=0.001).complete(messages=[]).content == "well"
    assert time.monotonic() - began >= 0.3


def test_refusals_are_told_at_once(serve: Any) -> None:
    asked = []

    def refuse(request: dict[str, Any]) -> tuple[int, Any]:
        asked.append(request)
        return 404, {"error": "the model m does not exist"}

    arena = _arena()
    with pytest.raises(ServerError, match=r"answers 404: .*the model m does not exist"):
        arena.rollouts(Server(serve(refuse), "m"), arena.sample_tasks("train", 0, 3), 0.0, 60)
    assert len(asked) <= 3
    with pytest.raises(ServerError, match="URLError"):
        Server("http://127.0.0.1:9", "m", tries=2, pause=0.001).complete(messages=[])


def test_conversations_that_grow_too_long_are_truncated(serve: Any) -> None:
    refusal = 400, {"error": {"message": "maximum context length is 100 tokens"}}
    with pytest.raises(ContextTooLongError):
        Server(serve(lambda request: refusal), "m").complete(messages=[])

    def grows(request: dict[str, Any]) -> tuple[int, Any]:
        return refusal if len(request["messages"]) > 3 else _says("nothing")

    arena = _arena()
    starts = arena.sample_tasks("train", 0, 2)
    for played in arena.rollouts(Server(serve(grows), "m"), starts, 0.0, 60):
        assert played.truncated
        assert played.steps == 1
    with pytest.raises(ServerError, match="the openings of all 2 episodes are too long"):
        arena.rollouts(Server(serve(lambda request: refusal), "m"), starts, 0.0, 60)


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


def test_the_command_prints_figures_and_keeps_episodes(
    serve: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, path = serve(lambda request: _says("no")), tmp_path / "episodes.jsonl"
    settings = ["evaluation.tasks=3", "environment.tools_from=system", "environment.options={starter: {turns: 1}}"]
    assert served.main(["--url", url, "--model", "m", "--save", str(path), *settings]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["n"], figures["valid"]) == (3, 0)
    assert [record.steps[0].action for record in trajectory.load(path)] == ["no"] * 3


@pytest.mark.parametrize(
    ("answer", "setting", "message"),
    [
        ((401, b"who?"), "evaluation.tasks=3", "answers 401: who?"),
        (_says("no"), "environment.format=nope", "nope"),
        (_says("no"), "environment.nope=1", "unknown key environment.nope"),
    ],
    ids=["refused", "no such format", "no such key"],
)
def test_the_command_ends_with_what_is_wrong(
    answer: tuple[int, Any], setting: str, message: str, serve: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.main(["--url", serve(lambda request: answer), "--model", "m", setting]) == 2
    assert message in capsys.readouterr().err


def test_neither_torch_nor_transformers_is_needed() -> None:
    absent = "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'jinja2', 'deepspeed')))"
    command = f"{absent}; from rest_agent.served import main; main(['--help'])"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert "--url" in found.stdout
