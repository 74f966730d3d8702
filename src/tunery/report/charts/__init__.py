"""Drawings: figures become SVG that belongs to a page."""
