"""The demo: a year of real flights, a model, its service, and an alert at a webhook."""

import os

# scikit-learn's threads wait for each other at every small prediction: one is faster
# than two, and far steadier
os.environ.setdefault("OMP_NUM_THREADS", "1")
