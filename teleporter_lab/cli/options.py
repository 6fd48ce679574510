"""Options that several commands have, under one name and one environment variable each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str, typer.Option(help="Which broker, by name.", envvar="TELEPORTER_BROKER_NAME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

Host = Annotated[str, typer.Option(help="Address to listen on.", envvar="TELEPORTER_BROKER_HOST")]
Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Port of REST; 0: a free one.", envvar="TELEPORTER_BROKER_PORT")
]
RpcPort = Annotated[
    int, typer.Option(min=0, max=65535, help="Port for instances; 0: a free one.", envvar="TELEPORTER_BROKER_RPC_PORT")
]
StoreUrl = Annotated[
    str,
    typer.Option(
        help="leveldb:PATH, sqlite:PATH, memory: or postgresql://USER@HOST/DATABASE; empty: in the data folder. "
        "One with a password belongs into the environment, as others may read a command line.",
        envvar="TELEPORTER_STORE",
    ),
]
LogJson = Annotated[bool, typer.Option(help="Write the log as JSON lines.", envvar="TELEPORTER_LOG_JSON")]
Drain = Annotated[
    str, typer.Option(help="How long open requests may take at the end, like 30s.", envvar="TELEPORTER_DRAIN")
]
Letters = Annotated[
    int, typer.Option(min=0, help="Dead letters that a stream may have, at most.", envvar="TELEPORTER_DEAD_LETTERS")
]
LetterAge = Annotated[
    str, typer.Option(help="How long dead letters are kept, like 30d.", envvar="TELEPORTER_DEAD_LETTER_AGE")
]
AllowRemote = Annotated[
    bool, typer.Option(help="Allow a --host that other machines reach.", envvar="TELEPORTER_ALLOW_REMOTE")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File with the token; else TELEPORTER_TOKEN, else one kept in the data folder.",
        envvar="TELEPORTER_TOKEN_FILE",
        exists=True,
        dir_okay=False,
    ),
]

Broker = Annotated[
    str | None,
    typer.Option("--broker", help="A broker on this machine, by name; else TELEPORTER_BROKER_URL, else `default`."),
]
Start = Annotated[int, typer.Option(min=0, help="How many to leave out at the beginning.")]
Limit = Annotated[int, typer.Option(min=0, max=10_000, help="How many at most.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
