"""What can be wrong with tools before any call: mistakes of whoever defines or registers them.

A call that goes wrong is never an exception, but a ``ToolResult`` with a ``failure``. (What a tool itself raises to say
that it failed is ``tools.outcome.ToolError``.)

ToolSetupError
├── ToolDefinitionError   a function, class or option that cannot become a tool, or a name taken twice
├── ToolLoadingError      a file, module or entry point that gives no tools
└── UnknownToolError      a name that no tool of the set has
"""


class ToolSetupError(Exception):
    """A mistake in the definition or the registration of tools. The message says what to change."""


class ToolDefinitionError(ToolSetupError):
    """A function, class or option cannot become a tool, or two tools have one name."""


class ToolLoadingError(ToolSetupError):
    """A file, module or entry point gives no tools."""


class UnknownToolError(ToolSetupError):
    """No tool of the set has that name."""
