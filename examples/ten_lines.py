import gymnasium as gym, text_env
from agents import CausalPolicy, Reinforce, ReinforceConfig, collect, train
from feedback import text_feedback


@text_feedback
def likes_cats(prompt: str, response: str) -> float | None:  # None = no opinion
    return response.count("cat")


make = dict(tokenizer="tinylm", prompts=["My pet is"], feedback=likes_cats, max_new_tokens=24)
env = gym.make_vec("TextGen-v0", num_envs=64, autoreset_mode=gym.vector.AutoresetMode.DISABLED, **make)
agent = Reinforce(CausalPolicy("tinylm", device="auto"), ReinforceConfig(learning_rate=1e-3, kl_weight=0.02))
train(env, agent, num_updates=50, episodes_per_update=64)  # or: rollout = collect(env, agent, 64); agent.update(rollout)
