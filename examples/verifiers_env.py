"""An environment under verifiers, evaluated by verifiers' own client and loop: no network, no container.

verifiers finds tasks and harness in this module, by its name. In this folder, any server's model is evaluated by
``vf-eval verifiers_env --env.agent.runtime.type subprocess --client.base-url URL --model NAME``. As a script it brings
a server of its own, whose model posts whatever stands in double quotes.
"""

import asyncio
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import mkdtemp
from threading import Thread

from tooluse_gym.adapters.verifiers import GymHarness, GymTasks

__all__ = ["Player", "Tasks"]


class Tasks(GymTasks): ...


class Player(GymHarness): ...


class Model(BaseHTTPRequestHandler):
    """An OpenAI-compatible server."""

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"]
        message = {"role": "assistant", "content": "Done."}
        if said[-1]["role"] == "user":
            arguments = json.dumps({"content": re.findall(r'"(.+?)"', said[-1]["content"])[-1]})
            function = {"name": "post_tweet", "arguments": arguments}
            message["tool_calls"] = [{"id": f"call_{len(said)}", "type": "function", "function": function}]
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "1", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice]}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *arguments: object) -> None: ...


if __name__ == "__main__":
    from verifiers.v1.cli.eval.runner import run_eval
    from verifiers.v1.configs.cli.eval import EvalConfig

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    Thread(target=server.serve_forever, daemon=True).start()
    options = {"format": "structured", "starter": {"requests": ["post", "comment"]}}
    tasks = {"id": "verifiers_env", "count": 8, "options": options}
    agent = {"harness": {"id": "verifiers_env"}, "runtime": {"type": "subprocess"}}
    client = {"base_url": f"http://127.0.0.1:{server.server_port}/v1", "api_key_var": "NO_KEY"}
    run = {"client": client, "model": "scripted", "push": False, "rich": None, "output_dir": mkdtemp()}
    for episode in asyncio.run(run_eval(EvalConfig(env={"taskset": tasks, "agent": agent}, **run))):
        (trace,) = episode.traces
        print(f"{trace.task.data.id}: reward {trace.reward:.2f}, {trace.metrics}, {trace.num_turns} steps")
