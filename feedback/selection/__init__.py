"""Choose what to ask people, when not everything can be asked."""
