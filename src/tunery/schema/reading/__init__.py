"""From text to checked plain data: YAML, JSON, overrides, and everything that is wrong with them at once."""
