"""The values that a study may choose from: as distributions of optuna, as a grid, and where to begin."""
