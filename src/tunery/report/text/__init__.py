"""Numbers, names and findings as a person reads them."""
