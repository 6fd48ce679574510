"""Which reader a sql source gets.

Owns the choice between the four: pages by key and the whole result, read once; behind a key for ever; and the windows
and pages of a roller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from teleporter_lab.connectors.rollers.template import sql_parts, variables
from teleporter_lab.connectors.sql_follow import Following, SqlFollow
from teleporter_lab.connectors.sql_keyset import key_columns
from teleporter_lab.connectors.sql_query import RolledQuery
from teleporter_lab.connectors.sql_rolled import SqlRolled
from teleporter_lab.connectors.sql_source import SqlPages, SqlRows
from teleporter_lab.errors import ConnectorError

if TYPE_CHECKING:
    from teleporter_lab.connectors.rollers.source_roller import SourceRoller
    from teleporter_lab.connectors.sql import SqlSourceOptions
    from teleporter_lab.connectors.sql_database import Database


def reader(options: SqlSourceOptions, database: Database) -> SqlPages | SqlRows | SqlFollow:
    """The reader of a source without a roller. Raises ConnectorError where the query needs one."""
    if "#{" in options.query and (names := variables(sql_parts(options.query))):
        raise ConnectorError(f"The query asks for #{{{min(names)}}}, which a roller says; fill in the roller.")
    if not options.key:
        return SqlRows(options, database)
    if options.follow or options.lag:
        return SqlFollow(_following(options), database)
    return SqlPages(options, database)


def rolled_reader(
    options: SqlSourceOptions, database: Database, roller: SourceRoller
) -> SqlPages | SqlRows | SqlFollow | SqlRolled:
    """The reader of a source with a roller. Raises ConnectorError where options, query and roller do not fit."""
    if roller.blank:
        return reader(options, database)
    roller = roller.model_copy(update={"key": roller.key or options.key})
    if roller.start is None and roller.key is not None:
        RolledQuery(options.query, roller, database.backend)
        wanted = {"key": roller.key, "page_size": roller.page_size or options.page_size}
        wanted |= {"lag": roller.lag or options.lag, "follow": options.follow or roller.follows}
        return reader(options.model_copy(update=wanted), database)
    if options.follow or options.lag:
        raise ConnectorError(
            "follow and lag of the client are for reading by key alone; windows have deadline and lag in the roller."
        )
    return SqlRolled(options, roller, database)


def _following(options: SqlSourceOptions) -> Following:
    return Following(
        options.query, key_columns(options.key), options.page_size, options.follow, options.interval, options.lag
    )
