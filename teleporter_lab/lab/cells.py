"""What a cell says before it is sent anywhere: does it compile, and does it stand alone? Pure.

Owns finding the names that a cell uses and does not define. Refuses to run anything.
"""

from __future__ import annotations

import ast
import builtins
import symtable

NOTEBOOK = frozenset({"__IPYTHON__", "display", "get_ipython"})
"""What IPython adds to the builtins: a cell has it in the notebook, and not in an instance."""

GIVEN = frozenset({"stream_logic", "__name__", "__builtins__", *dir(builtins)}) - NOTEBOOK
"""Names every template has."""


def undefined_names(source: str) -> list[str]:
    """The global names that `source` reads and neither defines, imports nor is given, sorted. Raises SyntaxError.

    An instance runs the cell alone: a name that another cell of the notebook defines is not there. A star import may
    define anything, so a cell with one is taken to stand alone.
    """
    tree = ast.parse(source)
    if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
        return []
    top = symtable.symtable(source, "<cell>", "exec")
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    defined |= _declared_global(top)
    return sorted(_read_globally(top) - defined - GIVEN)


def _declared_global(table: symtable.SymbolTable) -> set[str]:
    """Names that functions assign after `global`."""
    declared = (symbol for symbol in table.get_symbols() if symbol.is_declared_global())
    names = {symbol.get_name() for symbol in declared if symbol.is_assigned() or symbol.is_imported()}
    for child in table.get_children():
        names |= _declared_global(child)
    return names


def _read_globally(table: symtable.SymbolTable) -> set[str]:
    at_top = table.get_type() == "module"
    names = {s.get_name() for s in table.get_symbols() if s.is_referenced() and (at_top or s.is_global())}
    for child in table.get_children():
        names |= _read_globally(child)
    return names
