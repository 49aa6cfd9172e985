"""Bias and variance of ResT's gradient, exactly: all 27 replies of a small policy are summed over, nothing is sampled.

The policy is a softmax table over three tokens with a row of logits for every prefix; a reply is three tokens long.
A call (token 1) counts only if a name (token 2) follows: a token's region depends on what is sampled after it.
"""

import torch

from rest_agent.config import WeightsConfig
from rest_agent.regions import Region
from rest_agent.weights import token_weights

V, T = 3, 3
REPLIES = torch.cartesian_prod(*[torch.arange(V)] * T)  # (N, T), N = V ** T
PREFIX = torch.stack([(V**t - 1) // (V - 1) + REPLIES[:, :t] @ V ** torch.arange(t) for t in range(T)], dim=1)
CALLS = (REPLIES[:, :-1] == 1) & (REPLIES[:, 1:] == 2)
REGIONS = torch.where(REPLIES == 1, Region.STRAY, Region.THINK)
REGIONS[:, :-1][CALLS], REGIONS[:, 1:][CALLS] = int(Region.TAG), int(Region.NAME)
REWARD = CALLS.any(dim=1).double()
WEIGHTS = {
    "plain": torch.ones(len(REPLIES), T),
    "by position": torch.tensor([0.6, 1.0, 1.4]).expand(len(REPLIES), T),
    "by prefix": torch.where(PREFIX % 2 == 0, 0.6, 1.2),
    "ResT": token_weights(REGIONS, 0.0, WeightsConfig()),
}


def policy(habit: float) -> torch.Tensor:
    """(prefixes, V) logits, the parameters: uneven, and ``habit`` higher for token 0, which earns nothing."""
    logits = torch.linspace(-1, 1, (V**T - 1) // (V - 1) * V, dtype=torch.float64).cos().reshape(-1, V)
    return (logits + habit * torch.tensor([1.0, 0.0, 0.0])).requires_grad_()


def moments(logits: torch.Tensor, weights: torch.Tensor, advantage: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Expectation (as ``logits``) and variance (trace) of sum_t w_t grad log pi(a_t) A over replies; the paper's bound.

    The bound is E[A^2] sum_t E[|J_t|_F^2 (1 - exp(-H_t)) w_t^2]. Logits are parameters, so J_t is the unit matrix of V.
    """
    p = logits.detach().softmax(dim=1)
    chance = p[PREFIX, REPLIES].prod(dim=1)
    score = torch.nn.functional.one_hot(REPLIES, V) - p[PREFIX]  # (N, T, V), in the row of the prefix
    rows = torch.nn.functional.one_hot(PREFIX, len(p)).double()
    samples = torch.einsum("n,nt,ntv,nts->nsv", advantage, weights.double(), score, rows)
    mean = torch.einsum("n,nsv->sv", chance, samples)
    variance = chance @ (samples - mean).pow(2).sum(dim=(1, 2))
    beta = V * (1 - (p * p.log()).sum(dim=1).exp())[PREFIX]
    return mean, float(variance), float((chance @ advantage**2) * (chance @ (beta * weights**2).sum(dim=1)))


if __name__ == "__main__":
    for logits in (policy(0.0), policy(5.0)):
        success = logits.softmax(dim=1)[PREFIX, REPLIES].prod(dim=1) @ REWARD
        (truth,) = torch.autograd.grad(success, logits)
        print(f"success {success.item():.5f}\n  weights      |bias|/|gradient|  for equal rewards  variance  / bound")
        for name, weights in WEIGHTS.items():
            mean, variance, bound = moments(logits, weights, REWARD - success.detach())
            spurious, *_ = moments(logits, weights, torch.ones_like(REWARD))
            bias = (mean - truth).norm() / truth.norm()
            print(f"  {name:12} {bias:17.1e}  {spurious.norm():17.1e} {variance:9.1e}  {variance / bound:7.2f}")
