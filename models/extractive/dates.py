"""Dates as people write them, read against the day on which they are written."""

import re
from collections.abc import Iterator
from datetime import date, timedelta

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_ISO = re.compile(r"\b(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})\b")
_DAY_FIRST = re.compile(
    rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE
)
_MONTH_FIRST = re.compile(
    rf"\b{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)(?:,? (?P<year>\d{{4}}))?", re.IGNORECASE
)
_DOTTED = re.compile(r"\b(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})\b")
_SLASHED = re.compile(r"\b(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})\b")
_NEAR = re.compile(
    r"\bthe day after tomorrow\b|\bthe day before yesterday\b|\btomorrow\b|\btoday\b|\btonight\b|\byesterday\b",
    re.IGNORECASE,
)
_WEEKDAY = re.compile(
    r"\b(?:(?P<which>next|this|last|coming) )?(?P<day>monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b",
    re.IGNORECASE,
)
_IN_DAYS = re.compile(r"\bin (?P<count>\d{1,3}|a|two|three) (?P<unit>day|week)s?\b", re.IGNORECASE)
_OFFSETS = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
_COUNTS = {"a": 1, "two": 2, "three": 3}


def find_dates(text: str, today: date) -> list[tuple[int, int, date]]:
    """Dates in a text as ``(start, end, date)``, in order; what lies within another one is left out.

    A day without a year is the next one to come; `Friday` and `next Friday` are the next Friday after today. Of
    `05/03/2026` the month is read first, as the slashes suggest.
    """
    found = sorted(_all(text, today), key=lambda entry: (entry[0], -entry[1]))
    kept: list[tuple[int, int, date]] = []
    for entry in found:
        if not kept or entry[0] >= kept[-1][1]:
            kept.append(entry)
    return kept


def long_date(value: date) -> str:
    """A date as a reader expects it, e.g. `24 November 2026`."""
    return f"{value.day} {value:%B %Y}"


def _all(text: str, today: date) -> Iterator[tuple[int, int, date]]:
    for pattern in (_ISO, _DAY_FIRST, _MONTH_FIRST, _DOTTED, _SLASHED):
        for match in pattern.finditer(text):
            value = _calendar(match, today)
            if value is not None:
                yield match.start(), match.end(), value
    for match in _NEAR.finditer(text):
        words = match[0].lower()
        days = -2 if "before" in words else 2 if "after" in words else _OFFSETS[words]
        yield match.start(), match.end(), today + timedelta(days=days)
    for match in _WEEKDAY.finditer(text):
        ahead = (_DAYS.index(match["day"].lower()) - today.weekday() - 1) % 7 + 1
        back = (match["which"] or "").lower() == "last"
        yield (
            match.start(),
            match.end(),
            today + timedelta(days=ahead - 7 if back and ahead < 7 else -7 if back else ahead),
        )
    for match in _IN_DAYS.finditer(text):
        count = _COUNTS.get(match["count"].lower()) or int(match["count"])
        yield match.start(), match.end(), today + timedelta(days=count * (7 if match["unit"].lower() == "week" else 1))


def _calendar(match: re.Match[str], today: date) -> date | None:
    month = match["month"]
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
    try:
        if match["year"]:
            return date(int(match["year"]), number, int(match["day"]))
        value = date(today.year, number, int(match["day"]))
        return value if value >= today else date(today.year + 1, number, int(match["day"]))
    except ValueError:
        return None
