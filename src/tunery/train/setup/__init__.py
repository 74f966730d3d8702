"""Everything between a config and the first step, refused before anything is written."""
