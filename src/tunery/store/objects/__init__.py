"""Tensors at rest, named by the digest of what they hold."""
