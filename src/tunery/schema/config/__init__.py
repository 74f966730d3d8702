"""The sections of a config, one file each, and the rules between them."""
