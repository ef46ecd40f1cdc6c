"""Watch how a service talks to Vectara through httpx or httpx2, and record each turn that passes.

What is wrapped is `send`, through which all requests of a client go, in the class and not in the client: so it is also
seen what a subclass sends whose own `send` calls that of its parent, and such a subclass gets what it asked for. Which
clients are watched is known by client; all others go straight through.

Neither library is imported here: httpx2 may not be there, and httpx may be what it stands in for. One that is imported
later is wrapped right after it was.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import weakref
from _thread import start_new_thread
from dataclasses import dataclass
from functools import cache, wraps
from importlib.abc import MetaPathFinder
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from opentelemetry import context

from otel_agent_events.errors import UsageError
from otel_agent_events.live.hosts import Hosts
from otel_agent_events.live.losses import after_fork
from otel_agent_events.live.turns import TurnRecorder, is_entered
from otel_agent_events.live.watching import Watch, unharmed
from otel_agent_events.reference import Reference
from otel_agent_events.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from opentelemetry.trace import TracerProvider

    from otel_agent_events.content import Content

LIBRARIES = ("httpx", "httpx2")
_CLIENTS = ("Client", "AsyncClient")
_EVENTS = re.compile(r"(?:/[^?]*)?/v2/agents/([^/?]+)/sessions/([^/?]+)/events/?(?:\?.*)?", re.DOTALL)
_PLAIN = "suppress_instrumentation"
_SUPPRESSED = (_PLAIN, getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", _PLAIN))
"""What OpenTelemetry's instrumentations set in a context, and what its API sets, where nothing is to be watched."""


class HTTPXClient(Protocol):
    """What a type checker can know of the `Client` and `AsyncClient` of both libraries, while httpx2 may be missing."""

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        ...

    def build_request(self, *args: Any, **options: Any) -> Any:
        """Make a request."""

    def send(self, *args: Any, **options: Any) -> Any:
        """Send one."""


def instrument_httpx(
    client: HTTPXClient | None = None,
    *,
    recorder: TurnRecorder | None = None,
    hosts: Collection[str] | None = None,
    tracer_provider: TracerProvider | None = None,
    content: Content | None = None,
) -> None:
    """Record the turns that pass through one client, or through all that are made afterwards.

    It watches `POST .../v2/agents/{agent}/sessions/{session}/events` on the hosts that it is told. Answers go through
    as they come, unchanged. Nothing of the recording raises into the service.

    Calling it again records nothing twice: for a client, and for those made afterwards, the last call holds.

    Args:
        client: a `Client` or `AsyncClient` of httpx or httpx2, or of a subclass; None for every client that is made
            from now on, also those that `httpx.post()` and its siblings make.
        recorder: where turns go; without one, a recorder is made with `tracer_provider` and `content`.
        hosts: what is watched: `api.example.org`, `localhost:8080`, a URL, of which host and port count, or `*` for
            every host. Without it `OTEL_AGENT_EVENTS_HOSTS` says so, and else it is Vectara's host and that of
            `VECTARA_BASE_URL`.
        tracer_provider: where spans go; None for the global one.
        content: what of the contents may leave: `full`, `scrubbed` or `none`; None for what the environment says.

    Raises:
        UsageError: `client` is no such client, a host is none, or a recorder is given with what it would be made of.
    """
    if recorder is not None and (tracer_provider is not None or content is not None):
        raise UsageError("a recorder has its own tracer_provider and content; give it, or them")
    if client is not None and _library_of(client) is None:
        raise UsageError(f"{type(client).__qualname__} is no client of httpx or httpx2")
    told = Settings.here().watched_hosts() if hosts is None else [hosts] if isinstance(hosts, str) else hosts
    watched = Hosts(told)
    watcher = _Watcher(recorder or TurnRecorder(tracer_provider=tracer_provider, content=content), watched)
    with _lock.held():
        if client is None:
            _everywhere.start(watcher)
        else:
            for library in _loaded():
                _wrap_send(library)
            _clients.add(client, watcher)


def uninstrument_httpx(client: HTTPXClient | None = None) -> None:
    """Record no more of one client, or of any; both libraries are then as they were.

    A turn that is under way is recorded to its end. What is not instrumented stays as it is.

    Args:
        client: the one to leave alone; None for all clients, however they came to be watched.
    """
    with _lock.held():
        if client is None:
            _everywhere.stop()
            _clients.clear()
        else:
            _clients.discard(client)
        if _everywhere.watcher is None and not _clients:
            _patches.undo()


@dataclass(frozen=True, slots=True)
class _Watcher:
    """Which requests are watched, and where their turns go."""

    recorder: TurnRecorder
    hosts: Hosts

    def session(self, request: Any) -> Reference | None:
        """Give the session whose events this request creates, or None when it does something else."""
        if request.method.upper() != "POST":
            return None
        url = request.url
        # The path as it is encoded: a slash within a key is no separator.
        path = _EVENTS.fullmatch(url.raw_path.decode("ascii"))
        if path is None or not self.hosts.has(url.scheme, url.host, url.port):
            return None
        return Reference("vectara", (unquote(path[1]), unquote(path[2])))


