"""Which Cairn this is."""

from importlib.metadata import PackageNotFoundError, version


def cairn_version() -> str:
    """The installed version of Cairn."""
    try:
        return version("cairn")
    except PackageNotFoundError:
        return "0"
