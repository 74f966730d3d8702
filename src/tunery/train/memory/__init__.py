"""How much memory a step takes, found before it is taken, and the largest pass that fits."""
