"""Records become numbers that pages and the terminal show."""
