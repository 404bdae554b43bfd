"""Calls between two processes: one asks for an operation on an object of the other.

Both sides hold a `Peer`. Objects that are not plain data stay where they are; the other side gets a
`Remote` that forwards. While a side waits for an answer it serves the other's calls, so a function
of the tests can be handed to the candidate and called there.
"""

from __future__ import annotations

import builtins
import json
import os
import struct
from collections.abc import Callable
from typing import Any, NoReturn

from evaluation.sandbox.inside.values import REPLACE, decode, encode

_LENGTH = struct.Struct("<Q")

Perform = Callable[[str, Any, list[Any], dict[str, Any]], Any]


class Gone(BaseException):
    """The other side ended, or sent what cannot be read. No `except Exception` swallows it."""


class Stopped(BaseException):
    """The other side raised something that is no `Exception`, such as `SystemExit`."""


class RemoteError(Exception):
    """The other side raised something that cannot be raised again in its own class."""


class Remote:
    """An object of the other process.

    It is never equal to anything but another `Remote`, and has no arithmetic or order with plain
    data: an object cannot claim to equal whatever it is compared with.
    """

    def __init__(self, peer: Peer, handle: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_handle", handle)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.ask("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._peer.ask("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("setattr", self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self._peer.ask("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._peer.ask("setitem", self, key, value)

    def __len__(self) -> int:
        return self._peer.ask("len", self)

    def __bool__(self) -> bool:
        return self._peer.ask("bool", self)

    def __iter__(self) -> Any:
        return self._peer.ask("iter", self)

    def __next__(self) -> Any:
        return self._peer.ask("next", self)

    def __str__(self) -> str:
        return self._peer.ask("str", self)

    def __repr__(self) -> str:
        return self._peer.ask("repr", self)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, Remote) and self._peer.ask("isinstance", self, instance)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, Remote) and self._peer.ask("eq", self, other) is True

    def __lt__(self, other: object) -> Any:
        return self._peer.ask("lt", self, other) if isinstance(other, Remote) else NotImplemented

    def __hash__(self) -> int:
        return hash(("remote", self._handle))


