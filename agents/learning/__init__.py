"""Turn episodes into learning: rollouts, returns, losses, steps, training, evaluation, checkpoints."""
