"""The room that joins data, model, optim, hardware, tracking and store: `fit` is the one objective of all commands."""
