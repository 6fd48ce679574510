"""The first notebook's stream as a plant: a broker, an instance, its documents, its template without the throttle."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import yaml

from teleporter_lab.demo.flights import Files, prepare
from teleporter_lab.demo.story import STREAM, notebook_path
from tests.faults.plant import Plant, instance_key

if TYPE_CHECKING:
    from pathlib import Path

    from teleporter_lab.blocking import BlockingClient


class Site(Plant):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.files: Files = prepare(folder)

    def load(self, client: BlockingClient) -> None:
        """Saves the documents and the template of the notebook, and starts them."""
        cells = ["".join(cell["source"]) for cell in json.loads(notebook_path().read_text())["cells"]]
        documents = next(cell for cell in cells if cell.startswith("%%teleport config apply"))
        template = next(cell for cell in cells if cell.startswith("%%teleport deploy")).partition("\n")[2]
        arguments = {"csv": self.files.csv, "database": self.files.database}
        client.save("/variable/demo/files", {"arguments": arguments})
        for key, value in yaml.safe_load(documents.partition("\n")[2]).items():
            client.save(key, value or {})
        client.save(STREAM, {"template": template.replace(".throttle(4_000, per=0.1)", "")})
        client.save("/group/demo/one", {"tasks": ["/task/demo/flights"], "instances": [instance_key("one")]})
        client.save("/task/demo/flights", {"group": "/group/demo/one"})
        client.save("/partition/demo/flights/all", {"keys": ["/stream/demo/flights/.*"]})
        client.refresh("/group/demo/one")
