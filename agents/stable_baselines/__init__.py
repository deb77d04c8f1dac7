"""Let Stable-Baselines3 train on the same environment: its vector environment, its policy, and the two ways between its agents and ours."""
