"""The search for the best way to do it: the only room that knows optuna."""
