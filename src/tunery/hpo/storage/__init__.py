"""The study's database, and who has which of its trials."""
