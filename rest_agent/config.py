"""The trainer's configuration: frozen dataclasses that check their values. How they are read: config_text.py.

DeepSpeed's own settings stay in DeepSpeed's JSON (``--deepspeed_config``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Aggregation = Literal["weighted-token-mean", "token-mean", "sequence-mean", "constant"]


class ConfigError(ValueError):
    """A key or a value of the configuration is wrong; the message names it."""


def _require(condition: bool, key: str, expected: str, value: object) -> None:
    if not condition:
        raise ConfigError(f"{key} must be {expected}, got {value!r}")


def _at_least(least: float, config: object, *keys: str) -> None:
    for key in keys:
        value = getattr(config, key)
        _require(value >= least, key, f"at least {least:g}", value)


def _positive(config: object, *keys: str) -> None:
    for key in keys:
        value = getattr(config, key)
        _require(value > 0, key, "greater than 0", value)


@dataclass(frozen=True)
class LoRAConfig:
    """Adapters of low rank that are trained in place of the model's weights: rest_agent/lora.py.

    They want a higher learning rate than whole weights do, as a rule ten times.
    """

    rank: int = 16
    alpha: int = 32
    """An adapter's product counts alpha / rank times."""
    dropout: float = 0.0
    """Of what an adapter sees while it is trained. Rollouts have none: it makes the ratio of probabilities noisy."""
    targets: tuple[str, ...] = ()
    """Linear layers by name (``q_proj``, or whole: ``model.layers.0.mlp.up_proj``); none: all but the head."""

    def __post_init__(self) -> None:
        _at_least(1, self, "rank", "alpha")
        _require(0 <= self.dropout < 1, "dropout", "at least 0 and less than 1", self.dropout)


@dataclass(frozen=True)
class ModelConfig:
    """The policy. Without ``path``, a small Qwen3-architecture model and its tokenizer are made from scratch."""

    path: str | None = None
    """Folder or hub id of a Hugging Face causal language model whose tokenizer has a chat template."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    vocabulary: int = 1024
    """Entries of the tokenizer trained for a new model."""
    hidden_size: int = 128
    layers: int = 3
    heads: int = 4
    kv_heads: int = 2
    intermediate_size: int = 384
    embedding_std: float = 0.1
    """Initial standard deviation of the embeddings. The usual .02 learns several times slower at this size."""
    context: int = 16384
    """Positions that a new model knows; longer episodes are refused."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: a third more time, much less memory."""
    lora: LoRAConfig | None = None
    """Train adapters only; null: all weights. ``{}`` takes the defaults. Needs ``path``."""
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    """Variables of the chat template, such as ``enable_thinking``."""

    def __post_init__(self) -> None:
        _at_least(1, self, "vocabulary", "hidden_size", "layers", "heads", "kv_heads", "intermediate_size", "context")
        _positive(self, "embedding_std")
        divides = self.heads % self.kv_heads == 0
        _require(divides, "kv_heads", f"a divisor of heads ({self.heads})", self.kv_heads)
        known = self.lora is None or self.path is not None
        _require(known, "path", "set with model.lora (there is nothing to adapt in a new model)", self.path)


@dataclass(frozen=True)
class EnvironmentConfig:
    """Where the agent acts: ``gymnasium.make(id, **options)``."""

    id: str = "tooluse_gym:BFCLMultiTurn-v0"
    format: str = "hermes"
    """Reply format (``toolrl``, ``hermes``, ``pythonic``, ``structured``)."""
    tools_from: Literal["template", "system"] = "template"
    """Who shows the tools: the model's chat template, or a system message of the reply format."""
    results_as: Literal["tool", "user"] = "tool"
    """Role of the messages with tool results; ``user`` for chat templates that know no tool role."""
    options: Mapping[str, Any] = field(default_factory=dict)
    train_split: str = "train"
    eval_split: str = "test"
    validation_split: str = "validation"


