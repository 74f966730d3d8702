"""Several trained models as one: chosen ensembles, and the mean of their weights."""
