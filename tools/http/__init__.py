"""HTTP APIs of one's own back end: credentials, limits, retries, and what an answer proves."""

from tools.http.api import HttpApi
from tools.http.auth import ApiKey, Auth, Basic, Bearer, OAuth2
from tools.http.errors import ApiRefused
from tools.http.limits import HttpLimits
from tools.http.subject import ForwardToken, TokenExchange

__all__ = [
    "ApiKey",
    "ApiRefused",
    "Auth",
    "Basic",
    "Bearer",
    "ForwardToken",
    "HttpApi",
    "HttpLimits",
    "OAuth2",
    "TokenExchange",
]
