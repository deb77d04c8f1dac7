"""Let agents play against each other: agents by tasks by seeds as data, with equal budgets, and a row of results per run."""
