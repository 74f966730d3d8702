"""Models that cost seconds: what every fine-tuned model has to beat. They know texts, numbers and labels, no task."""
