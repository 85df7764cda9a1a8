"""Servers of the tests' own: PostgreSQL, pgbouncer and Redis on free ports, and a proxy that can
stop forwarding. A missing program skips a test; with CI set, it fails it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from pwd import getpwnam
from tempfile import mkdtemp
from time import monotonic, sleep

import psycopg
import pytest
from redis import Redis
from redis.exceptions import RedisError

PLACES = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/sbin"))


def program(name: str) -> str:
    """The path of a server's program."""
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], *map(str, PLACES))))
    if found:
        return found
    text = f"{name} is not installed"
    if os.environ.get("CI"):
        pytest.fail(text)
    pytest.skip(text)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


class PostgresServer:
    """A server of its own: tests may make it read-only, use up its connections, or crash it."""

    def __init__(self, folder: Path, port: int, settings: Mapping[str, object]) -> None:
        self.port = port
        self.address = f"postgresql://postgres@127.0.0.1:{port}"
        self._log = folder / "postgres.log"
        data = folder / "data"
        options = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        command = _as_postgres(program("initdb"), "-D", str(data), *options)
        subprocess.run(command, check=True, capture_output=True, cwd="/")
        rules = "host all ann 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
        (data / "pg_hba.conf").write_text(rules)
        # Without fsync: after a crash of the server alone, the files are complete anyway.
        chosen = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            **settings,
        }
        flags = [flag for name, value in chosen.items() for flag in ("-c", f"{name}={value}")]
        self._command = _as_postgres(program("postgres"), "-D", str(data), *flags)
        self.start()
        self.run("CREATE ROLE ann LOGIN PASSWORD 'right'")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = _start(self._command, self._log)
        _until(lambda: psycopg.connect(self.url(), connect_timeout=5).close(), psycopg.Error)

    def stop(self) -> None:
        """Stop it at once, without a checkpoint."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def crash(self) -> None:
        """Restart it as after a crash, and wait until it answers again."""
        self.stop()
        self.start()

    def url(self, name: str = "postgres") -> str:
        return f"{self.address}/{name}"

    def run(self, *statements: str, database: str = "postgres") -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def postgres(port: int = 0, **settings: object) -> Iterator[PostgresServer]:
    """A running server with a superuser `postgres` without a password, and a user `ann` with
    one."""
    with _folder() as folder:
        server = PostgresServer(folder, port or free_port(), settings)
        try:
            yield server
        finally:
            server.stop()


def _as_postgres(*command: str) -> list[str]:
    """PostgreSQL and pgbouncer do not run as root."""
    if os.geteuid() != 0:
        return list(command)
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]


@contextmanager
def pgbouncer(server: PostgresServer, mode: str) -> Iterator[str]:
    """A pooler before the server's databases; its address, without a name of a database."""
    port = free_port()
    address = f"postgresql://postgres@127.0.0.1:{port}"
    with _folder() as folder:
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n[pgbouncer]\n"
            f"listen_port = {port}\nlisten_addr = 127.0.0.1\nauth_type = any\n"
            f"pool_mode = {mode}\nunix_socket_dir =\n"
        )
        command = _as_postgres(program("pgbouncer"), str(settings))
        process = _start(command, folder / "pgbouncer.log")
        try:
            first = f"{address}/postgres"
            _until(lambda: psycopg.connect(first, connect_timeout=5).close(), psycopg.Error)
            yield address
        finally:
            _end(process)


class RedisServer:
    """A Redis that keeps nothing on disk: started again, it is empty."""

    def __init__(self, *options: str, port: int = 0, password: str = "") -> None:
        port = port or free_port()
        self.url = f"redis://{f':{password}@' if password else ''}127.0.0.1:{port}/0"
        command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--save", "", *(("--requirepass", password) if password else ()), *options]
        self._command = command
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._process = _start(self._command)
        with Redis.from_url(self.url) as client:
            _until(client.ping, RedisError)

    def pause(self) -> None:
        """SIGSTOP: connections are accepted, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self._process.wait()


@contextmanager
def redis(*options: str, port: int = 0, password: str = "") -> Iterator[RedisServer]:
    """A running server; its address holds the password."""
    server = RedisServer(*options, port=port, password=password)
    try:
        yield server
    finally:
        server.kill()


class Proxy:
    """Forwards connections, until it is told to be silent: it then accepts and holds everything; or
    to be gone: it then cuts every connection, also new ones."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = 0
        self._open = asyncio.Event()
        self._open.set()
        self._gone = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None] | None] = set()

    def be_silent(self) -> None:
        self._open.clear()

    def be_gone(self) -> None:
        self._gone = True
        for writer in self._writers:
            writer.transport.abort()

    def forward(self) -> None:
        self._gone = False
        self._open.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._gone:
            return writer.transport.abort()
        self._tasks.add(asyncio.current_task())
        self._writers.add(writer)
        with suppress(OSError):
            await self._open.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers.add(back)
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
            self._writers -= {writer, back}
        self._tasks.discard(asyncio.current_task())

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while block := await reader.read(65536):
                await self._open.wait()
                writer.write(block)
                await writer.drain()
        writer.close()

    async def close(self) -> None:
        """Cut every connection."""
        self.forward()
        while tasks := [task for task in self._tasks if task]:
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.wait(tasks, timeout=0.1)


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[Proxy]:
    """A proxy before a port of this machine."""
    forwarding = Proxy(port)
    server = await asyncio.start_server(forwarding.serve, "127.0.0.1", 0)
    forwarding.port = server.sockets[0].getsockname()[1]
    try:
        yield forwarding
    finally:
        server.close()
        await forwarding.close()


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the user postgres may use, unlike the folders of pytest."""
    folder = Path(mkdtemp(prefix="sync-test-"))
    try:
        if not os.getuid():
            user = getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(command: list[str], log: Path = Path(os.devnull)) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(attempt: Callable[[], object], failure: type[Exception], seconds: float = 120) -> None:
    until = monotonic() + seconds
    while True:
        try:
            attempt()
            return
        except failure:
            if monotonic() > until:
                raise
            sleep(0.05)
