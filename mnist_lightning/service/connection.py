"""A connection as uvicorn serves it, with limits that uvicorn lacks: the time and the size of a request's head."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mnist_lightning.service.guard import BEYOND
from mnist_lightning.service.limits import Limits

LARGEST_HEAD = 65_536  # bytes of request line and headers that arrive after the first packet


def connection_class(limits: Limits) -> type[HttpToolsProtocol]:
    """The class of connections with these limits, for `uvicorn.Config(http=...)`.

    uvicorn counts connections that never send a request, and does not close them: whoever opened as many as its
    `limit_concurrency` had every request of everybody else refused, for as long as they liked.
    """

    class Connection(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _in_head = False
        _head = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                self.app_state = {**self.app_state, BEYOND: True}
            self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            # uvicorn closes a connection that sends nothing after an answer, but not one that sends a little.
            if self._timer is None and (self.cycle is None or self.cycle.response_complete):
                self._expect_head()
            goes_on = self._in_head
            super().data_received(data)
            if goes_on and self._in_head:
                self._head += len(data)
                if self._head > LARGEST_HEAD:
                    self.send_400_response("The head of the request is too large.")

        def on_message_begin(self) -> None:
            self._in_head, self._head = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._forget_timer()
            super().on_headers_complete()

        def _expect_head(self) -> None:
            self._timer = self.loop.call_later(limits.seconds, self.transport.close)

        def _forget_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Connection
