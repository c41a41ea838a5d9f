"""`fanwire sub --recover` as a reader: what the client in Rust does for its user."""

import asyncio
import json
from pathlib import Path

from .. import process
from ..node import binary
from .books import BROADCASTS, Begun, Dropped, Gap, Left, Lost, Notes, Position, Received, Resumed, position_of

_PAUSE = 0.03


class SubCommand:
    """Listens at a port behind which there are several nodes, and books what is printed."""

    def __init__(self, name: str, directory: Path, port: int, *, channels: dict[str, bool], notes: Notes):
        self.name = name
        self.channels = {**channels, BROADCASTS: True}
        self.notes = notes
        self.now = notes.now
        self.tracks = {channel: notes.books.track(name, channel) for channel in self.channels}
        self._output, self._errors = directory / f"{name}.out", directory / f"{name}.log"
        self._arguments = ["sub", "--json", "--recover", "--url", f"ws://127.0.0.1:{port}", *channels]
        self._places: dict[str, Position] = {}
        self._begun = False

    def start(self) -> None:
        self._process = process.spawn(
            [binary(), *self._arguments],
            env=process.clean_environment(),
            cwd=self._output.parent,
            log=self._output,
            errors=self._errors,
        )
        self._task = asyncio.create_task(self._read())

    def is_here(self) -> bool:
        """Whether it has said that it listens to all channels."""
        if not self._begun and "listening to" in self._errors.read_text():
            self._begun = True
            for track in self.tracks.values():
                track.note(Begun(self.now(), None))
        return self._begun

    def place(self, channel: str) -> Position | None:
        """Where it is in a channel with a history."""
        return self._places.get(channel)

    def check_running(self) -> None:
        """Fails with what ended it, if something did."""
        if self._task.done():
            self._task.result()
        assert self._process.poll() is None, f"{self.name} ended: {self._errors.read_text()[-500:]}"

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        process.end(self._process)

    async def _read(self) -> None:
        rest = ""
        with open(self._output) as output:
            while True:
                rest += output.read()
                *lines, rest = rest.split("\n")
                for line in lines:
                    self._take(json.loads(line))
                await asyncio.sleep(_PAUSE)

    def _take(self, event: dict) -> None:
        take = getattr(self, f"_take_{event['type']}", self._take_unknown)
        take(event)

    def _take_unknown(self, event: dict) -> None:
        self.notes.unexpected(self.name, event)

    def _take_message(self, event: dict) -> None:
        self._take_content(event["channel"], event)

    def _take_broadcast(self, event: dict) -> None:
        self._take_content(BROADCASTS, event)

    def _take_content(self, channel: str, event: dict) -> None:
        key = self.notes.read(self.name, channel, event)
        if key is None:
            return
        position = position_of(event) if self.channels[channel] else None
        if position:
            self._places[channel] = position
        self.tracks[channel].note(Received(self.now(), key, position))

    def _take_lost(self, event: dict) -> None:
        channel = event.get("channel") or BROADCASTS
        self._places[channel] = position_of(event)
        self.tracks[channel].note(Lost(self.now(), self._places[channel]))

    def _take_disconnected(self, event: dict) -> None:
        for track in self.tracks.values():
            track.note(Left(self.now(), f"{event['code']} {event['reason']}"))

    def _take_reconnected(self, event: dict) -> None:
        self._note_plain(lambda: Resumed(self.now(), None, None, None))

    def _take_recovering(self, event: dict) -> None:
        """Says what the messages themselves show."""

    _take_live = _take_recovering

    def _take_gap(self, event: dict) -> None:
        self._note_plain(lambda: Gap(self.now(), event["seconds"]))

    def _take_dropped(self, event: dict) -> None:
        self._note_plain(lambda: Dropped(self.now(), event["count"]))

    def _note_plain(self, entry) -> None:
        for channel, kept in self.channels.items():
            if not kept:
                self.tracks[channel].note(entry())
