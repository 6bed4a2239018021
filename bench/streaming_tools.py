"""The one tool that every server under test offers."""

from cairn import tool


@tool(effect="read")
async def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city: The city's name.
    """
    return f"It is sunny in {city}."
