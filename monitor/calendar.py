"""A model's own clock: hours of the week where its users live, and the days that are not like their weekday."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

HOUR = timedelta(hours=1)
DAY_HOURS, WEEK_HOURS = 24, 168
MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # hour 0


@dataclass(frozen=True)
class Calendar:
    """Time zone (IANA name), country and subdivision (ISO codes, for their public holidays), and own special days."""

    timezone: str = "UTC"
    country: str | None = None
    subdivision: str | None = None
    dates: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for a zone, country or subdivision that is not known."""
        try:
            self.zone  # noqa: B018 (asked for its error)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(
                f"the time zone {self.timezone!r} is not known; give an IANA name such as Europe/Berlin"
            ) from None
        try:
            self.public_holidays  # noqa: B018
        except NotImplementedError:
            what = (
                f"{self.country}-{self.subdivision}"
                if self.subdivision
                else self.country
            )
            raise ValueError(
                f"no holidays are known for {what!r}; give ISO codes such as US, or DE and BY"
            ) from None

    @cached_property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.timezone)

    @cached_property
    def public_holidays(self) -> Collection[date]:
        """The public holidays of the country, of any year."""
        if self.country is None:
            return frozenset()
        import holidays  # 0.1 s, for who has a country

        return holidays.country_holidays(self.country, subdiv=self.subdivision)

    def index(self, at: datetime) -> int:
        """The hour on the wall since Monday 1970-01-05 00:00 there: mod 168 it is the hour of the week.

        When the clock goes back two hours share an index, when it goes forward one is
        left out.

        >>> Calendar("Europe/Berlin").index(datetime(2024, 1, 1, 5, tzinfo=UTC)) % 168  # Monday, 6 o'clock
        6
        """
        return (at.astimezone(self.zone).replace(tzinfo=UTC) - MONDAY) // HOUR

    def date(self, index: int) -> date:
        """The day of an hour on the wall.

        >>> Calendar().date(24)
        datetime.date(1970, 1, 6)
        """
        return (MONDAY + index * HOUR).date()

    def start(self, index: int) -> datetime:
        """The first moment of an hour on the wall, in UTC."""
        return (MONDAY + index * HOUR).replace(tzinfo=self.zone).astimezone(UTC)

    def whole(
        self, at: datetime, unit: Literal["day", "week"], days: int
    ) -> tuple[datetime, datetime]:
        """The newest `days` days, up to the end of the last whole day or week (Monday to Sunday) on the wall before `at`, in UTC.

        In zones that are not whole hours from UTC, to the whole hour of UTC before:
        profiles have such hours.

        >>> start, end = Calendar("Europe/Berlin").whole(datetime(2024, 4, 1, 12, tzinfo=UTC), "day", 1)
        >>> f"{start:%d %H:%M}", f"{end:%d %H:%M}"  # the clock went forward: 23 hours
        ('30 23:00', '31 22:00')
        """
        hours = DAY_HOURS if unit == "day" else WEEK_HOURS
        end = self.index(at) // hours * hours
        start, until = (
            self.start(i).replace(minute=0) for i in (end - days * DAY_HOURS, end)
        )
        return start, until

    def is_special(self, at: datetime) -> bool:
        """Whether that moment is on a holiday.

        >>> Calendar(country="DE").is_special(datetime(2024, 12, 25, 12, tzinfo=UTC))
        True
        """
        day = at.astimezone(self.zone).date()
        return day in self.dates or day in self.public_holidays
