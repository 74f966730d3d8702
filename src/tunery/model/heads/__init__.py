"""The layers between the backbone and what a task asks for."""
