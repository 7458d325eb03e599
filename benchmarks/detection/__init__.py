"""False pages and delays of the detector on simulated traffic, from seeds: `python -m benchmarks.detection`."""