class _Clients:
    """The clients that are watched, as long as they live. Not by their equality: a subclass may have its own."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[object], _Watcher]] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, client: object, watcher: _Watcher) -> None:
        key = id(client)

        def forget(gone: weakref.ref[object]) -> None:
            # Another client may have got the same id by now.
            if (known := self._known.get(key)) is not None and known[0] is gone:
                self._known.pop(key, None)

        self._known[key] = (weakref.ref(client, forget), watcher)

    def discard(self, client: object) -> None:
        self._known.pop(id(client), None)

    def clear(self) -> None:
        self._known.clear()

    def watcher(self, client: object) -> _Watcher | None:
        known = self._known.get(id(client))
        return known[1] if known is not None and known[0]() is client else None


class _Patches:
    """What is put in the place of methods, and how to put them back.

    A method that somebody else has wrapped since cannot be put back without undoing that too. It stays where it is,
    does nothing any more, and is found again when it is needed.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[type, str], tuple[Any, Any]] = {}

    def put(self, place: type, name: str, wrap: Callable[[Any], Any]) -> None:
        if (place, name) not in self._made:
            original = place.__dict__[name]
            wrapper = wrap(original)
            self._made[place, name] = original, wrapper
            setattr(place, name, wrapper)

    def undo(self) -> None:
        for (place, name), (original, wrapper) in list(self._made.items()):
            if place.__dict__.get(name) is wrapper:
                setattr(place, name, original)
                del self._made[place, name]


class _Everywhere(MetaPathFinder):
    """All clients made from now on: those of libraries that are there, and of those that are imported later."""

    def __init__(self) -> None:
        self.watcher: _Watcher | None = None
        self._looking = threading.local()

    def start(self, watcher: _Watcher) -> None:
        self.watcher = watcher
        for library in _loaded():
            self.wrap(library)
        if self not in sys.meta_path and any(name not in sys.modules for name in LIBRARIES):
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        self.watcher = None
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self)

    @unharmed
    def wrap(self, library: ModuleType) -> None:
        _wrap_send(library)
        for name in _CLIENTS:
            _patches.put(getattr(library, name), "__init__", _wrapped_init)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find one of the libraries as all others would, and see to it that it is wrapped when it is there."""
        if fullname not in LIBRARIES or getattr(self._looking, "now", False):
            return None
        self._looking.now = True
        try:
            for finder in sys.meta_path:
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec: ModuleSpec | None = find(fullname, path, target) if find else None
                if spec is not None:
                    self._tell_when_there(spec)
                    return spec
            return None
        finally:
            self._looking.now = False

    @unharmed
    def _tell_when_there(self, spec: ModuleSpec) -> None:
        loader: Any = spec.loader
        original = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            original(module)
            with _lock.held():
                if self.watcher is not None and module.__name__ in LIBRARIES:
                    self.wrap(module)

        # In the loader and not in its place: others ask modules for theirs.
        loader.exec_module = exec_module


class _Lock:
    """Held by whoever changes what is watched; a child that is forked meanwhile has one of its own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        after_fork(self._in_child)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            yield

    def _in_child(self) -> None:
        self._lock = threading.RLock()


_lock = _Lock()
_clients = _Clients()
_patches = _Patches()
_everywhere = _Everywhere()


def _loaded() -> list[ModuleType]:
    """Give the libraries that are imported: httpx2 once when it stands in for httpx, which `alias_httpx()` does."""
    found = {id(module): module for name in LIBRARIES if (module := sys.modules.get(name)) is not None}
    return [each for each in found.values() if all(hasattr(each, name) for name in _CLIENTS)]


def _library_of(client: object) -> ModuleType | None:
    kinds = ((library, getattr(library, name)) for library in _loaded() for name in _CLIENTS)
    return next((library for library, kind in kinds if isinstance(client, kind)), None)


def _wrap_send(library: ModuleType) -> None:
    _patches.put(library.Client, "send", lambda original: _wrapped_send(original, library))
    _patches.put(library.AsyncClient, "send", lambda original: _wrapped_async_send(original, library))


def _wrapped_init(original: Any) -> Any:
    @wraps(original)
    def __init__(self: object, *args: Any, **options: Any) -> None:  # noqa: N807 - as it is named there
        original(self, *args, **options)
        _watch_if_wanted(self)

    return __init__


@unharmed
def _watch_if_wanted(client: object) -> None:
    watcher = _everywhere.watcher
    if watcher is not None:
        _clients.add(client, watcher)


@unharmed
def _begin(client: object, request: Any) -> Watch | None:
    """Open a turn if this request is to be watched."""
    watcher = _clients.watcher(client)
    if watcher is None or any(map(context.get_value, _SUPPRESSED)):
        return None
    session = watcher.session(request)
    if session is None or is_entered(session):  # a turn that is recorded by hand is recorded once
        return None
    return Watch(watcher.recorder, watcher.recorder.turn(session), _in_memory(request))


