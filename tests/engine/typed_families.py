# pyright: strict
"""What a type checker has to know about one operator of each family; `test_typing` has it checked. Never run."""

from __future__ import annotations

from typing import Any, assert_type

from teleporter_lab.engine.graph import Flow, Nothing, RunnableGraph, Source, flow
from teleporter_lab.engine.stages.batches import from_batches
from teleporter_lab.engine.stages.combining import combine
from teleporter_lab.engine.stages.folding_sinks import exists, reduce
from teleporter_lab.engine.stages.queues import SourceQueue, queue
from teleporter_lab.engine.stages.sinks import count, take_last, to_list
from teleporter_lab.engine.stages.sources import iterate, range_of
from teleporter_lab.engine.stages.unfolding import unfold_async

words = iterate(["a", "bb"])
numbers = range_of(0, 10)
assert_type(numbers, Source[int])


async def step(n: int) -> tuple[int, str] | None:
    return (n + 1, str(n)) if n < 3 else None


async def add(total: float, word: str) -> float:
    return total + len(word)


assert_type(unfold_async(0, step), Flow[Nothing, str])
assert_type(combine(words, iterate(["c"])), Flow[Nothing, str])

# stateful, cutting, grouping, folding, observing
assert_type(words.stateful_map(lambda: 0, lambda n, word: (n + 1, (n, word))), Flow[Nothing, tuple[int, str]])
assert_type(words.zip_with_index(), Flow[Nothing, tuple[str, int]])
assert_type(words.collect(lambda word: len(word) or None), Flow[Nothing, int])
assert_type(words.limit(5).drop_repeated().sliding(2), Flow[Nothing, list[str]])
assert_type(words.grouped_adjacent_by(len), Flow[Nothing, list[str]])
assert_type(words.fold(0, lambda n, word: n + len(word)), Flow[Nothing, int])
assert_type(words.log("words").tap(print), Flow[Nothing, str])

# asynchronous, timing, buffering
assert_type(words.scan_async(0.0, add), Flow[Nothing, float])
assert_type(words.delay(1.0).take_within(9.0).buffer(10, "drop_head").async_boundary(), Flow[Nothing, str])
assert_type(words.batch(10, len, lambda n, word: n + len(word)), Flow[Nothing, int])
assert_type(words.idle_timeout(1.0).keep_alive(1.0, lambda: "."), Flow[Nothing, str])

# fan-in, fan-out, nesting
assert_type(words.zip_with(numbers, lambda word, n: word * n), Flow[Nothing, str])
assert_type(words.zip_latest(numbers), Flow[Nothing, tuple[str, int]])
assert_type(words.merge_sorted(words).prepend(words).or_else(words).interleave(words), Flow[Nothing, str])
assert_type(words.flat_map_concat(lambda word: iterate(range(len(word)))), Flow[Nothing, int])
assert_type(words.flat_map_merge(4, lambda word: iterate([word, 1])), Flow[Nothing, str | int])
assert_type(words.group_by(9, len).map(len).merge_substreams(), Flow[Nothing, int])
assert_type(words.balance(count(), count()), RunnableGraph[list[Any]])

# errors, watching, delivery, columns, attributes
assert_type(words.recover_with(3, lambda error: iterate([str(error)])).map_error(ValueError), Flow[Nothing, str])
assert_type(words.monitor().confirm().dedupe_window(10).with_attributes(name="words"), Flow[Nothing, str])
assert_type(from_batches([]).select("a").to_rows(), Flow[Nothing, dict[str, Any]])
assert_type(flow(dict[str, int]).to_batches().map_batches(lambda batch: batch), Flow[dict[str, int], Any])

# sinks
assert_type(words.to(count()), RunnableGraph[int])
assert_type(words.to(take_last(2)), RunnableGraph[list[str]])
assert_type(words.to(exists(str.isupper)), RunnableGraph[bool])
assert_type(words.to(reduce(lambda a, b: a + b)), RunnableGraph[str | None])


async def talk() -> list[int]:
    q: Source[str] = queue(4)
    async with q.map(len).to(to_list()).start() as running:
        talk = running.value(SourceQueue[str])
        await talk.offer("a")
        talk.complete()
        return await running.right()
