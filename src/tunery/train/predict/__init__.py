"""What finished models answer, and how often they are right."""
