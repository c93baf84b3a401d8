"""A TCP proxy on loopback whose way to the server can be slowed to a crawl, and back: a slow sink."""

import contextlib
import socket
import threading
import time

PIECE_BYTES = 8 << 10  # that are let through at once while it is slow


class SlowLink:
    """Clients connect to `port`; what they send goes to `server_port` at `bytes_per_second`, None: as fast as it goes."""

    def __init__(self, server_port):
        self.server_port = server_port
        self.bytes_per_second = None  # of all connections together
        self.lock = threading.Lock()
        self.free_at = 0.0  # guarded by lock
        self.listener = socket.socket()
        # Little room, so that what is on its way waits with the sender.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.server_port)) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answers = threading.Thread(target=self._pump, args=(server, client, False), daemon=True)
            answers.start()
            self._pump(client, server, True)
            answers.join()

    def _pump(self, source, to, to_server):
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES if to_server and self.bytes_per_second else 256 << 10):
                for at in range(0, len(data), PIECE_BYTES):
                    piece = data[at:at + PIECE_BYTES]
                    if to_server:
                        self._wait(len(piece))
                    to.sendall(piece)
        for end in (source, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _wait(self, size):
        """Until so many bytes may go."""
        while rate := self.bytes_per_second:
            now = time.monotonic()
            with self.lock:
                if self.free_at <= now:
                    self.free_at = now + size / rate
                    return
                left = self.free_at - now
            time.sleep(min(left, 0.05))  # the rate may change meanwhile
