"""The rules of Tidewell Audio that are numbers: return periods, zones and shipping prices.

The back end decides by them, `build_handbook.py` prints them into the rate workbook, and a test holds the handbook's
sentences against them, so that the shop never promises one thing and does another.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

CURRENCY: Final = "EUR"

UNOPENED_RETURN_DAYS: Final = 30
OPENED_RETURN_DAYS: Final = 30
OPENED_HEADPHONES_RETURN_DAYS: Final = 14
BUSINESS_RETURN_DAYS: Final = 14
REFUND_WORKING_DAYS: Final = 5

HYGIENE_CATEGORIES: Final = frozenset({"headphones", "earphones"})
"""Categories that carry a hygiene seal."""
WEARING_PARTS: Final = frozenset({"LAP-2", "EID-5"})
"""SKUs that cannot go back once they are opened."""

HOLIDAY_FIRST: Final = (11, 1)
HOLIDAY_LAST: Final = (12, 24)
HOLIDAY_DEADLINE: Final = (1, 31)

HEAVY_PARCEL_KG: Final = Decimal("10")
HEAVY_PARCEL_SURCHARGE: Final = Decimal("8.00")
FREIGHT_KG: Final = Decimal("30")

Zone = Literal[1, 2, 3, 4]
Country = Literal[
    "Ireland", "Belgium", "France", "Germany", "Luxembourg", "Netherlands", "Austria", "Bulgaria", "Croatia", "Cyprus",
    "Czechia", "Denmark", "Estonia", "Finland", "Greece", "Hungary", "Italy", "Latvia", "Lithuania", "Malta", "Poland",
    "Portugal", "Romania", "Slovakia", "Slovenia", "Spain", "Sweden", "Norway", "Switzerland", "United Kingdom",
]  # fmt: skip

COUNTRIES: Final[dict[Zone, tuple[Country, ...]]] = {
    1: ("Ireland",),
    2: ("Belgium", "France", "Germany", "Luxembourg", "Netherlands"),
    3: (
        "Austria", "Bulgaria", "Croatia", "Cyprus", "Czechia", "Denmark", "Estonia", "Finland", "Greece", "Hungary",
        "Italy", "Latvia", "Lithuania", "Malta", "Poland", "Portugal", "Romania", "Slovakia", "Slovenia", "Spain",
        "Sweden",
    ),
    4: ("Norway", "Switzerland", "United Kingdom"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRates:
    """What shipping into one zone costs (EUR, VAT included) and how long it takes."""

    zone: Zone
    name: str
    standard: Decimal
    standard_days: str
    free_from: Decimal | None
    express: Decimal
    express_days: str
    freight: Decimal
    return_label: Decimal | None
    """Price of Tidewell's return label; None where the customer sends the parcel himself."""


RATES: Final[dict[Zone, ZoneRates]] = {
    1: ZoneRates(
        zone=1,
        name="Ireland",
        standard=Decimal("4.90"),
        standard_days="1–2 working days",
        free_from=Decimal("49.00"),
        express=Decimal("9.90"),
        express_days="1 working day",
        freight=Decimal("39.00"),
        return_label=Decimal("0.00"),
    ),
    2: ZoneRates(
        zone=2,
        name="Near Europe",
        standard=Decimal("6.90"),
        standard_days="2–4 working days",
        free_from=Decimal("79.00"),
        express=Decimal("14.90"),
        express_days="1–2 working days",
        freight=Decimal("59.00"),
        return_label=Decimal("0.00"),
    ),
    3: ZoneRates(
        zone=3,
        name="Rest of the European Union",
        standard=Decimal("9.90"),
        standard_days="4–7 working days",
        free_from=Decimal("149.00"),
        express=Decimal("24.90"),
        express_days="2–3 working days",
        freight=Decimal("89.00"),
        return_label=Decimal("6.90"),
    ),
    4: ZoneRates(
        zone=4,
        name="Outside the European Union",
        standard=Decimal("14.90"),
        standard_days="5–9 working days",
        free_from=None,
        express=Decimal("34.90"),
        express_days="3–4 working days",
        freight=Decimal("149.00"),
        return_label=None,
    ),
}


def zone_of(country: Country) -> Zone:
    """The shipping zone of a country.

    Raises:
        ValueError: Tidewell does not ship there.
    """
    for zone, countries in COUNTRIES.items():
        if country in countries:
            return zone
    raise ValueError(f"Tidewell Audio does not ship to {country}.")


def shipping_price(country: Country, *, weight_kg: Decimal, goods: Decimal, express: bool) -> Decimal:
    """The price in EUR of sending goods worth `goods` and weighing `weight_kg` to a country."""
    rates = RATES[zone_of(country)]
    if weight_kg > FREIGHT_KG:
        return rates.freight
    if not express and rates.free_from is not None and goods >= rates.free_from:
        return Decimal("0.00")
    surcharge = HEAVY_PARCEL_SURCHARGE if weight_kg > HEAVY_PARCEL_KG else Decimal("0.00")
    return (rates.express if express else rates.standard) + surcharge


def return_deadline(*, category: str, opened: bool, business: bool, ordered_on: date, delivered_on: date) -> date:
    """The last day on which a customer may announce a return (the handbook's "Return periods")."""
    if business:
        return delivered_on + timedelta(days=BUSINESS_RETURN_DAYS)
    if opened and category in HYGIENE_CATEGORIES:
        return delivered_on + timedelta(days=OPENED_HEADPHONES_RETURN_DAYS)
    deadline = delivered_on + timedelta(days=OPENED_RETURN_DAYS if opened else UNOPENED_RETURN_DAYS)
    in_holidays = HOLIDAY_FIRST <= (ordered_on.month, ordered_on.day) <= HOLIDAY_LAST
    if in_holidays and not opened:
        return max(deadline, date(ordered_on.year + 1, *HOLIDAY_DEADLINE))
    return deadline