def _in_memory(request: Any) -> bytes:
    """Give the body of a request, unless it is made while it is sent: a file, a generator, a form of several parts."""
    try:
        body: bytes = request.content
    except Exception:  # noqa: BLE001 - RequestNotRead, of either library
        return b""
    return body


def _wrapped_send(original: Any, library: ModuleType) -> Any:
    direct = _is_own(original, library)

    @wraps(original)
    def send(self: Any, *args: Any, **options: Any) -> Any:
        watch = _begin(self, args[0] if args else options.get("request"))
        if watch is None:
            return original(self, *args, **options)
        with watch:
            if not watch.watching:
                return original(self, *args, **options)
            streamed = options.get("stream", False)
            try:
                response = original(self, *args, **({**options, "stream": True} if direct else options))
            except BaseException as error:
                watch.end(error)
                raise
            _follow(response, watch, library)
            if direct and not streamed:
                # As it is in httpx, which would have done it with `stream=False`.
                try:
                    response.read()
                except BaseException:
                    response.close()
                    raise
            return response

    return send


def _wrapped_async_send(original: Any, library: ModuleType) -> Any:
    direct = _is_own(original, library)

    @wraps(original)
    async def send(self: Any, *args: Any, **options: Any) -> Any:
        watch = _begin(self, args[0] if args else options.get("request"))
        if watch is None:
            return await original(self, *args, **options)
        with watch:
            if not watch.watching:
                return await original(self, *args, **options)
            streamed = options.get("stream", False)
            try:
                response = await original(self, *args, **({**options, "stream": True} if direct else options))
            except BaseException as error:
                watch.end(error)
                raise
            _follow(response, watch, library)
            if direct and not streamed:
                try:
                    await response.aread()
                except BaseException:
                    await response.aclose()
                    raise
            return response

    return send


def _is_own(send: Any, library: ModuleType) -> bool:
    """Say whether this is the library's own `send`, and nothing that others have put before it.

    What others put there may look at the body of the response, so it gets the `stream` that was asked for. An answer
    that was not to be streamed is then recorded when it is whole.
    """
    return str(getattr(send, "__globals__", {}).get("__name__", "")).partition(".")[0] == library.__name__


def _follow(response: Any, watch: Watch, library: ModuleType) -> None:
    """Watch the body of a response as it passes. If that cannot be done, the turn ends here."""
    if _followed(response, watch, library) is None:
        watch.end()


@unharmed
def _followed(response: Any, watch: Watch, library: ModuleType) -> bool:
    if not response.is_success:
        watch.refuse(response.status_code)
        return True
    content_type = response.headers.get("content-type", "")
    if response.is_stream_consumed or response.is_closed:
        # A hook of the service, or somebody in between, has read it: it is here, and decompressed.
        watch.answer(content_type, ())
        watch.take(response.content)
        watch.exhaust()
        return True
    codings = response.headers.get_list("content-encoding", split_commas=True)
    watch.answer(content_type, [each.strip().lower() for each in codings])
    asynchronous = isinstance(response.stream, library.AsyncByteStream)
    response.stream = _stream_class(library, asynchronous=asynchronous)(response.stream, watch)
    return True


class _Stream:
    """The body of a response, which is watched as it passes."""

    def __init__(self, stream: Any, watch: Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        # httpx2 asks the stream for the time that has elapsed.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __del__(self) -> None:
        # Nobody has read or closed it. Whatever the collector interrupts may hold a lock that ending a turn needs, so a
        # thread does that. This way to start one waits for nothing.
        watch = self.__dict__.get("_watch")
        if watch is not None and not watch.ended:
            with contextlib.suppress(RuntimeError):
                start_new_thread(watch.end, ())


class _SyncStream(_Stream):
    def __iter__(self) -> Iterator[bytes]:
        try:
            for chunk in self._stream:
                self._watch.take(chunk)
                yield chunk
        except GeneratorExit:
            # Whoever stops reading closes the response, now or later.
            raise
        except BaseException as error:
            self._watch.end(error)
            raise
        self._watch.exhaust()

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._watch.end()


class _AsyncStream(_Stream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = self._stream.__aiter__()
        try:
            async for chunk in chunks:
                self._watch.take(chunk)
                yield chunk
        except GeneratorExit:
            raise
        except BaseException as error:
            self._watch.end(error)
            raise
        finally:
            # As httpx2 does, so that a connection is given back now and not when the collector comes.
            if hasattr(chunks, "aclose"):
                await chunks.aclose()
        self._watch.exhaust()

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._watch.end()


@cache
def _stream_class(library: ModuleType, *, asynchronous: bool) -> Any:
    """Give the class of streams that this library takes for its own."""
    mine, theirs = (_AsyncStream, library.AsyncByteStream) if asynchronous else (_SyncStream, library.SyncByteStream)
    return type(mine.__name__, (mine, theirs), {})
