"""Write an agent: an object that starts a memory, acts for every row, and learns from finished episodes."""

import gymnasium as gym
import numpy as np

import text_env  # registers TextGen-v0
from agents import Decision, Rollout, collect
from feedback import text_feedback


class Unigram:
    """Learn which tokens pay, whatever stands before them: one softmax over the vocabulary, by REINFORCE."""

    def __init__(self, vocab_size: int, learning_rate: float = 30.0) -> None:
        self.logits = np.zeros(vocab_size)
        self.learning_rate = learning_rate

    def start(self, num_rows, seed=None):
        """Return what a rollout remembers between steps: here, only where its randomness comes from."""
        return np.random.default_rng(seed)

    def act(self, observation, memory, fresh, active, action_mask=None):
        """Draw a token for each row that still writes."""
        logits = np.broadcast_to(self.logits, (len(active), len(self.logits)))
        if action_mask is not None:
            logits = np.where(action_mask, logits, -np.inf)
        logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        tokens = (logprobs + memory.gumbel(size=logprobs.shape)).argmax(axis=1)  # Gumbel's trick: a draw from the softmax
        chosen = np.take_along_axis(logprobs, tokens[:, None], axis=1)[:, 0]
        return Decision(np.where(active, tokens, 0), np.where(active, chosen, 0).astype(np.float32))

    def update(self, rollout: Rollout) -> dict[str, float]:
        """Make the tokens of better episodes likelier. An episode without a score teaches nothing."""
        if not rollout.is_scored.any():
            return {"skipped": 1.0}
        mean_score = rollout.scores[rollout.is_scored].mean()
        advantages = np.where(rollout.is_scored, rollout.scores - mean_score, 0)[:, None] * rollout.is_action
        probabilities = np.exp(self.logits - np.logaddexp.reduce(self.logits))
        gradient = np.bincount(rollout.actions.ravel(), weights=advantages.ravel(), minlength=len(self.logits))
        self.logits += self.learning_rate * (gradient - advantages.sum() * probabilities) / rollout.is_scored.sum()
        return {"score": float(mean_score)}


def main(num_updates: int = 20) -> list[float]:
    """Teach it to write the letters of "tea"; return the mean score before each update."""
    disabled = gym.vector.AutoresetMode.DISABLED
    env = gym.make_vec("TextGen-v0", num_envs=32, autoreset_mode=disabled, tokenizer="bytes", prompts=["Say: "], feedback=likes_tea)
    agent = Unigram(env.single_action_space.n)
    return [agent.update(collect(env, agent, 64, seed=number))["score"] for number in range(num_updates)]


@text_feedback(low=0, high=1, unit="share of the characters")
def likes_tea(prompt: str, response: str) -> float:
    """Return how much of a response is made of the letters of "tea"."""
    return sum(letter in "tea" for letter in response) / max(len(response), 1)


if __name__ == "__main__":
    for score in main():
        print(f"{score:.3f}")
