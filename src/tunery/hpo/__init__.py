"""Hyperparameter search: what is proposed, pruned, recorded and published; the only room that knows optuna."""
