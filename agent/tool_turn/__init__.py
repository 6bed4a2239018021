"""The tool calls of one turn of the model."""
