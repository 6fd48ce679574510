"""Operators that look at the clock: grouped_within, throttle, delay, delay_with, initial_delay, take_within,
drop_within.

Owns their methods, and the stages of grouping and of pace; `delaying` has the others. All of them ask the injected
clock, so that tests run in virtual time. The first seconds of a stream begin when something below asks for the first
time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from teleporter_lab.engine.chunk import Chunk, Held
from teleporter_lab.engine.operators import Operators, named
from teleporter_lab.engine.reservoir import Reservoir
from teleporter_lab.engine.stage import Stage, Through
from teleporter_lab.engine.stages.delaying import Delay, DelayWith, DropWithin, InitialDelay, TakeWithin
from teleporter_lab.engine.stages.weighing import Typical, Weighed

if TYPE_CHECKING:
    from collections.abc import Callable

    from teleporter_lab.engine.graph import Flow
    from teleporter_lab.engine.run import Materializer

In = TypeVar("In")
Out = TypeVar("Out")
A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

DELAYED = 16
"""Elements that a delay holds at the most, unless it is told otherwise."""

TINY = 1e-9
"""What sums of times and costs may be off by."""


class Timing(Operators[In, Out], Generic[In, Out]):
    """The family's methods."""

    __slots__ = ()

    def grouped_within(
        self, n: int, seconds: float, weight: Callable[[Out], float] | None = None
    ) -> Flow[In, list[Out]]:
        """Lists of up to `n` elements, given out when full or `seconds` after their first element came.

        With `weight`, `n` is the most that the elements of a list weigh together; one that is heavier is a list of its
        own. Of columns: batches of up to `n` rows. Before an error the elements held go out as a last list.

        Emits when: a list is full, its time is up, or at the end.
        Tokens: a list answers for every record in it; its elements count as merged.
        Supervised: yes, by element, where there is a `weight`.
        Like: Pekko's groupedWithin and groupedWeightedWithin.
        """
        if n < 1 or seconds <= 0:
            raise ValueError(f"grouped_within needs n >= 1 and seconds > 0, not {n} and {seconds}")
        name = f"grouped_within({n}, {seconds}s)"
        if weight is None:
            return self.then(name, lambda m, up: GroupedWithin(up, m, n, seconds))
        return self.then(name, lambda m, up: WeightedWithin(Weighed(up, m, name, weight), m, n, seconds))

    def throttle(
        self, elements: int, per: float, cost: Callable[[Out], float] | None = None, burst: int | None = None
    ) -> Flow[In, Out]:
        """Lets at most `elements` pass in each `per` seconds, or with `cost` elements that cost so much together.

        An idle time is made up for by at most `burst` at once (`elements` unless given), and a stream begins with
        that. An element dearer than `burst` passes when nothing is owed, and those after it wait the longer.

        Emits when: there is input and its time has come.
        Waits when: the pace is used up, or nothing below asks.
        Supervised: yes, by element, where there is a `cost`.
        """
        burst = elements if burst is None else burst
        if elements < 1 or per <= 0 or burst < 1:
            raise ValueError(f"throttle needs elements >= 1, per > 0 and burst >= 1, not {elements}, {per} and {burst}")
        name = f"throttle({elements}/{per}s)"
        if cost is None:
            return self.then(name, lambda m, up: Throttle(up, m, Bucket(elements / per, burst)))
        return self.then(name, lambda m, up: CostThrottle(Weighed(up, m, name, cost), m, Bucket(elements / per, burst)))

    def delay(self, seconds: float, size: int = DELAYED) -> Flow[In, Out]:
        """Gives each element `seconds` after it came. Holds up to `size` elements, so no more pass in that time.

        Emits when: an element has waited long enough.
        Waits when: `size` elements are held, whatever is asked for below.
        Completes when: its input has, and all elements held were given; an error from above waits for them too.
        """
        _check_delay("delay", seconds, size)
        return self.then(f"delay({seconds}s)", lambda m, up: Delay(up, m, seconds, size))

    def delay_with(self, function: Callable[[Out], float], size: int = DELAYED) -> Flow[In, Out]:
        """Gives each element `function(x)` seconds after it came, but never before one that came earlier.

        Holds up to `size` elements.

        Emits when: the first element held has waited long enough.
        Waits when: `size` elements are held, whatever is asked for below.
        Completes when: its input has, and all elements held were given; an error from above waits for them too.
        Supervised: yes, by element.
        """
        _check_delay("delay_with", 0, size)
        name = named("delay_with", function)
        return self.then(name, lambda m, up: DelayWith(Weighed(up, m, name, function), m, size))

    def initial_delay(self, seconds: float) -> Flow[In, Out]:
        """Reads nothing in the first `seconds`, then lets everything pass.

        Emits when: the time is over and there is input.
        Waits when: the time is not over yet, or nothing below asks.
        """
        _check_delay("initial_delay", seconds, 1)
        return self.then(f"initial_delay({seconds}s)", lambda m, up: InitialDelay(up, m, seconds))

    def take_within(self, seconds: float) -> Flow[In, Out]:
        """Gives the elements that come in the first `seconds`, then the end.

        Emits when: there is input.
        Completes when: the time is over, or its input does.
        Cancels when: the time is over, or what is below does.
        Tokens: pass unchanged; what was read and is not given stays un-confirmed.
        """
        _check_delay("take_within", seconds, 1)
        return self.then(f"take_within({seconds}s)", lambda m, up: TakeWithin(up, m, seconds))

    def drop_within(self, seconds: float) -> Flow[In, Out]:
        """Leaves out the elements that come in the first `seconds`.

        Emits when: the time is over and there is input.
        Tokens: what is left out counts as filtered and is confirmed.
        """
        _check_delay("drop_within", seconds, 1)
        return self.then(f"drop_within({seconds}s)", lambda m, up: DropWithin(up, m, seconds))


