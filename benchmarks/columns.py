"""The names of the generated features."""

NUMERIC = tuple(f"n{i:02d}" for i in range(16))
CATEGORICAL = ("c0", "c1", "c2", "c3")
FEATURES = (*NUMERIC, *CATEGORICAL)
