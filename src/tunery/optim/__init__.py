"""Parameters become an optimizer and a schedule; logits and targets become a loss."""