@dataclass(frozen=True)
class SFTStage:
    """Supervised updates on examples of one kind."""

    updates: int = 100
    batch: int = 48
    """Examples per update, over all ranks."""
    kind: Literal["sft", "tsft", "rsft"] = "sft"
    """``tsft`` weighs tokens of tool calls more, ``rsft`` those of reasoning; the paper's baselines."""
    emphasis: float = 2.0
    """How many times as much, under ``tsft`` and ``rsft``."""
    source: Literal["demonstrations", "rejection"] = "demonstrations"
    """``rejection``: for each task, the best of several rollouts of the policy itself."""
    samples: int = 8
    """``rejection``: rollouts per task."""
    least: float = 1.0
    """``rejection``: the reward below which not even the best is imitated."""
    learning_rate: float = 3e-3
    """The highest: it rises to it over ``warmup`` updates, then falls on a cosine to ``final_rate`` of it."""
    warmup: int = 10
    final_rate: float = 0.1
    noise: float = 0.0
    """How often the demonstrator errs."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Environment options of this stage, over those of ``environment``."""
    show_tools: bool = True

    def __post_init__(self) -> None:
        _at_least(0, self, "updates")
        _at_least(1, self, "batch", "samples")
        _positive(self, "learning_rate")
        _require(0 < self.emphasis <= 8, "emphasis", "greater than 0, at most 8", self.emphasis)
        _require(0 <= self.noise <= 1, "noise", "between 0 and 1", self.noise)


@dataclass(frozen=True)
class Ramp:
    """A number that moves from ``start`` to ``end``."""

    start: float
    end: float
    shape: Literal["linear", "cosine", "step", "constant"] = "linear"
    """``cosine`` begins and ends slowly, ``step`` jumps at the end of the ramp, ``constant`` stays at ``start``."""
    fraction: float = 1.0
    """The part of the run after which ``end`` is reached."""
    updates: int | None = None
    """Reach ``end`` after so many updates instead, whatever the length of the run."""

    def __post_init__(self) -> None:
        _require(0 < self.fraction <= 1, "fraction", "greater than 0, at most 1", self.fraction)
        _require(self.updates is None or self.updates >= 1, "updates", "at least 1, or null", self.updates)

    def at(self, progress: float, update: int | None = None) -> float:
        """Its value at ``progress`` in [0, 1], or after ``update`` updates where the ramp is one of updates."""
        if self.updates is None:
            way = progress / self.fraction
        elif update is None:
            raise ValueError(f"a ramp over {self.updates} updates needs the number of the update")
        else:
            way = update / self.updates
        way = min(1.0, max(0.0, way))
        if self.shape != "linear":
            way = {"cosine": (1 - math.cos(math.pi * way)) / 2, "step": float(way == 1), "constant": 0.0}[self.shape]
        return self.start + (self.end - self.start) * way


@dataclass(frozen=True)
class EntropyRule:
    """The paper's weights from measured entropies: w_r = mean beta / beta_r, between ``floor`` and ``cap``.

    beta bounds the variance that a token adds to the gradient; the mean is taken over the policy's tokens, so that 1 is
    the weight of an average token. The paper does not say how it bounds or smooths weights: these numbers are ours.
    """

    beta: Literal["variance", "entropy"] = "variance"
    """1 - exp(-H) or H, of the mean entropy H of a region's tokens, in nats."""
    floor: float = 0.5
    cap: float = 2.0
    name_floor: float = 1.0
    """The least weight of a tool's name, which keeps a high one."""
    smoothing: float = 0.9
    """What is left of an update's tokens in the moving average after one more; 0: only the last update counts."""
    freeze_after: int | None = None
    """Updates after which entropies are no longer measured; null: measure to the end."""

    def __post_init__(self) -> None:
        _positive(self, "floor")
        _require(self.cap >= self.floor, "cap", f"at least the floor ({self.floor:g})", self.cap)
        _require(0 <= self.name_floor <= self.cap, "name_floor", f"from 0 to the cap ({self.cap:g})", self.name_floor)
        _require(0 <= self.smoothing < 1, "smoothing", "at least 0 and less than 1", self.smoothing)
        frozen = self.freeze_after is None or self.freeze_after >= 1
        _require(frozen, "freeze_after", "at least 1, or null", self.freeze_after)


