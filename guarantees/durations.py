"""Durations as people say them."""

from datetime import timedelta


def lasting(seconds: float) -> str:
    """The largest unit that says enough: 12 s, 4 min, 3 h, 2 days."""
    rounded = timedelta(seconds=round(max(seconds, 0)))
    minutes, hours = rounded // timedelta(minutes=1), rounded // timedelta(hours=1)
    if minutes < 2:  # noqa: PLR2004 - as people say it
        return f"{rounded.total_seconds():.0f} s"
    if hours < 2:  # noqa: PLR2004
        return f"{minutes} min"
    return f"{hours} h" if rounded.days < 2 else f"{rounded.days} days"  # noqa: PLR2004
