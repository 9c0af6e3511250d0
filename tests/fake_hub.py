"""A Hugging Face hub with a storage host behind it, both on the loopback, for one repository's files."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What was asked of one of the two hosts."""

    host: str
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class FakeHub:
    """Its files by path, and what it makes of a caller."""

    files: dict[str, bytes] = field(default_factory=dict)
    gated: bool = False
    known_token: str = "hf_known"
    accepted: bool = True
    endpoint: str = ""
    storage: str = ""
    requests: list[Request] = field(default_factory=list)

    def asked(self, method: str) -> list[Request]:
        """The requests with that method."""
        return [request for request in self.requests if request.method == method]

    def refusal(self, authorization: str | None) -> tuple[int, str] | None:
        """Status and error code for a caller, as the real hub has them."""
        if authorization is not None and authorization != f"Bearer {self.known_token}":
            return 401, ""
        if not self.gated:
            return None
        if authorization is None:
            return 401, "GatedRepo"
        return None if self.accepted else (403, "GatedRepo")


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Run both hosts."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, host)) for host in ("hub", "storage")]
    hub.endpoint, hub.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(hub: FakeHub, host: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_arguments: object) -> None:
            return

        def _answer(self, *, with_body: bool) -> None:
            authorization = self.headers["Authorization"]
            hub.requests.append(Request(host, self.command, self.path, self.headers["Range"], authorization))
            if host == "hub":
                self._answer_as_hub(authorization)
            else:
                self._answer_as_storage(with_body=with_body)

        def _answer_as_hub(self, authorization: str | None) -> None:
            name = self.path.split("/resolve/")[-1].partition("/")[2]
            refusal = hub.refusal(authorization)
            if refusal is None and name in hub.files:
                self.send_response(302)
                self.send_header("Location", f"{hub.storage}/{name}")
                self.send_header("X-Repo-Commit", self.path.split("/resolve/")[-1].partition("/")[0])
                self.send_header("X-Linked-Size", str(len(hub.files[name])))
                self.send_header("ETag", '"etag"')
            else:
                status, code = refusal or (404, "EntryNotFound")
                self.send_response(status)
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _answer_as_storage(self, *, with_body: bool) -> None:
            content = hub.files[self.path.lstrip("/")]
            start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if with_body:
                self.wfile.write(content[start:])

    return Handler
