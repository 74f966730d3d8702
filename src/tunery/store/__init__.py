"""The run folder: weights by content, resume points, records; the marker of a finished run is written last."""
