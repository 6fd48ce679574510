"""The fixtures of a real PostgreSQL."""

from tests.services.postgres import postgres as postgres
from tests.services.postgres import postgres_server as postgres_server
