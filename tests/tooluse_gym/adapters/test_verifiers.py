"""Episodes under verifiers' own evaluation, against a scripted server."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from tooluse_gym.formats import get_format
from tooluse_gym.trajectory import Trajectory, replay

pytest.importorskip("verifiers", reason="verifiers is not installed")

from verifiers.v1.cli.eval.runner import run_eval
from verifiers.v1.configs.cli.eval import EvalConfig

EXAMPLES = Path(__file__).parents[3] / "examples"
OPTIONS: dict[str, Any] = {"format": "structured", "starter": {"requests": ["post", "add"]}}


class Demonstrator:
    """A model that says what the ground truth says: it knows tasks by their first request."""

    def __init__(self, task_ids: list[str]):
        self._said: dict[str, list[Any]] = {}
        env: Any = gymnasium.make("tooluse_gym:BFCLMultiTurn-v0", show_tools=False, **OPTIONS).unwrapped
        for task_id in task_ids:
            record = env.demonstrate(seed=0, options={"task_id": task_id})
            self._said[record.opening[0]["content"]] = [step.action for step in record.steps]

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        messages = request["messages"]
        action = self._said[messages[0]["content"]][sum(one["role"] == "assistant" for one in messages)]
        calls = get_format("structured").parse(action).calls
        assert {call.name for call in calls} <= {tool["function"]["name"] for tool in request["tools"]}
        if not calls:
            return {"content": action}
        functions = [{"name": call.name, "arguments": json.dumps(call.arguments)} for call in calls]
        numbered = [{"id": f"c{n}", "type": "function", "function": one} for n, one in enumerate(functions)]
        return {"content": None, "tool_calls": numbered}


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    servers = []

    def start(model: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                message = {"role": "assistant", **model(request)}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """verifiers' evaluation of the server at an address, of tasks by their ids: its traces."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.setattr(sys, "argv", ["vf-eval"])

    def run(address: str, task_ids: list[str], **agent: Any) -> list[Any]:
        taskset = {"id": "verifiers_env", "options": OPTIONS, "task_ids": task_ids}
        player = {"harness": {"id": "verifiers_env"}, "runtime": {"type": "subprocess"}, **agent}
        config = EvalConfig(
            env={"taskset": taskset, "agent": player},
            client={"base_url": address, "api_key_var": "NO_KEY"},
            model="m",
            push=False,
            rich=None,
            output_dir=tmp_path,
        )
        return [trace for episode in asyncio.run(run_eval(config)) for trace in episode.traces]

    return run


@pytest.fixture
def task_ids() -> list[str]:
    env: Any = gymnasium.make("tooluse_gym:BFCLMultiTurn-v0", **OPTIONS).unwrapped
    found = []
    for seed in range(4):
        env.reset(seed=seed)
        found.append(env.task.id)
    return found


def test_the_ground_truth_earns_everything(
    serve: Callable[..., str], evaluate: Callable[..., list[Any]], task_ids: list[str]
) -> None:
    traces = evaluate(serve(Demonstrator(task_ids)), task_ids)
    assert [trace.task.data.id for trace in traces] == task_ids
    for trace in traces:
        assert trace.ok, trace.errors
        assert trace.reward == pytest.approx(1)
        assert {"turn", "format", "schema"} <= trace.rewards.keys()
        assert trace.metrics["valid"] == 1
        record = Trajectory.from_json(json.dumps(trace.info["episode"]))
        assert replay(record) == record
        assert trace.num_turns == len(record.steps)
        assert [one.role for one in trace.messages].count("user") == 2  # the user spoke again


def test_an_episode_that_verifiers_stops_keeps_what_it_earned(
    serve: Callable[..., str], evaluate: Callable[..., list[Any]], task_ids: list[str]
) -> None:
    for trace in evaluate(serve(Demonstrator(task_ids)), task_ids, max_turns=2):
        assert trace.stop_condition == "max_turns"
        assert trace.num_turns == 2
        assert trace.reward == pytest.approx(0.5)
        assert trace.metrics["valid"] == 0


def test_a_server_that_fails_is_an_error_of_the_rollout(
    evaluate: Callable[..., list[Any]], task_ids: list[str]
) -> None:
    (trace,) = evaluate("http://127.0.0.1:9/v1", task_ids[:1])
    assert not trace.ok
    assert trace.errors
