"""Sampling by vLLM, in the trainer's process: an engine per rank, given the weights after each update.

It is written against vLLM 0.32. It samples from the whole distribution at the temperature, and the log-probabilities
that it returns are of that distribution (``processed_logprobs``). But its arithmetic is not the trainer's: watch the
metric ``log_prob_gap``, and see ``rollout.importance_cap``.
"""

from __future__ import annotations

import copy
import tempfile
from typing import Any

from rest_agent.config import Config, ConfigError
from rest_agent.engine import Sampler
from rest_agent.sampling.replies import Completion, Request


class Vllm:
    """A :class:`ReplyEngine` with the weights of a :class:`Sampler`, whose place it takes in the trainer.

    Args:
        weights: the trainer's; its model tells the architecture.
        config: of the run. ``rollout.vllm`` holds more of vLLM's engine arguments, over ours.

    Raises:
        ConfigError: vLLM is not installed, finds no device, or refuses the model or the arguments.
    """

    def __init__(self, weights: Sampler, config: Config):
        try:
            import vllm
            from vllm.platforms import current_platform
        except ImportError as error:
            raise ConfigError(f"rollout.backend: vllm cannot be imported; install it, or use own ({error})") from error
        if not current_platform.device_type:
            raise ConfigError("rollout.backend: vllm finds no device that it was built for (a GPU, usually); use own")
        model = weights.refresh()
        if current_platform.is_cpu() and model.config.tie_word_embeddings:
            raise ConfigError(
                "rollout.backend: on CPU, vllm keeps the first output matrix of models with tied embeddings; use own"
            )
        self._vllm = vllm
        self._weights = weights
        options: dict[str, Any] = {
            "dtype": config.model.dtype,
            "max_model_len": config.rl.max_tokens,
            "max_num_seqs": config.rl.decode_rows,
            "gpu_memory_utilization": 0.4,  # the trainer needs the rest
            "enable_prefix_caching": True,
            "logprobs_mode": "processed_logprobs",
            "seed": config.run.seed,
            "disable_log_stats": True,
            **config.rollout.vllm,
            "distributed_executor_backend": "external_launcher",  # in this process, on this rank's device
            "generation_config": "vllm",
            "skip_tokenizer_init": True,
            "load_format": "dummy",  # refresh() brings the weights
        }
        architecture = copy.deepcopy(model.config)
        architecture.architectures = [type(model).__name__]
        with tempfile.TemporaryDirectory() as folder:
            architecture.save_pretrained(folder)
            try:
                self._llm = vllm.LLM(model=folder, **options)
            except (TypeError, ValueError) as error:
                raise ConfigError(f"rollout.backend: vllm: {error}") from error

    def refresh(self) -> Vllm:
        """Take over the trainer's weights; what was cached under the old ones is forgotten."""
        named = self._weights.refresh().named_parameters()
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": named})
        self._llm.reset_prefix_cache()
        return self

    def submit(self, request: Request) -> None:
        parameters = self._vllm.SamplingParams(
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            stop_token_ids=sorted(request.end_ids),
            ignore_eos=True,  # unless it is among them
            logprobs=0,  # of the sampled token alone
            seed=request.seed,
            detokenize=False,
            output_kind=self._vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )
        prompt = self._vllm.TokensPrompt(prompt_token_ids=list(request.prompt))
        self._llm.llm_engine.add_request(str(request.number), prompt, parameters)

    def work(self) -> list[Completion]:
        if not self._llm.llm_engine.has_unfinished_requests():
            return []
        completions = []
        for output in self._llm.llm_engine.step():
            said = output.outputs[0]
            ids = list(said.token_ids)
            log_probs = [one[token].logprob for token, one in zip(ids, said.logprobs, strict=True)]
            completions.append(Completion(int(output.request_id), ids, log_probs))
        return completions
