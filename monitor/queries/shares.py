"""Shares of rows, None where there are no rows."""

from monitor.profile import Profile


def share_of(part: float, total: float) -> float | None:
    """Return part / total; None when the total is 0."""
    return float(part / total) if total else None


def missing_share(profile: Profile) -> float | None:
    """Return the share of rows whose value is missing or invalid."""
    return share_of(profile.missing + profile.invalid, profile.rows)
