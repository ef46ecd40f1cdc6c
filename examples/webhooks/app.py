"""Receive the notifications of Agora and the webhooks of Hubster, and replay their sessions: see README.md.

uvicorn --app-dir examples/webhooks --factory app:create_app
"""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, unquote

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from otel_agent_events import Reference, UsageError, WebhookError, replay
from otel_agent_events.stopping import Stop
from otel_agent_events.webhooks import AgoraWebhook, HubsterWebhook, Notification

log = logging.getLogger("uvicorn.error")

TICK = 0.1
"""Seconds after which it is looked again for what is due."""

MOST_DUE = 1_000
"""Sessions that wait to be replayed; what comes beyond them is answered with 503, so that it is sent again."""

MOST_MET = 10_000
"""Notifications that are remembered, so that one that is sent again is not kept again."""

WHILE_IT_RUNS = {101, 104, 110, 111, 201, 202}
"""Agora's events of a call that goes on: they are kept, and replayed with the rest of it once it is over."""


class Inbox:
    """Keep what comes in one file a session, and replay a session once nothing more has come for a while.

    A notification is in its file before it is answered with 200, and an empty file beside it, `.due`, says that the
    session is still to be replayed: so a process that is killed goes on where it was. One replay runs at a time.

    Args:
        folder: where the files are; it is made when it is missing.
        settle: seconds without a further notification after which a session is replayed.
    """

    def __init__(self, folder: Path, *, settle: float) -> None:
        self._folder = folder
        self._settle = settle
        self._stop = Stop()
        self._met: dict[tuple[object, ...], None] = {}
        self._keeping = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._due = {path.stem: time.monotonic() for path in folder.glob("*.due")}  # when, by the name of the file

    async def take(self, notification: Notification) -> bool:
        """Keep a notification; say whether there was room for it."""
        name = quote(str(notification.reference), safe="")
        met = (name, notification.event_type, notification.notice_id)
        if met in self._met:
            return True
        if name not in self._due and len(self._due) >= MOST_DUE:
            return False
        is_due = notification.event_type not in WHILE_IT_RUNS
        if is_due:
            self._due[name] = time.monotonic() + self._settle  # so that a replay that ends meanwhile leaves it due
        async with self._keeping:
            await asyncio.to_thread(self._keep, name, notification.body, is_due=is_due)
        if is_due:
            self._due[name] = time.monotonic() + self._settle
        self._met[met] = None
        if len(self._met) > MOST_MET:
            del self._met[next(iter(self._met))]
        return True

    def _keep(self, name: str, body: bytes, *, is_due: bool) -> None:
        with (self._folder / f"{name}.jsonl").open("ab") as file:
            file.write(body + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_due:
            (self._folder / f"{name}.due").touch()

    async def work(self) -> None:
        """Replay what is due, until it is asked to stop."""
        while not self._stop.asked:
            now = time.monotonic()
            for name in [name for name, when in self._due.items() if when <= now]:
                if not self._stop.asked:
                    del self._due[name]
                    await self._replay(name)
            await asyncio.sleep(TICK)

    async def _replay(self, name: str) -> None:
        file, reference = self._folder / f"{name}.jsonl", Reference.parse(unquote(name))
        try:
            # It waits for the collector, and the routes must not.
            report = await asyncio.to_thread(replay, [file], session=reference, stop=self._stop)
        except Exception:  # whatever it is, the other sessions go on
            log.exception("%s could not be replayed", reference)
            return
        for note in report.notes:
            log.info("%s", note)
        for told in report.sessions:
            what = "unchanged" if told.unchanged else f"{told.acknowledged} of {told.made} spans arrived"
            log.info("%s: trace %s, %s%s", reference, told.trace_id, what, f"; {told.error}" if told.error else "")
        # What failed stays due: it is replayed when more comes, and at the next start.
        if report.exit_code == 0 and name not in self._due:
            (self._folder / f"{name}.due").unlink(missing_ok=True)

    def stop(self) -> None:
        """Ask it to stop. What is on its way has some seconds; what is still due is replayed at the next start."""
        self._stop.ask()


async def receive(request: Request, webhook: AgoraWebhook | HubsterWebhook, inbox: Inbox) -> JSONResponse:
    """Answer one request at once: 200 when it is kept or there is nothing to do, else why not."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > webhook.max_bytes:
            break  # enough to be refused
    try:
        notification = webhook.receive(bytes(body), request.headers)
    except WebhookError as refusal:
        # Who is not known is not told why.
        log.warning("%s answered %d: %s", request.url.path, refusal.status, refusal)
        return JSONResponse({}, status_code=refusal.status)
    if notification.reference is None:
        log.info("%s: a notification names no session, and is not kept", request.url.path)
    elif not await inbox.take(notification):
        log.warning("%s answered 503: %d sessions wait to be replayed", request.url.path, MOST_DUE)
        return JSONResponse({}, status_code=503)
    return JSONResponse({})


def create_app() -> FastAPI:
    """Make the app from the environment, with the routes of those platforms that are set up."""
    environ = os.environ
    webhooks: dict[str, AgoraWebhook | HubsterWebhook] = {}
    try:
        if secrets := environ.get("AGORA_WEBHOOK_SECRET", "").split():
            webhooks["agora"] = AgoraWebhook(secrets, app_id=environ.get("AGORA_APP_ID", ""))
        if keys := environ.get("HUBSTER_PRIVATE_SIGNING_KEY", "").split():
            webhooks["hubster"] = HubsterWebhook(keys)
    except UsageError as error:
        raise SystemExit(f"AGORA_APP_ID and the secrets cannot be used as they are: {error}") from None
    if not webhooks:
        raise SystemExit("set AGORA_WEBHOOK_SECRET and AGORA_APP_ID, or HUBSTER_PRIVATE_SIGNING_KEY, or all of them")
    try:
        settle = float(environ.get("WEBHOOK_SETTLE", "30"))
    except ValueError:
        raise SystemExit("WEBHOOK_SETTLE is no number of seconds") from None
    inbox = Inbox(Path(environ.get("WEBHOOK_INBOX", "inbox")), settle=settle)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        working = asyncio.create_task(inbox.work())
        yield
        inbox.stop()
        await working

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    def route(webhook: AgoraWebhook | HubsterWebhook, path: str) -> None:
        @app.post(path)
        async def received(request: Request) -> JSONResponse:
            return await receive(request, webhook, inbox)

    for platform, webhook in webhooks.items():
        route(webhook, f"/webhooks/{platform}")
    return app
