"""What is wrong with the data, found before a model looks at them."""
