"""Settings of every test run."""

import os

# Before anything loads torch: tests are small, and threads that wait for each other are slow beside other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

# A test must not fail because other work held the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