@dataclass(frozen=True)
class WeightsConfig:
    """ResT: the weight of a policy token by what it is, over the run. What is null is as the preset has it."""

    preset: Literal["structure", "paper", "code", "reference", "uniform"] = "structure"
    """``structure`` (ours: the published constants, and weight on all that belongs to the format), ``paper`` (weights
    from measured entropies), ``code`` (the published constants and nothing else), ``reference`` (the published code
    with its errors, from text; it ignores what follows) or ``uniform`` (GRPO). The numbers: rest_agent/weights.py."""
    tag: Ramp | None = None
    """A region's weight; under ``paper``, what is added to its measured weight."""
    name: Ramp | None = None
    arguments: Ramp | None = None
    think: Ramp | None = None
    response: Ramp | None = None
    scaffold: Ramp | None = None
    stray: Ramp | None = None
    end: Ramp | None = None
    """The end-of-turn token: zero would never reinforce stopping."""
    clip: tuple[float, float] = (0.001, 8.0)
    """Bounds of a positive weight before its row is normalised."""
    normalise: Literal["weighted", "policy"] | None = None
    """A row's weights get the mean 1 over its tokens of positive weight, or over all tokens of the policy."""
    fallback: Literal["uniform", "zero"] | None = None
    """What a row without any positive weight gets: 1 on all tokens of the policy, or 0."""
    entropy: EntropyRule = field(default_factory=EntropyRule)
    """For ``paper``."""

    def __post_init__(self) -> None:
        low, high = self.clip
        _require(0 < low <= high, "clip", "two numbers greater than 0 in order", self.clip)
        for region in ("tag", "name", "arguments", "think", "response", "scaffold", "stray", "end"):
            ramp: Ramp | None = getattr(self, region)
            if ramp is not None and self.preset != "paper":
                _require(ramp.start >= 0, f"{region}.start", "at least 0", ramp.start)
                _require(ramp.end >= 0, f"{region}.end", "at least 0", ramp.end)


@dataclass(frozen=True)
class AdvantageConfig:
    """Whose merit a reward is: rest_agent/credit.py and rest_agent/advantages.py."""

    credit: Literal["outcome", "terms", "turns", "critic"] = "outcome"
    """``outcome``: the rollout's reward goes to all its tokens (GRPO). ``terms``: so does each of the reward's terms,
    made relative to the group by itself (GDPO). ``turns``: a turn gets what it and those after it earned. ``critic``:
    GAE over tokens, with a model that predicts returns (PPO)."""
    leave_one_out: bool = False
    """Compare with the mean of the group's other rollouts (RLOO) instead of that of all."""
    scale_by_std: bool = True
    """Divide by the standard deviation of the group; without it Dr. GRPO."""
    term_weights: Mapping[str, float] = field(default_factory=dict)
    """``terms``: how much a term's advantage counts; 1 for those that are not named."""
    discount: float = 1.0
    """``turns``: per turn; ``critic``: per token."""
    trace: float = 0.95
    """``critic``: GAE's lambda."""

    def __post_init__(self) -> None:
        for name, weight in self.term_weights.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            _require(number, f"term_weights.{name}", "a number", weight)
        for key in ("discount", "trace"):
            _require(0 <= getattr(self, key) <= 1, key, "between 0 and 1", getattr(self, key))


@dataclass(frozen=True)
class LossConfig:
    """The loss of a token, and how those of an update become one: rest_agent/losses.py, rest_agent/aggregation.py."""

    ratio: Literal["token", "sequence"] = "token"
    """Of which probabilities now and then the clipped ratio is: the token's, or its whole rollout's (GSPO; of its
    segment, where ``rollout.history`` makes several of one rollout)."""
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float | None = 3.0
    """Bound on the loss of a token of negative advantage, in advantages; null: none."""
    aggregation: Aggregation | None = None
    """null: the one that belongs to ``weights.preset``."""
    constant: int | None = None
    """Tokens that ``constant`` divides by; null: max_tokens."""
    entropy: float = 0.0
    """Coefficient of the bonus for the entropy of the policy, mean over its tokens as ``aggregation`` has it."""

    def __post_init__(self) -> None:
        _positive(self, "clip_high")
        _require(0 < self.clip_low <= 1, "clip_low", "greater than 0, at most 1", self.clip_low)
        bounded = self.dual_clip is None or self.dual_clip > 1
        _require(bounded, "dual_clip", "greater than 1, or null", self.dual_clip)
        _require(self.constant is None or self.constant >= 1, "constant", "at least 1, or null", self.constant)


@dataclass(frozen=True)
class KLConfig:
    """What leaving the reference policy costs: rest_agent/kl.py."""

    coefficient: float = 0.0
    """0: there is no reference."""
    place: Literal["loss", "reward"] = "loss"
    """Add it to the loss (GRPO), or take it from the reward at every token (RLOO, PPO)."""
    estimator: Literal["k1", "k2", "k3"] = "k3"
    reference: str | None = None
    """Folder or hub id of the reference; null: the policy as it is when reinforcement learning begins."""

    def __post_init__(self) -> None:
        _at_least(0, self, "coefficient")


