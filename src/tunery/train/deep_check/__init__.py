"""What a simple model that has not seen them says of the training rows."""
