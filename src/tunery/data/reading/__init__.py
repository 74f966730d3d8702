"""Files, Hub data sets and what a program hands over become rows with texts and labels."""
