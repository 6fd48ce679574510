"""Sources made of several: combine, zip_n.

Owns the functions, and the stage of zip_n; merging and concatenating are operators of `fan_in`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from teleporter_lab.engine.ahead import Ahead
from teleporter_lab.engine.chunk import Chunk
from teleporter_lab.engine.graph import Source, source
from teleporter_lab.engine.heads import Heads

if TYPE_CHECKING:
    from teleporter_lab.engine.run import Materializer

T = TypeVar("T")


def combine(*sources: Source[T], strategy: Literal["merge", "concat"] = "merge") -> Source[T]:
    """The elements of all `sources`: as they come (`merge`), or of one after the other (`concat`).

    Emits when: one of them has an element, or the one whose turn it is.
    Completes when: all have.
    """
    if not sources or strategy not in ("merge", "concat"):
        raise ValueError(f"combine needs one source or more, and the strategy merge or concat, not {strategy!r}.")
    first, *others = sources
    return first.merge(*others) if strategy == "merge" else first.concat(*others)


def zip_n(*sources: Source[T]) -> Source[tuple[T, ...]]:
    """Tuples of the n-th elements of all `sources`, each of which is pulled by a task of its own.

    Emits when: each has an element.
    Completes when: one has.
    Tokens: a tuple answers for the records of all.
    """
    if not sources:
        raise ValueError("zip_n needs one source or more.")
    name = f"zip_n({len(sources)})"

    def attach(m: Materializer) -> ZipN:
        return ZipN([Ahead(one.attach(m.island()), m.spawn) for one in sources], m, name)

    return source(name, attach)


class ZipN(Heads[Any]):
    """Whoever ends first ends all."""

    __slots__ = ()

    def ready(self) -> bool:
        return all(self.heads)

    def ends(self) -> bool:
        return True

    def give(self, n: int) -> Chunk[Any]:
        count = min(n, *(len(head) for head in self.heads if head is not None))
        pieces = [self.take(i, count) for i in range(len(self.heads))]
        owners = [piece.tokens[-1] for piece in pieces if piece.tokens]
        for owner in owners[:-1]:
            owner.account("merged", count)
        tokens = tuple(token for piece in pieces for token in piece.tokens)
        return Chunk(list(zip(*(piece.data for piece in pieces), strict=True)), tokens)