def _check_delay(operator: str, seconds: float, size: int) -> None:
    if not seconds >= 0 or size < 1:
        raise ValueError(f"{operator} needs seconds >= 0 and a size of 1 or more, not {seconds} and {size}")


class Gather(Reservoir[T, T]):
    """Joins small chunks to one of up to the demand, waiting `seconds` at the most after its first element.

    Collects as much as is wanted and no more, and goes on when the one who pulls is cancelled.
    """

    __slots__ = ("_deadline", "_held", "_seconds", "_want")

    def __init__(self, upstream: Stage[T], m: Materializer, seconds: float) -> None:
        super().__init__(upstream, m)
        self._seconds = seconds
        self._held: Held[T] = Held()
        self._deadline = 0.0
        self._want = 0

    def collect(self, n: int) -> None:
        """Gathers up to `n` elements for the next pull, while its caller does something else."""
        self._want = n
        self.read_on()

    def room(self) -> int:
        return self._want - self._held.count

    def keep(self, chunk: Chunk[T]) -> None:
        if not self._held.count:
            self._deadline = self.clock.now() + self._seconds
        self._held.add(chunk)

    async def give(self, n: int) -> Chunk[T] | None:
        self.collect(n)
        while self._held.count < n and not self.over and await self._more_in_time():
            pass
        if not self._held.count:
            return self.end()
        await self.pace.turn()
        self._want = 0
        return self._held.take(self._held.alike(min(n, self._held.count)))

    async def _more_in_time(self) -> bool:
        """Whether something came before the time was up."""
        left = self._deadline - self.clock.now() if self._held.count else None
        return (left is None or left > 0) and await self.more(left)


class GroupedWithin(Through[T, "list[T]"], Generic[T]):
    __slots__ = ("_size",)

    def __init__(self, upstream: Stage[T], m: Materializer, size: int, seconds: float) -> None:
        super().__init__(Gather(upstream, m, seconds))
        self._size = size

    async def pull(self, n: int) -> Chunk[list[T]] | None:
        chunk = await self.upstream.pull(self._size)
        if chunk is None:
            return None
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(chunk) - 1)
        return Chunk([chunk.data[:]], chunk.tokens)


