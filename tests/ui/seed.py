"""What the broker of the browser tests holds: a shop whose orders go from a file to a database, in several streams."""

from __future__ import annotations

from typing import Any

TEMPLATE = """@stream_logic
def orders(s):
    return s.source("in").map(dict).to(s.sink("out"))
"""

SEED: dict[str, dict[str, Any]] = {
    "/namespace/shop": {},
    "/group/shop/workers": {
        "tasks": ["/task/shop/orders"],
        "instances": ["/instance/shop/one"],
        "instanceOfflineReBalanceTime": "1.minutes",
    },
    "/instance/shop/one": {"group": "/group/shop/workers"},
    "/address/shop/warehouse": {
        "category": "sql",
        "client": {"url": "sqlite:////data/warehouse.db", "password": "${env:SHOP_PASSWORD}"},
    },
    "/address/shop/lists": {"category": "memory", "client": {"maxRecords": 5000000}},
    "/variable/shop/limits": {"arguments": {"batch": 500}},
    "/task/shop/orders": {"group": "/group/shop/workers", "template": TEMPLATE},
    "/partition/shop/orders/all": {"keys": ["/stream/shop/orders/.*"]},
    "/stream/shop/orders/berlin": {"status": "STOPPED"},
    "/source/shop/orders/berlin/in": {"category": "generator", "client": {"rate": 200}},
    "/sink/shop/orders/berlin/out": {
        "category": "memory",
        "address": {"key": "/address/shop/lists"},
        "client": {"name": "orders"},
    },
    "/stream/shop/orders/madrid": {"status": "STOPPED", "cron": "*/5 * * * *"},
    "/source/shop/orders/madrid/in": {"category": "generator", "client": {"rate": 20}},
    "/sink/shop/orders/madrid/out": {
        "category": "memory",
        "address": {"key": "/address/shop/lists"},
        "client": {"name": "orders"},
    },
    "/stream/shop/orders/paris": {"status": "STOPPED"},
    "/source/shop/orders/paris/in": {"category": "file", "client": {"path": "/no/such/file"}},
    "/sink/shop/orders/paris/out": {
        "category": "memory",
        "address": {"key": "/address/shop/lists"},
        "client": {"name": "orders"},
    },
}
