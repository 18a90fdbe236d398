"""A channel in a file of its own, as docs/channels.md shows one: it puts each message into a folder."""

from pathlib import Path

from daemons.notifier.channels.port import Message, Refused, Unavailable


class SpoolChannel:
    """Writes one file for each message; the recipient names the folder."""

    name = "spool"

    def __init__(self, root: Path) -> None:
        self._root = root

    async def send(self, message: Message) -> None:
        folder = self._root / message.recipient
        if not folder.is_dir():
            raise Refused(f"there is no folder {message.recipient}")
        try:
            (folder / f"{message.delivery_id}.txt").write_text(message.text)
        except OSError as error:
            raise Unavailable(type(error).__name__) from None
