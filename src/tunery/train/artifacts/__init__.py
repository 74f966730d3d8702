"""Trained weights become folders that other programs load, checked by another process."""
