"""Material: prompts with references, made by pure functions or read from ordinary packages, from which tasks are built."""
