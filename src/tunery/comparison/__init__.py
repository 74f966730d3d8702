"""Methods on the same data with the same seeds: which cells there are, what is kept of them, what their numbers say."""
