"""Changes of the disk: done or not done, by one process at a time, and never of what belongs to others."""
