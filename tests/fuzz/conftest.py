"""`make fuzz` runs these same tests with many more examples, and others each time."""

from hypothesis import HealthCheck, settings

settings.register_profile("fuzz", max_examples=1500, deadline=None, print_blob=True, suppress_health_check=HealthCheck)
