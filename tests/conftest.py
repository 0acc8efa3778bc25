"""Settings of every test run."""

import os

# Before anything loads torch: tests are small, and threads that wait for each other are slow beside other work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
