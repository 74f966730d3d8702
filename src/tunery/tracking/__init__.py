"""Where metrics go: to JSONL always, elsewhere when the config asks."""
