"""The one REST client of a broker, async. Owns the verbs as methods and where a broker is found.

It raises the classes the broker raised, and Unreachable when nobody answers.

    async with Client.find() as client:
        await client.save("/namespace/shop", {})
"""

from teleporter_lab.client.client import Client, probe, shutdown
from teleporter_lab.client.connection import DEFAULT_NAME, TOKEN_VARIABLE, URL_VARIABLE

__all__ = ["DEFAULT_NAME", "TOKEN_VARIABLE", "URL_VARIABLE", "Client", "probe", "shutdown"]
