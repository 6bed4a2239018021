"""The tools that the agent may call."""

from fastapi import APIRouter

from service.openapi import problems
from service.routes.context import ServicesDep, needs
from service.schemas.tools import ToolBody, ToolList

router = APIRouter(prefix="/v1", tags=["tools"], dependencies=[needs("tools:read")])


@router.get("/tools", responses=problems())
async def list_tools(services: ServicesDep) -> ToolList:
    """The tools with their schemas, as a model sees them."""
    return ToolList(
        items=[
            ToolBody(
                name=tool.name,
                description=tool.spec.description,
                parameters=dict(tool.spec.parameters),
                effect=tool.effect,
                timeout=tool.timeout,
                examples=list(tool.spec.examples),
            )
            for tool in services.toolset
        ]
    )
