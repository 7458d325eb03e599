"""Public import of the comparison of two tables: `from monitor.compare import compare`."""

from monitor.analysis.compare_tables import compare
from monitor.analysis.comparison import Compared, Comparison

__all__ = ["Compared", "Comparison", "compare"]
