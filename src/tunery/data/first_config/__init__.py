"""From an unknown file to a first config: what `tunery init` finds out and writes."""
