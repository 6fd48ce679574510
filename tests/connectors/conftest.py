"""The servers that tests of connectors ask for."""

from tests.services.postgres import postgres as postgres
from tests.services.postgres import postgres_server as postgres_server
