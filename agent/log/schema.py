"""The JSON schema of what a run's events look like on the wire: the promise that clients depend on."""

from typing import Any

from pydantic import TypeAdapter

from agent.events import EventBody

_PLACE = {
    "run_id": {"type": "string", "description": "The run; the same in every event of a stream."},
    "seq": {"type": "integer", "minimum": 1, "description": "Position in the run's log, without gaps."},
}


def event_schemas(refs: str) -> dict[str, dict[str, Any]]:
    """The schema of each event by its name, and ``RunEvent``, which is any one of them.

    Args:
        refs: Where the schemas will be found from each other, with a place for the name: ``#/$defs/{model}``.
    """
    whole = TypeAdapter(EventBody).json_schema(mode="serialization", ref_template=refs)
    schemas: dict[str, dict[str, Any]] = whole["$defs"]
    source = schemas.pop("Source")
    cited = schemas["CitedSource"]
    # On the wire a source and its label are one flat object: agent/log/encoding.py.
    cited["properties"] = {"label": cited["properties"]["label"], **source["properties"]}
    mapping = {}
    for name, schema in schemas.items():
        fields = schema["properties"]
        if "type" in fields:
            mapping[fields["type"]["const"]] = refs.format(model=name)
            fields = schema["properties"] = {**_PLACE, **fields}
        schema["required"] = list(fields)
        for shape in (schema, *fields.values()):
            shape.pop("title", None)
            shape.pop("default", None)
    schemas["RunEvent"] = {
        "description": "One event of a run. Types and fields may be added: pass over what you do not know.",
        "oneOf": [{"$ref": ref} for ref in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    return schemas


def run_event_schema() -> dict[str, Any]:
    """The schema of any event, complete in itself (JSON Schema 2020-12)."""
    schemas = event_schemas("#/$defs/{model}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "RunEvent",
        **schemas.pop("RunEvent"),
        "$defs": schemas,
    }