class WeightedWithin(Reservoir["tuple[T, float]", "list[T]"], Generic[T]):
    """Lists by weight. Asks for no more elements than typically make up what the list still may weigh."""

    __slots__ = ("_came", "_held", "_limit", "_seconds", "_typical", "_weight")

    def __init__(self, upstream: Weighed[T], m: Materializer, limit: float, seconds: float) -> None:
        super().__init__(upstream, m)
        self._limit = limit
        self._seconds = seconds
        self._held: Held[T] = Held()
        self._came: deque[tuple[float, float]] = deque()
        """What each element held weighs, and when it came."""
        self._weight = 0.0
        self._typical = Typical()

    def room(self) -> int:
        left = self._limit - self._weight
        return self._typical.count(left) if self.asked and left > 0 else 0

    def keep(self, chunk: Chunk[tuple[T, float]]) -> None:
        now = self.clock.now()
        self._came.extend((weight, now) for _, weight in chunk.data)
        weight = sum(weight for _, weight in chunk.data)
        self._weight += weight
        self._typical.saw(len(chunk), weight)
        self._held.add(Chunk([element for element, _ in chunk.data], chunk.tokens))

    async def give(self, n: int) -> Chunk[list[T]] | None:
        while self._weight < self._limit and not self.over and await self._more_in_time():
            pass
        if not self._held.count:
            return self.end()
        await self.pace.turn()
        chunk = self._held.take(self._first_list())
        if chunk.tokens:
            chunk.tokens[-1].account("merged", len(chunk) - 1)
        return Chunk([chunk.data[:]], chunk.tokens)

    async def _more_in_time(self) -> bool:
        left = self._came[0][1] + self._seconds - self.clock.now() if self._came else None
        return (left is None or left > 0) and await self.more(left)

    def _first_list(self) -> int:
        """How many of the elements held are in the first list, and takes their weights off."""
        count, weight = 0, 0.0
        while self._came and (not count or weight + self._came[0][0] <= self._limit):
            weight += self._came.popleft()[0]
            count += 1
        self._weight = self._weight - weight if self._came else 0.0
        return count


class Bucket:
    """What may pass now: fills with `rate` a second, up to `burst`, and is full at the beginning."""

    __slots__ = ("_at", "_rate", "burst", "left")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._at: float | None = None
        self.burst = burst
        self.left = burst

    def fill(self, now: float) -> None:
        if self._at is not None:
            self.left = min(self.burst, self.left + (now - self._at) * self._rate)
        self._at = now

    def missing(self, cost: float) -> float:
        """Seconds until something that costs so much may pass; 0 when it may now."""
        short = min(cost, self.burst) - self.left
        return short / self._rate if short > TINY else 0.0


class Throttle(Through[T, T]):
    __slots__ = ("_bucket", "_clock")

    def __init__(self, upstream: Stage[T], m: Materializer, bucket: Bucket) -> None:
        super().__init__(upstream)
        self._clock = m.clock
        self._bucket = bucket

    async def pull(self, n: int) -> Chunk[T] | None:
        bucket = self._bucket
        bucket.fill(self._clock.now())
        while (seconds := bucket.missing(1)) > 0:
            await self._clock.sleep(seconds)
            bucket.fill(self._clock.now())
        chunk = await self.upstream.pull(min(n, max(1, int(bucket.left + TINY))))
        if chunk is not None:
            bucket.left -= len(chunk)
        return chunk


class CostThrottle(Through["tuple[T, float]", T], Generic[T]):
    """Holds what it could not let pass. Asks for no more elements than typically cost what is left."""

    __slots__ = ("_bucket", "_chunk", "_clock", "_typical")

    def __init__(self, upstream: Weighed[T], m: Materializer, bucket: Bucket) -> None:
        super().__init__(upstream)
        self._clock = m.clock
        self._bucket = bucket
        self._chunk: Chunk[tuple[T, float]] | None = None
        self._typical = Typical()

    async def pull(self, n: int) -> Chunk[T] | None:
        bucket = self._bucket
        bucket.fill(self._clock.now())
        if self._chunk is None:
            self._chunk = await self.upstream.pull(min(n, self._typical.count(bucket.left)))
            if self._chunk is None:
                return None
            self._typical.saw(len(self._chunk), sum(cost for _, cost in self._chunk.data))
        while (seconds := bucket.missing(self._chunk.data[0][1])) > 0:
            await self._clock.sleep(seconds)
            bucket.fill(self._clock.now())
        return self._pass(self._chunk, n)

    def _pass(self, chunk: Chunk[tuple[T, float]], n: int) -> Chunk[T]:
        """The elements that may pass now; the first one may."""
        passing: list[T] = []
        for element, cost in chunk.data[:n]:
            if passing and self._bucket.missing(cost) > 0:
                break
            self._bucket.left -= cost
            passing.append(element)
        self._chunk = None
        if len(passing) < len(chunk):
            chunk, self._chunk = chunk.split(len(passing))
        return Chunk(passing, chunk.tokens)