class Peer:
    """One end of the line.

    Args:
        reading: file descriptor of a pipe from the other side.
        writing: file descriptor of a pipe to the other side.
        largest: most bytes that one message from the other side may have.
        perform: does what the other side asks for; it decides what may be asked.
        may_export: whether an object that is not plain data may be handed to the other side.
    """

    def __init__(
        self,
        reading: int,
        writing: int,
        *,
        largest: int,
        perform: Perform,
        may_export: Callable[[Any], bool] = lambda value: True,
    ) -> None:
        self._reading, self._writing, self._largest = reading, writing, largest
        self._perform, self._may_export = perform, may_export
        self._exported: list[Any] = []
        self._handles: dict[int, int] = {}
        self._remotes: dict[int, Remote] = {}
        self.gone: str | None = None  # why the line is dead, once it is

    def ask(self, operation: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        """Have the other side do something with one of its objects.

        Raises:
            Exception: what it raised there, in the nearest built-in class.
            Stopped: it raised no `Exception`.
            Gone: there is no answer; every later call raises it as well.
        """
        if self.gone is not None:
            raise Gone(self.gone)
        sent = [self._encode(arg) for arg in args]
        named = {name: self._encode(value) for name, value in kwargs.items()}
        self._send(["ask", operation, self._encode(target), sent, named])
        return self.answer(args)

    def answer(self, args: tuple[Any, ...] = ()) -> Any:
        """Wait for the answer to the last question, and serve meanwhile; errors as in `ask`."""
        while True:
            message = self._receive()
            try:
                kind, *rest = message
                if kind == "raise":
                    raised = (str(rest[0]), self._decode(rest[1]), str(rest[2]))
                elif kind == "ok":
                    value = self._decode(rest[0])
                    for index, data in rest[1]:
                        REPLACE[type(args[index])](args[index], self._decode(data))
                    return value
                elif kind != "ask":
                    raise ValueError("unknown message")
            except Exception as error:
                self._give_up(f"sent an answer that cannot be read ({type(error).__name__})")
            if kind == "raise":
                _raise(*raised)
            self._serve(rest)

    def serve_forever(self) -> NoReturn:
        """Do what the other side asks until it hangs up, which raises `Gone`."""
        while True:
            self._serve(self._receive()[1:])

    def report(self, error: BaseException | None) -> None:
        """Answer without a question: nothing, or an error that was raised."""
        self._send(["ok", None, []] if error is None else self._raised(error))

    def _serve(self, request: list[Any]) -> None:
        try:
            operation, target, sent, named = request
            args = [self._decode(data) for data in sent]
            kwargs = {name: self._decode(data) for name, data in named.items()}
            value = self._perform(operation, self._decode(target), args, kwargs)
            reply = ["ok", self._encode(value), self._changes(args, sent)]
        except Gone:
            raise
        except BaseException as error:
            reply = self._raised(error)
        self._send(reply)

    def _changes(self, args: list[Any], sent: list[Any]) -> list[Any]:
        """What a call changed in its arguments in place: pairs of index and new value."""
        now = [(n, self._encode(arg)) for n, arg in enumerate(args) if type(arg) in REPLACE]
        return [[index, data] for index, data in now if data != sent[index]]

    def _raised(self, error: BaseException) -> list[Any]:
        """An exception as a message: the nearest built-in class, its arguments, and its text."""
        kinds = [kind for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        plain = [arg for arg in error.args if type(arg) in (str, int, float, bool)]
        try:
            text = f"{type(error).__name__}: {error}"
        except BaseException:
            text = type(error).__name__
        return [
            "raise",
            kinds[0].__name__,
            ["list", *(self._encode(arg) for arg in plain)],
            text[:2000],
        ]

    def _encode(self, value: Any) -> Any:
        return encode(value, self._refer)

    def _decode(self, data: Any) -> Any:
        return decode(data, self._resolve)

    def _refer(self, value: Any) -> list[Any]:
        if isinstance(value, Remote):
            return ["yours", object.__getattribute__(value, "_handle")]
        if not self._may_export(value):
            raise TypeError(f"cannot hand over an object of type {type(value).__name__}")
        handle = self._handles.get(id(value))
        if handle is None:
            handle = self._handles[id(value)] = len(self._exported)
            self._exported.append(value)  # kept for good, so that its id stays its own
        return ["mine", handle]

    def _resolve(self, tag: str, parts: list[Any]) -> Any:
        (handle,) = parts
        if tag == "yours" and type(handle) is int and handle >= 0:
            return self._exported[handle]
        if tag == "mine" and type(handle) is int:
            return self._remotes.setdefault(handle, Remote(self, handle))
        raise ValueError(f"unknown tag {tag!r}")

    def _send(self, message: list[Any]) -> None:
        data = json.dumps(message).encode()
        view = memoryview(_LENGTH.pack(len(data)) + data)
        try:
            while view:
                view = view[os.write(self._writing, view) :]
        except OSError:
            self._give_up("ended")

    def _receive(self) -> list[Any]:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        if length > self._largest:
            self._give_up(f"sent an answer of more than {self._largest} bytes")
        data = self._exactly(length)
        try:
            message = json.loads(data)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, list) or not message:
            self._give_up("sent an answer that cannot be read")
        return message

    def _exactly(self, count: int) -> bytes:
        parts = []
        while count:
            part = os.read(self._reading, min(count, 1 << 20))
            if not part:
                self._give_up("ended")
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _give_up(self, reason: str) -> NoReturn:
        self.gone = reason
        raise Gone(reason)


def _raise(name: str, args: list[Any], text: str) -> NoReturn:
    """Raise again here what the other side raised; only built-in classes are made."""
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error: BaseException = kind(*args)
        except Exception:
            error = RemoteError(text)
        raise error
    if isinstance(kind, type) and issubclass(kind, BaseException):
        raise Stopped(text)
    raise RemoteError(text)
