"""Pretrained models: where they come from, how they are built, and what of them is trained."""
