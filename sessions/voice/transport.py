"""Carry a spoken conversation to a browser and back: pipecat's transports, over WebRTC or a socket.

pipecat receives the microphone's sound and sends ours; between the two stands one processor of
ours, which hands sound to a `SpokenConversation` and takes it from there. What happens goes to the
page as messages, beside the sound.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    StartFrame,
    TranscriptionFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner
from starlette.websockets import WebSocket

from duo.transcript import TranscriptEvent
from sessions.chat.live import CycleStatus
from sessions.voice.extras import CREDENTIALS
from sessions.voice.live import SpokenConversation, together
from sessions.voice.recogniser import RATE, RemoteSpeech, from_int16, to_int16

#: Seconds of sound that are sent at once, and how many such pieces are under way while it plays:
#: fewer, and a late one is heard as a gap; more, and the voice stops later.
_PIECE, _LEAD = 0.04, 3
_SOUND: dict[str, Any] = {
    "audio_in_enabled": True,
    "audio_in_sample_rate": RATE,
    "audio_out_enabled": True,
    "audio_out_sample_rate": RATE,
    "audio_out_end_silence_secs": 0,
}


class Messages:
    """What the page is told; see `sessions.voice.live.Shown`."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def show_event(self, event: TranscriptEvent) -> None:
        self._put("event", **event.model_dump(exclude_defaults=True))

    def show_status(self, status: CycleStatus) -> None:
        self._put("status", **asdict(status))

    def show_tentative(self, text: str) -> None:
        self._put("tentative", text=text)

    def show_state(self, *, speaking: bool, held: bool) -> None:
        self._put("state", speaking=speaking, held=held)

    def _put(self, what: str, /, **content: Any) -> None:
        # "type" is what pipecat looks at: its own are others.
        self.queue.put_nowait({"type": "talk", "what": what, **content})


class _Processor(FrameProcessor):
    """Stands between a microphone and a loudspeaker."""

    def __init__(self, conversation: SpokenConversation, messages: Messages) -> None:
        super().__init__()
        self._conversation, self._messages = conversation, messages
        self._started = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self._conversation.feed(from_int16(np.frombuffer(frame.audio, np.int16)))
            return
        if isinstance(frame, InterimTranscriptionFrame | TranscriptionFrame):
            speech = self._conversation.speech
            if isinstance(speech, RemoteSpeech):
                speech.recognised(frame.text, final=isinstance(frame, TranscriptionFrame))
                self._conversation.listen()
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, StartFrame):
            self._started.set()

    async def converse(self) -> None:
        """Run the conversation, once the pipeline has started, until cancelled.

        Raises:
            Exception: whatever the system, the recogniser or the voice raised.
        """
        await self._started.wait()
        await together(self._conversation.run(), self._play(), self._tell())

    async def _play(self) -> None:
        due, playing = time.monotonic(), False
        while True:
            sound = self._conversation.take(round(_PIECE * RATE))
            if sound is not None:
                pcm = to_int16(sound).tobytes()
                await self.push_frame(OutputAudioRawFrame(pcm, RATE, 1))
            # The first pieces go at once; after a stall the rest is late and not in a hurry.
            due = max(due + _PIECE, time.monotonic() - _PIECE)
            if sound is not None and not playing:
                due -= (_LEAD - 1) * _PIECE
            playing = sound is not None
            await asyncio.sleep(max(due - time.monotonic(), 0.0))

    async def _tell(self) -> None:
        while True:
            message = await self._messages.queue.get()
            await self.push_frame(OutputTransportMessageUrgentFrame(message))


class _Serializer(FrameSerializer):
    """Sound as 16-bit samples, messages as JSON: what the page's script reads and writes."""

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, OutputAudioRawFrame):
            return frame.audio
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            return json.dumps(frame.message)
        return None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        if not isinstance(data, bytes) or len(data) % 2:
            return None
        return InputAudioRawFrame(data, RATE, 1)


def over_webrtc(connection: SmallWebRTCConnection) -> BaseTransport:
    """Make the transport of a WebRTC connection."""
    return SmallWebRTCTransport(connection, TransportParams(**_SOUND))


def over_websocket(socket: WebSocket) -> BaseTransport:
    """Make the transport of a socket that was accepted."""
    params = FastAPIWebsocketParams(serializer=_Serializer(), **_SOUND)
    return FastAPIWebsocketTransport(socket, params)


async def carry(
    conversation: SpokenConversation,
    messages: Messages,
    transport: BaseTransport,
    stop: asyncio.Event,
) -> None:
    """Hold a conversation over a transport until the page is gone or `stop` is set.

    Raises:
        Exception: whatever the system, the recogniser or the voice raised.
    """
    processor = _Processor(conversation, messages)
    services: list[FrameProcessor] = []
    if isinstance(conversation.speech, RemoteSpeech):
        from pipecat.services.google.stt import GoogleSTTService

        services.append(GoogleSTTService(credentials_path=os.environ[CREDENTIALS]))
    worker = PipelineWorker(
        Pipeline([transport.input(), *services, processor, transport.output()]),
        params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
        enable_rtvi=False,
        enable_turn_tracking=False,
        idle_timeout_secs=None,
    )

    @transport.event_handler("on_client_disconnected")
    async def gone(*_: Any) -> None:
        stop.set()

    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.ensure_future(runner.run())
    running.add_done_callback(lambda _: stop.set())
    try:
        await together(processor.converse(), stop.wait())
    finally:
        await worker.cancel()
        await running
