"""How far a job is: a live line on a terminal, a plain line now and then elsewhere, nothing with --quiet."""

import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn


class Reporter:
    """Use as a context manager; call `update(done, **facts)` as often as you like.

    `facts` are shown as given, in their order, e.g. `update(3, feasible="2 of 8", best="4.1e11 Jones")`.
    """

    def __init__(self, console: Console, title: str, total: float, interval_s: float = 5.0):
        self.console, self.title, self.total, self.interval_s = console, title, total, interval_s
        self._live: Progress | None = None
        self._task = TaskID(0)
        self._started = self._printed = time.monotonic()
        self._done_before: float | None = None

    def __enter__(self) -> "Reporter":
        if self.console.is_terminal and not self.console.quiet:
            columns = (TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.fields[facts]}"))
            live = self._live = Progress(*columns, console=self.console, transient=True)
            live.start()
            self._task = live.add_task(self.title, total=self.total, facts="")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._live is not None:
            self._live.stop()

    def update(self, done: float, **facts: Any) -> None:
        """`done` of `total` are done. What a continued run had done before does not count for the time left."""
        if self._done_before is None:
            self._done_before = done
        text = ", ".join([*(f"{name.replace('_', ' ')} {value}" for name, value in facts.items()), self._left(done)])
        now = time.monotonic()
        if self._live is not None:
            self._live.update(self._task, completed=done, facts=text)
        elif now - self._printed >= self.interval_s or done >= self.total:
            self._printed = now
            self.console.print(f"{self.title}: {done:g} of {self.total:g}, {text}", soft_wrap=True, highlight=False)

    def _left(self, done: float) -> str:
        progress = done - (self._done_before or 0.0)
        elapsed = time.monotonic() - self._started
        if done >= self.total:
            return f"done in {duration(elapsed)}"
        if progress <= 0.0:
            return "time left unknown"
        return f"{duration(elapsed / progress * (self.total - done))} left"


def duration(seconds: float) -> str:
    """A time that a person can read: 8 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
