"""An endpoint on this machine that answers as OpenAI's API does, with what a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any], int], tuple[int, Any]]


class Endpoint:
    """An OpenAI-compatible endpoint that answers as it is told."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: Answer = lambda request, _: (200, self.said(f"So rain {request['seed']}."))
        self.headers: list[str | None] = []
        self.paths: set[str] = set()
        self.models: list[dict[str, Any]] = []
        lock, endpoint = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    endpoint.requests.append(request)
                    endpoint.paths.add(self.path)
                    endpoint.headers.append(self.headers["Authorization"])
                    number = len(endpoint.requests)
                self.send(*endpoint.answer(request, number))

            def do_GET(self) -> None:
                self.send(200, {"object": "list", "data": endpoint.models})

            def send(self, status: int, content: Any) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Retry-After-Ms", "1")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    @staticmethod
    def said(text: str) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        return {
            "id": "x", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [choice], "usage": usage,
        }  # fmt: skip
