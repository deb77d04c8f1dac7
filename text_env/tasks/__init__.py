"""Tasks: environments with prompts and feedback of their own."""
