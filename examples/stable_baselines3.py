"""Train a language model with Stable-Baselines3: the same environment, its PPO, and a penalty for leaving the reference."""

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from agents import CausalLMPolicy, EpisodeRolloutBuffer, KLRewards, TextGenVecEnv
from feedback import text_feedback


@text_feedback(low=0, high=1, unit="share of the words")
def likes_short_words(prompt: str, response: str) -> float:
    """Return which share of the words has at most three letters."""
    words = response.split()
    return sum(len(word) <= 3 for word in words) / max(len(words), 1)


def main(num_tokens: int = 4096) -> PPO:
    """Train for some tokens and return the model; `model.save("short_words")` writes its weights and the names it was made from."""
    env = TextGenVecEnv("TextGen-v0", num_envs=32, tokenizer="tinylm", prompts=["My pet is"], feedback=likes_short_words, max_new_tokens=8)
    model = PPO(
        CausalLMPolicy,
        VecMonitor(env),  # logs the raw score as ep_rew_mean
        n_steps=16,  # steps of each row per rollout
        batch_size=512,  # tokens per step of the optimiser; whole rollouts cost a language model least
        n_epochs=4,
        gamma=1.0,
        learning_rate=3e-4,
        rollout_buffer_class=EpisodeRolloutBuffer,  # minibatches of whole episodes, which are read once
        policy_kwargs={"model": "tinylm", "critic_rate": 3.0},
        seed=0,
    )
    return model.learn(num_tokens, callback=KLRewards(0.02))


if __name__ == "__main__":
    model = main()
    scores = [episode["r"] for episode in model.ep_info_buffer]
    print(f"{sum(scores) / len(scores):.2f} of the words of the last {len(scores)} responses are short")
