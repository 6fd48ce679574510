"""The servers that tests of connectors ask for."""

from tests.services.kafka import kafka as kafka
from tests.services.kafka import kafka_server as kafka_server
from tests.services.postgres import killed_server as killed_server
from tests.services.postgres import postgres as postgres
from tests.services.postgres import postgres_server as postgres_server
