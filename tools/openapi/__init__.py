"""A back end's OpenAPI document, its operations as tools."""

from tools.openapi.document import OpenApiError, server_url
from tools.openapi.registration import from_openapi

__all__ = ["OpenApiError", "from_openapi", "server_url"]