@dataclass(frozen=True)
class CriticConfig:
    """The model that predicts returns, under ``advantage.credit: critic``: rest_agent/critic.py."""

    learning_rate: float = 1e-5
    clip: float | None = 0.2
    """How far its prediction may move from the old one before the loss ignores it (PPO2); null: any distance."""

    def __post_init__(self) -> None:
        _positive(self, "learning_rate")
        _require(self.clip is None or self.clip > 0, "clip", "greater than 0, or null", self.clip)


@dataclass(frozen=True)
class SupervisedTerm:
    """A supervised term in the loss of reinforcement learning."""

    coefficient: float = 0.0
    """Of its loss, the weighted mean of -log-probability over its tokens."""
    kind: Literal["sft", "tsft", "rsft"] = "sft"
    emphasis: float = 2.0
    """As in the cold start's stages."""
    source: Literal["demonstrations", "best"] = "demonstrations"
    """Demonstrations of training tasks, or the best rollout of every group of the update, where the group differs."""
    batch: int = 16
    """Demonstrations per update, over all ranks."""
    noise: float = 0.0
    """How often the demonstrator errs."""

    def __post_init__(self) -> None:
        _at_least(0, self, "coefficient")
        _at_least(1, self, "batch")
        _require(0 < self.emphasis <= 8, "emphasis", "greater than 0, at most 8", self.emphasis)
        _require(0 <= self.noise <= 1, "noise", "between 0 and 1", self.noise)


@dataclass(frozen=True)
class RLConfig:
    """Reinforcement learning: advantage x ratio x token weight, aggregated, and KL. The defaults are ResT over GRPO."""

    algorithm: str = "rest"
    """Settings to begin with, by name: rest_agent/algorithms.yaml. Whatever else is said here goes over them."""
    updates: int = 100
    tasks: int = 16
    """Tasks per update, over all ranks."""
    group: int = 8
    """Rollouts per task."""
    one_step: bool = False
    """Play one step from a random point of a task's ground truth, with all before it given, in place of the whole
    episode: the paper's setting. ``success``, which is of whole episodes, is then 0 but for last steps."""
    learning_rate: float = 1e-6
    warmup: int = 5
    """Updates over which the learning rate rises from 0."""
    final_rate: float = 1.0
    """The learning rate falls on a cosine to this part of itself; 1: it stays."""
    temperature: float = 1.0
    refill: int = 0
    """How often tasks whose rollouts all earned the same are replaced by fresh ones (DAPO's dynamic sampling); those
    that are left then stay."""
    epochs: int = 1
    """Passes over each batch of rollouts."""
    minibatches: int = 1
    """Optimizer steps per pass."""
    max_reply_tokens: int = 1024
    max_tokens: int = 8192
    """Tokens of a whole episode; a longer one is cut and counts as truncated."""
    decode_rows: int = 256
    """Episodes that a rank plays side by side, in evaluation too; fewer need less memory."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    advantage: AdvantageConfig = field(default_factory=AdvantageConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    kl: KLConfig = field(default_factory=KLConfig)
    critic: CriticConfig = field(default_factory=CriticConfig)
    supervised: SupervisedTerm = field(default_factory=SupervisedTerm)

    def __post_init__(self) -> None:
        alone = self.advantage.credit == "critic"
        least = f"at least {1 if alone else 2}" + ("" if alone else " (advantages are relative to a group)")
        _require(self.group >= (1 if alone else 2), "group", least, self.group)
        _require(not (alone and self.refill), "refill", "0 under advantage.credit=critic", self.refill)
        costs = self.advantage.credit == "terms" and self.kl.coefficient and self.kl.place == "reward"
        _require(not costs, "kl.place", "loss under advantage.credit=terms (no term would know the cost)", "reward")
        _at_least(0, self, "updates", "warmup", "refill")
        _at_least(1, self, "tasks", "epochs", "minibatches", "max_reply_tokens", "max_tokens", "decode_rows")
        possible = self.minibatches <= self.tasks * self.group
        _require(possible, "minibatches", f"at most tasks x group ({self.tasks * self.group})", self.minibatches)
        _positive(self, "learning_rate", "temperature")


@dataclass(frozen=True)
class RolloutConfig:
    """How episodes are played and kept. Replies are sampled at ``rl.temperature`` from the whole distribution."""

    backend: Literal["own", "vllm"] = "own"
    """Who samples: the decode loop of rest_agent/sampling, or vLLM in the same process."""
    vllm: Mapping[str, Any] = field(default_factory=dict)
    """vLLM's engine arguments, such as ``gpu_memory_utilization`` (ours is .4) and ``enforce_eager``."""
    history: Literal["sampled", "template"] = "sampled"
    """What the policy sees of what it said: the tokens as sampled, or what the chat template makes of them. A template
    that rewrites history (Qwen3's drops the thoughts of earlier turns) then makes several sequences of one episode."""
    workers: int = 0
    """Threads that step the environments while other episodes go on: for environments that wait for something. 0: the
    decode loop steps them itself. With threads, time decides which rows share a forward pass: two runs of the same seed
    differ by its rounding."""
    step_seconds: float | None = None
    """The longest that a step of an environment may take. An episode whose environment takes longer, or raises an
    exception, begins again once, and is then left out of its group (metric ``rollouts_lost``)."""
    truncated_reward: float | None = None
    """What a truncated episode earns in training; null: what the environment gave up to there."""
    importance_cap: float | None = None
    """Multiply a token's advantage by min(p_trainer / p_sampler, cap), before the first step of an update: corrects for
    a sampler whose arithmetic is not the trainer's. One more forward pass. Null: the two are as good as equal (metric
    ``log_prob_gap``)."""

    def __post_init__(self) -> None:
        _at_least(0, self, "workers")
        if self.step_seconds is not None:
            _positive(self, "step_seconds")
            _require(self.workers > 0, "workers", "at least 1 with step_seconds (who waits cannot count)", self.workers)
        if self.importance_cap is not None:
            _positive(self, "importance_cap")


