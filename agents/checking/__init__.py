"""The promises that `agents.check_agent` checks, and what the checks share."""
