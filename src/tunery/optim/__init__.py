"""Parameters become an optimizer and a schedule; outputs and targets become a loss."""
