"""The four clients under test behind one way to use them: each step of an asynchronous one runs on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from typing import TYPE_CHECKING, Any

import httpx
import httpx2

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

KINDS = [httpx.Client, httpx.AsyncClient, httpx2.Client, httpx2.AsyncClient]
NAMES = ["httpx-sync", "httpx-async", "httpx2-sync", "httpx2-async"]


class Caller:
    """A client, used step by step.

    Attributes:
        client: the real one.
        library: httpx or httpx2.
    """

    def __init__(self, client: Any, runner: asyncio.Runner | None) -> None:
        self.client = client
        self.library: ModuleType = httpx2 if isinstance(client, (httpx2.Client, httpx2.AsyncClient)) else httpx
        self._runner = runner

    def run(self, step: Any) -> Any:
        """Give what a call gives: a coroutine is run to its end, within the variables of the caller."""
        if not inspect.isawaitable(step):
            return step
        assert self._runner is not None

        async def wait() -> Any:
            return await step

        return self._runner.run(wait(), context=contextvars.copy_context())

    def post(self, url: str, **options: Any) -> Any:
        return self.run(self.client.post(url, **options))

    def send(self, request: Any, **options: Any) -> Any:
        return self.run(self.client.send(request, **options))

    def start(self, url: str, **options: Any) -> Any:
        """Give the response to a POST, its body unread."""
        return self.send(self.client.build_request("POST", url, **options), stream=True)

    def close(self, response: Any) -> None:
        self.run(response.close() if self._runner is None else response.aclose())

    def read(self, response: Any) -> bytes:
        body: bytes = self.run(response.read() if self._runner is None else response.aread())
        return body

    def chunks(self, response: Any, how: str = "iter_raw") -> Iterator[Any]:
        """Give the pieces of a body one by one, as soon as each is there."""
        if self._runner is None:
            yield from getattr(response, how)()
            return
        pieces = getattr(response, f"a{how}")()
        try:
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    yield self.run(anext(pieces))
        finally:
            self.run(pieces.aclose())


@contextlib.contextmanager
def opened(kind: Any, **options: Any) -> Iterator[Caller]:
    """Make a client of this kind, and close it in the end."""
    if issubclass(kind, (httpx.Client, httpx2.Client)):
        with kind(**options) as client:
            yield Caller(client, None)
        return
    with asyncio.Runner() as runner:
        client = kind(**options)
        try:
            yield Caller(client, runner)
        finally:
            runner.run(client.aclose())
