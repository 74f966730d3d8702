"""Where metrics go: one small seam, JSONL always, others when the config asks."""
