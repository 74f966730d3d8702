"""What the trials say: their records, which parameters matter, more seeds, ensembles."""
