"""Settings for every test: no test asserts a time, so Hypothesis doesn't either."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "wardgate", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("wardgate")
