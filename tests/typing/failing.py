"""A user's program that catches what is raised, by what can be done about it."""

from typing import assert_type

from otel_agent_events import (
    AgentEventsError,
    DestinationError,
    FetchError,
    ReadError,
    RefusedError,
    SessionError,
    UnreachableError,
    UsageError,
    fetch,
)


def what_to_do() -> str:
    """Name every error."""
    try:
        fetch("vectara:support/s1")
    except UsageError as error:
        return f"change the call: {error}"
    except FetchError as error:
        assert_type(error.status, int | None)
        return f"ask again: {error.request}"
    except ReadError:
        return "look at the answer"
    except SessionError:
        return "go on with the next one"
    except (UnreachableError, RefusedError):
        return "look at the address"
    except DestinationError:
        return "look at the collector"
    except AgentEventsError:
        return "whatever else there is"
    return ""
