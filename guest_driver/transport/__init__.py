"""Ways to a machine that is not in this process."""
