"""Every exception of the package, grouped by what the caller can do next.

```
AgentEventsError
├── UsageError              the call is wrong: change the reference, the option, the variable
├── SessionError            one session cannot be had; the others go on
│   ├── FetchError          the platform did not answer as hoped; status and request are told
│   └── ReadError           the answer is not what the platform's documents describe
├── DestinationError        one destination takes nothing more; every session would fare alike
│   ├── UnreachableError    nobody listens there, or nobody answers
│   └── RefusedError        it answers, and refuses: credentials, a redirect, a wrong path
└── WebhookError            a notification is not taken; its status is what the platform is to be answered
    └── ForeignProductError it is of another product: there is nothing to do, and 200 is what to answer
```

Messages are sentences for the person who reads them: what happened, in which session, what to do next.
None of them ever holds a credential.
"""

from __future__ import annotations


class AgentEventsError(Exception):
    """The root of everything that this package raises on purpose."""


class UsageError(AgentEventsError):
    """The call cannot be carried out as it stands, whatever the servers say."""


class SessionError(AgentEventsError):
    """One session cannot be had, or not to its end. Other sessions go on."""


class FetchError(SessionError):
    """The platform did not answer a request as hoped.

    Attributes:
        status: the HTTP status, or None when there was no answer.
        request: the request in words, such as `GET /v2/agents/support`, without credentials.
    """

    def __init__(self, message: str, *, request: str, status: int | None = None) -> None:
        super().__init__(message)
        self.request = request
        self.status = status


class ReadError(SessionError):
    """An answer is not what the platform's documents describe, so no event can be read from it."""


class DestinationError(AgentEventsError):
    """A destination takes nothing more, for a reason that concerns every batch."""


class UnreachableError(DestinationError):
    """Nobody listens at the destination, or nobody answers in time."""


class RefusedError(DestinationError):
    """The destination answers and refuses: credentials, a redirect, a path that it does not have."""


class WebhookError(AgentEventsError):
    """A notification is not taken: it is not signed as it must be, too old, or no notification at all.

    Neither the message nor what it is chained to holds the secret, the signature or the body.

    Attributes:
        status: the HTTP status to answer. A platform sends again what is not answered with 200.
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class ForeignProductError(WebhookError):
    """A notification is good, and of another product: its numbers mean other things. Answered with 200, it is over."""
