"""Where one run of many is trained: in this process, in a forked one, as a Ray task, in an interpreter of its own."""