@dataclass(frozen=True)
class OptimizerConfig:
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    micro_batch_tokens: int = 16384
    """Tokens (padding included) of one forward pass of a rank."""
    max_skipped: int = 5
    """A step whose loss or gradient is not finite is skipped; so many in a row end the run."""

    def __post_init__(self) -> None:
        _require(all(0 <= beta < 1 for beta in self.betas), "betas", "at least 0 and less than 1", self.betas)
        _at_least(0, self, "weight_decay")
        _positive(self, "max_grad_norm")
        _at_least(1, self, "micro_batch_tokens", "max_skipped")


@dataclass(frozen=True)
class EvalConfig:
    tasks: int = 256
    sampled: bool = True
    """Evaluate at temperature 1 too, besides greedy decoding."""
    every: int = 0
    """Updates of RL between evaluations on the validation split; 0: none."""

    def __post_init__(self) -> None:
        _at_least(1, self, "tasks")
        _at_least(0, self, "every")


@dataclass(frozen=True)
class DiagnosticsConfig:
    """The method's own claims, measured during RL: rest_agent/diagnostics.py."""

    every: int = 5
    """Updates between measurements; 0: none. One costs two forward passes over the update's rollouts."""
    projection: int = 64
    """Rows of the random projection of the gradient."""

    def __post_init__(self) -> None:
        _at_least(0, self, "every")
        _at_least(1, self, "projection")


@dataclass(frozen=True)
class RunConfig:
    name: str = "run"
    folder: str = "runs"
    seed: int = 0
    save_every: int = 50
    """Updates between checkpoints; one that is due while steps are skipped waits for a step that is made."""
    keep: int = 2
    """Checkpoints kept: the newest, and besides them the best on the validation split (``evaluation.every``)."""
    tensorboard: bool = True
    progress: bool = True
    hang_minutes: float = 30.0
    """A rank without a forward pass, an update or a checkpoint for so long ends the run; 0: never. More than the
    longest that ranks wait for each other."""

    def __post_init__(self) -> None:
        _at_least(0, self, "seed", "hang_minutes")
        _at_least(1, self, "save_every", "keep")


@dataclass(frozen=True)
class Config:
    """Everything a run is made of. The defaults suit a pretrained model; ``quickstart.yaml`` makes one from scratch."""

    model: ModelConfig = field(default_factory=ModelConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    sft: tuple[SFTStage, ...] = ()
    """Stages of the cold start, one after the other; none: training starts with reinforcement learning."""
    rl: RLConfig = field(default_factory=RLConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvalConfig = field(default_factory=EvalConfig)
    diagnostics: DiagnosticsConfig = field(default_factory=DiagnosticsConfig)
    run: RunConfig = field(default_factory=RunConfig)
