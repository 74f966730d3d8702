"""A search space: a config with ranges in place of values, its parameters, checks and default."""
